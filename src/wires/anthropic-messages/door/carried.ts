/**
 * What another provider signed, inside blocks that clients of this wire send back untouched.
 *
 * A conversation may be answered by any provider behind this door. Its signatures and encrypted thoughts travel as the
 * `signature` of a thinking block or the `data` of a redacted one, marked, and are taken out again when they come back.
 * To a provider of this wire a marked block means nothing: it is taken out of what is passed on as it came.
 */
import type { Bound, ReasoningPart, WireId } from "../../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";

const MARK = "flow1.";
/** The signature of a thinking block of which only the text is known: a mark that carries nothing. */
export const UNSIGNED = MARK;

/** What the bound data belongs to: the thought that contains it, the text before it, the call behind it, or itself. */
export type Owner = "reasoning" | "text" | "call" | "block" | "own";

export interface Carried {
  readonly of: Owner;
  readonly form: ReasoningPart["form"];
  readonly bound: Bound;
}

export function carry({ of, form, bound }: Carried): string {
  return MARK + toBase64(JSON.stringify({ of, form, ...bound }));
}

export function isCarried(text: unknown): text is string {
  return typeof text === "string" && text.startsWith(MARK);
}

/** `null` for what was not carried, or was damaged on its way. */
export function uncarried(text: unknown): Carried | null {
  if (!isCarried(text)) return null;
  const value = tryParseJson(fromBase64(text.slice(MARK.length)));
  if (!isJsonObject(value)) return null;
  const { of, form, wire, provider, signature, encrypted, id, data } = value;
  if (!OWNERS.has(of) || !WIRES.has(wire)) return null;
  return {
    of: of as Owner,
    form: FORMS.has(form) ? (form as ReasoningPart["form"]) : "full",
    bound: {
      wire: wire as WireId,
      provider: typeof provider === "string" ? provider : null,
      ...(typeof signature === "string" ? { signature } : {}),
      ...(typeof encrypted === "string" ? { encrypted } : {}),
      ...(typeof id === "string" ? { id } : {}),
      ...(isJsonObject(data) ? { data } : {}),
    },
  };
}

const OWNERS: ReadonlySet<unknown> = new Set(["reasoning", "text", "call", "block", "own"]);
const FORMS: ReadonlySet<unknown> = new Set(["full", "summary", "redacted"]);
const WIRES: ReadonlySet<unknown> = new Set([
  ...["openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock", "cohere"],
]);

function toBase64(text: string): string {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(text), (char) => char.charCodeAt(0)));
  } catch {
    return "";
  }
}
