import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { cut, held, lost, page, problem, slow, truncated, truncatedUnseen, twice } from "../src/faults.js";
import { Proxy } from "../src/proxy.js";

/** A service that gives out numbered tokens, and a proxy before it. */
async function open(t, alarm = () => {}) {
  let count = 0;
  const service = createServer((request, response) => {
    request.resume();
    count++;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ access_token: `access-${count}`, refresh_token: `refresh-${count}`, session_id: "s" }));
  });
  await new Promise((resolve) => service.listen(0, "127.0.0.1", resolve));
  const proxy = await Proxy.open(`http://127.0.0.1:${service.address().port}/`, alarm);
  t.after(() => (proxy.close(), service.close(), service.closeAllConnections()));
  const post = (path = "/api/auth/refresh") => fetch(proxy.url + path, { method: "POST", body: "{}" }).then(async (answer) => [answer.status, await answer.json()]);
  return { proxy, post, arrived: () => count };
}

test("what is not broken passes, and is remembered", async (t) => {
  const { proxy, post } = await open(t);
  const [status, { refresh_token }] = await post("/api/auth/login");
  assert.deepEqual([status, refresh_token], [200, "refresh-1"]);
  const [{ method, path, body, end }] = proxy.requests;
  assert.deepEqual([method, path, body, end], ["POST", "/api/auth/login", "{}", "200"]);
  assert.deepEqual(proxy.issued, [{ access_token: "access-1", refresh_token: "refresh-1", session_id: "s", delivered: true }]);
});

test("each fault is what it says, for one refresh", async (t) => {
  const { proxy, post, arrived } = await open(t);
  for (const [fault, arrives] of [[lost, 1], [cut, 0], [truncated, 1], [truncatedUnseen, 1]]) {
    const before = arrived();
    proxy.faults.push(fault);
    await assert.rejects(post());
    assert.equal(arrived() - before, arrives);
  }
  assert.equal(proxy.held(), proxy.issued.findLast(({ delivered }) => delivered));
  const before = arrived();
  proxy.faults.push(twice);
  assert.equal((await post())[1].refresh_token, `refresh-${before + 2}`);
  proxy.faults.push(slow(50), page(502), problem(401, "session_ended"));
  assert.equal((await post())[0], 200);
  await assert.rejects(post(), SyntaxError);
  assert.deepEqual((await post())[1].code, "session_ended");
  assert(proxy.requests.at(-1).over);
  assert.equal((await post())[0], 200);
});

test("a refresh can be held, and let go to a fate", async (t) => {
  const { proxy, post, arrived } = await open(t);
  const refresh = held(lost);
  proxy.faults.push(refresh);
  const answer = assert.rejects(post());
  await refresh.arrived;
  assert.equal(arrived(), 0);
  refresh.release();
  await answer;
  assert.equal(arrived(), 1);
});

test("tokens that have expired are refused, later ones not, and without a network nothing passes", async (t) => {
  const { proxy, post } = await open(t);
  const me = (token) => fetch(`${proxy.url}/api/auth/me`, { headers: { authorization: `Bearer ${token}` } });
  await post("/api/auth/login");
  proxy.expire();
  await post();
  const refused = await me("access-1");
  assert.deepEqual([refused.status, (await refused.json()).code], [401, "access_token_expired"]);
  assert.match(refused.headers.get("www-authenticate"), /invalid_token/);
  assert.equal((await me("access-2")).status, 200);
  proxy.down = true;
  await assert.rejects(me("access-2"));
});

test("a storm gives the alarm once", async (t) => {
  const alarms = [];
  const { post } = await open(t, (problem) => alarms.push(problem));
  for (let n = 0; n < 45; n++) await post();
  assert.deepEqual(alarms, ["a storm: 40 refreshes"]);
});
