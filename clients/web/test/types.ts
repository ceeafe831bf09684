// What applications write must keep its types.

import { type Client, ClavigerError, createClient, type State } from "../src/claviger.js";

const client: Client = createClient({ baseUrl: "https://auth.example.com", storage: "cookie", apis: ["https://api.example.com"] });
createClient({ storage: { get: async (name) => name, set: async () => {}, remove: async () => {} } });
const stop: () => void = client.onChange((state: State) => state.reason?.ended_by?.toUpperCase());
const platform: typeof fetch = client.fetch;
const email: string = (await client.login({ email: "ada@example.com", password: "…" })).email;
const token: string | null = await client.accessToken();
const seconds: number | null = client.refreshIn();
// @ts-expect-error A login needs a password.
client.login({ email });
// @ts-expect-error There is no such storage.
createClient({ storage: "sessionStorage" });
const fields = (error: unknown) => (error instanceof ClavigerError ? error.fields.map(({ field }) => field) : []);
export { fields, platform, seconds, stop, token };
