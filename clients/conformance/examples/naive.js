// Clients that each make a mistake which real ones make, on the plain one. The kit must find each: `node examples/naive.js MISTAKE`.

import { drive } from "./driver.js";
import { PlainClient } from "./plain.js";

const { BASE_URL, STATE_DIR } = process.env;
const keys = new Map();
let memory = {};

/** Signs out when a refresh has such an answer. */
const leaving = (when) =>
  class extends PlainClient {
    settles(answer) {
      if (!when(answer)) return super.settles(answer);
      this.save({});
      return true;
    }
  };

const MISTAKES = {
  "signs-out-on-any-failure": leaving(({ status }) => status !== 200),
  "signs-out-on-502": leaving(({ status }) => status >= 500),
  "signs-out-on-any-401": leaving(({ status }) => status === 401),
  "signs-out-on-codes-without-401": leaving(({ body }) => `${body.code}`.startsWith("session_")),
  "takes-any-200": class extends PlainClient {
    take({ access_token, refresh_token }) {
      this.save({ access_token, refresh_token });
      return true;
    }
  },
  "wants-another-refresh-token": class extends PlainClient {
    take(answer) {
      return answer.refresh_token !== this.record.refresh_token && super.take(answer);
    }
  },
  "fresh-key-for-an-unchanged-token": class extends PlainClient {
    settles(answer) {
      const { refresh_token } = this.record;
      const settled = super.settles(answer);
      if (settled && refresh_token) this.forgetKey(refresh_token);
      return settled;
    }
  },
  "parallel-without-a-key": class extends PlainClient {
    refresh(unwanted) {
      return this.run(unwanted);
    }
    attempt(refresh_token) {
      return this.send("POST", "/api/auth/refresh", { body: { refresh_token } });
    }
  },
  "fresh-key-for-each-try": class extends PlainClient {
    keyOf(token) {
      this.forgetKey(token);
      return super.keyOf(token);
    }
  },
  "key-not-stored": class extends PlainClient {
    keyOf(token) {
      const key = keys.get(token) ?? super.keyOf(token);
      keys.set(token, key);
      this.forgetKey(token);
      return key;
    }
  },
  "counts-its-keys": class extends PlainClient {
    keyOf(token) {
      if (!keys.has(token)) keys.set(token, `refresh-of-this-device-number-${String(keys.size).padStart(12, "0")}`);
      return keys.get(token);
    }
  },
  "stores-nothing": class extends PlainClient {
    get record() {
      return memory;
    }
    save(record) {
      memory = record;
    }
  },
  storm: class extends PlainClient {
    async attempt(token, key) {
      for (;;) {
        const answer = await super.attempt(token, key).catch(() => ({}));
        if (answer.status === 200) return answer;
      }
    }
  },
  "never-rests": class extends PlainClient {
    async run(unwanted) {
      while (!(await super.run(unwanted).then(() => true, () => false)));
    }
  },
  "ignores-retry-after": class extends PlainClient {
    async attempt(token, key) {
      return { ...(await super.attempt(token, key)), after: 0 };
    }
  },
  "waits-for-ever": class extends PlainClient {
    limit() {
      return undefined;
    }
  },
  "follows-redirects": class extends PlainClient {
    send(method, path, init) {
      return super.send(method, path, { ...init, redirect: "follow" });
    }
  },
  "refreshes-whatever-fails": class extends PlainClient {
    isAboutToken({ status }) {
      return status !== 200;
    }
  },
  "refreshes-for-each-401": class extends PlainClient {
    refresh() {
      return super.refresh(this.record.access_token);
    }
  },
  "calls-until-it-works": class extends PlainClient {
    async call() {
      for (;;) {
        const status = await super.call();
        if (status !== 401) return status;
      }
    }
  },
  "refreshes-when-it-wakes": class extends PlainClient {
    wake() {
      return this.refresh(this.record.access_token);
    }
  },
  "sleeps-on": class extends PlainClient {
    async wake() {}
  },
  "hears-no-end": class extends PlainClient {
    settles(answer) {
      return answer.status !== 401 && super.settles(answer);
    }
  },
  "takes-late-answers": class extends PlainClient {
    isOutdated() {
      return false;
    }
  },
  "tells-nobody-of-a-logout": class extends PlainClient {
    async logout() {
      this.save({});
    }
  },
  "logs-out-only-with-a-network": class extends PlainClient {
    async logout() {
      const { refresh_token } = this.record;
      await this.send("POST", "/api/auth/logout", { body: { refresh_token } });
      this.save({});
    }
  },
  "token-in-the-url": class extends PlainClient {
    get(token) {
      return this.send("GET", `/api/auth/me?access_token=${token}`, { headers: { authorization: `Bearer ${token}` } });
    }
  },
  "shows-its-refresh-token": class extends PlainClient {
    get(token) {
      const headers = { authorization: `Bearer ${token}`, cookie: `refresh_token=${this.record.refresh_token}` };
      return this.send("GET", "/api/auth/me", { headers });
    }
  },
  "reads-once": class extends PlainClient {
    get record() {
      return (this.kept ??= super.record);
    }
    save(record) {
      super.save(record);
      this.kept = record;
    }
  },
};

const Mistaken = MISTAKES[process.argv[2]];
if (!Mistaken) throw new Error(`one of: ${Object.keys(MISTAKES).join(" ")}`);
await drive(new Mistaken(BASE_URL, STATE_DIR));
