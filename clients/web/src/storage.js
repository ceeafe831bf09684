// Where the record of a session is kept, and how others who keep it there too are heard.

/** @import { Place, Reason, Stored } from "./claviger.js" */

/** @returns {Place} */
function memory() {
  /** @type {string | null} */
  let kept = null;
  return {
    get: () => kept,
    set: (_name, text) => void (kept = text),
    remove: () => void (kept = null),
  };
}

/** @returns {Place} */
function webStorage() {
  const store = () => globalThis.localStorage;
  return {
    get: (name) => store().getItem(name),
    set: (name, text) => store().setItem(name, text),
    remove: (name) => store().removeItem(name),
    subscribe: (name, listener) => {
      // Without a key everything was cleared.
      const hear = (/** @type {StorageEvent} */ event) => void ((event.key ?? name) === name && listener());
      globalThis.addEventListener?.("storage", hear);
      return () => globalThis.removeEventListener?.("storage", hear);
    },
  };
}

/**
 * Text that is none of ours is nothing.
 * @param {string | null | undefined} text
 * @returns {Stored | null}
 */
function parse(text) {
  try {
    const value = text && JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/**
 * @param {Place | "memory" | "localStorage" | "cookie"} kind
 * @param {string} name
 */
export function openStorage(kind, name) {
  const place = typeof kind === "object" ? kind : kind === "memory" ? memory() : webStorage();
  // A storage that is full or forbidden is no reason to sign anybody out: what is in memory goes on counting.
  let broken = false;
  return {
    /** Whether others may write the same record. */
    shared: !!place.subscribe,
    /**
     * The record, null if there is none, undefined if that cannot be told. At once where the storage answers at once,
     * so that a page knows before it draws.
     * @returns {Stored | null | undefined | Promise<Stored | null | undefined>}
     */
    get() {
      if (broken) return undefined;
      try {
        const text = place.get(name);
        if (typeof text === "string" || !text) return parse(text);
        return Promise.resolve(text).then(parse, () => undefined);
      } catch {
        return undefined;
      }
    },
    /** @param {Stored | {reason: Reason} | null} record */
    async set(record) {
      try {
        await (record ? place.set(name, JSON.stringify(record)) : place.remove(name));
        broken = false;
      } catch {
        broken = true;
      }
    },
    /** @param {() => void} listener */
    subscribe: (listener) => place.subscribe?.(name, listener) ?? (() => {}),
  };
}
