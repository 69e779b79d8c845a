/**
 * What another wire's provider signed, inside an item of this wire.
 *
 * A Responses conversation has one place for text that only its maker can read and that every client sends back as it
 * came, in its order: `encrypted_content` of a `reasoning` item. Signatures, encrypted thoughts and blocks of server tools
 * travel there, with the wire and the provider that they are for.
 */
import type { Bound, Json, ReasoningPart, WireId } from "../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../lib/json.ts";

/** OpenAI's own begin with `gAAAA`, xAI's with base64 of anything: none of them has a dot. */
const MARK = "flow1.";

export interface Enclosed {
  /** What it is attached to: the reasoning of its own item, the text before it, the call with `callId`, or nothing. */
  readonly of: "reasoning" | "text" | "call" | "block";
  readonly bound: Bound;
  readonly form?: ReasoningPart["form"] | undefined;
  readonly callId?: string | undefined;
}

const PLACES: ReadonlySet<unknown> = new Set(["reasoning", "text", "call", "block"]);
const FORMS: ReadonlySet<unknown> = new Set(["full", "summary", "redacted"]);
const WIRES: ReadonlySet<unknown> = new Set<WireId>([
  ...(["openai-chat", "openai-responses", "anthropic-messages", "gemini", "bedrock", "cohere"] as const),
]);

export function enclose({ of, bound, form, callId }: Enclosed): string {
  const { wire, provider, signature, encrypted, id, data } = bound;
  return MARK + toBase64(JSON.stringify({ of, form, call: callId, wire, provider, signature, encrypted, id, data }));
}

/** Made by `enclose`, in one piece or not: no provider can read it. */
export function isEnclosed(content: string): boolean {
  return content.startsWith(MARK);
}

/** `null` for everything that `enclose` did not make. The text comes from a client: nothing in it is trusted. */
export function disclose(content: string): Enclosed | null {
  if (!isEnclosed(content)) return null;
  const value = tryParseJson(fromBase64(content.slice(MARK.length)));
  if (!isJsonObject(value) || !PLACES.has(value["of"]) || !WIRES.has(value["wire"])) return null;
  const { of, form, call, wire, provider, signature, encrypted, id, data } = value;
  return {
    of: of as Enclosed["of"],
    bound: {
      wire: wire as WireId,
      provider: typeof provider === "string" ? provider : null,
      ...(typeof signature === "string" ? { signature } : {}),
      ...(typeof encrypted === "string" ? { encrypted } : {}),
      ...(typeof id === "string" ? { id } : {}),
      ...(isJsonObject(data) ? { data: data as Json } : {}),
    },
    ...(FORMS.has(form) ? { form: form as ReasoningPart["form"] } : {}),
    ...(typeof call === "string" ? { callId: call } : {}),
  };
}

/** What one `String.fromCharCode` takes without running out of stack. */
const PIECE = 8_192;

function toBase64(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += PIECE) pieces.push(String.fromCharCode(...bytes.subarray(at, at + PIECE)));
  return btoa(pieces.join("")).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** `""` for what is not base64. */
function fromBase64(text: string): string {
  try {
    const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return new TextDecoder().decode(Uint8Array.from(raw, (letter) => letter.charCodeAt(0)));
  } catch {
    return "";
  }
}
