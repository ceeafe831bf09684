// Two processes with one storage, as an app and its extension have. Only with --shared.

import { lost, pass, slow } from "../faults.js";

const stillIn = async (trial, clients) => {
  for (const client of clients) {
    trial.must((await client.ask({ do: "state" })).signed_in === true, "one of the two is signed out");
  }
};

export default [
  {
    name: "shared",
    what: "two processes with one storage find their token expired at the same moment, five times",
    must: "both stay signed in, in one session, and send one key for one token",
    async run(trial) {
      const both = [trial.client, trial.another()];
      await stillIn(trial, both);
      for (let n = 0; n < 5; n++) {
        // The first answer takes so long that the other process asks too.
        trial.expired(slow(500));
        const answers = await Promise.all(both.map((client) => client.ask({ do: "call", count: 5 })));
        for (const { succeeded } of answers) trial.must(succeeded === 5, `${succeeded} of 5 calls succeed`);
        await stillIn(trial, both);
      }
    },
  },
  {
    name: "shared-sleep",
    what: "the refresh of one of two processes gets no answer; while it sleeps the other refreshes twice; it wakes up",
    must: "reads what is stored before it repeats: its old token would be a replay",
    async run(trial) {
      const { proxy, client } = trial;
      const other = trial.another();
      await stillIn(trial, [client, other]);
      proxy.usual = lost;
      trial.expired();
      await client.ask({ do: "call" });
      proxy.usual = pass;
      for (let n = 0; n < 2; n++) {
        const { succeeded } = await other.ask({ do: "call" });
        trial.must(succeeded === 1, "the call of the other does not succeed");
        trial.expired();
      }
      await client.ask({ do: "wake" });
      trial.must((await trial.call()) === 1, "a call does not succeed");
      await stillIn(trial, [client, other]);
    },
  },
];
