// What can happen to a request on its way. Each takes an exchange of the proxy: `forward()` asks the service and gives its answer,
// `deliver(answer)` hands one to the client, `hangUp()` cuts the connection, `keep(answer)` puts the refresh token into an answer that was sent.

/** Nothing happens. */
export const pass = async ({ forward, deliver }) => deliver(await forward());

/** The service does what was asked, and the client never hears of it. */
export const lost = async ({ forward, hangUp }) => {
  await forward();
  hangUp();
};

/** The service never sees the request. */
export const cut = async ({ hangUp }) => hangUp();

/** The service does what was asked, and then there is silence: the connection stays open. */
export const silent = async ({ forward }) => void (await forward());

/** The answer takes its time. */
export const slow = (ms) => async ({ forward, deliver }) => {
  const answer = await forward();
  setTimeout(() => deliver(answer), ms);
};

/** The connection ends in the middle of the answer. */
export const truncated = async ({ forward, deliver }) => deliver(await forward(), { half: true });

/** The same, and the head did not say how long the answer would be. */
export const truncatedUnseen = async ({ forward, deliver }) => deliver(await forward(), { half: true, sized: false });

/** The service gets the request twice, and the client the second answer. */
export const twice = async ({ forward, deliver }) => {
  await forward();
  deliver(await forward());
};

/** The service answers with the refresh token that it was sent, as it does inside the grace window. */
export const unchanged = async ({ forward, keep, deliver }) => deliver(keep(await forward()));

/** The same, and a duplicate of the request reaches the service when the grace window is over: the session rotates unseen. */
export const unchangedThenRotated = async ({ forward, keep, deliver }) => {
  const answer = keep(await forward());
  await forward();
  deliver(answer);
};

/** Something else answers, and the service never sees the request. */
export const instead = (status, text = "", headers = {}) => async ({ deliver }) => deliver({ status, text, headers });

/** A proxy's or a captive portal's page. */
export const page = (status, headers = {}) =>
  instead(status, `<!doctype html><title>${status}</title><h1>${status}</h1>`, { "content-type": "text/html", ...headers });

export const json = (status, body, headers = {}) =>
  instead(status, JSON.stringify(body), { "content-type": "application/json", ...headers });

/** An error in the form of the service. */
export const problem = (status, code, headers = {}) =>
  instead(status, JSON.stringify({ type: "about:blank", title: code, status, detail: code, code, request_id: "conformance" }), {
    "content-type": "application/problem+json",
    ...(status === 401 && { "www-authenticate": `Bearer realm="claviger"${code.startsWith("access_token_") ? ', error="invalid_token"' : ""}` }),
    ...headers,
  });

/** Stops where the test wants to look: `arrived` resolves when the request is there, `then` happens when `release` is called. */
export function held(then = pass) {
  let arrive, release;
  const arrived = new Promise((resolve) => (arrive = resolve));
  const released = new Promise((resolve) => (release = resolve));
  const fault = async (exchange) => {
    arrive();
    await released;
    await then(exchange);
  };
  return Object.assign(fault, { arrived, release });
}

/** The service does what was asked at once, and the answer waits for `release`. */
export function late() {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  const fault = async ({ forward, deliver }) => {
    const answer = await forward();
    await released;
    deliver(answer);
  };
  return Object.assign(fault, { release });
}
