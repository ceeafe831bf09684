// What holds in every case, whatever happens: told from all the requests of a client.

import { isLogin, isLogout, isRefresh } from "./proxy.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const ALPHABETS = [[/^\d+$/, 10], [/^([0-9a-f]+|[0-9A-F]+)$/, 16], [/^([0-9a-z]+|[0-9A-Z]+)$/, 36]];

/** What is wrong with a key, or nothing. That it is random cannot be seen, but that it is not often can. */
export function weakness(key) {
  if (!key) return "was sent without an Idempotency-Key";
  if (key.length > 255) return "has an Idempotency-Key of more than 255 characters";
  const version = UUID.exec(key)?.[1];
  // 122 random bits, and every platform has them.
  if (version === "4") return null;
  if (version) return `has a UUID of version ${version} as Idempotency-Key, which is not random`;
  const [, letters] = ALPHABETS.find(([alphabet]) => alphabet.test(key)) ?? [null, 64];
  const bits = key.length * Math.log2(letters);
  if (bits < 128 || new Set(key).size < 8) return "has an Idempotency-Key with room for less than 128 random bits";
  return null;
}

/** Whether two keys have so much in common that it is no chance. */
const alike = (one, other) => [...one].filter((letter, n) => letter === other[n]).length > one.length / 2;

const tokenOf = ({ body }) => {
  try {
    return JSON.parse(body).refresh_token;
  } catch {
    return undefined;
  }
};

/** As a log may show it. */
function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** @returns {Set<string>} what the client did that no client may do */
export function violations({ requests, issued }) {
  const broken = new Set();
  const keys = new Map();
  const over = new Map();
  for (const request of requests) {
    const { path, headers, body, at } = request;
    const [where, url] = [path.split("?")[0], decoded(path)];
    for (const { access_token, refresh_token } of issued) {
      if (url.includes(access_token) || url.includes(refresh_token)) broken.add(`a token is in a URL: ${where}`);
      const knows = isRefresh(request) || isLogin(request) || isLogout(request);
      if (!knows && `${body} ${Object.values(headers)}`.includes(refresh_token)) broken.add(`the refresh token was sent to ${where}`);
    }
    if (!isRefresh(request)) continue;
    const [token, key] = [tokenOf(request), headers["idempotency-key"]];
    if (!token) broken.add("a refresh was sent without a refresh token");
    const weak = weakness(key);
    if (weak) broken.add(`a refresh ${weak}`);
    if (over.get(token) < at) broken.add("a refresh was sent after the service had said that its session is over");
    if (request.over) over.set(token, request.over);
    if (keys.has(token) && keys.get(token) !== key) broken.add("a refresh was repeated with another Idempotency-Key: an hour later that is a replay");
    keys.set(token, key);
  }
  const used = [...keys.values()].filter(Boolean);
  if (used.some((key, n) => used.slice(0, n).some((other) => alike(key, other)))) {
    broken.add("the Idempotency-Keys of two refreshes are alike");
  }
  return broken;
}

/** The last requests, for whoever looks for the reason. Tokens are numbers here, and of keys only the beginning is shown. */
export function trace({ requests, issued }, start) {
  const tokens = [...new Set(issued.map(({ refresh_token }) => refresh_token))];
  const lines = [];
  for (const request of requests) {
    const { at, method, path, headers, end } = request;
    const key = headers["idempotency-key"]?.slice(0, 6) ?? "none";
    const token = tokens.indexOf(tokenOf(request));
    const shown = isRefresh(request) ? ` token ${token < 0 ? "?" : token}, key ${key}…` : "";
    const what = `${method} ${path.split("?")[0]}${shown} → ${end || "no answer yet"}`;
    const last = lines.at(-1);
    if (last?.what === what) last.count++;
    else lines.push({ at: `${((at - start) / 1000).toFixed(2).padStart(6)} s`, what, count: 1 });
  }
  return lines.slice(-15).map(({ at, what, count }) => `${at}  ${what}${count > 1 ? ` (${count} times)` : ""}`);
}
