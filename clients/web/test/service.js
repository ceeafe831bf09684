// The service as docs/api.md describes it, in memory, with a network that a test can break.

const PROBLEM = "application/problem+json";
export const BASE = "https://auth.example.com";
export const API = "https://api.example.com";
export const ADA = { email: "ada@example.com", password: "correct horse battery" };

const json = (status, body, headers = {}) =>
  new Response(body === null ? null : JSON.stringify(body), {
    status,
    headers: { "content-type": status < 400 ? "application/json" : PROBLEM, ...headers },
  });

export const problem = (status, code, more = {}, headers = {}) =>
  json(status, { title: code, status, code, request_id: "r1", ...more }, {
    ...(status === 401 && { "www-authenticate": code.startsWith("access_token_") && code !== "access_token_missing"
      ? 'Bearer realm="claviger", error="invalid_token"' : 'Bearer realm="claviger"' }),
    ...headers,
  });

export const lost = Symbol("the request arrives and the answer does not");
export const cut = Symbol("the request does not arrive");

export class Service {
  users = new Map();
  sessions = new Map();
  /** Every request: method, path, headers, body and when it came. */
  requests = [];
  /** What happens to the next refreshes: `lost`, `cut`, a `Response`, or a function of the answer. */
  faults = [];
  grace = 30_000;
  /** Whether addresses must be verified before anybody signs in. */
  verify = false;
  #count = 0;

  constructor(clock = { true: 0 }) {
    this.clock = clock;
  }

  refreshes() {
    return this.requests.filter(({ path }) => path === "/api/auth/refresh");
  }

  /** Makes access tokens useless at once. */
  expire() {
    for (const session of this.sessions.values()) session.access.clear();
  }

  end(session, ended_by) {
    session.ended ??= { ended_by, ended_at: new Date(this.clock.true).toISOString() };
  }

  one() {
    return [...this.sessions.values()].at(-1);
  }

  /** A `fetch` of a browser with a cookie jar of its own; tabs share one. */
  browser(jar = {}) {
    return async (input, init = {}) => {
      const request = new Request(input, { ...init, duplex: "half" });
      const { pathname, origin } = new URL(request.url);
      const text = await request.text();
      const body = text && request.headers.get("content-type") === "application/json" ? JSON.parse(text) : text;
      const headers = Object.fromEntries(request.headers);
      const sent = { method: request.method, path: pathname, origin, headers, body, at: this.clock.true, credentials: request.credentials };
      const fault = pathname === "/api/auth/refresh" ? this.faults.shift() : undefined;
      this.requests.push(sent);
      await null;
      request.signal.throwIfAborted();
      if (fault === cut) throw new TypeError("fetch failed");
      if (fault instanceof Response) return fault;
      const cookies = request.credentials === "include" ? jar : {};
      const answer = await this.#answer(sent, cookies);
      if (fault === lost) throw new TypeError("fetch failed");
      const arrived = typeof fault === "function" ? await fault(answer) : answer;
      const set = arrived.headers.get("x-set-cookie");
      if (set !== null && request.credentials === "include") jar.refresh_token = set;
      return arrived;
    };
  }

