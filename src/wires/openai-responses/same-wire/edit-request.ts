/**
 * A client's Responses body for a provider that speaks Responses: its own text, with only the necessary changes.
 *
 * Upstream every request is whole and stateless, so that a conversation outlives the provider that began it: nothing is
 * stored there, and thoughts are asked for in the form that can be sent back.
 * https://platform.openai.com/docs/api-reference/responses/create
 */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../../lib/json.ts";
import { editElements } from "../../../lib/json-spans.ts";
import type { AdapterCall } from "../../../providers/adapter.ts";
import { disclose, isEnclosed } from "../envelope.ts";
import { isFor, textOf } from "../items.ts";

export interface EditOptions {
  /** The provider's id: what it encrypted goes back to it only. */
  readonly provider: string;
  /** What the policy's `params` come to in this wire. */
  readonly params: Json;
  /** Is this text one that the provider may have encrypted? */
  readonly ownsThoughts: (encrypted: string) => boolean;
  /** Thoughts that are not encrypted are looked up by their id, which fails where nothing is stored. */
  readonly looksUpThoughts: boolean;
}

export interface EditedRequest {
  readonly body: string;
  /** Names of members that the client sent and that were left out. */
  readonly dropped: readonly string[];
}

const ENCRYPTED = "reasoning.encrypted_content";
/** Members that only an answer has a use for: a count is refused with them. */
const OF_ANSWERS = [
  ...["stream", "stream_options", "store", "include", "max_output_tokens", "max_tool_calls", "temperature", "top_p"],
  ...["top_logprobs", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"],
  ...["user", "background"],
] as const;
const NEEDED: ReadonlySet<string> = new Set(["model", "input", "stream", "store", "max_output_tokens"]);

export function editRequest(call: AdapterCall, options: EditOptions): EditedRequest {
  const { body, fields, model, maxOutputTokens, action, without = [] } = call;
  const dropped: string[] = [];
  body.set("model", model).remove("previous_response_id");
  for (const [name, value] of Object.entries(options.params)) if (!body.has(name)) body.set(name, value);
  if (action === "input_tokens") for (const name of OF_ANSWERS) body.remove(name);
  if (action === undefined) {
    const { max_output_tokens: wanted } = fields;
    const cap = typeof wanted === "number" ? Math.min(wanted, maxOutputTokens ?? wanted) : maxOutputTokens;
    if (cap !== undefined && cap !== wanted) body.set("max_output_tokens", cap);
    body.set("store", false);
    askForThoughts(call);
  }
  for (const name of without) {
    if (NEEDED.has(name) || !body.has(name)) continue;
    body.remove(name);
    if (Object.hasOwn(fields, name)) dropped.push(name);
  }
  const input = body.raw("input");
  if (input?.startsWith("[") === true) body.setRaw("input", itemsFor(input, options));
  return { body: body.toString(), dropped };
}

/** Models that do not reason refuse to be asked for it. */
function askForThoughts({ body, fields, reasons }: AdapterCall): void {
  const { include, reasoning } = fields;
  const mayReason =
    reasons === true || (reasons === undefined && isJsonObject(reasoning) && textOf(reasoning["effort"]));
  const asked: readonly unknown[] = Array.isArray(include) ? include : [];
  if (mayReason && !asked.includes(ENCRYPTED)) body.set("include", [...asked, ENCRYPTED]);
}

/**
 * The text of `input` as the provider takes it: what this router enclosed for it is taken out of its envelope, and what is
 * another provider's stays out. Every other byte stays.
 */
export function itemsFor(input: string, options: EditOptions): string {
  if (!input.includes('"reasoning"')) return input;
  let hasDropped = false;
  const text = editElements(input, (element) => {
    const item = element.includes('"reasoning"') ? tryParseJson(element) : undefined;
    if (!isJsonObject(item) || item["type"] !== "reasoning") return undefined;
    const own = thoughtFor(item, options);
    if (own === null) hasDropped = true;
    return own === item ? undefined : own === null ? null : JSON.stringify(own);
  });
  // A call that names itself is refused where the thought before it is missing.
  return hasDropped && options.looksUpThoughts ? editElements(text, withoutId) : text;
}

/** The item itself where it may pass, `null` where it must not. */
function thoughtFor(item: Json, { provider, ownsThoughts, looksUpThoughts }: EditOptions): Json | null {
  const content = textOf(item["encrypted_content"]);
  if (content === undefined) return looksUpThoughts ? null : item;
  if (!isEnclosed(content)) return ownsThoughts(content) ? item : null;
  const enclosed = disclose(content);
  const { encrypted, id } = enclosed?.bound ?? {};
  if (enclosed?.of !== "reasoning" || encrypted === undefined || !isFor(enclosed.bound, provider)) return null;
  const { id: _, ...rest } = item;
  // The two belong together: under another id the provider refuses what it encrypted.
  return { ...rest, ...(id === undefined ? {} : { id }), encrypted_content: encrypted };
}

const NAMED: ReadonlySet<unknown> = new Set(["function_call", "custom_tool_call", "message"]);

function withoutId(element: string): string | undefined {
  const item = element.includes('"id"') ? tryParseJson(element) : undefined;
  const isNamed = isJsonObject(item) && NAMED.has(item["type"]) && item["role"] !== "user";
  return isNamed ? new JsonEdit(element).remove("id").toString() : undefined;
}
