// One case: a session, a client process, a proxy and a folder of its own, and what is asked of the client.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "./client.js";
import { isLogin, Proxy } from "./proxy.js";
import { trace, violations } from "./rules.js";

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class Trial {
  #problems = new Set();
  #clients = [];

  constructor({ command, account }) {
    Object.assign(this, { command, account });
  }

  async open(service) {
    this.start = performance.now();
    this.proxy = await Proxy.open(service, (problem) => {
      // Such a client would not end.
      this.wrong(problem);
      for (const client of this.#clients) void client.kill();
    });
    this.folder = await mkdtemp(join(tmpdir(), "conformance-"));
    this.client = this.another();
    await this.login();
    if (!this.proxy.held()?.refresh_token) throw new Error("login: it did not go to BASE_URL, or has no refresh token");
    await this.staysSignedIn("after the login");
  }

  async close() {
    await Promise.all(this.#clients.map((client) => client.kill()));
    this.proxy.close();
    const last = new Map(this.proxy.issued.map(({ session_id, refresh_token }) => [session_id, refresh_token]));
    await Promise.allSettled([...last.values()].map((token) => this.account.logout(token)));
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Another process of the same client, with the same storage. */
  another() {
    const client = new Client(this.command, { BASE_URL: this.proxy.url, STATE_DIR: this.folder });
    this.#clients.push(client);
    client.start();
    return client;
  }

  /** Signs in, again if the service is too busy for it: that is not the client's fault. */
  async login() {
    const { email, password } = this.account;
    for (let tries = 10; ; tries--) {
      const { ok, error } = await this.client.ask({ do: "login", email, password });
      if (ok === true) return;
      const busy = this.proxy.requests.findLast(isLogin)?.end.startsWith("503");
      if (!busy || tries === 0) throw new Error(`login: ${error ?? "not ok"}`);
      await pause(1000);
    }
  }

  wrong(problem) {
    this.#problems.add(problem);
  }

  must(condition, problem) {
    if (!condition) this.wrong(problem);
  }

  problems() {
    return [...new Set([...this.#problems, ...violations(this.proxy)])];
  }

  trace() {
    return trace(this.proxy, this.start);
  }

  /** How many calls of so many at once succeed. */
  async call(count = 1) {
    const { succeeded } = await this.client.ask({ do: "call", count });
    return succeeded;
  }

  /** The same, for a case that looks at something else before it awaits it, or never does. */
  begin(count) {
    const call = this.call(count);
    call.catch(() => {});
    return call;
  }

  /** The next call finds its access token expired, and the next refreshes have these faults. */
  expired(...faults) {
    this.proxy.faults.push(...faults);
    this.proxy.expire();
  }

  async signedIn() {
    const { signed_in, reason } = await this.client.ask({ do: "state" });
    return { in: signed_in === true, reason };
  }

  async staysSignedIn(when) {
    this.must((await this.signedIn()).in, `signed out ${when}`);
  }

  /** The faults come and go, and the client with its next calls must be there again: it needs no more of them than there are faults. */
  async survives(...faults) {
    this.expired(...faults);
    for (let tries = faults.length + 2; tries > 0; tries--) {
      const succeeded = await this.call();
      const over = this.proxy.faults.length === 0;
      if (!(await this.signedIn()).in) return this.wrong(`signed out after: ${this.proxy.refreshes().at(-1)?.end ?? "nothing"}`);
      if (succeeded && over) return;
    }
    this.wrong("no call succeeds after the fault is over");
  }

  /** The service has said that the session is over: the client must say so too, ask no more, and remember it. */
  async isSignedOut(code) {
    const before = this.proxy.refreshes().length;
    const { in: still, reason } = await this.signedIn();
    this.must(!still, "still signed in after the session is over");
    const said = typeof reason === "object" ? reason?.code : reason;
    this.must(said === undefined || said === null || said === code, `says the reason ${said} instead of ${code}`);
    await this.call(3);
    await this.client.ask({ do: "wake" });
    // For what it may begin.
    await pause(300);
    await this.restart();
    this.must(!(await this.signedIn()).in, "signed in again after a restart");
    await this.call();
    this.must(this.proxy.refreshes().length === before, "refreshes though the session is over");
  }

  /** kill -9 and a new start with the same storage. */
  async restart(between = async () => {}) {
    await this.client.kill();
    await between();
    this.client = this.another();
  }

  /** Whether something happens in time. */
  within(promise, ms = 10_000) {
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, ms, false)));
    return Promise.race([promise.then(() => true), late]).finally(() => clearTimeout(timer));
  }

  /** Waits for something that the client does by itself. */
  async until(condition, ms = 10_000) {
    const end = performance.now() + ms;
    while (!condition()) {
      if (performance.now() > end) return false;
      await pause(20);
    }
    return true;
  }
}

/** Runs one case. @returns {Promise<{name: string, verdict: "pass" | "fail", seconds: number, problems: string[], trace: string[]}>} */
export async function run({ name, run: body }, { service, ...options }) {
  const trial = new Trial(options);
  try {
    await trial.open(service);
    await body(trial);
  } catch (error) {
    trial.wrong(error.message);
  }
  const problems = trial.problems();
  const seconds = Math.round((performance.now() - trial.start) / 100) / 10;
  const found = { name, verdict: problems.length ? "fail" : "pass", seconds, problems, trace: problems.length ? trial.trace() : [] };
  await trial.close();
  return found;
}
