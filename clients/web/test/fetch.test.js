import assert from "node:assert/strict";
import { test } from "node:test";
import { Device } from "./device.js";
import { API, BASE, cut } from "./service.js";

/** A device with one page, and what the API behind it was sent. */
async function page(t, options) {
  const device = new Device(t);
  const client = await device.signedIn(options);
  const sent = () => device.service.requests.filter(({ origin }) => origin !== BASE);
  return { device, client, sent, call: (...request) => device.clock.until(client.fetch(...request)) };
}

const stream = (text) =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });

test("the token is shown to the service and the APIs that were named, and to nobody else", async (t) => {
  const { call, sent } = await page(t);
  await call(`${API}/orders`);
  await call(new URL(`${API}/orders`));
  await call(new Request(`${API}/orders`, { headers: { "x-mine": "1" } }));
  for (const elsewhere of ["https://example.com", "http://api.example.com", "https://api.example.com:8443", "https://api.example.com.evil.test"]) {
    await call(`${elsewhere}/orders`);
    await call(new Request(`${elsewhere}/orders`));
  }
  const shown = sent().map(({ headers }) => /^Bearer at\d+$/.test(headers.authorization ?? ""));
  assert.deepEqual(shown, [true, true, true, ...Array(8).fill(false)]);
  assert.equal(sent()[2].headers["x-mine"], "1");
});

test("what a caller says about who is calling is not touched", async (t) => {
  const { device, call, sent } = await page(t);
  const answer = await call(`${API}/orders`, { headers: { Authorization: "Basic x" } });
  assert.deepEqual([answer.status, sent()[0].headers.authorization], [401, "Basic x"]);
  assert.equal(device.service.refreshes().length, 0);
});

test("nobody signed in is nobody, and the answer is handed on", async (t) => {
  const device = new Device(t);
  const client = device.tab();
  const answer = await device.clock.until(client.fetch(`${API}/orders`));
  assert.equal(answer.status, 401);
  assert.equal(device.service.requests.length, 1);
  assert.equal(device.service.requests[0].headers.authorization, undefined);
});

const refusal = (challenge, code) => {
  const headers = { ...(challenge && { "www-authenticate": challenge }), ...(code && { "content-type": "application/problem+json" }) };
  return new Response(code ? JSON.stringify({ code }) : "no", { status: 401, headers });
};
for (const [name, answer, refreshes] of [
  ["a login of another kind", () => refusal("Basic realm=\"x\""), 0],
  ["a refusal without a word", () => refusal(null), 0],
  ["a wrong password", () => refusal('Bearer realm="x"', "invalid_credentials"), 0],
  ["an API that asks for a bearer", () => refusal("Bearer"), 1],
  ["an API that calls the token invalid", () => refusal('Bearer error="invalid_token"'), 1],
  ["an API with codes of its own", () => refusal('Bearer error="invalid_token"', "TOKEN_EXPIRED"), 1],
  ["an API whose code alone can be read", () => refusal(null, "access_token_expired"), 1],
]) {
  test(`${name} makes ${refreshes} refreshes, and is handed on if it stays`, async (t) => {
    const device = new Device(t);
    const answers = device.service.browser();
    let asked = 0;
    const fetch = (input, init) => (String(input).startsWith(API) ? ((asked += 1), Promise.resolve(answer())) : answers(input, init));
    const client = await device.signedIn({ fetch });
    const response = await device.clock.until(client.fetch(`${API}/orders`));
    assert.equal(response.status, 401);
    assert.equal((await response.text()).length > 0, true);
    assert.deepEqual([device.service.refreshes().length, asked], [refreshes, refreshes + 1]);
    assert.equal(client.state.status, "signed-in");
  });
}

