// A refresh is under way while the user does something else. Its answer must not undo that.

import { cut, slow } from "../faults.js";
import { pause } from "../trial.js";
import { killedDuringRefresh } from "./kills.js";

const SLOW = 1500;

/** A client that was killed goes on with its refresh when it wakes up, and that takes a while. */
async function refreshUnderWay(trial) {
  const { proxy } = trial;
  await killedDuringRefresh(trial, cut);
  const sent = proxy.refreshes().length;
  proxy.faults.push(slow(SLOW));
  await trial.client.ask({ do: "wake" });
  if (!(await trial.until(() => proxy.refreshes().length > sent))) throw new Error("does not refresh when it wakes up");
}

export default [
  {
    name: "logout-meanwhile",
    what: "the user signs out while a refresh is under way",
    must: "the answer of the refresh signs nobody in",
    async run(trial) {
      await refreshUnderWay(trial);
      await trial.client.ask({ do: "logout" });
      await pause(SLOW + 300);
      await trial.isSignedOut();
    },
  },
  {
    name: "login-meanwhile",
    what: "the user signs in anew while a refresh is under way",
    must: "the answer of the refresh does not take the place of the new session",
    async run(trial) {
      const { proxy } = trial;
      await refreshUnderWay(trial);
      await trial.login();
      const { session_id } = proxy.issued.find((pair) => pair.session_id !== proxy.issued[0].session_id) ?? {};
      await pause(SLOW + 300);
      await trial.survives();
      trial.must(proxy.issued.at(-1).session_id === session_id, "goes on with the session before");
    },
  },
];
