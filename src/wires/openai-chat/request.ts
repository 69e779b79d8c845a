/**
 * Requests in OpenAI's protocol, for every adapter that speaks it.
 *
 * The client's own text is edited, never rebuilt: whatever a row does not name reaches the provider byte for byte.
 * Headers go the other way: they are made from nothing, so nothing of the client's can slip through.
 */
import { firstSerious, type Loss } from "../../conversation/loss.ts";
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../lib/json.ts";
import type { AdapterCall, Refusal, UpstreamRequest } from "../../providers/adapter.ts";
import type { ModelLimits, ProviderRow } from "../../providers/provider-row.ts";
import { upstreamHeaders } from "../../providers/provider-settings.ts";
import { UntranslatableRequest } from "../untranslatable.ts";
import { effectiveFields, isPolicyParam, LIMIT_FIELDS } from "./chat-wire.ts";
import { nearestEffort } from "./edit/efforts.ts";
import { writeHistory } from "./edit/history.ts";
import { asksForNothing, membersLost, soundsLost, toolsLost } from "./edit/members.ts";
import { aliasesFor } from "./edit/names.ts";
import { writeTools } from "./edit/tools.ts";

/** The catalogue's word on the model of a call. Asked for only where a member depends on it. */
export type LimitsOf = (model: string) => ModelLimits | undefined;

const NO_LIMITS: LimitsOf = () => undefined;

/** Members that may be wanted or refused by the model, as the catalogue knows it. */
const MODEL_MEMBERS = [
  ...["reasoning_effort", "temperature", "top_p", "stop", "presence_penalty", "frequency_penalty", "logprobs"],
  ...["top_logprobs", "logit_bias"],
] as const;

/** The first thing that `fields` really ask for and that this target cannot do: `n: 1` or no `tools` asks for nothing. */
export function missingCapability(
  row: ProviderRow,
  fields: Json,
  model = "",
  limitsOf: LimitsOf = NO_LIMITS,
): string | null {
  const losses = lossesOf(row, fields, limitsFor(row, fields, model, limitsOf), []);
  const lost = firstSerious(losses) ?? losses.find(({ weight }) => weight === "unmet");
  if (lost !== undefined) return lost.path;
  const format = fields["response_format"];
  const wantsSchema = isJsonObject(format) && format["type"] === "json_schema";
  return wantsSchema && row.cannot?.includes("json_schema") === true ? "json_schema" : null;
}

/** The first content of `fields` that this provider cannot be sent, for a target that is the only one. */
export function contentRefusal(row: ProviderRow, fields: Json): Refusal | null {
  const serious = firstSerious(lossesOf(row, fields, undefined, []));
  if (serious === undefined) return null;
  const { path, why = `Provider ${row.id} does not have \`${path}\`, and leaving it out would change the request.` } =
    serious;
  return { param: path, message: why };
}

function limitsFor(row: ProviderRow, fields: Json, model: string, limitsOf: LimitsOf): ModelLimits | undefined {
  if (row.efforts === undefined && row.fixedSampling !== true) return undefined;
  return MODEL_MEMBERS.some((name) => !asksForNothing(name, fields[name])) ? limitsOf(model) : undefined;
}

function lossesOf(row: ProviderRow, fields: Json, limits: ModelLimits | undefined, without: readonly string[]): Loss[] {
  return [...membersLost(row, fields, limits, without), ...toolsLost(row, fields), ...soundsLost(row, fields)];
}

/**
 * The request of one call. `url`: where it goes, for a provider whose address depends on more than its base. Throws
 * `UntranslatableRequest` where content would have to be left out.
 */
export function toOpenAiRequest(
  row: ProviderRow,
  call: AdapterCall,
  { url, limitsOf = NO_LIMITS }: { readonly url?: string | undefined; readonly limitsOf?: LimitsOf } = {},
): UpstreamRequest {
  const { body, fields: sent, without = [] } = call;
  body.set("model", call.model);
  fillParams(call);
  writeTokenLimit(row, call, without);
  const fields = effectiveFields(sent, call.params);
  const limits = limitsFor(row, fields, call.model, limitsOf);
  const losses = lossesOf(row, fields, limits, without);
  const serious = firstSerious(losses);
  if (serious !== undefined) throw new UntranslatableRequest(serious);
  // Only the client is notified, and only of what the client sent.
  const dropped = losses.flatMap(({ path, code }) => (code === "tool" || Object.hasOwn(sent, path) ? [path] : []));
  for (const { path } of losses) body.remove(path);
  writeEffort(row, fields, body, limits);
  for (const [from, to] of Object.entries(row.rename ?? {})) renameMember(body, from, to);
  for (const [name, words] of Object.entries(row.spell ?? {})) {
    const value = tryParseJson(body.raw(name) ?? "null");
    if (typeof value === "string" && Object.hasOwn(words, value)) body.set(name, words[value]);
  }
  const names = aliasesFor(row, fields);
  dropped.push(...writeTools(body, fields, { row, names, withoutStrict: without.includes("strict") }));
  dropped.push(...writeMessages(row, call, names));
  dropped.push(...writeStreamOptions(row, call));
  return {
    url: url ?? call.config.baseUrl + (row.chatPath ?? "/chat/completions"),
    headers: upstreamHeaders(call.config, call.stream),
    body: body.toString(),
    droppedParams: [...new Set(dropped)],
  };
}

