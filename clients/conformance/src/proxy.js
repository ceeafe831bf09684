// The way between one client and the service: it forwards, breaks what it is told to break, and remembers all that was asked.

import { createServer } from "node:http";
import { page, pass, problem } from "./faults.js";

/** No client has a reason to refresh this often in one case. */
const STORM = 40;
/** What a proxy does not pass on; no compression, as it wants to read. */
const HOP = ["host", "connection", "keep-alive", "content-length", "transfer-encoding", "accept-encoding", "expect", "upgrade", "te"];

/** The only codes that mean "signed out", and only in a 401 to a refresh. */
export const OVER = ["refresh_token_invalid", "session_expired", "session_ended", "refresh_token_replayed"];

const parse = (text) => {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
};

const is = (end) => ({ method, path }) => method === "POST" && path.split("?")[0].endsWith(end);
export const isRefresh = is("/api/auth/refresh");
export const isLogin = is("/api/auth/login");
export const isLogout = is("/api/auth/logout");

export class Proxy {
  /** Every request: `at` (ms), `method`, `path`, `headers`, `body`, and `end`: what became of it. */
  requests = [];
  /** What happens to the next refreshes, one each. */
  faults = [];
  /** What happens to the others. */
  usual = pass;
  /** What happens to calls with a bearer; is told whether its token has expired. */
  calls = pass;
  /** Whether there is no network at all. */
  down = false;
  /** The pairs of tokens that the service gave out, in order; `delivered` says whether the client has them. */
  issued = [];
  #expired = new Set();
  /** Refresh tokens that the client was left with, and the service's own in their place. */
  #current = new Map();
  #server;

  /** @param {string} service @param {(problem: string) => void} alarm */
  static async open(service, alarm) {
    const proxy = new Proxy();
    proxy.service = service.replace(/\/+$/, "");
    proxy.alarm = alarm;
    proxy.#server = createServer((request, response) => void proxy.#take(request, response));
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  close() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  refreshes() {
    return this.requests.filter(isRefresh);
  }

  /** The tokens that the client has. */
  held() {
    return this.issued.findLast(({ delivered }) => delivered);
  }

  /** From now on every access token so far is answered as one that has expired. */
  expire() {
    for (const { access_token } of this.issued) this.#expired.add(access_token);
  }

  async #take(request, response) {
    const entry = { at: performance.now(), method: request.method, path: request.url, headers: request.headers, body: "", end: "" };
    this.requests.push(entry);
    try {
      for await (const chunk of request) entry.body += chunk;
      await this.#choose(entry)(this.#exchange(entry, response));
    } catch (error) {
      entry.end ||= error.cause?.code ?? error.code ?? error.message;
      response.destroy();
    }
  }

  #choose(entry) {
    const bearer = /^bearer +(.*)$/i.exec(entry.headers.authorization ?? "")?.[1];
    const gone = async ({ hangUp }) => hangUp();
    if (this.down) return gone;
    if (isRefresh(entry)) {
      if (this.refreshes().length === STORM) this.alarm(`a storm: ${STORM} refreshes`);
      return this.faults.shift() ?? this.usual;
    }
    if (entry.path.includes("/portal")) return page(200);
    if (isLogin(entry) || isLogout(entry)) return pass;
    const expired = this.#expired.has(bearer);
    if (expired && this.calls === pass) return problem(401, "access_token_expired");
    return (exchange) => this.calls(exchange, expired);
  }

  /** A body with the service's own tokens. */
  #translate(body) {
    for (const [sent, current] of this.#current) body = body.replaceAll(sent, current);
    return body;
  }

  #exchange(entry, response) {
    return {
      entry,
      forward: async () => {
        const headers = Object.fromEntries(Object.entries(entry.headers).filter(([name]) => !HOP.includes(name)));
        const body = this.#translate(entry.body) || undefined;
        const answer = await fetch(this.service + entry.path, { method: entry.method, headers, body, redirect: "manual" });
        const text = await answer.text();
        const { access_token, refresh_token, session_id } = parse(text);
        const pair = access_token && refresh_token ? { access_token, refresh_token, session_id, delivered: false } : undefined;
        if (pair) this.issued.push(pair);
        const kept = [...answer.headers].filter(([name]) => !HOP.includes(name) && name !== "content-encoding");
        return { status: answer.status, text, headers: Object.fromEntries(kept), pair };
      },
      keep: (answer) => {
        const sent = parse(entry.body).refresh_token;
        if (!answer.pair || !sent) return answer;
        this.#current.set(sent, answer.pair.refresh_token);
        answer.pair.refresh_token = sent;
        return { ...answer, text: JSON.stringify({ ...parse(answer.text), refresh_token: sent }) };
      },
      deliver: ({ status, text, headers, pair }, { half = false, sized = status !== 204 } = {}) => {
        entry.end = `${status} ${parse(text).code ?? ""}${half ? "(half)" : ""}`.trim();
        if (response.destroyed) return void (entry.end += " (nobody waited)");
        const bytes = Buffer.from(text);
        response.useChunkedEncodingByDefault = false;
        response.writeHead(status, sized ? { ...headers, "content-length": bytes.length } : headers);
        if (half) return void response.write(bytes.subarray(0, bytes.length / 2), () => response.socket?.end());
        response.end(bytes, () => pair && (pair.delivered = true));
        entry.over = isRefresh(entry) && status === 401 && OVER.includes(parse(text).code) ? performance.now() : undefined;
      },
      hangUp: () => {
        entry.end ||= "no answer";
        response.destroy();
      },
    };
  }
}
