// One request to the service and its answer, or what went wrong. Nothing here knows of sessions.

/** How long an answer may take. The service says within 10 seconds that it cannot; the rest is the network's. */
const LIMIT = 20_000;

/** The only codes that mean "signed out", and only in a 401 to a refresh. */
const OVER = ["refresh_token_invalid", "session_expired", "session_ended", "refresh_token_replayed"];
/** A cookie that is not there is not kept by trying again either. */
const NO_COOKIE = "refresh_token_missing";

/** @import { Problem } from "./claviger.js" */

export class ClavigerError extends Error {
  /**
   * @param {number} status
   * @param {Problem} problem
   * @param {{retryAfter?: number | null, cause?: unknown}} [more]
   */
  constructor(status, problem, { retryAfter = null, cause } = {}) {
    super(problem.detail ?? problem.title ?? problem.code, { cause });
    this.name = "ClavigerError";
    this.status = status;
    this.code = problem.code;
    this.fields = problem.errors ?? [];
    this.retryAfter = retryAfter;
    this.endedBy = problem.ended_by ?? null;
    this.endedAt = problem.ended_at ?? null;
    this.requestId = problem.request_id ?? null;
  }
}

/**
 * What an answer says: its JSON, or null if it has nothing to say.
 * @param {Response} response
 * @returns {Promise<any>}
 */
export async function read(response) {
  const text = await response.text();
  let body = null;
  try {
    body = text && JSON.parse(text);
  } catch (cause) {
    // A proxy's page, or half an answer.
    throw new ClavigerError(response.status, { code: "unreadable" }, { cause });
  }
  if (response.ok) return body || null;
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  const problem = typeof body?.code === "string" ? body : { code: "unreadable" };
  throw new ClavigerError(response.status, problem, { retryAfter: Number.isNaN(seconds) ? null : seconds });
}

/**
 * Asks the service. Fails with a {@link ClavigerError}, also when no answer comes.
 * @param {typeof globalThis.fetch} fetch
 * @param {string} url
 * @param {RequestInit} init
 */
export async function ask(fetch, url, init) {
  const gone = new AbortController();
  const timer = setTimeout(() => gone.abort(), LIMIT);
  try {
    // A redirect could carry the body, and the refresh token in it, elsewhere.
    return await read(await fetch(url, { redirect: "error", ...init, signal: gone.signal }));
  } catch (cause) {
    if (cause instanceof ClavigerError) throw cause;
    throw new ClavigerError(0, { code: "unreachable" }, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Whether a refresh that failed says that the session is over. Nothing else does.
 * @param {unknown} error
 * @param {boolean} cookie
 * @returns {error is ClavigerError}
 */
export const meansSignedOut = (error, cookie) =>
  error instanceof ClavigerError &&
  error.status === 401 &&
  (OVER.includes(error.code) || (cookie && error.code === NO_COOKIE));
