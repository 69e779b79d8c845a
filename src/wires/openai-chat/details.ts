/**
 * `reasoning_details`, `extra_content` and `server_tool_blocks`: where chat clients keep what one provider signed.
 *
 * The entries have OpenRouter's shape, whose clients read them: `type` (`reasoning.text`, `reasoning.summary`,
 * `reasoning.encrypted`), `text` or `summary` or `data`, `signature`, `id`, `index`, and `format`, which names the wire.
 * https://openrouter.ai/docs/use-cases/reasoning-tokens#reasoning_details-array-structure
 */
import type { Bound, Json, ReasoningPart, WireId } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";

/** What is written per wire, and what is read: the names that this router wrote before included. */
const WRITTEN: Readonly<Record<WireId, string>> = {
  "anthropic-messages": "anthropic-claude-v1",
  gemini: "google-gemini-v1",
  "openai-responses": "openai-responses-v1",
  bedrock: "bedrock",
  cohere: "cohere",
  "openai-chat": "unknown",
};
const READ: ReadonlyMap<unknown, WireId> = new Map<unknown, WireId>([
  ["anthropic-claude-v1", "anthropic-messages"],
  ["anthropic", "anthropic-messages"],
  ["google-gemini-v1", "gemini"],
  ["google", "gemini"],
  ["openai-responses-v1", "openai-responses"],
  ["xai-responses-v1", "openai-responses"],
  ["bedrock", "bedrock"],
  ["cohere", "cohere"],
]);

/** The wire that an entry's `format` names; `undefined` for one that this router does not know. */
function wireOf(format: unknown): WireId | undefined {
  return READ.get(format);
}

/** The `format` under which chat clients get what `wire` signed. */
export function formatOf(wire: WireId): string {
  return WRITTEN[wire];
}

/** Members of a message that hold blocks of a provider's own tools, and the wire that each is for. */
export const BLOCK_MEMBERS: readonly (readonly [name: string, wire: WireId])[] = [
  ["server_tool_blocks", "anthropic-messages"],
  ["bedrock_blocks", "bedrock"],
  ["google_parts", "gemini"],
  ["response_items", "openai-responses"],
];

/** The member for a block of `wire`. */
export function blockMember(wire: WireId): string {
  return BLOCK_MEMBERS.find(([, own]) => own === wire)?.[0] ?? "server_tool_blocks";
}

/** The id of an entry that is the phase of the text before it: remark or final answer (Responses). */
const PHASE_ID = "phase";

/** One entry as a part; `null` for an entry that only its own writer understands. */
export function readDetail(entry: unknown, path: string): ReasoningPart | null {
  if (!isJsonObject(entry)) return null;
  const wire = wireOf(entry["format"]);
  if (wire === undefined) return null;
  const { type, text, summary, data, signature, id, provider, from, to } = entry;
  const bound: Bound = {
    wire,
    provider: typeof provider === "string" ? provider : null,
    ...(isText(signature) ? { signature } : {}),
    ...(isText(data) ? { encrypted: data } : {}),
    ...(isText(id) ? { id } : {}),
    // Written before there was a layout: which characters of the text the signed part had.
    ...(Number.isInteger(from) && Number.isInteger(to) ? { data: { from, to } } : {}),
  };
  if (wire === "openai-responses" && id === PHASE_ID && isText(data)) {
    return {
      kind: "reasoning",
      path,
      form: "redacted",
      text: "",
      bound: { wire, provider: bound.provider, data: { phase: data } },
    };
  }
  switch (type) {
    case "reasoning.text":
      return { kind: "reasoning", path, form: "full", text: typeof text === "string" ? text : "", bound };
    case "reasoning.summary":
      return { kind: "reasoning", path, form: "summary", text: typeof summary === "string" ? summary : "", bound };
    case "reasoning.encrypted":
      return { kind: "reasoning", path, form: "redacted", text: typeof text === "string" ? text : "", bound };
    default:
      return null;
  }
}

/** The entry for reasoning that a provider wants back. */
export function writeDetail(text: string, form: ReasoningPart["form"], bound: Bound, index?: number): Json {
  const format = formatOf(bound.wire);
  const common = {
    ...(bound.id === undefined ? {} : { id: bound.id }),
    format,
    ...(index === undefined ? {} : { index }),
    ...(bound.provider === null ? {} : { provider: bound.provider }),
  };
  const phase = bound.wire === "openai-responses" ? bound.data?.["phase"] : undefined;
  if (isText(phase)) return { type: "reasoning.encrypted", data: phase, ...common, id: PHASE_ID };
  if (bound.encrypted !== undefined) {
    return { type: "reasoning.encrypted", ...(text === "" ? {} : { text }), data: bound.encrypted, ...common };
  }
  const signature = bound.signature === undefined ? {} : { signature: bound.signature };
  return form === "summary"
    ? { type: "reasoning.summary", summary: text, ...signature, ...common }
    : { type: "reasoning.text", text, ...signature, ...common };
}

/** What a call carries for its provider: `extra_content.<name>`, the place that Google's own endpoint uses. */
const EXTRA_NAMES: Readonly<Partial<Record<WireId, string>>> = {
  gemini: "google",
  "anthropic-messages": "anthropic",
  bedrock: "bedrock",
  cohere: "cohere",
  "openai-responses": "openai",
};

export function writeCallExtra(bound: Bound | undefined): Json {
  const name = bound === undefined ? undefined : EXTRA_NAMES[bound.wire];
  if (bound === undefined || name === undefined) return {};
  const own = {
    ...(bound.signature === undefined ? {} : { thought_signature: bound.signature }),
    ...(bound.id === undefined ? {} : { id: bound.id }),
    ...bound.data,
  };
  return Object.keys(own).length === 0 ? {} : { extra_content: { [name]: own } };
}

export function readCallExtra(call: Json): Bound | undefined {
  const extra = call["extra_content"];
  if (!isJsonObject(extra)) return undefined;
  for (const [wire, name] of Object.entries(EXTRA_NAMES)) {
    const own = extra[name];
    if (!isJsonObject(own)) continue;
    const { thought_signature: signature, id, ...data } = own;
    return {
      wire: wire as WireId,
      provider: null,
      ...(isText(signature) ? { signature } : {}),
      ...(isText(id) ? { id } : {}),
      ...(Object.keys(data).length === 0 ? {} : { data }),
    };
  }
  return undefined;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
