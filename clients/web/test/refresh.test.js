import assert from "node:assert/strict";
import { test } from "node:test";
import { Device } from "./device.js";
import { ADA, API, BASE, cut, lost, problem } from "./service.js";

const ok = (answers) => answers.every(({ status }) => status === 200);
const page = (status, text = "<html>502</html>") => new Response(text, { status, headers: { "content-type": "text/html" } });

test("a hundred calls with an expired token are one refresh, and each is repeated once", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.service.expire();

  const calls = Array.from({ length: 100 }, (_, n) => client.fetch(`${API}/orders/${n}`));

  assert(ok(await device.clock.until(Promise.all(calls))));
  assert.equal(device.service.refreshes().length, 1);
  assert.equal(device.service.requests.filter(({ origin }) => origin === API).length, 200);
  assert.equal(device.service.one().generation, 1);
});

test("a token is refreshed before it ends, at another moment each time", async (t) => {
  const device = new Device(t);
  await device.signedIn();
  await device.clock.pass(6 * 600_000);
  const at = device.service.refreshes().map((request) => request.at);
  const gaps = at.map((time, n) => time - (at[n - 1] ?? 0));
  assert(at.length >= 6 && gaps.every((gap) => gap >= 450_000 && gap <= 541_000), `${gaps}`);
  assert(new Set(gaps).size > 3, `${gaps}`);
});

test("a page can count down to its refresh", async (t) => {
  const device = new Device(t);
  const client = device.tab();
  assert.equal(client.refreshIn(), null);
  await device.clock.until(client.register(ADA));
  const seconds = client.refreshIn();
  assert(seconds >= 450 && seconds <= 540, `${seconds}`);

  await device.clock.pass(seconds * 1000 - 1000);
  assert.equal(Math.round(client.refreshIn()), 1);
  assert.equal(device.service.refreshes().length, 0);
  await device.clock.pass(1100);
  assert.equal(device.service.refreshes().length, 1);
  assert(client.refreshIn() > 440);

  device.see("hidden");
  await device.clock.pass(3_600_000);
  assert.equal(client.refreshIn(), 0);
  assert.equal(device.service.refreshes().length, 1);
  await device.clock.until(client.logout());
  assert.equal(client.refreshIn(), null);
});

test("a hidden page is quiet, and refreshes when it is seen again", async (t) => {
  const device = new Device(t);
  await device.signedIn();
  device.see("hidden");
  await device.clock.pass(3_600_000);
  device.wake("focus");
  await device.clock.pass(1000);
  assert.equal(device.service.refreshes().length, 0);

  device.see("visible");
  device.wake("pageshow");
  device.wake("focus");
  await device.clock.pass(1000);

  assert.equal(device.service.refreshes().length, 1);
});

test("a device that slept refreshes when it wakes, though the even clock stood still", async (t) => {
  const device = new Device(t);
  await device.signedIn();
  device.clock.slept = 3_600_000;
  device.wake("pageshow");
  await device.clock.pass(1000);
  assert.equal(device.service.refreshes().length, 1);
});

test("a clock that is set back keeps no token in use after its end", async (t) => {
  const device = new Device(t);
  await device.signedIn();
  device.clock.wrong = -3_600_000;
  await device.clock.pass(600_000);
  assert.equal(device.service.refreshes().length, 1);
});

for (const hours of [-1, 1]) {
  test(`a device clock that is set by ${hours} h makes no storm of refreshes`, async (t) => {
    const device = new Device(t);
    const client = await device.signedIn();
    device.clock.wrong = hours * 3_600_000;

    for (let n = 0; n < 50; n += 1) {
      device.wake("focus");
      assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
      await device.clock.pass(1000);
    }

    assert(device.service.refreshes().length <= 1, `${device.service.refreshes().length}`);
    assert.equal(client.state.status, "signed-in");
  });

  test(`a page that begins with a clock that is wrong by ${hours} h refreshes once at most`, async (t) => {
    const device = new Device(t);
    (await device.signedIn()).close();
    device.clock.wrong = hours * 3_600_000;
    for (let n = 0; n < 10; n += 1) {
      const client = device.tab();
      assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
      await device.clock.pass(1000);
      client.close();
    }
    assert(device.service.refreshes().length <= 1, `${device.service.refreshes().length}`);
  });
}

test("a token that only the device's clock calls old is used when the service is away", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.clock.wrong = 3_600_000;
  device.service.faults = Array(8).fill(cut);
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
});

test("a random key is stored with the token before the refresh is sent", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const keys = [];
  for (let n = 0; n < 3; n += 1) {
    device.service.faults = [(answer) => (keys.push(device.record()), answer)];
    await device.clock.until(client.refresh());
    const sent = device.service.refreshes().at(-1);
    assert.equal(sent.headers["idempotency-key"], keys[n].key);
    assert.equal(sent.body.refresh_token, keys[n].refresh_token);
    assert.match(keys[n].key, /^[0-9a-z]{48}$/);
    assert.equal(device.record().key, undefined);
    await device.clock.pass(device.service.grace);
  }
  assert.equal(new Set(keys.map(({ key }) => key)).size, 3);
});

