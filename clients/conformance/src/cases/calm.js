// Nothing is broken: how often a client refreshes, and with what.

import { instead, page, pass, problem, unchanged, unchangedThenRotated } from "../faults.js";
import { pause } from "../trial.js";

const AT_ONCE = 50;

export default [
  {
    name: "concurrent",
    what: "50 calls at once find their token expired",
    must: "one refresh, and all succeed: the others would only be load",
    async run(trial) {
      trial.expired();
      const succeeded = await trial.call(AT_ONCE);
      trial.must(succeeded === AT_ONCE, `${succeeded} of ${AT_ONCE} calls succeed`);
      const { length } = trial.proxy.refreshes();
      trial.must(length === 1, `${length} refreshes`);
    },
  },
  {
    name: "late-401",
    what: "of 10 calls with an expired token 9 hear so only when the refresh is over",
    must: "no second refresh: a 401 to a token that has been replaced is no reason",
    async run(trial) {
      const { proxy } = trial;
      let first = true;
      proxy.calls = async (exchange, expired) => {
        if (!expired) return pass(exchange);
        if (!first) {
          await trial.until(() => proxy.refreshes().some(({ end }) => end));
          await pause(100);
        }
        first = false;
        return problem(401, "access_token_expired")(exchange);
      };
      trial.expired();
      const succeeded = await trial.call(10);
      trial.must(succeeded === 10, `${succeeded} of 10 calls succeed`);
      trial.must(proxy.refreshes().length === 1, `${proxy.refreshes().length} refreshes`);
    },
  },
  {
    name: "keys",
    what: "five refreshes, one after the other",
    must: "each has a random key of its own: who can guess it can take the session over",
    async run(trial) {
      for (let n = 1; n <= 5; n++) {
        trial.expired();
        trial.must((await trial.call()) === 1, "a call does not succeed");
        trial.must(trial.proxy.refreshes().length === n, `${trial.proxy.refreshes().length} refreshes for ${n} expired tokens`);
      }
    },
  },
  {
    name: "unchanged",
    what: "two refreshes are answered with the refresh token that was sent, as inside the grace window",
    must: "takes each for an answer: the access token is new, all calls succeed, and there is nothing to repeat",
    async run(trial) {
      const { proxy } = trial;
      for (const [n, fault] of [unchanged, unchanged, pass].entries()) {
        trial.expired(fault);
        const succeeded = await trial.call(10);
        trial.must(succeeded === 10, `${succeeded} of 10 calls succeed`);
        trial.must(proxy.refreshes().length === n + 1, `${proxy.refreshes().length} refreshes for ${n + 1} expired tokens`);
        await trial.staysSignedIn("by a refresh token that stays the same");
      }
    },
  },
  {
    name: "unchanged-late",
    what: "a refresh is answered with the refresh token that was sent, and a late duplicate of it rotates the session unseen",
    must: "refreshes with the key that it had for this token, so that the service repeats the rotation",
    async run(trial) {
      await trial.survives(unchangedThenRotated);
      await trial.survives();
    },
  },
  {
    name: "wakes",
    what: "the device wakes up 20 times, with a token that has just come",
    must: "one refresh at most: waking up is no reason by itself",
    async run(trial) {
      for (let n = 0; n < 20; n++) {
        await trial.client.ask({ do: "wake" });
        // Else all are one to a client that has a refresh under way.
        await pause(100);
        await trial.until(() => trial.proxy.refreshes().every(({ end }) => end));
      }
      trial.must((await trial.call()) === 1, "a call does not succeed");
      const { length } = trial.proxy.refreshes();
      trial.must(length <= 1, `${length} refreshes`);
    },
  },
  {
    name: "restart",
    what: "killed while nothing is under way, and started without a network",
    must: "signed in, and there again when the network is: an outage ends no session",
    async run(trial) {
      const { proxy } = trial;
      proxy.down = true;
      await trial.restart();
      await trial.staysSignedIn("by a start without a network");
      await trial.call();
      await trial.staysSignedIn("by a call without a network");
      proxy.down = false;
      await trial.survives();
    },
  },
  {
    name: "refused-calls",
    what: "calls are answered 401 whatever their token",
    must: "no storm: at most one refresh a call, and stays signed in",
    async run(trial) {
      const { proxy } = trial;
      proxy.calls = problem(401, "access_token_invalid");
      for (let n = 1; n <= 3; n++) {
        trial.must((await trial.call(5)) === 0, "a call that is refused succeeds");
        trial.must(proxy.refreshes().length <= 2 * n, `${proxy.refreshes().length} refreshes for ${n} rounds of calls`);
        await trial.staysSignedIn("by calls that are refused");
      }
      proxy.calls = problem(401, "session_ended");
      await trial.call();
      await trial.staysSignedIn("by a code that counts only in the answer to a refresh");
      proxy.calls = pass;
      await trial.survives();
    },
  },
  {
    name: "failing-calls",
    what: "calls are answered 403, 500, 502 and by a portal's page",
    must: "no refresh at all: none of it is about the token",
    async run(trial) {
      const { proxy } = trial;
      for (const answer of [problem(403, "forbidden"), instead(500), page(502), page(200)]) {
        proxy.calls = answer;
        await trial.call(3);
        await trial.staysSignedIn(`by a call that is answered ${proxy.requests.at(-1).end}`);
      }
      trial.must(proxy.refreshes().length === 0, `${proxy.refreshes().length} refreshes`);
      proxy.calls = pass;
      trial.must((await trial.call()) === 1, "a call does not succeed");
    },
  },
];
