// What tests do with a client of docs/how-to/http-clients.md: fifty calls at once, again and again.

import { createInterface } from "node:readline";

/** For each line of the input, an access token that has expired: fifty calls with it. Prints whom they found, or why not. */
export async function rounds(tokens, me) {
  Object.assign(tokens, JSON.parse(process.env.TOKENS));
  for await (const expired of createInterface({ input: process.stdin })) {
    tokens.access_token = expired;
    const calls = Array.from({ length: 50 }, async () => (await me()).email);
    const answers = await Promise.all(calls.map((call) => call.catch(String)));
    const counts = answers.reduce((counts, answer) => ({ ...counts, [answer]: (counts[answer] ?? 0) + 1 }), {});
    console.log(JSON.stringify({ counts, ...tokens }));
  }
}
