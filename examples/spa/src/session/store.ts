// Who is signed in, as the client says, for components to select from. Not stored: the client has that in its own record.

import type { Reason, State } from "@claviger/client";
import { create } from "zustand";

import { clearDraft, useDraft, usePreferences } from "../kept";
import { client } from "./client";

interface Session extends State {
  /** What a page should tell about the end of the last session: why the service ended it, or that its owner has left. */
  readonly news: Reason | "left" | null;
}

export const useSession = create<Session>()(() => ({ ...client.state, news: client.state.reason }));

/** How often a service that cannot say who is signed in is asked again, in milliseconds. */
const AGAIN = 5000;
let asking: ReturnType<typeof setInterval> | undefined;

function follow(now: State) {
  const before = useSession.getState();
  const left = before.status === "signed-in" && now.status === "signed-out" && !now.reason;
  // Whoever leaves may leave the device to somebody else.
  if (left) forget();
  const { author } = useDraft.getState();
  if (now.user && author && author !== now.user.id) clearDraft();
  const news = now.status === "signed-in" ? null : (now.reason ?? (left ? "left" : before.news));
  useSession.setState({ ...now, news });
  keepAsking(now);
}

function forget() {
  clearDraft();
  usePreferences.setState({ lastEmail: "" });
}

function keepAsking({ status }: State) {
  clearInterval(asking);
  if (status === "unknown") asking = setInterval(client.wake, AGAIN);
}

client.onChange(follow);
keepAsking(client.state);

/** The news has been read. */
export const dismissNews = () => useSession.setState({ news: null });

export async function signIn(email: string, password: string) {
  await client.login({ email, password });
  usePreferences.setState({ lastEmail: email });
}

/** Whether the new user is signed in: where addresses must be verified first, they have a mail instead. */
export async function register(email: string, password: string, fullName: string): Promise<boolean> {
  await client.register({ email, password, ...(fullName && { full_name: fullName }) });
  usePreferences.setState({ lastEmail: email });
  return client.state.status === "signed-in";
}
