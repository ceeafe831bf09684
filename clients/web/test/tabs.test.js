import assert from "node:assert/strict";
import { test } from "node:test";
import { Device } from "./device.js";
import { ADA, API, BASE, cut, lost, problem } from "./service.js";

const BOB = { email: "bob@example.com", password: "correct horse battery" };

async function tabs(t, count = 10) {
  const device = new Device(t);
  (await device.signedIn()).close();
  return { device, clients: Array.from({ length: count }, () => device.tab()) };
}

const statuses = (clients) => [...new Set(clients.map(({ state }) => state.status))];
const orders = (clients) => Promise.all(clients.map((client) => client.fetch(`${API}/orders`)));

test("ten tabs whose token has expired all stay signed in, in one session that goes one step", async (t) => {
  const { device, clients } = await tabs(t);
  for (let round = 0; round < 5; round += 1) {
    device.service.expire();
    const answers = await device.clock.until(orders(clients));
    assert(answers.every(({ status }) => status === 200));
    assert.equal(device.service.one().generation, round + 1);
    assert.equal(device.service.one().ended, undefined);
    await device.clock.pass(device.service.grace);
  }
  assert.deepEqual(statuses(clients), ["signed-in"]);
  assert.equal(device.service.sessions.size, 1);
});

test("ten tabs that lose answers all send one key, and all stay signed in an hour later", async (t) => {
  const { device, clients } = await tabs(t);
  device.service.expire();
  device.service.faults = Array(40).fill(lost);
  const answers = await device.clock.until(Promise.allSettled(clients.map((client) => client.fetch(`${API}/orders`))));
  assert(answers.every(({ reason }) => reason?.code === "unreachable"), JSON.stringify(answers));
  assert.equal(new Set(device.service.refreshes().map(({ headers }) => headers["idempotency-key"])).size, 1);
  device.service.faults = [];
  device.clock.slept = 3_600_000;

  assert((await device.clock.until(orders(clients))).every(({ status }) => status === 200));
  assert.deepEqual(statuses(clients), ["signed-in"]);
  assert.equal(device.service.one().ended, undefined);
});

test("a tab uses what another has refreshed, and asks nothing itself", async (t) => {
  const { device, clients: [one, other] } = await tabs(t, 2);
  await device.clock.until(one.refresh());
  await device.clock.pass(100);
  assert.equal((await device.clock.until(other.fetch(`${API}/orders`))).status, 200);
  assert.equal(device.service.refreshes().length, 1);
  assert.equal(await other.accessToken(), await one.accessToken());
});

test("a tab that has not heard yet looks before it asks", async (t) => {
  const { device, clients: [one, other] } = await tabs(t, 2);
  await device.clock.until(one.refresh());
  const newer = device.stored.get("claviger");
  await device.clock.until(other.refresh());
  assert.equal(device.service.refreshes().length, 1);
  assert.equal(device.stored.get("claviger"), newer);
});

test("a tab that could not hear of a login signs out of the session that there is", async (t) => {
  const { device, clients: [one] } = await tabs(t, 1);
  const { get, set, remove } = device.place();
  const deaf = device.tab({ storage: { get, set, remove } });
  await device.clock.until(one.login(ADA));
  await device.clock.until(deaf.logout());
  assert.equal(device.service.one().ended.ended_by, "logout");
});

test("ten tabs with locks ask once", async (t) => {
  const { device, clients } = await tabs(t);
  device.locks();
  device.service.expire();
  assert((await device.clock.until(orders(clients))).every(({ status }) => status === 200));
  assert.equal(device.service.refreshes().length, 1);
});

test("a tab that is frozen with the lock keeps nobody waiting for long, and failures are not taken for it", async (t) => {
  const { device, clients: [client] } = await tabs(t, 1);
  const free = await device.locks()("claviger");
  const began = device.clock.now;
  await device.clock.until(client.refresh());
  assert(device.clock.now - began >= 8000 && device.clock.now - began < 9000, `${device.clock.now - began}`);
  free();
  await device.clock.pass(10);
  device.service.faults = Array(4).fill(cut);
  await assert.rejects(device.clock.until(client.refresh()), { code: "unreachable" });
  assert.equal(device.service.refreshes().length, 5);
});

test("in hours of ten open tabs the session is refreshed as by one", async (t) => {
  const { device, clients } = await tabs(t);
  await device.clock.pass(3_600_000);
  assert(device.service.one().generation <= 8, `${device.service.one().generation}`);
  assert.deepEqual(statuses(clients), ["signed-in"]);
});

