// What is published, and what it is used with. These need `npm ci`.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test as nodeTest } from "node:test";
import { Device } from "./device.js";
import { API } from "./service.js";

const folder = new URL("..", import.meta.url);
const installed = existsSync(new URL("node_modules", folder));

/** A test that is left out where nothing was installed. In CI that is a failure. */
function test(name, body) {
  if (installed || process.env.CI) return nodeTest(name, body);
  process.stderr.write(`\n*** SKIPPED, NOT PASSED: ${name}. TO RUN IT: npm ci ***\n\n`);
}
const npx = (...command) => execFileSync("npx", ["--no-install", ...command], { cwd: folder, encoding: "utf8" });
const npm = (...command) => execFileSync("npm", command, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

test("a page loads less than 5 KiB", () => {
  const [, size] = npm("run", "--silent", "size").match(/^(\d+) bytes gzip/);
  assert(size > 1000 && size < 5 * 1024, size);
});

test("what the types say is so, in the sources and for applications", () => {
  npx("tsc");
});

test("the package holds the module, its types and the licence, and needs nothing", () => {
  const [{ files }] = JSON.parse(npm("pack", "--dry-run", "--json"));
  const sources = ["access", "answer", "claviger", "device", "fetch", "session", "state", "storage", "turns"].map((name) => `src/${name}.js`);
  const expected = ["LICENSE", "README.md", "package.json", "src/claviger.d.ts", ...sources];
  assert.deepEqual(files.map(({ path }) => path).sort(), expected.sort());
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(new URL("package.json", folder), "utf8"));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
});

test("fifty calls by axios with an expired token are one refresh", async (t) => {
  const { default: axios } = await import("axios");
  const device = new Device(t);
  const client = await device.signedIn();
  const api = axios.create({ baseURL: API, adapter: "fetch", env: { fetch: client.fetch, Request, Response } });
  device.service.expire();

  const calls = Array.from({ length: 50 }, (_, n) => (n % 2 ? api.get(`/orders/${n}`) : api.post("/orders", { n })));
  const answers = await device.clock.until(Promise.all(calls));

  assert(answers.every(({ status, data }, n) => status === 200 && (n % 2 || data.body.n === n)));
  assert.equal(device.service.refreshes().length, 1);
  device.service.end(device.service.one(), "revoked");
  device.service.expire();
  await assert.rejects(device.clock.until(api.get("/orders")), { status: 401 });
});
