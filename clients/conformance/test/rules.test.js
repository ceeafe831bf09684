import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { test } from "node:test";
import { trace, violations, weakness } from "../src/rules.js";

const key = () => randomBytes(24).toString("base64url");
const issued = [0, 1, 2].map((n) => ({ access_token: `access-${n}`, refresh_token: `refresh-${n}`, delivered: true }));
const refresh = (n, key, more = {}) => ({
  at: n, method: "POST", path: "/api/auth/refresh", headers: { "idempotency-key": key }, body: JSON.stringify({ refresh_token: `refresh-${n}` }), end: "200", ...more,
});
const broken = (...requests) => [...violations({ requests, issued })].join("; ");

test("keys that can be guessed are weak, and random ones are not", () => {
  for (const strong of [key(), randomUUID(), randomBytes(16).toString("hex"), randomBytes(16).toString("base64url"), randomUUID().toUpperCase()]) {
    assert.equal(weakness(strong), null, strong);
  }
  const numbers = Array.from({ length: 30 }, (_, n) => (n * 7) % 10).join("");
  for (const weak of [undefined, "", "1", numbers, "a".repeat(64), key().repeat(8), key().slice(0, 12), "01890a5d-ac96-774b-bcce-b302099a8057", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]) {
    assert(weakness(weak), weak);
  }
});

test("a client that keeps the rules breaks none", () => {
  const [one, two] = [key(), key()];
  assert.equal(broken(refresh(0, one), refresh(0, one), refresh(1, two)), "");
});

test("a repeat with another key, a key that is used again and keys that are alike are told", () => {
  const one = key();
  assert.match(broken(refresh(0, one), refresh(0, key())), /repeated with another Idempotency-Key/);
  assert.match(broken(refresh(0, one), refresh(1, one)), /alike/);
  assert.match(broken(refresh(0, "phone-1234567890abcdef-000000001"), refresh(1, "phone-1234567890abcdef-000000002")), /alike/);
  assert.match(broken(refresh(0, undefined)), /without an Idempotency-Key/);
});

test("a token in a URL, or sent where it does not belong, is told", () => {
  const call = { at: 1, method: "GET", path: "/api/auth/me", headers: {}, body: "", end: "200" };
  assert.equal(broken({ ...call, headers: { authorization: "Bearer access-1" } }), "");
  assert.match(broken({ ...call, path: "/api/auth/me?token=access-1" }), /in a URL/);
  assert.match(broken({ ...call, path: "/api/auth/me?token=%61ccess-1" }), /in a URL/);
  assert.equal(broken({ ...call, path: "/api/auth/me?rate=100%" }), "");
  assert.match(broken({ ...call, headers: { cookie: "x=refresh-1" } }), /refresh token was sent to \/api\/auth\/me/);
  assert.match(broken({ ...call, method: "POST", path: "/portal", body: '{"refresh_token":"refresh-1"}' }), /sent to \/portal/);
  assert.equal(broken({ ...call, method: "POST", path: "/api/auth/logout", body: '{"refresh_token":"refresh-1"}' }), "");
});

test("a refresh after the end is told, and one that was under way is not", () => {
  const one = key();
  const ended = refresh(0, one, { at: 0, over: 5, end: "401 session_ended" });
  assert.equal(broken(ended, refresh(0, one, { at: 4 })), "");
  assert.match(broken(ended, refresh(0, one, { at: 6 })), /its session is over/);
});

test("a trace shows no token and no whole key", () => {
  const one = key();
  const lines = trace({ requests: [refresh(0, one), refresh(0, one), refresh(1, key(), { end: "" })], issued }, 0);
  assert.equal(lines.length, 2);
  assert.match(lines[0], /token 0, key .{6}… → 200 \(2 times\)$/);
  assert.match(lines[1], /token 1, .*no answer yet$/);
  assert(!lines.join().includes("refresh-") && !lines.join().includes(one));
});
