// The protocol of the kit around a client that has login, call, wake, state and logout: one JSON object a line in, one out.

import { createInterface } from "node:readline";

/** @param {Promise<unknown>} promise */
const succeeds = (promise) => promise.then((status) => status === 200, () => false);

/** @param {any} client `call` gives the status of `GET /api/auth/me`, or fails */
export async function drive(client) {
  const commands = {
    login: ({ email, password }) => client.login(email, password).then(() => ({ ok: true }), (error) => ({ ok: false, error: error.message })),
    call: async ({ count = 1 }) => {
      const answers = await Promise.all(Array.from({ length: count }, () => succeeds(client.call())));
      return { succeeded: answers.filter(Boolean).length };
    },
    // What that begins goes on beside.
    wake: async () => (client.wake().catch(() => {}), {}),
    state: async () => client.state(),
    logout: () => client.logout().then(() => ({ ok: true }), () => ({ ok: false })),
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    process.stdout.write(`${JSON.stringify(await commands[command.do](command))}\n`);
  }
  process.exit();
}
