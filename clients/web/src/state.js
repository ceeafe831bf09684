// What a page may know of the session, and who wants to hear of it.

/** @import { Reason, State, User } from "./claviger.js" */

export function openState() {
  /** @type {State} */
  let state = Object.freeze({ status: "unknown", user: null, reason: null });
  /** @type {Set<(state: State) => void>} */
  const listeners = new Set();

  /** @param {(state: State) => void} listener */
  function onChange(listener) {
    // A function of its own: the same one may listen twice.
    const own = (/** @type {State} */ news) => listener(news);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  return {
    now: () => state,
    onChange,
    /** Tells only what is news, so that the object is the same as long as what it says. */
    tell(/** @type {State["status"]} */ status, /** @type {User | null} */ user, /** @type {Reason | null} */ reason) {
      const next = { status, user, reason };
      if (JSON.stringify(next) === JSON.stringify(state)) return;
      state = Object.freeze(next);
      for (const listener of [...listeners]) {
        try {
          listener(state);
        } catch (error) {
          (globalThis.reportError ?? console.error)(error);
        }
      }
    },
    /** @returns {Promise<State>} */
    known: () =>
      new Promise((resolve) => {
        if (state.status !== "unknown") return resolve(state);
        // What comes next is news, so it is known.
        const stop = onChange((news) => {
          stop();
          resolve(news);
        });
      }),
    close: () => listeners.clear(),
  };
}