test("a refresh inside the grace window takes the new access token and keeps the refresh token", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  await device.clock.until(client.refresh());
  const { refresh_token, access_token } = device.record();

  for (let n = 2; n <= 4; n += 1) {
    device.service.expire();
    assert(ok(await device.clock.until(Promise.all([1, 2, 3].map(() => client.fetch(`${API}/orders`))))));
    assert.equal(device.service.refreshes().length, n);
  }

  assert.equal(device.record().refresh_token, refresh_token);
  assert.notEqual(device.record().access_token, access_token);
  assert.equal(device.record().key, undefined, "nothing is left to repeat");
  assert.equal(device.service.one().generation, 1);
  await device.clock.pass(device.service.grace);
  await device.clock.until(client.refresh());
  assert.notEqual(device.record().refresh_token, refresh_token);
});

test("an unchanged refresh token keeps its key, so a late duplicate that rotates it signs nobody out", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  await device.clock.until(client.refresh());
  await device.clock.until(client.refresh());
  const { headers, body } = device.service.refreshes().at(-1);
  await device.clock.pass(device.service.grace);
  await device.service.browser()(`${BASE}/api/auth/refresh`, { method: "POST", headers, body: JSON.stringify(body) });
  assert.equal(device.service.one().generation, 2);
  await device.clock.pass(device.service.grace);

  await device.clock.until(client.refresh());

  assert.equal(client.state.status, "signed-in");
  assert.equal(device.service.one().generation, 2, "the service repeated the rotation");
  const keys = device.service.refreshes().map((request) => request.headers["idempotency-key"]);
  assert.deepEqual([keys[1] === keys[0], keys[3] === keys[1]], [false, true]);
  await device.clock.pass(device.service.grace);
  await device.clock.until(client.refresh());
  assert.notEqual(device.service.refreshes().at(-1).headers["idempotency-key"], keys[3], "another token has another key");
});

test("a lost answer is asked for again with the same key after 1, 3 and 7 seconds, and when the page wakes up", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.service.faults = Array(4).fill(lost);
  const began = device.clock.true;

  await assert.rejects(device.clock.until(client.refresh()), { code: "unreachable", status: 0 });
  await device.clock.pass(60_000);

  const at = device.service.refreshes().map((request) => Math.round((request.at - began) / 100) * 100);
  assert.deepEqual(at, [0, 1000, 3000, 7000]);
  assert.equal(client.state.status, "signed-in");

  device.wake("online");
  await device.clock.pass(1000);

  const requests = device.service.refreshes();
  assert.equal(requests.length, 5);
  assert.equal(new Set(requests.map(({ headers }) => headers["idempotency-key"])).size, 1);
  assert.equal(device.service.one().ended, undefined);
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
  assert.equal(device.service.refreshes().length, 5);
});

