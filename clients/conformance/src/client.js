// The client under test: a process that reads one JSON object a line and answers each with one.

import { spawn } from "node:child_process";

/** How long a command may take. A call may wait for a refresh that is tried four times, each until the client gives up. */
const PATIENCE = 90_000;

export class Client {
  #command;
  #environment;
  #process;
  #waiting = [];
  #said = "";
  #over = false;

  constructor(command, environment) {
    this.#command = command;
    this.#environment = { ...process.env, ...environment };
  }

  start() {
    // A group of its own, so that a kill reaches what a shell has started.
    const child = spawn(this.#command, { shell: true, detached: true, env: this.#environment, stdio: "pipe" });
    this.#process = child;
    this.#said = "";
    this.#over = false;
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines.filter((line) => line.trim())) this.#waiting.shift()?.(line);
    });
    child.stderr.setEncoding("utf8").on("data", (text) => (this.#said = (this.#said + text).slice(-2000)));
    child.stdin.on("error", () => {});
    child.on("error", (error) => (this.#said = error.message));
    this.ended = new Promise((resolve) => child.on("close", resolve)).then(() => {
      this.#over = true;
      for (const answer of this.#waiting.splice(0)) answer(null);
    });
  }

  /** Gives what the client answers. Fails if it ends, keeps silent, or says something else than JSON. */
  async ask(command) {
    if (this.#over) throw new Error(`the client ended by itself. ${this.#said.trim()}`);
    const line = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${command.do}: no answer for ${PATIENCE / 1000} s`)), PATIENCE);
      this.#waiting.push((line) => {
        clearTimeout(timer);
        resolve(line);
      });
      this.#process.stdin.write(`${JSON.stringify(command)}\n`);
    });
    if (line === null) throw new Error(`${command.do}: the client ended. ${this.#said.trim()}`);
    try {
      return Object(JSON.parse(line));
    } catch {
      throw new Error(`${command.do}: not a line of JSON: ${line.slice(0, 200)}`);
    }
  }

  /** kill -9, as a phone does that needs the memory. */
  async kill() {
    try {
      process.kill(-this.#process.pid, "SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended;
  }
}
