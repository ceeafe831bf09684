// What networks do to a refresh: the client repeats it with the same key until it has an answer.

import { cut, instead, json, lost, page, pass, silent, slow, truncated, truncatedUnseen, twice } from "../faults.js";
import { pause } from "../trial.js";

const simple = (name, what, must, ...faults) => ({ name, what, must, run: (trial) => trial.survives(...faults) });

/** When tries were made, in ms after the first. What arrives within 300 ms is one: libraries repeat a request whose connection broke. */
function tries(requests) {
  const times = requests.map(({ at }) => at - requests[0].at);
  return times.filter((time, n) => n === 0 || time - times[n - 1] > 300);
}

export default [
  simple("lost", "the service refreshes, and two answers are lost", "repeats with the same key, so that an hour later is as good", lost, lost),
  simple("cut", "two connections are cut before the service has seen anything", "tries again: it cannot know what has happened, and with the key need not", cut, cut),
  simple("truncated", "two answers break off in the middle", "takes neither for an answer, nor half a token", truncated, truncatedUnseen),
  simple("twice", "the service gets a refresh twice", "takes the answer: with the key both are one", twice),
  {
    name: "slow",
    what: "an answer takes 4 s, with 20 calls waiting",
    must: "all of them succeed, with one refresh or repeats of it: slow is not broken",
    async run(trial) {
      trial.expired(slow(4000));
      const succeeded = await trial.call(20);
      trial.must(succeeded === 20, `${succeeded} of 20 calls succeed`);
      trial.must(trial.proxy.refreshes().length <= 4, `${trial.proxy.refreshes().length} refreshes`);
      await trial.staysSignedIn("by a slow answer");
    },
  },
  {
    name: "silent",
    what: "an answer never comes, and the connection stays open",
    must: "gives up by itself within 35 s and repeats: a device that changes networks hears nothing of its connections",
    async run(trial) {
      const { proxy } = trial;
      trial.expired(silent);
      const call = trial.begin();
      const repeated = await trial.until(() => proxy.refreshes().length > 1, 35_000);
      if (!repeated) return trial.wrong("waits for more than 35 s");
      await call;
      await trial.staysSignedIn("by silence");
      await trial.survives();
    },
  },
  {
    name: "schedule",
    what: "all answers are lost; later the network is back and the device wakes up",
    must: "tries after about 0, 1, 3 and 7 s, then rests, and goes on when it wakes up, with the same key",
    async run(trial) {
      const { proxy } = trial;
      proxy.usual = lost;
      trial.expired();
      const call = trial.begin();
      if (!(await trial.within(call, 30_000))) return trial.wrong("a call waits for more than 30 s");
      trial.must((await call) === 0, "a call succeeds without a token");
      const at = tries(proxy.refreshes());
      trial.must(at.length === 4, `${at.length} tries instead of 4`);
      for (const [n, wait] of [1000, 2000, 4000].entries()) {
        const gap = at[n + 1] - at[n];
        const fits = !(gap < wait * 0.5 || gap > wait * 2 + 3000);
        trial.must(fits, `${(gap / 1000).toFixed(1)} s between tries ${n + 1} and ${n + 2} instead of about ${wait / 1000} s`);
      }
      const sent = proxy.refreshes().length;
      await pause(2500);
      trial.must(tries(proxy.refreshes().slice(sent)).length <= 1, "goes on by itself, without rest");
      await trial.staysSignedIn("by a network that was away");
      proxy.usual = pass;
      const before = proxy.refreshes().length;
      const woken = trial.client.ask({ do: "wake" });
      trial.must(await trial.until(() => proxy.refreshes().length > before), "does not refresh when it wakes up");
      await woken;
      await trial.survives();
    },
  },
  simple(
    "portal",
    "a captive portal answers with its page and status 200",
    "takes it for no answer: the tokens stay",
    page(200),
    page(200),
  ),
  {
    name: "redirect",
    what: "a portal redirects, with 302 and 307",
    must: "does not follow with the token, and takes the page for no answer",
    run: (trial) => trial.survives(page(302, { location: "/portal" }), page(307, { location: "/portal" })),
  },
  simple(
    "empty",
    "answers with status 200 have nothing in them, not all of it, or something else",
    "takes none of them for an answer: what has no two tokens is none",
    instead(200),
    json(200, {}),
    json(200, { access_token: "abc", token_type: "Bearer" }),
  ),
];
