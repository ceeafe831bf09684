// What ends a session: then, and only then, the client is signed out, says why if it can, and asks no more.

import { problem } from "../faults.js";

const MUST = "signed out, also after a restart, and no further refresh: the user has to sign in, and should hear why";

/** The refresh of 10 waiting calls hears that the session is over. */
async function hears(trial, code, ...faults) {
  trial.expired(...faults);
  await trial.call(10);
  const ends = trial.proxy.refreshes().map(({ end }) => end);
  trial.must(ends.at(-1) === `401 ${code}`, `the service was to say ${code}, and the client heard ${ends.at(-1) ?? "nothing, as it did not ask"}`);
  await trial.isSignedOut(code);
}

const canned = (name, code, what) => ({ name, what, must: MUST, run: (trial) => hears(trial, code, problem(401, code)) });

export default [
  {
    name: "ended",
    what: "the session is ended from elsewhere; later the user signs in again",
    must: "signed out, also after a restart, and no further refresh; the new session works",
    async run(trial) {
      const { account, proxy } = trial;
      await account.logout(proxy.held().refresh_token);
      await hears(trial, "session_ended");
      await trial.login();
      await trial.staysSignedIn("after a new login");
      await trial.survives();
    },
  },
  {
    name: "replayed",
    what: "a thief has used a copy of the refresh token, twice; then the client uses its own",
    must: MUST,
    async run(trial) {
      const { account, proxy } = trial;
      const { body } = await account.refresh(proxy.held().refresh_token);
      await account.refresh(body.refresh_token);
      await hears(trial, "refresh_token_replayed");
    },
  },
  {
    name: "thief",
    what: "a thief uses an old token of the client, which ends the session",
    must: MUST,
    async run(trial) {
      const { account, proxy } = trial;
      const stolen = proxy.held().refresh_token;
      for (let n = 0; n < 2; n++) await trial.survives();
      await account.refresh(stolen);
      await hears(trial, "session_ended");
    },
  },
  canned("expired", "session_expired", "the session was not refreshed for too long"),
  canned("unknown", "refresh_token_invalid", "the service does not know the token, as after its database was restored"),
  {
    name: "logout",
    what: "the user signs out",
    must: "the service is told, the client is signed out, also after a restart, and asks no more",
    async run(trial) {
      const { account, proxy } = trial;
      const { refresh_token } = proxy.held();
      await trial.client.ask({ do: "logout" });
      await trial.isSignedOut();
      const { body } = await account.refresh(refresh_token);
      trial.must(body.code === "session_ended", "the service was not told: the session goes on");
    },
  },
  {
    name: "logout-offline",
    what: "the user signs out while there is no network",
    must: "signed out all the same, also when the network is back: the phone may be given away",
    async run(trial) {
      trial.proxy.down = true;
      await trial.client.ask({ do: "logout" });
      trial.proxy.down = false;
      await trial.isSignedOut();
    },
  },
];
