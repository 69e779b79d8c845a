/**
 * The items of the Responses wire: which of them are tool calls of the client, which are a provider's own business.
 *
 * https://developers.openai.com/api/reference/resources/responses/methods/create
 */
import type { Bound, Json, Part } from "../../conversation/part.ts";
import { isJsonObject, isRounded, wordOf } from "../../lib/json.ts";

export const WIRE = "openai-responses";

/** Tools that OpenAI defines and the client runs: their calls are recorded and held like any other call. */
interface ClientCall {
  readonly name: string;
  /** The member that says what is to be done. */
  readonly action: readonly string[];
}

const CLIENT_CALLS: ReadonlyMap<string, ClientCall> = new Map([
  ["local_shell_call", { name: "local_shell", action: ["action"] }],
  ["shell_call", { name: "shell", action: ["action"] }],
  ["apply_patch_call", { name: "apply_patch", action: ["operation"] }],
  ["computer_call", { name: "computer", action: ["actions", "action"] }],
]);

const CLIENT_RESULTS: ReadonlySet<string> = new Set([
  ...["local_shell_call_output", "shell_call_output", "apply_patch_call_output", "computer_call_output"],
]);

/** Tool types whose calls the client runs, by the name that the call gets. */
export const CLIENT_TOOLS: ReadonlyMap<string, string> = new Map([
  ["local_shell", "local_shell"],
  ["shell", "shell"],
  ["apply_patch", "apply_patch"],
  ["computer", "computer"],
  ["computer_use_preview", "computer"],
]);

