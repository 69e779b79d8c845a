/** What several readers of a chat request share: the policy's `params` under the client's fields, and inline bytes. */
import type { Json } from "../../conversation/part.ts";

/** A policy's `params` are tastes. Who answers, to what and in which shape is not theirs to say. */
const NOT_PARAMS: ReadonlySet<string> = new Set(["model", "messages", "stream", "stream_options", "route"]);
export const LIMIT_FIELDS = ["max_completion_tokens", "max_tokens"] as const;

/** May a policy's `params` fill in this member? */
export function isPolicyParam(name: string): boolean {
  return !NOT_PARAMS.has(name);
}

/** The client's fields over the target's `params`. */
export function effectiveFields(sent: Json, params: Json): Json {
  const fields: Record<string, unknown> = {};
  const isLimited = LIMIT_FIELDS.some((name) => sent[name] !== undefined);
  for (const [name, value] of Object.entries(params)) {
    const isLimit = LIMIT_FIELDS.some((each) => each === name);
    if (isPolicyParam(name) && !(isLimit && isLimited)) fields[name] = value;
  }
  for (const [name, value] of Object.entries(sent)) fields[name] = value;
  delete fields["route"];
  return fields;
}

/** Bytes that came inside the request, in base64. */
export interface Inline {
  readonly mediaType: string;
  readonly base64: string;
}

const DATA_URL = /^data:([a-z0-9.+-]+\/[a-z0-9.+-]+)?(?:;[a-z0-9-]+=[^;,]*){0,8};base64,/i;

/** The bytes of a `data:` URL, or `null` for any other address. */
export function inlineOf(url: string): Inline | null {
  const match = DATA_URL.exec(url.slice(0, 256));
  return match === null
    ? null
    : { mediaType: (match[1] ?? "application/octet-stream").toLowerCase(), base64: url.slice(match[0].length) };
}
