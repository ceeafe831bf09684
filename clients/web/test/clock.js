// Time as tests want it. A timer fires when a test lets that time pass; the clocks of the device go on with it, or are moved apart.

const real = { setTimeout, clearTimeout, now: performance.now, dateNow: Date.now };
const settled = () => new Promise((resolve) => setImmediate(resolve));
// Not to be assigned in Node 18.
const evenly = (now) => Object.defineProperty(performance, "now", { value: now, configurable: true });

export class Clock {
  /** How far `performance.now` is, and how long ago everything began. */
  now = 0;
  /** What the device's clock says that it should not. */
  wrong = 0;
  /** How long the device slept, while `performance.now` stood still. */
  slept = 0;
  #timers = new Map();
  #next = 1;

  constructor(t) {
    globalThis.setTimeout = (task, ms = 0) => {
      this.#timers.set(this.#next, { task, at: this.now + ms });
      return this.#next++;
    };
    globalThis.clearTimeout = (id) => this.#timers.delete(id);
    evenly(() => this.now);
    Date.now = () => 1_800_000_000_000 + this.now + this.slept + this.wrong;
    t.after(() => {
      Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
      evenly(real.now.bind(performance));
      Date.now = real.dateNow;
    });
  }

  /** The time of the service, which is right. */
  get true() {
    return this.now + this.slept;
  }

  /** Lets time pass, in steps short enough for what follows from each timer. */
  async pass(ms) {
    const end = this.now + ms;
    await settled();
    while (this.now < end) {
      const at = Math.min(end, ...[...this.#timers.values()].map((timer) => timer.at));
      this.now = Math.max(this.now, at);
      for (const [id, timer] of [...this.#timers]) {
        if (timer.at > this.now || !this.#timers.delete(id)) continue;
        timer.task();
      }
      await settled();
      await settled();
    }
  }

  /** Lets time pass until something has come, or failed to. */
  async until(promise, most = 120_000) {
    let is = false;
    promise.then(
      () => (is = true),
      () => (is = true),
    );
    const end = this.now + most;
    for (await settled(); !is && this.now < end; ) await this.pass(10);
    if (!is) throw new Error("waited in vain");
    return promise;
  }
}
