// One session on one device: who holds which token, when it is refreshed, and what ends it. No requests of the page.
//
// The record of a session is in a storage that other tabs may share. `step` counts its refreshes, also those that left the refresh
// token as it is: of two records of a session the one with more steps is newer, whatever any clock says. Correctness needs no lock:
// all refreshes of a grace window get the same refresh token. A lock only saves requests, and keeps cookies from crossing each other.

import { access } from "./access.js";
import { ClavigerError, meansSignedOut } from "./answer.js";
import { hidden, pause, random } from "./device.js";
import { openState } from "./state.js";
import { openTurns } from "./turns.js";

/** @import { Reason, Stored, Tokens, User } from "./claviger.js" */

/** What is waited before each try of a refresh, in milliseconds: they are sent after 0, 1, 3 and 7 s. */
const WAITS = [0, 1000, 2000, 4000];
/** What a busy service can ask to be waited. Longer than that nobody should wait for a call. */
const LONGEST_WAIT = 30_000;
/** For what other tabs store to arrive here. */
const SETTLE = 20;
/** The least between two refreshes that nobody asked for: the last tokens of a session live ever shorter. */
const PACE = 5000;

/**
 * At once where that is possible, so that a page knows before it draws.
 * @template T @param {T | Promise<T>} value @param {(value: T) => void} then
 */
const when = (value, then) => (value instanceof Promise ? value.then(then) : then(value));

/** @param {Stored | null} one @param {Stored} other */
const same = (one, other) => one?.session_id === other.session_id && one.step === other.step;

/**
 * @param {object} options
 * @param {ReturnType<typeof import("./storage.js").openStorage>} options.store
 * @param {boolean} options.cookie whether the refresh token is in a cookie: then the record has no secret but a pending key
 * @param {string} options.name
 * @param {(path: string, body: object, headers?: Record<string, string>) => Promise<any>} options.post
 * @param {(token: string) => Promise<User>} options.whoIs
 */