function writeMessages(
  row: ProviderRow,
  { body, fields, without = [] }: AdapterCall,
  names: ReturnType<typeof aliasesFor>,
): readonly string[] {
  const { messages } = fields;
  const raw = body.raw("messages");
  if (raw === undefined || !Array.isArray(messages)) return [];
  const refused = without.flatMap((name) => (name.startsWith("messages.") ? [name.slice("messages.".length)] : []));
  const { text, dropped } = writeHistory(raw, { row, messages, names, without: refused });
  if (text !== undefined) body.setRaw("messages", text);
  return dropped;
}

/** The nearest value that the model takes. */
function writeEffort(row: ProviderRow, fields: Json, body: JsonEdit, limits: ModelLimits | undefined): void {
  const wanted = fields["reasoning_effort"];
  if (row.efforts === undefined || limits?.efforts === undefined || typeof wanted !== "string") return;
  if (!body.has("reasoning_effort")) return;
  const nearest = nearestEffort(wanted, limits.efforts);
  if (nearest !== null && nearest !== wanted) body.set("reasoning_effort", nearest);
}

/** The value of `name` after the policy's params were filled in. */
function valueUnder(call: AdapterCall, name: string): unknown {
  if (Object.hasOwn(call.fields, name)) return call.fields[name];
  return call.body.has(name) && Object.hasOwn(call.params, name) ? call.params[name] : undefined;
}

function fillParams(call: AdapterCall): void {
  const limited = LIMIT_FIELDS.some((name) => call.body.has(name));
  for (const [name, value] of Object.entries(call.params)) {
    const isLimit = LIMIT_FIELDS.some((each) => each === name);
    if (!isPolicyParam(name) || call.body.has(name) || (limited && isLimit)) continue;
    call.body.set(name, value);
  }
}

/**
 * Every spelling that is sent is bounded, and one is written where the policy has a bound and the client none. A spelling
 * that the provider refused gives way to the other one.
 */
function writeTokenLimit(row: ProviderRow, call: AdapterCall, without: readonly string[]): void {
  const { body, maxOutputTokens } = call;
  const known: readonly string[] = row.limit ?? ["max_tokens"];
  const taken = known.filter((name) => !without.includes(name));
  const accepted = taken.length > 0 ? taken : LIMIT_FIELDS.filter((name) => !without.includes(name));
  const own = accepted[0] ?? known[0] ?? "max_tokens";
  const sent = LIMIT_FIELDS.filter((name) => body.has(name));
  for (const name of sent) {
    const value = valueUnder(call, name);
    const holds = typeof value === "number" && (maxOutputTokens === undefined || value <= maxOutputTokens);
    if (!holds && maxOutputTokens !== undefined) body.set(name, maxOutputTokens);
  }
  if (sent.length === 0 && maxOutputTokens !== undefined) body.set(own, maxOutputTokens);
  for (const name of sent) {
    if (!accepted.includes(name)) renameMember(body, name, own);
  }
}

/** Where the provider's own name is there too, it stays and the other one goes. */
function renameMember(body: JsonEdit, from: string, to: string): void {
  const raw = body.raw(from);
  if (raw === undefined || from === to) return;
  if (body.has(to)) body.remove(from);
  else body.rename(from, to);
}

/** Usage is wanted of every stream: what it cost is read from it. Returns what the client loses by a removal. */
function writeStreamOptions(row: ProviderRow, call: AdapterCall): readonly string[] {
  const options = call.fields["stream_options"];
  if (row.usageAlways === true || call.without?.includes("stream_options") === true) {
    if (!call.body.has("stream_options")) return [];
    call.body.remove("stream_options");
    const others = isJsonObject(options) ? Object.keys(options).filter((name) => name !== "include_usage") : [];
    return others.length === 0 ? [] : ["stream_options"];
  }
  if (!call.stream || (isJsonObject(options) && options["include_usage"] === true)) return [];
  const own = isJsonObject(options) ? (call.body.raw("stream_options") ?? "{}") : "{}";
  call.body.setRaw("stream_options", new JsonEdit(own).set("include_usage", true).toString());
  return [];
}
