// A device: its service, its clock, the storage that its tabs share, and what a page hears.

import { webcrypto } from "node:crypto";
import { createClient } from "../src/claviger.js";
import { Clock } from "./clock.js";
import { ADA, API, BASE, Service } from "./service.js";

// Node 18 has it, but not where browsers do.
globalThis.crypto ??= webcrypto;

export class Device {
  /** What is stored, by name. */
  stored = new Map();
  jar = {};
  #listeners = new Set();

  constructor(t) {
    this.t = t;
    this.clock = new Clock(t);
    this.service = new Service(this.clock);
    this.page = new EventTarget();
    globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });
    globalThis.addEventListener = this.page.addEventListener.bind(this.page);
    globalThis.removeEventListener = this.page.removeEventListener.bind(this.page);
    console.warn = () => {};
    t.after(() => {
      for (const name of ["document", "addEventListener", "removeEventListener"]) delete globalThis[name];
      this.navigator({});
    });
  }

  /** A storage as a tab sees it: what one tab writes all can read, and the others hear of it a little later. */
  place() {
    const own = {};
    const tell = () => {
      for (const [tab, listener] of this.#listeners) if (tab !== own) setTimeout(listener, 50);
    };
    return Object.assign(own, {
      get: (name) => this.stored.get(name) ?? null,
      set: (name, text) => (this.stored.set(name, text), tell()),
      remove: (name) => (this.stored.delete(name), tell()),
      subscribe: (_name, listener) => {
        const entry = [own, listener];
        this.#listeners.add(entry);
        return () => this.#listeners.delete(entry);
      },
    });
  }

  navigator(value) {
    Object.defineProperty(globalThis, "navigator", { value, configurable: true });
  }

  /** Locks as browsers have them, as far as they are used. Gives how to hold one. */
  locks() {
    const tails = new Map();
    const request = (name, { signal }, task) => {
      const before = tails.get(name) ?? Promise.resolve();
      const gone = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      const turn = Promise.race([before, gone]).then(() => task());
      tails.set(name, Promise.allSettled([before, turn]));
      return turn;
    };
    this.navigator({ locks: { request } });
    return (name) => new Promise((held) => request(name, new AbortController(), () => new Promise((free) => held(free))));
  }

  /** What the tabs have stored. */
  record() {
    return JSON.parse(this.stored.get("claviger") ?? "null");
  }

  tab(options = {}) {
    const fetch = this.service.browser(this.jar);
    const client = createClient({ baseUrl: BASE, apis: [API], storage: this.place(), fetch, ...options });
    this.t.after(() => client.close());
    return client;
  }

  /**
   * A tab that keeps its token in a cookie; what else there is to keep is in the shared storage. Tabs are in one process here, so each
   * hears of its own changes too.
   */
  cookieTab(options) {
    const tell = () => setTimeout(() => this.page.dispatchEvent(Object.assign(new Event("storage"), { key: "claviger" })), 50);
    globalThis.localStorage = {
      getItem: (name) => this.stored.get(name) ?? null,
      setItem: (name, text) => (this.stored.set(name, text), tell()),
      removeItem: (name) => this.stored.delete(name) && tell(),
    };
    return this.tab({ storage: "cookie", ...options });
  }

  async signedIn(options) {
    const client = this.tab(options);
    await this.clock.until(this.service.users.size ? client.login(ADA) : client.register(ADA));
    return client;
  }

  see(visibilityState) {
    document.visibilityState = visibilityState;
    document.dispatchEvent(new Event("visibilitychange"));
  }

  wake(event = "online") {
    this.page.dispatchEvent(new Event(event));
  }
}
