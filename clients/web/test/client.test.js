import assert from "node:assert/strict";
import { test } from "node:test";
import { ClavigerError, createClient } from "../src/claviger.js";
import { Device } from "./device.js";
import { ADA, API, BASE } from "./service.js";

const body = (device) => device.service.requests.at(-1).body;

test("every call of the API has its method", async (t) => {
  const device = new Device(t);
  const client = device.tab();
  const is = async (promise, expected, request) => {
    assert.deepEqual(await device.clock.until(promise), expected);
    const { method, path } = device.service.requests.at(-1);
    assert.equal(`${method} ${path}`, request);
  };
  const ada = { id: "u0", email: ADA.email, full_name: null };
  await is(client.register({ ...ADA, full_name: null }), ada, "POST /api/auth/register");
  await is(client.me(), ada, "GET /api/auth/me");
  await is(client.updateMe({ full_name: "Ada" }), { ...ada, full_name: "Ada" }, "PATCH /api/auth/me");
  assert.equal(client.state.user.full_name, "Ada");
  await is(client.sessions(), [{ id: "s0", current: true }], "GET /api/auth/sessions");
  await is(client.endSession("s/1"), null, "DELETE /api/auth/sessions/s%2F1");
  await is(client.events({ limit: 2, before: "a b" }), { events: [], next: null }, "GET /api/auth/events");
  await is(client.changePassword({ current_password: ADA.password, new_password: "new" }), 1, "POST /api/auth/password");
  await is(client.logoutAll({ keep_current: true }), 0, "POST /api/auth/logout-all");
  assert.equal(client.state.status, "signed-in");
  await is(client.logout(), undefined, "POST /api/auth/logout");
  await is(client.login({ ...ADA, label: "phone" }), { ...ada, full_name: "Ada" }, "POST /api/auth/login");
  assert.equal(body(device).label, "phone");
  await is(client.logoutAll(), 1, "POST /api/auth/logout-all");
  assert.equal(client.state.status, "signed-out");
  await device.clock.until(client.login(ADA));
  await is(client.changeEmail({ password: ADA.password, new_email: "a@example.com" }), null, "POST /api/auth/email");
  await is(client.requestEmailVerification(), null, "POST /api/auth/email-verification");
  await is(client.confirmEmailVerification({ token: "t" }), null, "POST /api/auth/email-verification/confirm");
  await is(client.requestPasswordReset({ email: ADA.email }), null, "POST /api/auth/password-reset");
  await is(client.confirmPasswordReset({ token: "t", new_password: "new" }), null, "POST /api/auth/password-reset/confirm");
  assert.deepEqual(body(device), { token: "t", new_password: "new" });
  await is(client.deleteMe({ password: ADA.password }), undefined, "DELETE /api/auth/me");
  assert.deepEqual([client.state.status, device.record()], ["signed-out", null]);
});

test("who must verify the address first is not signed in by registering", async (t) => {
  const device = new Device(t);
  device.service.verify = true;
  const client = device.tab();
  assert.equal((await device.clock.until(client.register(ADA))).email, ADA.email);
  assert.equal(client.state.status, "signed-out");
});

test("a login shows the token that the device still has", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const { refresh_token } = device.record();
  await device.clock.until(client.login(ADA));
  assert.equal(body(device).refresh_token, refresh_token);
});

test("an error says status, code and fields, and when to come back", async (t) => {
  const device = new Device(t);
  const client = device.tab();
  const invalid = await device.clock.until(client.register({ email: ADA.email, password: "short" })).catch((error) => error);
  assert(invalid instanceof ClavigerError && invalid instanceof Error);
  assert.deepEqual([invalid.status, invalid.code, invalid.requestId], [422, "validation_failed", "r1"]);
  assert.deepEqual(invalid.fields, [{ field: "password", code: "too_short", message: "must have 8 characters" }]);
  await assert.rejects(device.clock.until(client.login(ADA)), { status: 401, code: "invalid_credentials", retryAfter: null });

  const busy = () => Promise.resolve(new Response('{"code": "rate_limited"}', { status: 429, headers: { "retry-after": "60" } }));
  await assert.rejects(device.tab({ fetch: busy }).login(ADA), { status: 429, code: "rate_limited", retryAfter: 60 });
  const proxy = () => Promise.resolve(new Response("<html>", { status: 502 }));
  await assert.rejects(device.tab({ fetch: proxy }).login(ADA), { status: 502, code: "unreadable" });
  const away = () => Promise.reject(new TypeError("fetch failed"));
  await assert.rejects(device.tab({ fetch: away }).login(ADA), { status: 0, code: "unreachable" });
  const none = await device.clock.until(client.me()).catch((error) => error);
  assert.deepEqual([none.status, none.code], [401, "access_token_missing"]);
});

test("a wrong current password is told, and refreshes nothing", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const change = client.changePassword({ current_password: "wrong", new_password: "new" });
  await assert.rejects(device.clock.until(change), { status: 401, code: "invalid_credentials" });
  assert.equal(device.service.refreshes().length, 0);
});