test("the next call goes on with a lost refresh", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.service.expire();
  device.service.faults = Array(4).fill(lost);
  await assert.rejects(device.clock.until(client.fetch(`${API}/orders`)), { code: "unreachable" });
  device.clock.slept = 3_600_000;
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`))).status, 200);
  assert.equal(device.service.one().ended, undefined);
});

test("a page that is opened an hour after the answer was lost finds the key and stays signed in", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.service.faults = Array(4).fill(lost);
  await assert.rejects(device.clock.until(client.refresh()));
  client.close();
  device.clock.slept = 3_600_000;

  const later = device.tab();

  assert.equal(later.state.status, "signed-in");
  assert.equal((await device.clock.until(later.fetch(`${API}/orders`))).status, 200);
  assert.equal(device.service.one().generation, 1);
});

test("a page that is opened with an old token refreshes by itself, if it is seen", async (t) => {
  const device = new Device(t);
  (await device.signedIn()).close();
  device.clock.slept = 3_600_000;
  device.see("hidden");
  device.tab().close();
  await device.clock.pass(1000);
  assert.equal(device.service.refreshes().length, 0);
  device.see("visible");
  device.tab();
  await device.clock.pass(1000);
  assert.equal(device.service.refreshes().length, 1);
});

const upload = () => ({ method: "POST", body: new Blob(["whole"]).stream(), duplex: "half" });

test("a call of a hidden page refreshes in time, and first if the token is over", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.see("hidden");
  await device.clock.pass(560_000);
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`, upload()))).status, 200);
  await device.clock.pass(1000);
  assert.equal(device.service.refreshes().length, 1);

  await device.clock.pass(700_000);
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`, upload()))).status, 200);
  assert.equal(device.service.refreshes().length, 2);
});

test("a stored token whose age no clock knows is refreshed before it is used", async (t) => {
  const device = new Device(t);
  (await device.signedIn()).close();
  device.clock.slept = 3_600_000;
  device.clock.wrong = -7_200_000;
  const client = device.tab();
  assert.equal((await device.clock.until(client.fetch(`${API}/orders`, upload()))).status, 200);
});

test("going online ends the wait for the next try", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  device.service.faults = [cut, cut, cut];
  const refreshed = client.refresh();
  await device.clock.pass(3100);
  assert.equal(device.service.refreshes().length, 3);
  device.wake("online");
  await device.clock.pass(100);
  assert.equal(device.service.refreshes().length, 4);
  await refreshed;
});

test("a busy service is given the time that it asks for, but nobody waits longer than half a minute", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const busy = (seconds) => problem(503, "overloaded", {}, { "retry-after": `${seconds}` });
  device.service.faults = [busy(2), busy(3600)];
  await device.clock.until(client.refresh());
  const [first, second, third] = device.service.refreshes().map((request) => request.at);
  assert(second - first >= 2000 && second - first < 2200, `${second - first}`);
  assert(third - second >= 30_000 && third - second < 30_200, `${third - second}`);
});

test("a service that never answers is asked again", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const answer = device.service.browser();
  let asked = 0;
  const silent = (input, init) => {
    asked += 1;
    return asked > 1 ? answer(input, init) : new Promise((_, reject) => init.signal?.addEventListener("abort", () => reject(init.signal.reason)));
  };
  const other = device.tab({ fetch: silent });
  await device.clock.until(other.refresh());
  assert.equal(asked, 2);
  assert.deepEqual([other.state.status, client.state.status], ["signed-in", "signed-in"]);
});

const CODES = ["refresh_token_invalid", "session_expired", "session_ended", "refresh_token_replayed"];
const KEPT = [
  ["408", () => problem(408, "request_timeout")],
  ["425", () => page(425)],
  ["429", () => problem(429, "rate_limited")],
  ["500", () => problem(500, "internal")],
  ["502 with a page", () => page(502)],
  ["503", () => problem(503, "database_unavailable")],
  ["503 with a code that would sign out", () => problem(503, "session_ended")],
  ["403 of a page that may not", () => problem(403, "origin_not_allowed")],
  ["a 401 of somebody else", () => page(401)],
  ["a 401 with another code", () => problem(401, "access_token_expired")],
  ["a 401 that names no refresh token, which was sent", () => problem(401, "refresh_token_missing")],
  ["a portal's page", () => page(200)],
  ["half an answer", () => page(200, '{"access_token": "at')],
  ["an answer without tokens", () => page(200, '{"access_token": "at"}')],
  ["an answer without a refresh token", () => page(200, '{"access_token": "at", "session_id": "s0", "expires_in": 600}')],
  ["an answer without a life", () => page(200, '{"access_token": "at", "session_id": "s0", "refresh_token": "rt"}')],
  ["an answer of nothing", () => new Response(null, { status: 204 })],
  ["an answer of another type", () => page(200, '["a", "b"]')],
];
for (const [name, answer] of KEPT) {
  test(`the tokens are kept after ${name}`, async (t) => {
    const device = new Device(t);
    const client = await device.signedIn();
    device.service.faults = Array.from({ length: 4 }, answer);
    await assert.rejects(device.clock.until(client.refresh()));
    assert.equal(client.state.status, "signed-in");
    await device.clock.until(client.refresh());
    assert.equal(device.service.one().generation, 1);
  });
}

for (const code of CODES) {
  test(`${code} signs out, and the page can say why, also after a reload`, async (t) => {
    const device = new Device(t);
    const client = await device.signedIn();
    const ending = { ended_by: "revoked", ended_at: "2026-11-21T16:00:00Z" };
    device.service.faults = [problem(401, code, ending)];

    await device.clock.until(client.refresh());

    const reason = { code, ...ending };
    assert.deepEqual(client.state, { status: "signed-out", user: null, reason });
    assert.deepEqual(device.tab().state, { status: "signed-out", user: null, reason });
    assert.deepEqual(device.record(), { reason });
    await device.clock.pass(3_600_000);
    assert.equal(device.service.refreshes().length, 1);
    await device.signedIn();
    assert.equal(device.tab().state.reason, null);
  });
}

test("a stolen token that is replayed signs the owner out with the reason", async (t) => {
  const device = new Device(t);
  const client = await device.signedIn();
  const stolen = device.record().refresh_token;
  await device.clock.until(client.refresh());
  await device.clock.pass(device.service.grace);
  await device.clock.until(client.refresh());
  const body = JSON.stringify({ refresh_token: stolen });
  const headers = { "content-type": "application/json" };
  await device.service.browser()(`${BASE}/api/auth/refresh`, { method: "POST", body, headers });

  device.service.expire();
  const answer = await device.clock.until(client.fetch(`${API}/orders`));

  assert.equal(answer.status, 401);
  assert.equal(client.state.reason.code, "session_ended");
  assert.equal(client.state.reason.ended_by, "replayed");
});
