// What codes, times and devices are called. Codes that are not here are shown as they are: the service may be newer.

const TO_THE_MINUTE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const TO_THE_SECOND = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** @param {string} time by RFC 3339 */
export const when = (time) => TO_THE_MINUTE.format(new Date(time));

/** @param {number} seconds since 1970, as tokens count */
export const tokenTime = (seconds) => TO_THE_SECOND.format(new Date(seconds * 1000));

export function duration(seconds) {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

const ENDED_BY = {
  logout: "signed out",
  logout_all: "signed out everywhere",
  revoked: "ended from another device, or by an administrator",
  password_changed: "the password was changed",
  disabled: "the account was disabled",
  replayed: "an old token was used again",
  evicted: "made room for a newer session",
  replaced: "signed in again on that device",
  expired: "not used for too long",
};

export const endedBy = (code) => ENDED_BY[code] ?? code;

const OVER = {
  ...ENDED_BY,
  logout: "This session was signed out.",
  logout_all: "You were signed out everywhere.",
  revoked: "This session was ended from another device, or by an administrator.",
  password_changed: "The password was changed, which ends the other sessions. Sign in with the new one.",
  disabled: "The account was disabled.",
  replayed:
    "An old token of this session was used again: somebody may have a copy, so the session was ended. Sign in, look at your " +
    "sessions and events, and change your password if you do not know the place.",
  evicted: "There were too many sessions of this account, and this one was idle for the longest.",
  replaced: "You signed in again on this device, and the new session took the place of this one.",
  session_expired: "This session was not used for too long, or is too old.",
  refresh_token_invalid: "The service does not know this session any more.",
};

/** Why the service ended the session, for its owner. */
export function whySignedOut({ code, ended_by, ended_at }) {
  const cause = ended_by ?? (code === "refresh_token_replayed" ? "replayed" : code);
  return `You are signed out. ${OVER[cause] ?? cause}${ended_at ? ` That was ${when(ended_at)}.` : ""}`;
}

const FAILED = {
  invalid_credentials: "The address or the password is wrong.",
  unreachable: "The service did not answer. Nothing is lost; try again.",
  unreadable: "Something between here and the service answered in its place. Try again.",
  database_unavailable: "The service cannot reach its database. Nothing was changed; try again.",
  validation_failed: "Please correct what is marked.",
  account_disabled: "This account is disabled.",
  email_not_verified: "This address must be verified first: open the link in the mail that we sent to it.",
  not_found: "There is nothing like that here. For mails: this service sends none.",
  origin_not_allowed:
    "The service does not let this page keep anybody signed in: the browser does not say that the page comes from it. Open it by " +
    "https, or as localhost on the same machine.",
};

/** What to tell somebody whose call failed. */
export function whyFailed({ code, message, retryAfter }) {
  if (code === "rate_limited") return `Too many tries. Try again in ${duration(retryAfter ?? 60)}.`;
  return FAILED[code] ?? `${message}.`;
}

const EVENTS = {
  registered: "Account created",
  logged_in: "Signed in",
  login_failed: "Failed login",
  session_ended: "Session ended",
  refresh_token_replayed: "Old token used again",
  password_change_failed: "Wrong password at a password change",
  account_deletion_failed: "Wrong password at a deletion",
  email_change_failed: "Wrong password at a change of address",
  email_verified: "Address verified",
  email_changed: "Address changed",
  data_exported: "Copy of the data downloaded",
};

export function event({ kind, reason }) {
  const words = EVENTS[kind] ?? `${kind[0].toUpperCase()}${kind.slice(1).replaceAll("_", " ")}`;
  return reason && kind !== "refresh_token_replayed" ? `${words}: ${endedBy(reason).replaceAll("_", " ")}` : words;
}

const PROGRAMS = { "Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari", "curl/": "curl" };
const SYSTEMS = { iPhone: "iPhone", iPad: "iPad", Android: "Android", Windows: "Windows", "Mac OS": "macOS", Linux: "Linux" };

/** A short name for what sent a request; the header itself if it is none of the usual. */
export function device(userAgent) {
  if (!userAgent) return "Unknown device";
  const [program, system] = [PROGRAMS, SYSTEMS].map((names) => names[Object.keys(names).find((name) => userAgent.includes(name))]);
  return program ? [program, system].filter(Boolean).join(" on ") : userAgent;
}

/** What the claims of an access token mean. Those of profiles have no words here. */
export const CLAIMS = {
  alg: "how it is signed",
  iss: "who issued it",
  aud: "whom it is for",
  sub: "your id",
  sid: "this session",
  jti: "this token",
  iat: "issued",
  exp: "good until",
  auth_time: "password given",
};
