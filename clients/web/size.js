// Prints what a page loads, bundled and minified as applications do, and fails when it is more than 5 KiB.

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 5 * 1024;

const entryPoints = [new URL("src/claviger.js", import.meta.url).pathname];
const { outputFiles } = await build({ entryPoints, bundle: true, minify: true, format: "esm", target: "es2022", write: false });
const [{ contents }] = outputFiles;
const size = gzipSync(contents, { level: 9 }).length;
console.log(`${size} bytes gzip, ${contents.length} minified; at most ${LIMIT}`);
if (size > LIMIT) process.exitCode = 1;
