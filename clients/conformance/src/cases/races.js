// A refresh is under way while the user does something else. Its answer must not undo that.

import { cut, late } from "../faults.js";
import { pause } from "../trial.js";
import { killedDuringRefresh } from "./kills.js";

/** How long an answer waits for a client that does one thing after the other. */
const LATE = 4000;

/** A client that was killed goes on with its refresh when it wakes up. Its answer comes when `act` is over. */
async function meanwhile(trial, act) {
  const { proxy } = trial;
  await killedDuringRefresh(trial, cut);
  const [sent, issued] = [proxy.refreshes().length, proxy.issued.length];
  const answer = late();
  proxy.faults.push(answer);
  await trial.client.ask({ do: "wake" });
  if (!(await trial.until(() => proxy.issued.length > issued))) throw new Error("does not refresh when it wakes up");
  const timer = setTimeout(answer.release, LATE);
  await act();
  clearTimeout(timer);
  answer.release();
  await trial.until(() => proxy.refreshes()[sent].end);
  await pause(300);
}

export default [
  {
    name: "logout-meanwhile",
    what: "the user signs out while a refresh is under way",
    must: "the answer of the refresh signs nobody in",
    async run(trial) {
      await meanwhile(trial, () => trial.client.ask({ do: "logout" }));
      await trial.isSignedOut();
    },
  },
  {
    name: "login-meanwhile",
    what: "the user signs in anew while a refresh is under way",
    must: "the answer of the refresh does not take the place of the new session",
    async run(trial) {
      const { issued } = trial.proxy;
      await meanwhile(trial, () => trial.login());
      const { session_id } = issued.find((pair) => pair.session_id !== issued[0].session_id) ?? {};
      await trial.survives();
      trial.must(issued.at(-1).session_id === session_id, "goes on with the session before");
    },
  },
];
