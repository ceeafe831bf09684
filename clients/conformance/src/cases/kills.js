// The process dies at the worst moment: what is needed to go on must have been stored before.

import { cut, held, lost, pass, problem } from "../faults.js";

const MUST = "repeats with the key that it stored before it sent, and stays signed in";

/** Kills the client when its refresh has arrived, and starts it again when `fate` has happened to that. */
export async function killedDuringRefresh(trial, fate) {
  const refresh = held(fate);
  const before = trial.proxy.refreshes().length;
  trial.expired(refresh);
  const call = trial.begin();
  if (!(await trial.within(refresh.arrived))) throw new Error("does not refresh");
  await trial.restart(async () => {
    refresh.release();
    await trial.until(() => trial.proxy.refreshes()[before].end);
  });
  await call.catch(() => {});
  await trial.staysSignedIn("by a kill");
}

const killed = (name, what, ...fates) => ({
  name,
  what,
  must: MUST,
  async run(trial) {
    for (const fate of fates) await killedDuringRefresh(trial, fate);
    await trial.survives();
  },
});

export default [
  killed("killed", "kill -9 when a refresh has been sent; the service does it, and the client is started again", lost),
  killed("killed-early", "kill -9 when a refresh has been sent, and the service never sees it", cut),
  killed("killed-again", "kill -9 when a refresh has been sent, and again at each of two repeats", lost, cut, lost),
  {
    name: "killed-late",
    what: "kill -9 when the first call with the new access token has been sent",
    must: "stays signed in: what came was stored before it was used, or is asked for again",
    async run(trial) {
      const { proxy } = trial;
      const call = held();
      proxy.calls = (exchange, expired) => (expired ? problem(401, "access_token_expired") : call)(exchange);
      trial.expired();
      const asked = trial.begin();
      if (!(await trial.within(call.arrived))) throw new Error("does not call again with the new token");
      await trial.restart(async () => call.release());
      await asked.catch(() => {});
      proxy.calls = pass;
      await trial.staysSignedIn("by a kill");
      await trial.survives();
    },
  },
];