test("a body that can be read once is sent once; the next call has the new token", async (t) => {
  const { device, call, sent } = await page(t);
  async function* parts() {
    yield new TextEncoder().encode("whole");
  }
  // As in Safari.
  const plain = Object.defineProperty(stream("whole"), Symbol.asyncIterator, { value: undefined });
  for (const body of [stream("whole"), plain, parts()]) {
    device.service.expire();
    const before = sent().length;
    const answer = await call(`${API}/orders`, { method: "POST", body, duplex: "half" });
    assert.equal(answer.status, 401);
    assert.equal(sent().length, before + 1);
    assert.equal((await call(`${API}/orders`, { method: "POST", body: "whole" })).status, 200);
  }
  assert.equal(device.service.refreshes().length, 3);
});

test("every other body is repeated whole", async (t) => {
  const { device, call } = await page(t);
  for (const [input, init] of [
    [`${API}/orders`, { body: "whole" }],
    [`${API}/orders`, { body: new Blob(["whole"]) }],
    [`${API}/orders`, { body: new TextEncoder().encode("whole") }],
    [new Request(`${API}/orders`, { method: "POST", body: "whole" }), {}],
    [new Request(`${API}/orders`, { method: "POST", body: stream("whole"), duplex: "half" }), {}],
  ]) {
    device.service.expire();
    const answer = await call(input, init.body ? { method: "POST", ...init } : undefined);
    assert.equal((await answer.json()).body, "whole");
  }
  device.service.expire();
  assert.equal((await call(`${API}/orders`, { method: "POST", body: new FormData() })).status, 200);
});

test("a call that is given up ends at once, and the refresh goes on for the others", async (t) => {
  const { device, client } = await page(t);
  device.service.expire();
  device.service.faults = [cut, cut];
  const gone = new AbortController();
  const [one, other, late] = [
    client.fetch(`${API}/orders`, { signal: gone.signal }),
    client.fetch(`${API}/orders`),
    client.fetch(new Request(`${API}/orders`, { signal: gone.signal })),
  ];
  const ended = Promise.allSettled([one, late]);
  await device.clock.pass(1500);
  gone.abort();
  for (const { reason } of await device.clock.until(ended, 10)) assert.equal(reason.name, "AbortError");
  assert.equal((await device.clock.until(other)).status, 200);
});

test("a call that was given up before it began waits for nothing", async (t) => {
  const { device, client } = await page(t);
  device.clock.slept = 3_600_000;
  const began = device.clock.now;
  const called = client.fetch(`${API}/orders`, { signal: AbortSignal.abort() });
  await assert.rejects(device.clock.until(called), { name: "AbortError" });
  assert.equal(device.clock.now, began);
});

test("a call whose token cannot be refreshed fails as without a network, and is not refused", async (t) => {
  const { device, client } = await page(t);
  device.service.expire();
  device.service.faults = Array(4).fill(cut);
  await assert.rejects(device.clock.until(client.fetch(`${API}/orders`)), { name: "ClavigerError", code: "unreachable" });
  assert.equal(client.state.status, "signed-in");
});

test("a session that has ended leaves the refusal", async (t) => {
  const { device, client, call, sent } = await page(t);
  device.service.expire();
  device.service.end(device.service.one(), "revoked");
  const answer = await call(`${API}/orders`);
  assert.deepEqual([answer.status, (await answer.json()).code, sent().length], [401, "access_token_expired", 1]);
  assert.equal(client.state.reason.ended_by, "revoked");
});

test("a call is not repeated with the token of somebody who has signed in meanwhile", async (t) => {
  const { device, call, sent, client } = await page(t);
  const other = device.tab();
  await device.clock.until(other.ready());
  device.service.expire();
  device.service.faults = [
    async (answer) => {
      await other.logout();
      await other.register({ email: "bob@example.com", password: "correct horse battery" });
      return answer;
    },
  ];
  const answer = await call(`${API}/orders`, { method: "POST", body: "for Ada" });
  assert.equal(client.state.user.email, "bob@example.com");
  assert.deepEqual([answer.status, sent().length], [401, 1]);
  assert.equal((await call(`${API}/orders`)).status, 200);
});
