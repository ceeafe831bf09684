/** Somebody with an account, as `GET /api/auth/me` describes them. */
export interface User {
  id: string;
  email: string;
  full_name: string | null;
  role: "user" | "admin";
  is_active: boolean;
  email_verified: boolean;
  /** The fields of your own application. */
  profile: Record<string, unknown>;
  created_at: string;
  updated_at: string;
  last_login_at: string | null;
}

/** A login and its refreshes. */
export interface Session {
  id: string;
  /** Whether it is the one that asks. */
  current: boolean;
  label: string | null;
  user_agent: string | null;
  ip_address: string | null;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  ended_at: string | null;
  /** `logout`, `logout_all`, `revoked`, `password_changed`, `disabled`, `replayed`, `evicted`, `replaced` or `expired`. */
  ended_by: string | null;
  ended_ip_address: string | null;
}

/** Something that happened to an account. */
export interface Event {
  id: string;
  occurred_at: string;
  kind: string;
  outcome: "success" | "failure";
  reason: string | null;
  session_id: string | null;
  ip_address: string | null;
  user_agent: string | null;
  request_id: string | null;
  /** The administrator who did it. */
  actor_id: string | null;
}

/** Why the service ended the session, in the codes of its API. */
export interface Reason {
  code: string;
  ended_by: string | null;
  ended_at: string | null;
}

/**
 * Whether somebody is signed in. The object is a new one when anything in it has changed, and only then.
 *
 * `unknown` is the time before that is known: in cookie mode until the first answer, with an asynchronous storage until it has
 * been read. `reason` is there when the service ended the session, also after a reload, until the next login.
 */
export interface State {
  readonly status: "unknown" | "signed-in" | "signed-out";
  readonly user: User | null;
  readonly reason: Reason | null;
}

/** A broken rule of a field. `code` is for programs. */
export interface FieldError {
  field: string;
  code: string;
  message: string;
}

/** An error document of the API (RFC 9457). */
export interface Problem {
  code: string;
  title?: string;
  detail?: string;
  errors?: FieldError[];
  ended_by?: string;
  ended_at?: string;
  request_id?: string;
}

/** What a call fails with. */
export class ClavigerError extends Error {
  constructor(status: number, problem: Problem, more?: { retryAfter?: number | null; cause?: unknown });
  /** The HTTP status, 0 if no answer came. */
  readonly status: number;
  /** A code of the API; `unreachable` if no answer came, `unreadable` if it came from something else than the service. */
  readonly code: string;
  /** The fields to correct, with `validation_failed`. */
  readonly fields: FieldError[];
  /** In how many seconds to try again, if the service said so. */
  readonly retryAfter: number | null;
  readonly endedBy: string | null;
  readonly endedAt: string | null;
  /** For whoever reads the service's log. */
  readonly requestId: string | null;
}

/** Somewhere to keep a text under a name, such as the secure storage of a phone. At once or by promise. */
export interface Place {
  get(name: string): string | null | undefined | Promise<string | null | undefined>;
  set(name: string, text: string): unknown;
  remove(name: string): unknown;
  /** Only for a place that others write to: calls the listener when they have, and returns how to end that. */
  subscribe?(name: string, listener: () => void): () => void;
}

/** How a client is made. */
export interface Options {
  /** The address of the service, with what a proxy puts before `/api/auth`. The page's own origin if absent. */
  baseUrl?: string;
  /**
   * Where the session is kept. `memory`: until the page goes away. `localStorage`: for all tabs, and for any script in them.
   * `cookie`: the refresh token is in a cookie that no script can read. Or a place of your own. `memory` if absent.
   */
  storage?: "memory" | "localStorage" | "cookie" | Place;
  /** Origins that are shown the access token, besides that of the service. */
  apis?: string[];
  /** The name in the storage. `claviger` if absent. */
  key?: string;
  /** To be used in place of the platform's. */
  fetch?: typeof globalThis.fetch;
}

