// What went wrong, in words for the person in front of the page.

import { ClavigerError } from "@claviger/client";

/** Fields that the page itself finds wrong, before anybody is asked. A whole sentence for each. */
export class InvalidFields extends Error {
  constructor(readonly fields: Record<string, string>) {
    super("fields are wrong");
  }
}

/** What the APIs say of a field begins with a verb. */
const SUBJECTS: Record<string, string> = {
  email: "The address",
  full_name: "The name",
  password: "The password",
  new_password: "The new password",
  title: "The title",
  text: "The text",
};

/** A sentence for each field that is wrong, by its name. */
export function fieldsOf(error: unknown): Record<string, string> {
  if (error instanceof InvalidFields) return error.fields;
  if (!(error instanceof ClavigerError)) return {};
  const sentences = error.fields.map(({ field, message }) => [field, `${SUBJECTS[field] ?? "This"} ${message}.`]);
  return Object.fromEntries(sentences);
}

/** Whether it will probably go by itself: nobody answered, or somebody who is busy. */
export const isTemporary = (error: unknown) =>
  error instanceof ClavigerError && (error.status === 0 || error.status === 429 || error.status >= 500);

export function explain(error: unknown): string {
  if (!(error instanceof ClavigerError)) return "Something went wrong in this page. Load it again.";
  if (error.status === 429) return `Too many tries. Try again ${wait(error.retryAfter)}.`;
  if (isTemporary(error) || error.code === "unreadable") return "The service is not answering. Try again in a moment.";
  if (error.code === "invalid_credentials") return "The address or the password is wrong.";
  return error.message;
}

function wait(seconds: number | null): string {
  if (!seconds) return "later";
  return seconds < 90 ? `in ${seconds} seconds` : `in ${Math.ceil(seconds / 60)} minutes`;
}
