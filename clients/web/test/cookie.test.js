import assert from "node:assert/strict";
import { test } from "node:test";
import { Device } from "./device.js";
import { ADA, API, BASE, cut, lost, problem } from "./service.js";

const BOB = { email: "bob@example.com", password: "correct horse battery" };

async function signedIn(t) {
  const device = new Device(t);
  const client = device.cookieTab();
  await device.clock.until(client.ready());
  await device.clock.until(client.register(ADA));
  return { device, client };
}

test("nobody is signed in without the cookie, which takes one question", async (t) => {
  const device = new Device(t);
  const client = device.cookieTab();
  assert.equal(client.state.status, "unknown");
  assert.deepEqual(await device.clock.until(client.ready()), { status: "signed-out", user: null, reason: null });
  assert.equal(device.service.requests.length, 1);
  assert.equal(device.record(), null);
});

test("nothing that is stored can be presented", async (t) => {
  const { device, client } = await signedIn(t);
  await device.clock.until(client.refresh());
  await device.clock.until(client.me());
  assert.deepEqual(device.record(), { session_id: "s0", step: 1 });
  assert.equal(device.jar.refresh_token, "rt.s0.1");
});

test("a client without the cookie neither sends nor takes one", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  await device.clock.until(client.refresh());
  await device.clock.until(client.me());
  assert.deepEqual(device.service.requests.map(({ credentials }) => credentials), ["omit", "omit", "omit"]);
});

test("a page that is loaded again is signed in by the cookie, with its user, without a flash", async (t) => {
  const { device, client } = await signedIn(t);
  client.close();
  const later = device.cookieTab();
  const heard = [];
  later.onChange(({ status, user }) => heard.push([status, user?.email]));
  await device.clock.until(later.ready());
  await device.clock.pass(100);
  assert.deepEqual(heard, [["signed-in", ADA.email]]);
  assert.equal((await device.clock.until(later.fetch(`${API}/orders`))).status, 200);
});

test("an answer lost by one page is asked for by a later one with the same key", async (t) => {
  const { device, client } = await signedIn(t);
  device.service.faults = Array(4).fill(lost);
  await assert.rejects(device.clock.until(client.refresh()));
  assert.equal(client.state.status, "signed-in");
  client.close();
  device.clock.slept = 3_600_000;

  const later = device.cookieTab();

  assert.equal((await device.clock.until(later.ready())).status, "signed-in");
  assert.equal(device.service.one().generation, 1);
});

test("a page that begins while the service is away does not know, and goes on when it wakes up", async (t) => {
  const { device, client } = await signedIn(t);
  client.close();
  device.service.faults = Array(4).fill(cut);
  const later = device.cookieTab();
  await assert.rejects(device.clock.until(later.fetch(`${API}/orders`)), { code: "unreachable" });
  assert.equal(later.state.status, "unknown");
  device.wake();
  assert.equal((await device.clock.until(later.ready())).status, "signed-in");
});

test("a cookie that is gone signs out", async (t) => {
  const { device, client } = await signedIn(t);
  device.jar.refresh_token = "";
  await device.clock.until(client.refresh());
  assert.equal(client.state.status, "signed-out");
});

test("why the session ended is known after a reload too, though the cookie is gone", async (t) => {
  const { device, client } = await signedIn(t);
  device.service.end(device.service.one(), "revoked");
  await device.clock.until(client.refresh());
  assert.equal(client.state.reason.ended_by, "revoked");
  assert.equal(device.jar.refresh_token, "");
  client.close();

  const later = device.cookieTab();
  assert.equal((await device.clock.until(later.ready())).reason.ended_by, "revoked");
});

test("who could not sign out is told, and still signed in", async (t) => {
  const { device, client } = await signedIn(t);
  const answer = device.service.browser(device.jar);
  let away = false;
  const other = device.cookieTab({ fetch: (...request) => (away ? Promise.reject(new TypeError("fetch failed")) : answer(...request)) });
  await device.clock.until(other.ready());
  away = true;
  await assert.rejects(device.clock.until(other.logout()), { code: "unreachable" });
  await device.clock.pass(100);
  assert.deepEqual([client.state.status, other.state.status], ["signed-in", "signed-in"]);

  await device.clock.until(client.logout());
  assert.deepEqual([client.state.status, device.jar.refresh_token, device.record()], ["signed-out", "", null]);
  assert.equal(device.service.one().ended.ended_by, "logout");
});

test("signing out everywhere removes the cookie too", async (t) => {
  const { device, client } = await signedIn(t);
  assert.equal(await device.clock.until(client.logoutAll()), 1);
  assert.deepEqual([client.state.status, device.jar.refresh_token], ["signed-out", ""]);
});

test("a user whom another application signed in by the same cookie is known as such", async (t) => {
  const { device, client } = await signedIn(t);
  const elsewhere = device.tab({ storage: "cookie", key: "another", fetch: device.service.browser(device.jar) });
  await device.clock.until(elsewhere.register(BOB));
  assert.equal(client.state.user.email, ADA.email);
  await device.clock.until(client.refresh());
  assert.equal(client.state.user.email, BOB.email);
});

