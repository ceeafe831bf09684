#!/usr/bin/env node
// The command line: runs the cases, several at once, and says what was found. Exit code 0: all passed; 1: some failed; 2: not run.

import { parseArgs } from "node:util";
import { Account } from "./account.js";
import { CASES, SHARED } from "./cases/index.js";
import { run } from "./trial.js";

const USAGE = `Usage: claviger-conformance --service URL --client COMMAND

  --service URL     a claviger that may be used for this; see the README for its settings
  --client COMMAND  starts the client under test, which speaks the protocol of the README
  --shared          two processes of it may share one STATE_DIR: tests that too
  --only A,B        these cases and no others
  --except A,B      all but these
  --at-once N       so many cases at the same time (8)
  --json            one JSON document in place of lines
  --list            names the cases, and what must happen in them
`;

const OPTIONS = {
  service: { type: "string" },
  client: { type: "string" },
  shared: { type: "boolean", default: false },
  only: { type: "string" },
  except: { type: "string", default: "" },
  "at-once": { type: "string", default: "8" },
  json: { type: "boolean", default: false },
  list: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
};

/** Something that keeps the kit from judging. */
class Unfit extends Error {}

function read() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    throw new Unfit(`${error.message}\n\n${USAGE}`);
  }
}

function chosen({ only, except, shared }) {
  const all = shared ? [...CASES, ...SHARED] : CASES;
  const named = [only ?? "", except].flatMap((names) => names.split(",")).filter(Boolean);
  const unknown = named.filter((name) => !all.some((test) => test.name === name));
  if (unknown.length) throw new Unfit(`there is no case ${unknown.join(", ")}`);
  const wanted = all.filter(({ name }) => (!only || only.split(",").includes(name)) && !except.split(",").includes(name));
  if (!wanted.length) throw new Unfit("no case is left");
  return wanted;
}

const indent = (lines) => lines.map((line) => `        ${line}\n`).join("");

function say({ name, verdict, seconds, problems, trace }, { what, must }) {
  const line = `${verdict === "pass" ? "  pass" : "  FAIL"}  ${name.padEnd(15)}${seconds.toFixed(1).padStart(5)} s\n`;
  if (verdict === "pass") return line;
  return `${line}${indent([`When ${what},`, `it must be so: ${must}.`, ...problems.map((problem) => `- ${problem}`), ...trace])}`;
}

/** The longest begin first, so that none is waited for alone. */
const ORDER = ["silent", "schedule"];

async function all(cases, atOnce, options, tell) {
  const waiting = [...cases].sort((one, other) => ORDER.includes(other.name) - ORDER.includes(one.name));
  const found = new Map();
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const result = await run(next, options);
      found.set(next.name, result);
      tell(result, next);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return cases.map(({ name }) => found.get(name));
}

async function open(service) {
  try {
    const account = await Account.open(service, process.env);
    return { account, strict: await account.isStrict() };
  } catch (error) {
    throw new Unfit(`${service} cannot be used: ${error.cause?.message ?? error.message}`);
  }
}

async function main() {
  const options = read();
  if (options.help) return void process.stdout.write(USAGE);
  const cases = chosen(options);
  if (options.list) {
    for (const { name, what, must } of cases) process.stdout.write(`${name.padEnd(15)} ${what}: ${must}\n`);
    return;
  }
  const { service, client: command, json } = options;
  if (!service || !command) throw new Unfit(USAGE);
  const atOnce = Number(options["at-once"]);
  if (!(Number.isInteger(atOnce) && atOnce >= 1)) throw new Unfit("--at-once: a number from 1");

  const print = (text) => json || process.stdout.write(text);
  const { account, strict } = await open(service);
  print(`${cases.length} cases against ${service}\n`);
  const grace = "The service repeats refreshes without a key (refresh_token.grace is not 0s), so what happens later is told from keys alone.\n";
  if (!strict) print(grace);
  try {
    const results = await all(cases, atOnce, { service, command, account }, (result, test) => print(say(result, test)));
    const count = (verdict) => results.filter((result) => result.verdict === verdict).length;
    const [passed, failed] = [count("pass"), count("fail")];
    if (json) process.stdout.write(`${JSON.stringify({ service, strict, passed, failed, cases: results }, null, 2)}\n`);
    print(`${passed} passed, ${failed} failed\n`);
    process.exitCode = failed ? 1 : 0;
  } finally {
    await account.close().catch(() => {});
  }
}

main().catch((error) => {
  process.stderr.write(`${error instanceof Unfit ? error.message : error.stack}\n`);
  process.exitCode = 2;
});
