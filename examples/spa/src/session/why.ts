// Why somebody was signed out, in their language.

import type { Reason } from "@claviger/client";

import { moment } from "../ui/format";

const ENDED: Record<string, string> = {
  logout: "You signed out of this session on another device.",
  logout_all: "You signed out everywhere.",
  revoked: "This session was ended, by you on another device or by an administrator.",
  password_changed: "Your password was changed. Sign in with the new one.",
  disabled: "Your account has been disabled.",
  replaced: "You signed in again in this browser.",
  evicted: "You are signed in on so many devices that the one that was idle longest was signed out.",
  replayed:
    "A copy of your sign-in was used somewhere else, so this session was ended to protect you. " +
    "If you do not know why, change your password.",
};

const CODES: Record<string, string> = {
  session_expired: "You were away for so long that your session ran out.",
  refresh_token_replayed: ENDED.replayed ?? "",
};

export function why({ code, ended_by, ended_at }: Reason): string {
  const text = CODES[code] ?? ENDED[ended_by ?? ""] ?? "Your session is over.";
  return ended_at ? `${text} That was ${moment(ended_at)}.` : text;
}

/** The same about a session of a list, in two words. */
export const endedBy: Record<string, string> = {
  logout: "signed out",
  logout_all: "signed out everywhere",
  revoked: "ended",
  password_changed: "password changed",
  disabled: "account disabled",
  evicted: "too many devices",
  replaced: "signed in again",
  replayed: "copied sign-in",
  expired: "ran out",
};