test("pages of nobody do not make each other ask", async (t) => {
  const device = new Device(t);
  const tabs = Array.from({ length: 5 }, () => device.cookieTab());
  await device.clock.pass(10_000);
  device.service.faults = [(answer) => new Promise((resolve) => setTimeout(() => resolve(answer), 500))];
  tabs.push(device.cookieTab());
  await device.clock.pass(10_000);
  assert(tabs.every(({ state }) => state.status === "signed-out"));
  assert(device.service.requests.length <= 6, `${device.service.requests.length}`);
});

test("tabs that refresh by one cookie at once all stay signed in", async (t) => {
  const { device, client } = await signedIn(t);
  const others = Array.from({ length: 4 }, () => device.cookieTab());
  const all = [client, ...others];
  await device.clock.until(Promise.all(all.map((tab) => tab.ready())));
  device.service.expire();
  const answers = await device.clock.until(Promise.all(all.map((tab) => tab.fetch(`${BASE}/api/auth/me`))));
  assert(answers.every(({ status }) => status === 200));
  assert(all.every(({ state }) => state.status === "signed-in"));
  assert.equal(device.service.one().ended, undefined);
  // Each its own, for its access token: four when they began, five now.
  assert.equal(device.service.refreshes().length, 1 + 4 + 5);
});

test("who signs out in one page is signed out in the other", async (t) => {
  const { device, client } = await signedIn(t);
  const other = device.cookieTab();
  await device.clock.until(other.ready());
  await device.clock.until(client.logout());
  await device.clock.pass(100);
  assert.equal(other.state.status, "signed-out");
});

test("storage that is cleared signs out", async (t) => {
  const { device, client } = await signedIn(t);
  device.stored.clear();
  device.page.dispatchEvent(Object.assign(new Event("storage"), { key: null }));
  assert.equal(client.state.status, "signed-out");
});

test("who signs in in one page is signed in in the other, as the same user", async (t) => {
  const { device, client } = await signedIn(t);
  const other = device.cookieTab();
  await device.clock.until(other.ready());
  await device.clock.until(client.register(BOB));
  await device.clock.pass(1000);
  assert.equal(other.state.user.email, BOB.email);
  await device.clock.until(client.logout());
  await device.clock.pass(1000);
  await device.clock.until(client.login(ADA));
  await device.clock.pass(1000);
  assert.equal(other.state.user.email, ADA.email);
});

for (const [name, own] of [["the page itself", true], ["another page", false]]) {
  test(`a login while ${name} refreshes waits for that, so that the cookie is that of the login`, async (t) => {
    const { device, client } = await signedIn(t);
    if (!own) device.locks();
    const other = own ? client : device.cookieTab();
    await device.clock.until(other.ready());
    await device.clock.pass(100);
    let answer;
    device.service.faults = [(given) => new Promise((resolve) => (answer = () => resolve(given)))];
    const refreshed = other.refresh();
    await device.clock.pass(100);
    const registered = client.register(BOB);
    await device.clock.pass(100);
    answer();
    await device.clock.until(Promise.all([refreshed, registered]));
    await device.clock.pass(1000);
    assert.deepEqual([other.state.user.email, device.jar.refresh_token.slice(0, 6)], [BOB.email, "rt.s1."]);
  });
}

test("a refresh during which another page signed somebody in ends with a token of theirs", async (t) => {
  const { device, client } = await signedIn(t);
  const other = device.cookieTab();
  await device.clock.until(other.ready());
  let answer;
  device.service.faults = [(given) => new Promise((resolve) => (answer = () => resolve(new Response(given.body))))];
  const refreshed = other.refresh();
  await device.clock.pass(100);
  await device.clock.until(client.register(BOB));
  answer();
  await device.clock.until(refreshed);
  assert.equal(other.state.user.email, BOB.email);
  assert.equal((await (await device.clock.until(other.fetch(`${BASE}/api/auth/me`))).json()).email, BOB.email);
});

test("a refusal of a cookie that another page has replaced is followed by the question with the new one", async (t) => {
  const { device, client } = await signedIn(t);
  const other = device.cookieTab();
  await device.clock.until(other.ready());
  device.service.expire();
  let answer;
  device.service.faults = [() => new Promise((resolve) => (answer = resolve))];
  const called = other.fetch(`${API}/orders`);
  await device.clock.pass(100);
  await device.clock.until(client.refresh());
  answer(problem(401, "refresh_token_invalid"));
  assert.equal((await device.clock.until(called)).status, 200);
});

test("an old reason is not told again", async (t) => {
  const { device, client } = await signedIn(t);
  device.service.end(device.service.one(), "revoked");
  await device.clock.until(client.refresh());
  client.close();
  const later = device.cookieTab();
  await device.clock.until(later.ready());
  await device.clock.until(later.login(ADA));
  device.jar.refresh_token = "";
  await device.clock.until(later.refresh());
  assert.deepEqual(later.state, { status: "signed-out", user: null, reason: null });
});

test("a page that may not use the cookie says so where developers look", async (t) => {
  const device = new Device(t);
  const warned = [];
  console.warn = (text) => warned.push(text);
  device.service.faults = Array.from({ length: 4 }, () => problem(403, "origin_not_allowed"));
  const client = device.cookieTab();
  await device.clock.pass(10_000);
  assert.equal(client.state.status, "unknown");
  assert.deepEqual(warned, ["claviger: not refreshed yet (403 origin_not_allowed)"]);
});