  async #answer({ method, path, origin, headers, body }, cookies) {
    const bearer = headers.authorization?.replace(/^Bearer /, "");
    if (origin !== BASE) return this.#bearer(bearer, () => json(200, { path, body }));
    switch (`${method} ${path}`) {
      case "POST /api/auth/register":
        if (this.users.has(body.email)) return problem(409, "email_taken");
        if (!(body.password?.length >= 8)) {
          const errors = [{ field: "password", code: "too_short", message: "must have 8 characters" }];
          return problem(422, "validation_failed", { errors });
        }
        this.users.set(body.email, { id: `u${this.users.size}`, email: body.email, password: body.password, full_name: null });
        return this.verify ? json(201, { user: this.#public(this.users.get(body.email)) }) : this.#begin(201, body);
      case "POST /api/auth/login":
        if (this.users.get(body.email)?.password !== body.password) return problem(401, "invalid_credentials");
        return this.#begin(200, body);
      case "POST /api/auth/refresh":
        return this.#refresh(body.refresh_token ?? cookies.refresh_token, headers["idempotency-key"], !body.refresh_token);
      case "POST /api/auth/logout": {
        const token = body.refresh_token ?? cookies.refresh_token;
        const session = this.sessions.get(token?.split(".")[1]);
        if (session) this.end(session, "logout");
        return json(204, null, body.refresh_token ? {} : { "x-set-cookie": "" });
      }
      case "GET /api/auth/me":
        return this.#bearer(bearer, ({ user }) => json(200, this.#public(user)));
      case "PATCH /api/auth/me":
        return this.#bearer(bearer, ({ user }) => json(200, this.#public(Object.assign(user, body))));
      case "DELETE /api/auth/me":
        return this.#bearer(bearer, (own) => (this.end(own, "revoked"), json(204, null)));
      case "POST /api/auth/email":
      case "POST /api/auth/email-verification":
      case "POST /api/auth/password-reset":
        return json(202, null);
      case "POST /api/auth/email-verification/confirm":
      case "POST /api/auth/password-reset/confirm":
        return json(204, null);
      case "POST /api/auth/logout-all":
        return this.#bearer(bearer, (own) => {
          const ended = [...this.sessions.values()].filter((s) => s.user === own.user && !s.ended && !(body.keep_current && s === own));
          for (const session of ended) this.end(session, "logout_all");
          return json(200, { ended: ended.length });
        });
      case "POST /api/auth/password":
        return this.#bearer(bearer, ({ user }) =>
          body.current_password === user.password ? json(200, { ended: 1 }) : problem(401, "invalid_credentials"));
      case "GET /api/auth/sessions":
        return this.#bearer(bearer, (own) => json(200, { sessions: [{ id: own.id, current: true }] }));
      case "GET /api/auth/events":
        return this.#bearer(bearer, () => json(200, { events: [], next: null }));
      default:
        if (method === "DELETE" && path.startsWith("/api/auth/sessions/")) return this.#bearer(bearer, () => json(204, null));
        return problem(404, "not_found");
    }
  }

  #public({ password: _, ...user }) {
    return user;
  }

  #bearer(token, answer) {
    if (!token) return problem(401, "access_token_missing");
    for (const session of this.sessions.values()) {
      if (session.access.get(token) > this.clock.true) return answer(session);
    }
    return problem(401, "access_token_expired");
  }

  #begin(status, { email, token_transport }) {
    const session = { id: `s${this.sessions.size}`, user: this.users.get(email), generation: 0, access: new Map() };
    this.sessions.set(session.id, session);
    return this.#tokens(status, session, token_transport === "cookie", { user: this.#public(session.user) });
  }

  #tokens(status, session, cookie, more, set = true) {
    const access_token = `at${this.#count++}`;
    session.access.set(access_token, this.clock.true + 600_000);
    const refresh_token = `rt.${session.id}.${session.generation}`;
    const tokens = { access_token, expires_in: 600, session_id: session.id, ...more };
    if (!cookie) return json(status, { ...tokens, refresh_token });
    return json(status, tokens, set ? { "x-set-cookie": refresh_token } : {});
  }

  #refresh(token, key, cookie) {
    if (!token) return problem(401, "refresh_token_missing");
    const over = (code, more) => problem(401, code, more, cookie ? { "x-set-cookie": "" } : {});
    const [, id, generation] = token.split(".");
    const session = this.sessions.get(id);
    if (!session) return over("refresh_token_invalid");
    if (session.ended) return over("session_ended", session.ended);
    const isParent = Number(generation) === session.generation - 1;
    const repeats = isParent && (this.clock.true < session.rotated + this.grace || (key && key === session.key));
    const isCurrent = Number(generation) === session.generation;
    if (isCurrent && session.generation > 0 && this.clock.true < session.rotated + this.grace) {
      // A session rotates at most once per grace window.
      return this.#tokens(200, session, cookie, {}, false);
    } else if (isCurrent) {
      Object.assign(session, { generation: session.generation + 1, rotated: this.clock.true, key });
    } else if (!repeats) {
      this.end(session, "replayed");
      return over("refresh_token_replayed", session.ended);
    }
    return this.#tokens(200, session, cookie, {});
  }
}