export function openSession({ store, cookie, name, post, whoIs }) {
  const state = openState();
  const alone = openTurns(store.shared ? name : null);
  /** @type {Stored | null} */
  let held = null;
  /** @type {ReturnType<typeof access> | null} */
  let ticket = null;
  /** @type {Promise<void> | null} */
  let flight = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let hurry = () => {};
  /** Why an earlier page was signed out. @type {Reason | null} */
  let before = null;

  /** Nobody waits for this refresh, so nobody else would hear that it failed. */
  const refreshSoon = () =>
    void refresh().catch((error) => console.warn(`claviger: not refreshed yet (${error.status} ${error.code})`));

  const signedOut = () => state.now().status === "signed-out";

  const due = () => !ticket || ticket.due() || !!held?.key;

  function schedule() {
    clearTimeout(timer);
    if (!held || !ticket || hidden()) return;
    // Not a moment too early, or it would wait another pace.
    timer = setTimeout(wake, Math.max(ticket.wait() + 10, PACE));
    // Node should be able to end.
    /** @type {any} */ (timer).unref?.();
  }

  /** @param {Stored} record */
  const save = (record) => {
    const { session_id, step, key } = record;
    return store.set(cookie ? { session_id, step, key } : record);
  };

  /** @param {Stored} record @param {number} [received] */
  function hold(record, received = Date.now()) {
    held = record;
    const { access_token, expires_in, user } = record;
    if (!access_token) ticket = null;
    else if (access_token !== ticket?.token) ticket = access(access_token, expires_in ?? 0, received);
    // By cookie nobody knows whether there still is a session before it has refreshed.
    if (cookie && !ticket) state.tell("unknown", null, null);
    else {
      before = null;
      state.tell("signed-in", user ?? null, null);
    }
    schedule();
  }

  /** @param {Reason | null} reason */
  function leave(reason) {
    held = ticket = null;
    clearTimeout(timer);
    state.tell("signed-out", null, reason);
  }

  /**
   * Takes over what another tab, or an earlier page, has stored.
   * @param {Stored | null | undefined} stored
   * @param {boolean} [now] whether it was stored this moment
   */
  function adopt(stored, now = false) {
    if (stored === undefined) return;
    if (typeof stored?.step !== "number") {
      if (held) leave(stored?.reason ?? null);
    } else if (stored.session_id !== held?.session_id) {
      // Of somebody who is asking whether there is a session. Who knows already does not ask too.
      if (!stored.session_id && signedOut()) return;
      hold(stored, now ? Date.now() : stored.received_at);
      if (cookie && !flight && !hidden()) refreshSoon();
    } else if (held && stored.step < held.step) {
      void save(held);
    } else {
      hold({ ...held, key: undefined, token_key: undefined, ...stored }, now ? Date.now() : stored.received_at);
    }
  }

  /**
   * Sees to an access token other than `unwanted`. However many ask at once, one request is sent.
   * @param {string} [unwanted]
   */
  function refresh(unwanted = ticket?.token) {
    if (signedOut() || (ticket && ticket.token !== unwanted)) return Promise.resolve();
    flight ??= run(unwanted).finally(() => (flight = null));
    return flight;
  }

  /** @param {string | undefined} unwanted */
  async function run(unwanted) {
    /** @type {unknown} */
    let failure;
    for (const wait of WAITS) {
      const asked = failure instanceof ClavigerError ? (failure.retryAfter ?? 0) * 1000 : 0;
      const ms = wait && Math.max(wait, Math.min(asked, LONGEST_WAIT));
      if (ms) await pause(ms, (wake) => (hurry = wake));
      try {
        return await alone(() => attempt(unwanted));
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** @param {string | undefined} unwanted */
  async function attempt(unwanted) {
    const done = () => signedOut() || (!!ticket && ticket.token !== unwanted);
    adopt(await store.get());
    if (done()) return;
    const sent = await keyed(held ?? { session_id: "", step: 0 });
    if (done()) return;
    let answer;
    try {
      const body = cookie ? {} : { refresh_token: sent.refresh_token };
      answer = usable(await post("/api/auth/refresh", body, { "idempotency-key": sent.key ?? "" }));
    } catch (error) {
      if (!(await isOver(error, sent))) throw error;
      return;
    }
    await take(answer, sent);
    if (!done()) throw new ClavigerError(0, { code: "superseded" });
  }

  /**
   * The record with a key that is stored before it is sent: whoever finds it later may repeat the refresh. A token that the service
   * left unchanged keeps its key: a late duplicate of the last request may still rotate it.
   * @param {Stored} record
   */
  async function keyed(record) {
    if (record.key) return record;
    held = { ...record, key: record.token_key ?? random() };
    await save(held);
    if (store.shared) {
      // Of two tabs at once the last key stays. Both must send that one.
      await pause(SETTLE);
      adopt(await store.get());
    }
    return held ?? record;
  }

  /** @param {any} answer @returns {Tokens} */
  function usable(answer) {
    const { access_token, expires_in, refresh_token, session_id } = answer ?? {};
    const texts = [access_token, session_id, cookie ? "" : refresh_token];
    if (texts.every((text) => typeof text === "string") && expires_in >= 0) return answer;
    throw new ClavigerError(200, { code: "unreadable" });
  }

  /** @param {Tokens} answer @param {number} step @param {User | null} [user] @returns {Stored} */
  function record({ session_id, refresh_token, access_token, expires_in }, step, user) {
    return { session_id, step, refresh_token, access_token, expires_in, received_at: Date.now(), user };
  }

  /** @param {Tokens} answer @param {Stored} sent */
  async function take(answer, sent) {
    let next = record(answer, sent.step + 1);
    if (!cookie && answer.refresh_token === sent.refresh_token) next.token_key = sent.key;
    const stored = await store.get();
    if (stored === undefined || same(stored, sent)) {
      // First of all: what is not stored when the page goes away is lost.
      next.user = sent.session_id === next.session_id ? held?.user : null;
      await save(next);
    } else {
      // Somebody went on meanwhile, signed in anew or signed out: older never replaces newer.
      adopt(stored, true);
      if (!cookie || held?.session_id !== next.session_id) return;
      const { access_token, expires_in, received_at } = next;
      next = { ...held, access_token, expires_in, received_at };
    }
    next.user ??= await whoIs(answer.access_token).catch(() => null);
    hold(next);
  }

  /** @param {unknown} error @param {Stored} sent */
  async function isOver(error, sent) {
    if (!meansSignedOut(error, cookie)) return false;
    const stored = await store.get();
    if (stored?.step !== undefined && !same(stored, sent)) {
      // It was about a token that another tab has replaced.
      adopt(stored, true);
      return !cookie;
    }
    // Without a cookie the service knows no reason, but an earlier page may.
    const unknown = error.code === "refresh_token_missing";
    const reason = unknown ? before : { code: error.code, ended_by: error.endedBy, ended_at: error.endedAt };
    await store.set(reason && { reason });
    leave(reason);
    return true;
  }

  /** Goes on with what had to wait: when a page is seen, comes back or is online again, or an app is opened. */
  function wake() {
    hurry();
    if (hidden()) return;
    when(store.get(), (stored) => {
      adopt(stored);
      if (signedOut()) return;
      if (due()) refreshSoon();
      else schedule();
    });
  }

  const opened = when(store.get(), (stored) => {
    before = stored?.reason ?? null;
    adopt(stored);
    if (cookie || (held && due() && !hidden())) refreshSoon();
    if (!cookie && !held) leave(before);
  });

  const events = ["online", "pageshow", "focus"];
  const deafen = store.subscribe(() => void when(store.get(), (stored) => adopt(stored, true)));
  for (const event of events) globalThis.addEventListener?.(event, wake);
  globalThis.document?.addEventListener("visibilitychange", wake);

  return {
    state,
    sessionId: () => held?.session_id,
    wake,
    refresh,
    refreshIn: () => ticket && (due() ? 0 : ticket.wait() / 1000),
    /** The access token of the moment, or null for nobody. Fails only if there is none and none can be had. */
    async accessToken() {
      await opened;
      if (signedOut()) return null;
      if (!ticket || ticket.stale()) {
        await refresh().catch((error) => {
          // It may be good all the same: clocks do not decide that.
          if (!ticket) throw error;
        });
      } else if (due()) refreshSoon();
      return ticket?.token ?? null;
    },
    /** @param {string} path @param {object} body @returns {Promise<User>} */
    begin: (path, body) =>
      alone(async () => {
        const has = cookie ? { token_transport: "cookie" } : { refresh_token: held?.refresh_token };
        const answer = await post(path, { ...has, ...body });
        // Where addresses must be verified, a registration signs nobody in.
        if (answer?.user && !answer.access_token) return answer.user;
        const first = record(usable(answer), 0, answer.user);
        await save(first);
        hold(first);
        return answer.user;
      }),
    /** @param {boolean} told whether the service knows already */
    end: (told) =>
      alone(async () => {
        adopt(await store.get());
        const token = held?.refresh_token;
        const forget = () => store.set(null).then(() => leave(null));
        // Only the service can remove the cookie, without which the next page would be signed in again.
        if (!cookie) await forget();
        if (cookie || (token && !told)) await post("/api/auth/logout", { refresh_token: token });
        if (cookie) await forget();
      }),
    /** @param {User} user */
    async learn(user) {
      const stored = await store.get();
      adopt(stored);
      // Somebody else may have signed in since that was asked.
      if (!held || (held.user && held.user.id !== user.id)) return;
      hold({ ...held, user });
      await save(held);
    },
    close() {
      clearTimeout(timer);
      deafen();
      for (const event of events) globalThis.removeEventListener?.(event, wake);
      globalThis.document?.removeEventListener("visibilitychange", wake);
      state.close();
    },
  };
}
