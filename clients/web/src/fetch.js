// A fetch that shows who is calling, to those who may know.

/** @import { ClavigerFetch } from "./claviger.js" */

/**
 * Whether a refusal is about the token: a wrong password is 401 too, and so is another kind of login.
 * @param {Response} response
 */
async function isAboutToken(response) {
  if (response.status !== 401) return false;
  const challenge = response.headers.get("www-authenticate") ?? "";
  if (/\bbearer\b.*invalid_token/i.test(challenge)) return true;
  if (/\bjson\b/.test(response.headers.get("content-type") ?? "")) {
    const { code } = (await response.clone().json().catch(() => null)) ?? {};
    if (typeof code === "string") return code.startsWith("access_token_");
  }
  return /\bbearer\b/i.test(challenge);
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @param {AbortSignal | null | undefined} signal ends the waiting, and not what is waited for: others wait for it too
 * @returns {Promise<T>}
 */
function unless(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

/**
 * @param {object} options
 * @param {typeof globalThis.fetch} options.fetch
 * @param {string} options.baseUrl
 * @param {string[]} options.apis
 * @param {() => Promise<string | null>} options.accessToken
 * @param {(unwanted: string) => Promise<void>} options.refresh
 * @param {() => string | undefined} options.sessionId
 * @returns {ClavigerFetch}
 */
export function openFetch({ fetch, baseUrl, apis, accessToken, refresh, sessionId }) {
  const origins = new Set(apis.map((api) => new URL(api, baseUrl).origin));

  return async (input, init = {}) => {
    const request = input instanceof Request ? input : null;
    const url = new URL(request?.url ?? String(input), globalThis.document?.baseURI ?? baseUrl);
    const headers = new Headers(init.headers ?? request?.headers);
    if (!origins.has(url.origin) || headers.has("authorization")) return fetch(input, init);

    const signal = init.signal ?? request?.signal;
    // A body that can be read once cannot be sent twice. A `Request` can be copied.
    const body = /** @type {any} */ (init.body);
    const once = !!body?.getReader || !!body?.[Symbol.asyncIterator];
    /** @param {string} token @param {boolean} last */
    const send = (token, last) => {
      headers.set("authorization", `Bearer ${token}`);
      // Not every platform takes the token away when it follows a redirect to somebody else.
      return fetch(request && !last ? request.clone() : (request ?? url), { redirect: "error", ...init, headers });
    };

    const token = await unless(accessToken(), signal);
    if (!token) return fetch(request ?? url, init);
    const session = sessionId();
    const response = await send(token, once);
    if (!(await isAboutToken(response))) return response;
    // This fails if nobody could be asked: a page would take the 401 for "signed out".
    await unless(refresh(token), signal);
    const next = await unless(accessToken(), signal);
    // Somebody else may have signed in meanwhile: it was not their call.
    if (once || !next || sessionId() !== session) return response;
    await response.body?.cancel();
    return send(next, true);
  };
}
