/** Parts of an answer as content blocks, as both whole answers and streams have them. */
import type { Bound, CallPart, Json, Media, ReasoningPart } from "../../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";
import { RawJson } from "../../../lib/raw-json.ts";
import { imageSource } from "../media.ts";
import { carry, type Owner, UNSIGNED } from "./carried.ts";

const WIRE = "anthropic-messages";

/** A block that carries what another provider bound. Clients send it back without looking into it. */
export function carrier(of: Owner, bound: Bound): Json {
  return { type: "redacted_thinking", data: carry({ of, form: "redacted", bound }) };
}

/** The signature of a thinking block. */
export function signatureOf(form: ReasoningPart["form"], bound: Bound | undefined): string {
  if (bound === undefined) return UNSIGNED;
  if (bound.wire !== WIRE) return carry({ of: "reasoning", form, bound });
  return bound.signature ?? UNSIGNED;
}

/** What cannot be read at all. */
export function redacted(bound: Bound): Json {
  if (bound.wire !== WIRE) return carrier("own", bound);
  const { encrypted, signature } = bound;
  return encrypted === undefined
    ? { type: "thinking", thinking: "", signature: signature ?? UNSIGNED }
    : { type: "redacted_thinking", data: encrypted };
}

export function providerBlock(bound: Bound): Json {
  return bound.wire === WIRE && bound.data !== undefined ? bound.data : carrier("block", bound);
}

/** `null` for nothing to carry: this wire's own are members of the call. */
export function callCarrier(bound: Bound | undefined): Json | null {
  return bound === undefined || bound.wire === WIRE ? null : carrier("call", bound);
}

type Call = Pick<CallPart, "id" | "name" | "namespace" | "bound">;

/** The block of a call, without its input. */
export function callBlock({ id, name, namespace, bound }: Call): Json {
  const { caller, toolset_name: toolset } = bound?.wire === WIRE ? (bound.data ?? {}) : {};
  return {
    type: "tool_use",
    id,
    name: namespace === undefined ? name : `${namespace}__${name}`,
    ...(isJsonObject(caller) ? { caller } : {}),
    ...(typeof toolset === "string" ? { toolset_name: toolset } : {}),
  };
}

/** The exact text of the arguments where it is an object. The door refuses an answer in which one is not. */
export function inputOf({ form, args }: Pick<CallPart, "form" | "args">): unknown {
  if (form === "custom") return { input: args };
  return isJsonObject(tryParseJson(args)) ? new RawJson(args) : {};
}

const CITATIONS: ReadonlySet<unknown> = new Set([
  ...["char_location", "page_location", "content_block_location", "web_search_result_location"],
  ...["search_result_location"],
]);

/** A citation in this wire's spelling; those of others are annotations of the text. */
export function isOwnCitation(citation: Json): boolean {
  return CITATIONS.has(citation["type"]);
}

/** `null` for a picture that cannot be shown. */
export function imageBlock(media: Media): Json | null {
  const source = imageSource(media, false);
  return source === null ? null : { type: "image", source };
}
