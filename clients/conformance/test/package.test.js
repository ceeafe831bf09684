import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CASES, SHARED } from "../src/cases/index.js";

const folder = new URL("..", import.meta.url);
const text = (path) => readFileSync(new URL(path, folder), "utf8");
const all = [...CASES, ...SHARED];

test("the README has every case, with what happens and what must be so", () => {
  const rows = text("README.md").split("| case |")[1].split("\n").filter((line) => line.startsWith("| `"));
  assert.deepEqual(rows, all.map(({ name, what, must }) => `| \`${name}\` | ${what} | ${must} |`));
});

test("the names of cases are unique, and --list prints them", () => {
  assert.equal(new Set(all.map(({ name }) => name)).size, all.length);
  const listed = execFileSync(process.execPath, ["src/main.js", "--list", "--shared"], { cwd: folder, encoding: "utf8" });
  assert.deepEqual(listed.trim().split("\n").map((line) => line.split(" ")[0]), all.map(({ name }) => name));
});

test("the package needs nothing", () => {
  const { dependencies, devDependencies, bin } = JSON.parse(text("package.json"));
  assert.deepEqual([dependencies, devDependencies], [undefined, undefined]);
  assert(text(Object.values(bin)[0]).startsWith("#!/usr/bin/env node\n"));
});
