// The console: one client, one state, one view at a time. It begins here.

import { createClient } from "./claviger/claviger.js";
import { openAccount } from "./account.js";
import { openEvents } from "./events.js";
import { onPress, onSubmit, say } from "./form.js";
import { watched } from "./service.js";
import { openSessions } from "./sessions.js";
import { openToken } from "./token.js";
import { whySignedOut } from "./words.js";

const AWAY = "The service does not answer. Nothing is lost: this page goes on by itself when it is back.";
const LOST = "You are signed out: in another tab, or because this browser did not keep the cookie.";
const INSECURE =
  "This page came by plain HTTP from another machine. Browsers tell a service too little then to let anybody sign in: open it by " +
  "https, or as localhost on the machine itself.";

const part = (name) => document.querySelector(name);
const client = createClient({
  storage: "cookie",
  fetch: watched((away) => {
    say(part("#away"), away ? AWAY : "", "failed");
    if (away) return;
    client.wake();
    if (view === "account") void load();
  }),
});

/** The view that is open, and what to say when the user has just left it. */
let [view, farewell] = ["unknown", ""];
/** A token from the link in a mail. */
let mailed = "";

const token = openToken(client);
const events = openEvents(client);
const sessions = openSessions(client, leave);
const account = openAccount(client, load, leave);

/** What changes without this page. */
async function load() {
  await Promise.all([sessions.load(), events.load()]);
}

/** Does what signs the user out, and says so in their words. */
async function leave(words, action) {
  farewell = words;
  try {
    await action();
  } catch (error) {
    farewell = "";
    throw error;
  }
}

/** Which view the state and the address ask for. */
function wanted({ status }) {
  const [name, secret] = location.hash.slice(1).split("=");
  if (secret) {
    mailed = secret;
    // Out of the address, before anybody looks at it or keeps it.
    history.replaceState(null, "", `#${name}`);
  }
  if (mailed && ["reset", "verify"].includes(name)) return name;
  if (status !== "signed-out") return status === "signed-in" ? "account" : "unknown";
  return ["sign-up", "forgotten"].includes(name) ? name : "sign-in";
}

function show() {
  const { state } = client;
  const [before, now] = [view, wanted(state)];
  view = now;
  if (now !== before) turn(before, state);
  account.show(state.user);
  part("[data-for=signed-in]").hidden = state.status !== "signed-in";
}

/** To the view that is open from now on. */
function turn(before, state) {
  for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== view;
  for (const form of document.forms) form.reset();
  for (const output of document.querySelectorAll("output")) say(output, "");
  if (view === "account") begin();
  else for (const panel of [token, sessions, events]) panel.end();
  if (view === "sign-in") say(part(".notice"), notice(before, state), farewell ? "done" : "failed");
  farewell = "";
  // Those who do not see the page hear where they are. The first view is where they are anyway.
  if (before !== "unknown") part(`[data-view=${view}] h1`).focus();
}

function begin() {
  history.replaceState(null, "", location.pathname);
  token.begin();
  void load();
}

function notice(before, { reason }) {
  if (farewell) return farewell;
  if (reason) return whySignedOut(reason);
  if (before === "account") return LOST;
  return isSecureContext ? "" : INSECURE;
}

onSubmit("#sign-in", (values) => client.login(values).then(() => ""));
onSubmit("#sign-up", async ({ full_name, ...values }) => {
  await client.register({ ...values, ...(full_name && { full_name }) });
  // Where addresses must be verified first, nobody is signed in yet.
  return "Look into your mail: the address must be verified before you can sign in.";
});
onSubmit("#forgotten", async (values) => {
  await client.requestPasswordReset(values);
  return "If there is such an account, a mail is on its way.";
});
onSubmit("#verify", async () => {
  await client.confirmEmailVerification({ token: mailed });
  if (client.state.user) await client.me();
  return "The address is verified.";
});
onSubmit("#reset", async (values) => {
  await client.confirmPasswordReset({ token: mailed, ...values });
  mailed = "";
  farewell = "The password is set. Sign in with it.";
  // Whoever is signed in here was signed out by that.
  await client.refresh().catch(() => {});
  location.hash = "#sign-in";
});
onPress(part("#sign-out"), part("#said"), () => leave("You are signed out.", () => client.logout()));

client.onChange(show);
addEventListener("hashchange", show);
show();
