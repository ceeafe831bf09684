// By real connections: who follows a redirect is the platform.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { createClient } from "../src/claviger.js";
import { ADA, BASE, Service } from "./service.js";

async function listen(t, answer) {
  const server = createServer(answer);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

test("a redirect takes the token nowhere", async (t) => {
  const heard = [];
  const elsewhere = await listen(t, (request, answer) => (heard.push(request.headers), answer.end("elsewhere")));
  const api = await listen(t, (_, answer) => answer.writeHead(307, { location: `${elsewhere}/orders` }).end());
  const service = new Service({ true: 0 }).browser();
  const fetch = (input, init) => (new Request(input).url.startsWith(BASE) ? service(input, init) : globalThis.fetch(input, init));
  const client = createClient({ baseUrl: BASE, apis: [api], fetch });
  await client.register(ADA);

  for (const request of [`${api}/orders`, new Request(`${api}/orders`), new Request(`${api}/orders`, { method: "POST", body: "x" })]) {
    await assert.rejects(client.fetch(request), TypeError);
  }
  assert.equal(heard.length, 0);

  assert.equal(await (await client.fetch(`${api}/orders`, { redirect: "follow" })).text(), "elsewhere");
  assert.equal(heard.length, 1);
  assert.equal(heard[0].authorization, undefined);
});

test("passwords and refresh tokens follow no redirect", async (t) => {
  const heard = [];
  const elsewhere = await listen(t, (request, answer) => (heard.push(request.url), answer.end("{}")));
  const baseUrl = await listen(t, (request, answer) => answer.writeHead(307, { location: elsewhere + request.url }).end());
  const client = createClient({ baseUrl });
  await assert.rejects(client.login(ADA), { code: "unreachable" });
  assert.deepEqual(heard, []);
});
