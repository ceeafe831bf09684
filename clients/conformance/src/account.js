// The kit's own way to the service: an account for the run, and what others do to its sessions.

import { randomBytes } from "node:crypto";

export class Account {
  #service;
  #own;

  constructor(service, { email, password, own }) {
    Object.assign(this, { email, password });
    this.#service = service.replace(/\/+$/, "");
    this.#own = own;
  }

  /** The account of the environment, or a new one that nobody else knows. */
  static async open(service, { CONFORMANCE_EMAIL: email, CONFORMANCE_PASSWORD: password }) {
    if (email && password) return new Account(service, { email, password, own: false });
    const random = randomBytes(12).toString("hex");
    const account = new Account(service, { email: `conformance-${random}@example.com`, password: `Conformance ${random}`, own: true });
    const { status, body } = await account.#ask("register", { email: account.email, password: account.password });
    if (status !== 201) throw new Error(`the service does not register an account: ${status} ${body.code ?? ""}`);
    if (!body.refresh_token) throw new Error("the service wants addresses verified first: set CONFORMANCE_EMAIL and CONFORMANCE_PASSWORD");
    return account;
  }

  async #ask(path, body, { method = "POST", headers } = {}) {
    const init = { method, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body), redirect: "error" };
    for (let tries = 20; ; tries--) {
      const answer = await fetch(`${this.#service}/api/auth/${path}`, init);
      const text = await answer.text();
      if (answer.status !== 503 || tries === 0) return { status: answer.status, body: text ? JSON.parse(text) : {} };
      // Too busy, perhaps with other runs.
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  #login() {
    return this.#ask("login", { email: this.email, password: this.password, label: "conformance kit" });
  }

  refresh(refresh_token) {
    return this.#ask("refresh", { refresh_token });
  }

  logout(refresh_token) {
    return this.#ask("logout", { refresh_token });
  }

  /** Whether the service is strict: whether the window in which a refresh may be repeated without its key is 0 s. */
  async isStrict() {
    const { body } = await this.#login();
    if (!body.refresh_token) throw new Error(`the service does not sign in: ${body.code ?? ""}`);
    await this.refresh(body.refresh_token);
    const { status, body: second } = await this.refresh(body.refresh_token);
    if (status === 200) await this.logout(second.refresh_token);
    return second.code === "refresh_token_replayed";
  }

  /** Leaves nothing behind: the account that was made for this run goes. */
  async close() {
    if (!this.#own) return;
    const { body } = await this.#login();
    const headers = { authorization: `Bearer ${body.access_token}` };
    await this.#ask("me", { password: this.password }, { method: "DELETE", headers });
  }
}
