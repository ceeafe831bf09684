// An access token and its age, by two clocks, of which neither is believed alone.

/** Tokens are renewed when 75 to 90 % of their life is over: at random, so that tabs and devices do not go in step. */
const EARLY = 0.75;
const SPREAD = 0.15;

/**
 * `performance.now` runs evenly whatever anybody does to the clock, but may stand still while a device sleeps. `Date` goes on,
 * but may be set to anything. So either may say that it is time to refresh, and none that a token is dead: only a 401 can.
 * @param {string} token
 * @param {number} seconds its life from its issue
 * @param {number} wall when it came, by `Date`
 */
export function access(token, seconds, wall) {
  const life = seconds * 1000;
  const early = life * (EARLY + Math.random() * SPREAD);
  const since = performance.now();
  // It was stored before the clock was set back: then nothing is known about its age.
  const unknown = wall > Date.now();
  const age = () => Math.max(performance.now() - since, unknown ? 0 : Date.now() - wall);
  return {
    token,
    /** Whether it is time for the next one. */
    due: () => unknown || age() >= early,
    /** Whether it would probably be refused. */
    stale: () => unknown || age() >= life,
    /** In how many milliseconds it is time. */
    wait: () => early - age(),
  };
}
