import assert from "node:assert/strict";
import { test } from "node:test";
import { Device } from "./device.js";
import { ADA, API, BASE, cut, lost, problem } from "./service.js";

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
  const down = device.tab({ storage: "cookie", fetch: () => Promise.reject(new TypeError("fetch failed")) });
  await assert.rejects(device.clock.until(down.logout()), { code: "unreachable" });
  assert.equal(client.state.status, "signed-in");

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
  const bob = { email: "bob@example.com", password: "correct horse battery" };
  const elsewhere = device.tab({ storage: "cookie", key: "another", fetch: device.service.browser(device.jar) });
  await device.clock.until(elsewhere.register(bob));
  assert.equal(client.state.user.email, ADA.email);
  await device.clock.until(client.refresh());
  assert.equal(client.state.user.email, bob.email);
});

test("pages of nobody do not make each other ask", async (t) => {
  const device = new Device(t);
  const tabs = Array.from({ length: 5 }, () => device.cookieTab());
  for (let n = 0; n < 50; n += 1) {
    const event = Object.assign(new Event("storage"), { key: "claviger" });
    device.page.dispatchEvent(event);
    await device.clock.pass(50);
  }
  assert(tabs.every(({ state }) => state.status === "signed-out"));
  assert(device.service.requests.length <= 5, `${device.service.requests.length}`);
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
});

test("who signs out in one page is signed out in the other", async (t) => {
  const { device, client } = await signedIn(t);
  const other = device.cookieTab();
  await device.clock.until(other.ready());
  await device.clock.until(client.logout());
  device.page.dispatchEvent(Object.assign(new Event("storage"), { key: null }));
  await device.clock.pass(100);
  assert.equal(other.state.status, "signed-out");
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
