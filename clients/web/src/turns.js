// One thing after the other, in this page and, where browsers have locks, in all tabs.

/** How long to wait for another tab, in milliseconds: it may have been frozen. */
const PATIENCE = 8000;

/** @param {string | null} name of the lock; null if nobody else is there */
export function openTurns(name) {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();

  /** @template T @param {() => Promise<T>} task @returns {Promise<T>} */
  async function locked(task) {
    const locks = globalThis.navigator?.locks;
    if (!name || !locks) return task();
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE);
    let begun = false;
    const begin = () => {
      begun = true;
      clearTimeout(timer);
      return task();
    };
    return locks.request(name, { signal: patience.signal }, begin).catch((error) => {
      if (begun) throw error;
      // Without it goes as well: the service answers two at once alike.
      return begin();
    });
  }

  /** @template T @param {() => Promise<T>} task @returns {Promise<T>} */
  return (task) => {
    const turn = last.then(() => locked(task));
    last = turn.catch(() => {});
    return turn;
  };
}