export type ClavigerFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Every call fails with {@link ClavigerError}. Names of fields are those of the API. */
export interface Client {
  readonly state: State;
  /** Waits until the state is known. */
  ready(): Promise<State>;
  /** Calls the listener after each change. Returns how to end that. */
  onChange(listener: (state: State) => void): () => void;

  /** Signs in, unless addresses must be verified first: then nobody is, and the user has a mail. */
  register(body: { email: string; password: string; full_name?: string; profile?: Record<string, unknown> }): Promise<User>;
  login(body: { email: string; password: string; label?: string }): Promise<User>;
  /**
   * Ends the session. Fails if the service cannot be told: the tokens are forgotten all the same, but in cookie mode the user
   * is still signed in, and should know.
   */
  logout(): Promise<void>;
  /** Ends all sessions, or all others. Returns how many. */
  logoutAll(body?: { keep_current?: boolean }): Promise<number>;
  /** The user as they are now, also in `state` from then on. */
  me(): Promise<User>;
  /** Changes by merge patch: what is absent stays, null removes. */
  updateMe(patch: { full_name?: string | null; profile?: Record<string, unknown> | null }): Promise<User>;
  /** Ends the other sessions, unless they are to be kept. Returns how many. */
  changePassword(body: { current_password: string; new_password: string; keep_other_sessions?: boolean }): Promise<number>;
  /** Deletes the account, for good. */
  deleteMe(body: { password: string }): Promise<void>;
  /** Has a token mailed to the new address, for `confirmEmailVerification`. */
  changeEmail(body: { password: string; new_email: string }): Promise<null>;
  /** Has a token mailed to the user's own address, or to the one that is named. */
  requestEmailVerification(body?: { email?: string }): Promise<null>;
  /** Takes a mailed token. `me()` has the address then. */
  confirmEmailVerification(body: { token: string }): Promise<null>;
  /** Has a token mailed, if there is such an account. */
  requestPasswordReset(body: { email: string }): Promise<null>;
  /** Takes a mailed token, and ends all sessions. */
  confirmPasswordReset(body: { token: string; new_password: string }): Promise<null>;
  sessions(): Promise<Session[]>;
  endSession(id: string): Promise<null>;
  /** Newest first; `next` is the `before` of the next part. */
  events(part?: { limit?: number; before?: string }): Promise<{ events: Event[]; next: string | null }>;
  /** Any other call of the service, by its path. */
  call(method: string, path: string, body?: object): Promise<any>;

  /**
   * The platform's `fetch`, with the access token for the service and `apis`. A token that has expired is refreshed, once for all
   * calls, and the call repeated. Fails as `fetch` does, and with a {@link ClavigerError} if the service cannot be asked.
   * Redirects are errors, unless `redirect` says otherwise.
   */
  fetch: ClavigerFetch;
  /** A token for what does not go by `fetch`, such as a WebSocket; null if nobody is signed in. */
  accessToken(): Promise<string | null>;
  /** Refreshes now. Seldom needed. */
  refresh(): Promise<void>;
  /** In how many seconds that is due by itself, to be shown; null without a token. A page that nobody sees waits until it is seen. */
  refreshIn(): number | null;
  /** To be called when an app comes to the foreground. Pages notice by themselves. */
  wake(): void;
  /** Ends timers and listeners. The session goes on. */
  close(): void;
}

/** A client of the service at `baseUrl`. One for each page or app. */
export function createClient(options?: Options): Client;

/** What an answer with tokens says. */
export interface Tokens {
  access_token: string;
  expires_in: number;
  refresh_token?: string;
  session_id: string;
}

/** The record in the storage. Private: its fields may change. */
export interface Stored {
  session_id: string;
  step: number;
  refresh_token?: string;
  access_token?: string;
  expires_in?: number;
  received_at?: number;
  user?: User | null;
  key?: string;
  token_key?: string;
  reason?: Reason | null;
}