test("an answer about one user is not taken for the next one", async (t) => {
  const device = new Device(t);
  const answer = device.service.browser();
  let hold;
  const fetch = async (input, init) => {
    const given = await answer(input, init);
    if (String(input).endsWith("/me")) await new Promise((resolve) => (hold = resolve));
    return given;
  };
  const client = await device.signedIn({ fetch });
  const asked = client.me();
  await device.clock.pass(100);
  await device.clock.until(client.register({ ...ADA, email: "bob@example.com" }));
  hold();
  assert.equal((await device.clock.until(asked)).email, ADA.email);
  assert.equal(client.state.user.email, "bob@example.com");
});

test("a listener that fails keeps nobody else from hearing, and one that has left hears nothing", async (t) => {
  const device = new Device(t);
  const failures = [];
  globalThis.reportError = (error) => failures.push(error.message);
  t.after(() => delete globalThis.reportError);
  const client = device.tab();
  const heard = [];
  client.onChange(() => {
    throw new Error("mine");
  });
  const listener = ({ status }) => heard.push(status);
  const stop = client.onChange(listener);
  client.onChange(listener);
  await device.clock.until(client.register(ADA));
  assert.deepEqual([heard, failures], [["signed-in", "signed-in"], ["mine"]]);
  stop();
  await device.clock.until(client.me());
  await device.clock.until(client.logout());
  assert.deepEqual(heard, ["signed-in", "signed-in", "signed-out"]);
});

test("the state is one object as long as it says the same", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const { state } = client;
  await device.clock.until(client.refresh());
  await device.clock.until(client.me());
  assert.equal(client.state, state);
  assert(Object.isFrozen(state));
});

test("a page that is loaded again knows at once who is signed in", async (t) => {
  const device = new Device(t);
  await device.signedIn();
  assert.equal(device.tab().state.user.email, ADA.email);
  device.stored.clear();
  assert.deepEqual(device.tab().state, { status: "signed-out", user: null, reason: null });
});

test("what is stored may come by promise, as on a phone", async (t) => {
  const device = new Device(t);
  const kept = new Map();
  const storage = {
    get: async (name) => kept.get(name) ?? null,
    set: async (name, text) => void kept.set(name, text),
    remove: async (name) => void kept.delete(name),
  };
  (await device.signedIn({ storage })).close();
  const client = device.tab({ storage });
  assert.equal(client.state.status, "unknown");
  const [state, answer] = await device.clock.until(Promise.all([client.ready(), client.fetch(`${API}/orders`)]));
  assert.deepEqual([state.status, answer.status], ["signed-in", 200]);
  await device.clock.until(client.logout());
  assert.equal(kept.size, 0);
});

test("nothing is asked before it is known what is stored", async (t) => {
  const device = new Device(t);
  let reads = 0;
  const get = () => new Promise((resolve) => setTimeout(() => resolve(null), reads++ ? 0 : 1000));
  const client = device.tab({ storage: { get, set: async () => {}, remove: async () => {} } });
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 401);
  assert.equal(device.service.requests.length, 1);
});

for (const [name, storage] of [
  ["full", { get: () => null, set: () => { throw new Error("full"); }, remove: () => {} }],
  ["forbidden", { get: () => { throw new Error("no"); }, set: () => { throw new Error("no"); }, remove: () => { throw new Error("no"); } }],
  ["forbidden by promise", { get: async () => { throw new Error("no"); }, set: async () => { throw new Error("no"); }, remove: async () => {} }],
]) {
  test(`a storage that is ${name} signs nobody out`, async (t) => {
    const device = new Device(t);
    const client = device.tab({ storage });
    await device.clock.until(client.register(ADA));
    await device.clock.until(client.refresh());
    device.service.expire();
    assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
    assert.equal(client.state.status, "signed-in");
    await device.clock.until(client.logout());
    assert.equal(client.state.status, "signed-out");
  });
}

test("what is stored and is none of ours is nobody", async (t) => {
  const device = new Device(t);
  for (const text of ["", "null", "7", "{", '{"step": null}', '"x"', "[]", "{}"]) {
    device.stored.set("claviger", text);
    assert.equal(device.tab().state.status, "signed-out", text);
  }
});

test("where there is no localStorage the session is in memory", async (t) => {
  const device = new Device(t);
  delete globalThis.localStorage;
  const client = await device.signedIn({ storage: "localStorage" });
  await device.clock.until(client.refresh());
  assert.equal(client.state.status, "signed-in");
});

test("a service behind a path is asked there, and an address that is none is refused", async (t) => {
  const device = new Device(t);
  const asked = [];
  const fetch = async (url) => (asked.push(url), new Response("{}", { status: 500 }));
  await assert.rejects(device.tab({ baseUrl: `${BASE}/sso/`, fetch }).login(ADA), ClavigerError);
  assert.deepEqual(asked, [`${BASE}/sso/api/auth/login`]);
  assert.throws(() => createClient({}), TypeError);
});

test("a platform without chance is refused at once", (t) => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  t.after(() => Object.defineProperty(globalThis, "crypto", own));
  Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
  assert.throws(() => createClient({ baseUrl: BASE }), TypeError);
});

test("a client that is closed asks nothing any more", async (t) => {
  const device = new Device(t);
  (await device.signedIn()).close();
  device.clock.slept = 3_600_000;
  device.wake();
  await device.clock.pass(3_600_000);
  assert.equal(device.service.refreshes().length, 0);
});