test("older tokens never replace newer ones", async (t) => {
  const { device, clients: [client] } = await tabs(t, 1);
  const old = device.stored.get("claviger");
  await device.clock.until(client.refresh());
  const newer = device.stored.get("claviger");

  device.place().set("claviger", old);
  await device.clock.pass(100);

  assert.equal(device.stored.get("claviger"), newer);
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
});

test("who signs out in one tab is signed out in all", async (t) => {
  const { device, clients } = await tabs(t);
  await device.clock.until(clients[3].logout());
  await device.clock.pass(100);
  assert.deepEqual(statuses(clients), ["signed-out"]);
  assert.equal(device.record(), null);
  assert.equal(device.service.one().ended.ended_by, "logout");
});

test("a refresh on its way while another tab signs out brings nothing back", async (t) => {
  const { device, clients: [one, other] } = await tabs(t, 2);
  let answer;
  device.service.faults = [(given) => new Promise((resolve) => (answer = () => resolve(given)))];
  const refreshed = one.refresh();
  await device.clock.pass(100);
  await device.clock.until(other.logout());
  answer();
  await device.clock.until(refreshed);
  await device.clock.pass(100);
  assert.deepEqual(statuses([one, other]), ["signed-out"]);
  assert.equal(device.record(), null);
});

test("what ends the session in one tab is told in all", async (t) => {
  const { device, clients } = await tabs(t);
  device.service.faults = [problem(401, "session_ended", { ended_by: "password_changed" })];
  await device.clock.until(clients[0].refresh());
  await device.clock.pass(100);
  assert.deepEqual(new Set(clients.map(({ state }) => state.reason?.ended_by)), new Set(["password_changed"]));
});

test("who signs in in one tab is signed in in all", async (t) => {
  const { device, clients } = await tabs(t);
  await device.clock.until(clients[0].logout());
  await device.clock.until(clients[1].register(BOB));
  await device.clock.pass(100);
  assert.deepEqual(new Set(clients.map(({ state }) => state.user?.email)), new Set([BOB.email]));
});

test("an answer to a refresh does not undo a login meanwhile", async (t) => {
  const { device, clients: [one, other] } = await tabs(t, 2);
  let answer;
  device.service.faults = [(given) => new Promise((resolve) => (answer = () => resolve(given)))];
  const refreshed = one.refresh();
  await device.clock.pass(100);
  await device.clock.until(other.register(BOB));
  answer();
  await device.clock.until(refreshed);
  await device.clock.pass(100);
  assert.deepEqual([one.state.user.email, other.state.user.email], [BOB.email, BOB.email]);
  assert.equal((await (await device.clock.until(one.fetch(`${BASE}/api/auth/me`))).json()).email, BOB.email);
});

test("a refusal of a token that another tab has replaced signs nobody out", async (t) => {
  const { device, clients: [one, other] } = await tabs(t, 2);
  let answer;
  device.service.faults = [() => new Promise((resolve) => (answer = resolve))];
  const refreshed = one.refresh();
  await device.clock.pass(100);
  await device.clock.until(other.refresh());
  answer(problem(401, "refresh_token_invalid"));
  await device.clock.until(refreshed);
  assert.deepEqual(statuses([one, other]), ["signed-in"]);
  assert.equal((await device.clock.until(one.fetch(`${API}/orders`))).status, 200);
});

test("a tab that could hear nothing for long takes over what is stored when it wakes up", async (t) => {
  const { device, clients: [one] } = await tabs(t, 1);
  const { get, set, remove } = device.place();
  const deaf = device.tab({ storage: { get, set, remove } });
  await device.clock.until(one.refresh());
  device.wake("pageshow");
  await device.clock.pass(100);
  assert.equal(await deaf.accessToken(), await one.accessToken());
  assert.equal(device.service.refreshes().length, 1);
});

test("a page that signs in while a refresh is tried again and again has the new session", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.service.faults = [cut, cut, cut, cut];
  const refreshed = client.refresh();
  await device.clock.pass(500);
  await device.clock.until(client.login(ADA));
  await device.clock.until(refreshed);
  assert.equal(device.service.sessions.size, 2);
  assert.equal(device.record().session_id, device.service.one().id);
  assert.equal(device.service.refreshes().length, 1);
});
