// Answers to a refresh that are no reason to sign anybody out.

import { instead, json, page, problem } from "../faults.js";

const WHY = "only four codes in a 401 mean signed out";
const simple = (name, what, must, ...faults) => ({ name, what, must, run: (trial) => trial.survives(...faults) });

export default [
  simple("pages", "a proxy answers 502, 503 and 504 with its pages", "stays signed in, and tries again: so does a deployment look", page(502), page(503), page(504)),
  simple(
    "errors",
    "the service answers 500, 500 without a body, and 503",
    "stays signed in, and tries again: so does an outage look",
    problem(500, "internal"),
    instead(500),
    problem(503, "database_unavailable", { "retry-after": "1" }),
  ),
  {
    name: "busy",
    what: "a refresh is answered 429 with `Retry-After: 3`",
    must: "stays signed in, and waits as long as it was asked to: else all come back at once",
    async run(trial) {
      const { proxy } = trial;
      trial.expired(problem(429, "rate_limited", { "retry-after": "3" }));
      const call = trial.begin();
      await trial.until(() => proxy.refreshes().length > 1, 8000);
      const [first, second] = proxy.refreshes();
      trial.must(!second || second.at - first.at > 2500, `tries again after ${((second?.at - first.at) / 1000).toFixed(1)} s`);
      await call;
      await trial.staysSignedIn("by 429");
      await trial.survives();
    },
  },
  simple("client-errors", "a refresh is answered 400, 403 and 404", `stays signed in: ${WHY}`, problem(400, "malformed_request"), problem(403, "forbidden"), page(404)),
  simple("timeouts", "a refresh is answered 408, 413 and 425", `stays signed in: ${WHY}`, problem(408, "request_timeout"), page(413), instead(425)),
  simple(
    "other-401",
    "a refresh is answered 401 with codes that are about something else",
    `stays signed in: ${WHY}`,
    problem(401, "access_token_expired"),
    problem(401, "invalid_credentials"),
    problem(401, "refresh_token_missing"),
  ),
  simple(
    "bare-401",
    "something on the way answers a refresh 401: without a body, with a page, with other JSON",
    "stays signed in: it was not the service that said so",
    instead(401, "", { "www-authenticate": "Basic" }),
    page(401),
    json(401, { error: "unauthorized" }),
  ),
  simple(
    "other-status",
    "the four codes come with other statuses than 401",
    "stays signed in: a gateway that rewrites answers ends no session",
    problem(403, "session_ended"),
    problem(400, "refresh_token_invalid"),
    problem(503, "session_expired"),
  ),
];
