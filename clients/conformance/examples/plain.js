// The smallest client that keeps the contract: a model for other languages. Several processes may share its folder.

import { createHash, randomBytes, randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { drive } from "./driver.js";

/** The only codes that mean "signed out", and only in a 401 to a refresh. */
const OVER = ["refresh_token_invalid", "session_expired", "session_ended", "refresh_token_replayed"];
/** What is waited before each try, in ms: they are made after 0, 1, 3 and 7 s. */
const WAITS = [0, 1000, 2000, 4000];
/** What a busy service can ask to be waited, in s: a user waits for this. */
const LONGEST_WAIT = 30;
/** The service says within 11 s that it cannot; the rest is the network's. */
const TIMEOUT = 20_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The object in an answer; a page, or half an answer, has none. */
function read(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

export class PlainClient {
  flight = null;

  constructor(base, folder) {
    this.base = base;
    this.folder = folder;
  }

  /** `refresh_token` and `access_token`, or the `reason` of the end. Read anew each time: another process may have written it. */
  get record() {
    const file = join(this.folder, "session.json");
    return existsSync(file) ? read(readFileSync(file, "utf8")) : {};
  }

  save(record) {
    renameSync(this.#write(JSON.stringify(record)), join(this.folder, "session.json"));
  }

  /** A new file that is on the disk, whole. A phone has its secure storage for all this. */
  #write(text) {
    const name = join(this.folder, randomUUID());
    const file = openSync(name, "w", 0o600);
    writeSync(file, text);
    fsyncSync(file);
    closeSync(file);
    return name;
  }

  #keyFile(token) {
    return join(this.folder, `${createHash("sha256").update(token).digest("hex")}.key`);
  }

  /** The key to refresh this token with. The first one stored counts, for other processes and after a crash too. */
  keyOf(token) {
    const mine = this.#write(randomBytes(24).toString("base64url"));
    try {
      linkSync(mine, this.#keyFile(token));
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    } finally {
      rmSync(mine);
    }
    return readFileSync(this.#keyFile(token), "utf8");
  }

  /** Only after the record without that token has been saved: a late duplicate of a request with the key may still rotate the token. */
  forgetKey(token) {
    rmSync(this.#keyFile(token), { force: true });
  }

  async send(method, path, { body, headers, redirect = "error" } = {}) {
    const init = { method, headers: { "content-type": "application/json", ...headers }, body: body && JSON.stringify(body) };
    // A redirect could carry the refresh token elsewhere.
    const answer = await fetch(this.base + path, { redirect, signal: this.limit(), ...init });
    const text = await answer.text();
    return { status: answer.status, after: Number(answer.headers.get("retry-after")) || 0, body: read(text) };
  }

  limit() {
    return AbortSignal.timeout(TIMEOUT);
  }

  async login(email, password) {
    const { body } = await this.send("POST", "/api/auth/login", { body: { email, password } });
    if (!this.take(body)) throw new Error("not signed in");
  }

  take({ access_token, refresh_token }) {
    if (typeof access_token !== "string" || typeof refresh_token !== "string") return false;
    this.save({ access_token, refresh_token });
    return true;
  }

  async call() {
    const { access_token } = this.record;
    if (!access_token) return 0;
    const answer = await this.get(access_token);
    if (!this.isAboutToken(answer)) return answer.status;
    await this.refresh(access_token);
    const next = this.record.access_token;
    return next ? (await this.get(next)).status : answer.status;
  }

  get(token) {
    return this.send("GET", "/api/auth/me", { headers: { authorization: `Bearer ${token}` } });
  }

  /** A 401 may be about something else, such as a wrong password. */
  isAboutToken({ status, body }) {
    return status === 401 && `${body.code}`.startsWith("access_token_");
  }

  /** Sees to an access token other than `unwanted`. However many ask at once, one request is sent. */
  refresh(unwanted) {
    this.flight ??= this.run(unwanted).finally(() => (this.flight = null));
    return this.flight;
  }

  async run(unwanted) {
    let after = 0;
    for (const wait of WAITS) {
      await pause(wait && Math.max(wait, Math.min(after, LONGEST_WAIT) * 1000));
      const { refresh_token: token, access_token } = this.record;
      // Signed out, or refreshed by another call or process.
      if (!token || access_token !== unwanted) return;
      const key = this.keyOf(token);
      // Another process may have taken the answer between these two lines, and the key with it.
      if (this.isOutdated(token)) return;
      const answer = await this.attempt(token, key).catch(() => ({ body: {} }));
      if (this.isOutdated(token) || this.settles(answer)) {
        // The answer may hold the same refresh token, and the key belongs to the token.
        if (this.isOutdated(token)) this.forgetKey(token);
        return;
      }
      after = answer.after ?? 0;
    }
    throw new Error("not refreshed yet");
  }

  attempt(refresh_token, key) {
    return this.send("POST", "/api/auth/refresh", { body: { refresh_token }, headers: { "idempotency-key": key } });
  }

  /** Signed out, in anew or refreshed meanwhile: older never replaces newer. */
  isOutdated(token) {
    return this.record.refresh_token !== token;
  }

  /** Whether that was an answer. Anything else means: keep the tokens and try again. */
  settles({ status, body }) {
    if (status === 200) return this.take(body);
    if (status !== 401 || !OVER.includes(body.code)) return false;
    this.save({ reason: body.code });
    return true;
  }

  /** Goes on with a refresh that has no answer yet. */
  async wake() {
    const { refresh_token, access_token } = this.record;
    if (refresh_token && existsSync(this.#keyFile(refresh_token))) await this.refresh(access_token);
  }

  state() {
    const { refresh_token, reason } = this.record;
    return { signed_in: !!refresh_token, reason };
  }

  async logout() {
    const { refresh_token } = this.record;
    this.save({});
    await this.send("POST", "/api/auth/logout", { body: { refresh_token } });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await drive(new PlainClient(process.env.BASE_URL, process.env.STATE_DIR));
