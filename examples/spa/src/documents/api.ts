// The calls of the resource server. The client's fetch says who calls, refreshes after a 401 and repeats the call.

import { ClavigerError, type Problem } from "@claviger/client";

import { API_URL, client } from "../session/client";

/** A text that was analysed. Without an id it was not kept. */
export interface AnalysedDocument {
  id: string | null;
  title: string;
  words: number;
  characters: number;
  reading_seconds: number;
  kept: boolean;
  created_at: string;
}

export type KeptDocument = AnalysedDocument & { id: string };

/** Fails with a {@link ClavigerError}, as the calls of the service do: both speak of problems in the same way. */
async function call(method: string, path: string, more: { body?: object; signal?: AbortSignal } = {}) {
  const { body, signal } = more;
  const what = body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  try {
    const response = await client.fetch(API_URL + path, { method, ...what, ...(signal && { signal }) });
    if (response.status === 204) return null;
    const answer: unknown = await response.json();
    if (!response.ok) throw problem(response, answer as Problem);
    return answer;
  } catch (cause) {
    if (cause instanceof ClavigerError || signal?.aborted) throw cause;
    throw new ClavigerError(0, { code: "unreachable" }, { cause });
  }
}

function problem(response: Response, answer: Problem) {
  const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
  return new ClavigerError(response.status, answer, { retryAfter: Number.isNaN(seconds) ? null : seconds });
}

const at = (id: string) => `/documents/${encodeURIComponent(id)}`;

export const analyse = async (title: string, text: string) =>
  (await call("POST", "/documents", { body: { title, text } })) as AnalysedDocument;

/** Newest first. */
export const listDocuments = async (signal: AbortSignal) =>
  ((await call("GET", "/documents", { signal })) as { documents: KeptDocument[] }).documents;

export const getDocument = async (id: string, signal: AbortSignal) =>
  (await call("GET", at(id), { signal })) as KeptDocument;

export async function deleteDocument(id: string) {
  await call("DELETE", at(id));
}
