/**
 * Requests in OpenAI's protocol, for every adapter that speaks it.
 *
 * The client's own text is edited, never rebuilt: whatever a row does not name reaches the vendor byte for byte.
 * Headers go the other way: they are made from nothing, so nothing of the client's can slip through.
 */
import { isJsonObject, JsonEdit } from "../../lib/json.ts";
import type { AdapterCall, UpstreamRequest } from "../../providers/adapter.ts";
import { upstreamHeaders } from "../../providers/provider-settings.ts";
import type { ProviderRow } from "../../providers/rows.ts";
import { isPolicyParam, LIMIT_FIELDS } from "./chat-wire.ts";
import { writeHistory } from "./edit/history.ts";

/** The first thing of `row.cannot` that `fields` really ask for: `n: 1` or an empty `tools` asks for nothing. */
export function missingCapability(row: ProviderRow, fields: Readonly<Record<string, unknown>>): string | null {
  return row.cannot?.find((name) => asksFor(name, fields)) ?? null;
}

function asksFor(name: string, fields: Readonly<Record<string, unknown>>): boolean {
  if (name === "json_schema") {
    const format = fields["response_format"];
    return isJsonObject(format) && format["type"] === "json_schema";
  }
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (name === "n") return typeof value === "number" && value > 1;
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false && value !== 0;
}

/** The request of one call. `url`: where it goes, for a vendor whose address depends on more than its base. */
export function toOpenAiRequest(row: ProviderRow, call: AdapterCall, url?: string): UpstreamRequest {
  const { body } = call;
  body.set("model", call.model);
  fillParams(call);
  writeTokenLimit(row, call);
  const dropped = dropMembers(row, call);
  for (const [from, to] of Object.entries(row.rename ?? {})) renameMember(body, from, to);
  for (const [name, words] of Object.entries(row.spell ?? {})) {
    for (const [ours, theirs] of Object.entries(words)) {
      if (valueUnder(call, name) === ours) body.set(name, theirs);
    }
  }
  writeHistory(row, call);
  dropped.push(...writeStreamOptions(row, call));
  return {
    url: url ?? call.config.baseUrl + (row.chatPath ?? "/chat/completions"),
    headers: upstreamHeaders(call.config, call.stream),
    body: body.toString(),
    droppedParams: dropped,
  };
}

/** What stands under `name` after the policy's params were filled in. */
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

/** Every spelling that is sent is bounded, and one is written where the policy has a bound and the client none. */
function writeTokenLimit(row: ProviderRow, call: AdapterCall): void {
  const { body, maxOutputTokens } = call;
  const accepted = row.limit ?? (["max_tokens"] as const);
  const sent = LIMIT_FIELDS.filter((name) => body.has(name));
  for (const name of sent) {
    const value = valueUnder(call, name);
    const holds = typeof value === "number" && (maxOutputTokens === undefined || value <= maxOutputTokens);
    if (!holds && maxOutputTokens !== undefined) body.set(name, maxOutputTokens);
  }
  if (sent.length === 0 && maxOutputTokens !== undefined) body.set(accepted[0], maxOutputTokens);
  for (const name of sent) {
    if (!accepted.includes(name)) renameMember(body, name, accepted[0]);
  }
}

/** Where the vendor's own name is there too, it stands and the other one goes. */
function renameMember(body: JsonEdit, from: string, to: string): void {
  if (!body.has(from)) return;
  if (body.has(to)) body.remove(from);
  else body.rename(from, to);
}

function dropMembers(row: ProviderRow, call: AdapterCall): string[] {
  const dropped: string[] = [];
  for (const name of row.drop ?? []) {
    if (!call.body.has(name)) continue;
    if (row.cannot?.includes(name) === true && asksFor(name, { [name]: valueUnder(call, name) })) continue;
    call.body.remove(name);
    // Only the client is told, and only of what the client sent.
    if (Object.hasOwn(call.fields, name)) dropped.push(name);
  }
  return dropped;
}

/** Usage is wanted of every stream: what it cost is read from it. Returns what the client loses by a removal. */
function writeStreamOptions(row: ProviderRow, call: AdapterCall): readonly string[] {
  const options = call.fields["stream_options"];
  if (row.usageAlways === true) {
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
