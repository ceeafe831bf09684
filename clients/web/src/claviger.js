// The client of claviger for browsers, Node and React Native. Types and their meaning: claviger.d.ts.

import { ask, ClavigerError, read } from "./answer.js";
import { openFetch } from "./fetch.js";
import { openSession } from "./session.js";
import { openStorage } from "./storage.js";

/** @import { Client, Options } from "./claviger.js" */

export { ClavigerError };

const JSON_TYPE = { "content-type": "application/json" };

/** @param {Options} [options] @returns {Client} */
export function createClient(options = {}) {
  const { storage = "memory", key = "claviger", apis = [] } = options;
  const baseUrl = (options.baseUrl ?? globalThis.location?.origin ?? "").replace(/\/+$/, "");
  // Without it every refresh would fail, and seem to be the network's fault.
  if (!globalThis.crypto?.getRandomValues) throw new TypeError("claviger: crypto.getRandomValues is missing");
  // Looked up at each call: what watches or mocks fetch may come later.
  const plain = options.fetch ?? ((input, init) => globalThis.fetch(input, init));
  const cookie = storage === "cookie";
  /** @type {RequestInit} */
  const fixed = { credentials: cookie ? "include" : "omit", cache: "no-store" };

  const session = openSession({
    store: openStorage(storage, key),
    cookie,
    name: key,
    post: (path, body, headers) =>
      ask(plain, baseUrl + path, {
        ...fixed,
        method: "POST",
        headers: { ...JSON_TYPE, ...headers },
        body: JSON.stringify(body),
      }),
    whoIs: (token) =>
      ask(plain, `${baseUrl}/api/auth/me`, { ...fixed, headers: { authorization: `Bearer ${token}` } }),
  });
  const { accessToken, refresh, sessionId, state } = session;
  /** @type {import("./claviger.js").ClavigerFetch} */
  const fetch = openFetch({ fetch: plain, baseUrl, apis: [...apis, baseUrl], accessToken, refresh, sessionId });

  /** @param {string} method @param {string} path @param {object} [body] */
  async function call(method, path, body) {
    const what = body && { body: JSON.stringify(body), headers: JSON_TYPE };
    /** @type {Response} */
    let response;
    try {
      response = await fetch(baseUrl + path, { ...fixed, method, ...what });
    } catch (cause) {
      if (cause instanceof ClavigerError) throw cause;
      throw new ClavigerError(0, { code: "unreachable" }, { cause });
    }
    return read(response);
  }

  /** @param {Promise<any>} user */
  const learnt = async (user) => {
    const known = await user;
    await session.learn(known);
    return known;
  };

  return {
    get state() {
      return state.now();
    },
    ready: state.known,
    onChange: state.onChange,
    fetch,
    call,
    accessToken,
    refresh: () => refresh(),
    refreshIn: session.refreshIn,
    wake: session.wake,
    close: session.close,

    register: (body) => session.begin("/api/auth/register", body),
    login: (body) => session.begin("/api/auth/login", body),
    logout: () => session.end(false),
    async logoutAll(body = {}) {
      const { ended } = await call("POST", "/api/auth/logout-all", body);
      if (!body.keep_current) await session.end(true);
      return ended;
    },
    me: () => learnt(call("GET", "/api/auth/me")),
    updateMe: (patch) => learnt(call("PATCH", "/api/auth/me", patch)),
    changePassword: async (body) => (await call("POST", "/api/auth/password", body)).ended,
    async deleteMe(body) {
      await call("DELETE", "/api/auth/me", body);
      await session.end(true);
    },
    changeEmail: (body) => call("POST", "/api/auth/email", body),
    requestEmailVerification: (body = {}) => call("POST", "/api/auth/email-verification", body),
    confirmEmailVerification: (body) => call("POST", "/api/auth/email-verification/confirm", body),
    requestPasswordReset: (body) => call("POST", "/api/auth/password-reset", body),
    confirmPasswordReset: (body) => call("POST", "/api/auth/password-reset/confirm", body),
    sessions: async () => (await call("GET", "/api/auth/sessions")).sessions,
    endSession: (id) => call("DELETE", `/api/auth/sessions/${encodeURIComponent(id)}`),
    events: ({ limit, before } = {}) => {
      const query = new URLSearchParams({ ...(limit && { limit: `${limit}` }), ...(before && { before }) });
      return call("GET", `/api/auth/events?${query}`);
    },
  };
}