/** What a provider's own tool did and found. A conversation without it is still the same conversation. */
const PROVIDER_ITEMS: ReadonlySet<string> = new Set([
  ...["web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "mcp_call"],
  ...["mcp_list_tools", "tool_search_call", "tool_search_output", "shell_call", "shell_call_output"],
]);

/**
 * Items of a provider's own tools that go back to it, and the members they are built from. What holds a result of the
 * client's tools, or declares tools, is not among them: it would pass the approval gate by.
 */
const REPLAYED: Readonly<Record<string, readonly string[]>> = {
  web_search_call: ["id", "status", "action"],
  file_search_call: ["id", "status", "queries", "results"],
  code_interpreter_call: ["id", "status", "code", "container_id", "outputs"],
  image_generation_call: ["id", "status", "result", "revised_prompt", "output_format", "size", "quality", "background"],
  mcp_call: ["id", "status", "name", "server_label", "arguments", "output", "error", "approval_request_id"],
  mcp_list_tools: ["id", "server_label", "tools", "error"],
  tool_search_call: ["id", "status", "call_id", "execution", "arguments"],
};

/** A rebuilt item that may go back; `null` for any other. The source may be a client's. */
export function replayedItem(source: Json | undefined): Json | null {
  const type = wordOf(source?.["type"]);
  const names = Object.hasOwn(REPLAYED, type) ? REPLAYED[type] : undefined;
  return source === undefined || names === undefined ? null : { type, ...picked(source, names) };
}

/** The members of `source` that are there, of these names. */
export function picked(source: Json, names: readonly string[]): Json {
  return Object.fromEntries(names.flatMap((name) => (source[name] === undefined ? [] : [[name, source[name]]])));
}

export function isProviderItem(item: Json): boolean {
  return typeof item["type"] === "string" && PROVIDER_ITEMS.has(item["type"]);
}

/**
 * A call of a tool that OpenAI defines and the client runs, as a call like any other; `null` for every other item. A
 * `shell_call` in a container of the provider's is not for the client.
 */
export function readClientCall(item: Json, path: string, provider: string | null): Part | null {
  const type = wordOf(item["type"]);
  const kind = CLIENT_CALLS.get(type);
  if (kind === undefined || (type === "shell_call" && isHosted(item))) return null;
  const given = kind.action.filter((name) => item[name] !== undefined && item[name] !== null);
  // With more than one of them the provider chooses which it reads.
  const [only = ""] = given;
  const action = given.length > 1 ? picked(item, given) : item[only];
  return {
    kind: "call",
    path,
    id: textOf(item["call_id"]) ?? textOf(item["id"]) ?? "",
    name: kind.name,
    form: "function",
    args: JSON.stringify(action ?? {}),
    // An answer is recorded as it is read here; only a history may have had other digits.
    ...(provider === null && isRounded(action) ? { isUnclear: true } : {}),
    bound: { wire: WIRE, provider, data: item },
  };
}

function isHosted(item: Json): boolean {
  const environment = item["environment"];
  return isJsonObject(environment) && environment["type"] !== "local";
}

/** The item of such a call, where it says the same as the call: the gate judged by that. */
export function clientCallItem({ id, name, args, bound }: Extract<Part, { kind: "call" }>): Json | null {
  const item = bound?.data;
  const read = item === undefined ? null : readClientCall(item, "", null);
  const isSame = read?.kind === "call" && read.id === id && read.name === name && read.args === args;
  return item === undefined || !isSame
    ? null
    : picked(item, ["type", "id", "call_id", "status", "action", "actions", "operation", "pending_safety_checks"]);
}

/** The item of a result of such a call, where it is one. */
export function clientResultItem({ callId, bound }: Extract<Part, { kind: "result" }>): Json | null {
  const item = bound?.data;
  const read = item === undefined ? null : readClientResult(item, "");
  const isSame = read?.kind === "result" && read.callId === callId;
  return item === undefined || !isSame
    ? null
    : picked(item, ["type", "id", "call_id", "status", "output", "max_output_length", "acknowledged_safety_checks"]);
}

/** The client's result of such a call; `null` for every other item. */
export function readClientResult(item: Json, path: string): Part | null {
  if (!CLIENT_RESULTS.has(wordOf(item["type"]))) return null;
  const part = outputPart(item["output"], `${path}.output`);
  return {
    kind: "result",
    path,
    callId: textOf(item["call_id"]) ?? textOf(item["id"]) ?? "",
    form: "function",
    parts: part.kind === "text" && part.text === "" ? [] : [part],
    ...(item["status"] === "failed" ? { isError: true } : {}),
    bound: { wire: WIRE, provider: null, data: item },
  };
}

/** Ids of files mean something to providers of this wire only. */
export const GIVEN_OUT: Bound = { wire: WIRE, provider: null };

function outputPart(output: unknown, path: string): Part {
  const image = isJsonObject(output) ? textOf(output["image_url"]) : undefined;
  const id = isJsonObject(output) ? textOf(output["file_id"]) : undefined;
  if (id !== undefined) return { kind: "image", media: { kind: "id", id }, path, bound: GIVEN_OUT };
  if (image !== undefined) return { kind: "image", media: mediaOf(image), path };
  const text = typeof output === "string" ? output : output === undefined ? "" : JSON.stringify(output);
  return { kind: "text", text, path };
}

const DATA_URL = /^data:([a-z0-9.+-]+\/[a-z0-9.+-]+)?(?:;[a-z0-9-]+=[^;,]*){0,8};base64,/i;

/** An address, or the bytes of a `data:` address. */
export function mediaOf(url: string) {
  const match = DATA_URL.exec(url.slice(0, 256));
  if (match === null) return { kind: "url", url } as const;
  const mediaType = (match[1] ?? "application/octet-stream").toLowerCase();
  return { kind: "base64", mediaType, data: url.slice(match[0].length) } as const;
}

/** May `bound` be written for `provider` on this wire? */
export function isFor(bound: Bound | undefined, provider: string): bound is Bound {
  return bound?.wire === WIRE && (bound.provider === null || bound.provider === provider);
}

/**
 * Whether a message is a remark on the way or the final answer. OpenAI wants it back on every message of its newer
 * models. https://developers.openai.com/api/docs/guides/prompt-guidance
 */
export function phaseOf(bound: Bound | undefined): string | undefined {
  return bound?.wire === WIRE ? textOf(bound.data?.["phase"]) : undefined;
}

export function phaseBound(item: Json, provider: string | null): Bound | undefined {
  const phase = textOf(item["phase"]);
  return phase === undefined ? undefined : { wire: WIRE, provider, data: { phase } };
}

/** Citations in this wire's spelling, and their members. */
const ANNOTATIONS: Readonly<Record<string, readonly string[]>> = {
  url_citation: ["url", "title", "start_index", "end_index"],
  file_citation: ["file_id", "filename", "index"],
  container_file_citation: ["container_id", "file_id", "filename", "start_index", "end_index"],
  file_path: ["file_id", "index"],
};

/** A rebuilt citation of this wire; `null` for another wire's. */
export function annotationOf(citation: Json): Json | null {
  const type = wordOf(citation["type"]);
  const names = Object.hasOwn(ANNOTATIONS, type) ? ANNOTATIONS[type] : undefined;
  return names === undefined ? null : { type, ...picked(citation, names) };
}

/** A text with something in it. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A value where a part belongs, which is none: no wire has a form for it. */
export function oddPart(value: unknown, path: string): Part {
  const type = wordOf(isJsonObject(value) ? value["type"] : value);
  return { kind: "opaque", wire: WIRE, type, source: isJsonObject(value) ? value : {}, path };
}

export function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
