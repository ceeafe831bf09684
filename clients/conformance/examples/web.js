// clients/web under test, with what it stores in files.

import { randomUUID } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "../../web/src/claviger.js";
import { drive } from "./driver.js";

const { BASE_URL, STATE_DIR } = process.env;

const file = (name) => join(STATE_DIR, `${name}.json`);
const storage = {
  get(name) {
    try {
      return readFileSync(file(name), "utf8");
    } catch {
      return null;
    }
  },
  set(name, text) {
    // Another process must not find half of it.
    const fresh = `${file(name)}.${randomUUID()}`;
    writeFileSync(fresh, text, { mode: 0o600 });
    renameSync(fresh, file(name));
  },
  remove: (name) => rmSync(file(name), { force: true }),
};

const client = createClient({ baseUrl: BASE_URL, storage });
await client.ready();

await drive({
  login: (email, password) => client.login({ email, password }),
  call: () => client.fetch(`${BASE_URL}/api/auth/me`).then(({ status }) => status),
  wake: async () => client.wake(),
  state: () => ({ signed_in: client.state.status === "signed-in", reason: client.state.reason?.code }),
  logout: () => client.logout(),
});
