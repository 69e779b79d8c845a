/**
 * What a chat request holds that is not read here: the approval gate lets nothing unread reach a provider.
 *
 * Allow-lists. A role or a part of another type may be a tool's result to some provider (`ipython`, `tool_response`,
 * `function_call_output`), so it cannot be left out in silence: it is a fault. A member that is not known is left out.
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../../lib/json.ts";
import { editElements } from "../../lib/json-spans.ts";
import { BLOCK_MEMBERS } from "./details.ts";

/** Members of a body: OpenAI's own, and options of others that say how to sample and how much to think. */
const BODY: ReadonlySet<string> = new Set([
  ...["model", "messages", "stream", "stream_options", "route", "tools", "functions", "tool_choice", "function_call"],
  ...["max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "top_a", "min_p", "typical_p", "stop"],
  ...["seed", "random_seed", "n", "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty"],
  ...["logit_bias", "logprobs", "top_logprobs", "parallel_tool_calls", "response_format", "prediction", "modalities"],
  ...["audio", "metadata", "store", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"],
  ...[
    "service_tier",
    "verbosity",
    "reasoning_effort",
    "reasoning",
    "reasoning_format",
    "include_reasoning",
    "thinking",
  ],
  ...["thinking_budget", "enable_thinking", "prompt_mode", "safe_prompt", "do_sample", "min_tokens", "stop_token_ids"],
  ...["speed", "inference_geo", "user_id", "request_id", "cache_control"],
  // They make a provider search: whether they may is for the approval rules to say.
  ...["web_search_options", "web_search", "plugins", "search_parameters", "enable_search", "search_options"],
]);
const MESSAGE = ["role", "content", "name", "cache_control", "id"] as const;
const ASSISTANT = [
  ...["refusal", "tool_calls", "function_call", "audio", "images", "annotations", "citations", "parsed", "tool_plan"],
  ...["reasoning_content", "reasoning", "reasoning_details", "stop_details", "stop_sequence", "prefix", "partial"],
  ...BLOCK_MEMBERS.map(([name]) => name),
];
/** By role. */
const MESSAGES: ReadonlyMap<unknown, ReadonlySet<string>> = new Map<unknown, ReadonlySet<string>>([
  ["system", new Set(MESSAGE)],
  ["developer", new Set(MESSAGE)],
  ["user", new Set(MESSAGE)],
  ["assistant", new Set([...MESSAGE, ...ASSISTANT])],
  ["tool", new Set([...MESSAGE, "tool_call_id", "is_error"])],
  ["function", new Set([...MESSAGE, "tool_call_id"])],
]);
const PART = ["type", "cache_control", "citations", "annotations", "id"] as const;
/** By type, with the member that holds it. `tool_result` is read as the result that it is. */
const PARTS: ReadonlyMap<unknown, ReadonlySet<string>> = new Map<unknown, ReadonlySet<string>>([
  ["text", new Set([...PART, "text"])],
  ["refusal", new Set([...PART, "refusal"])],
  ["image_url", new Set([...PART, "image_url"])],
  ["input_audio", new Set([...PART, "input_audio"])],
  ["video_url", new Set([...PART, "video_url"])],
  ["file", new Set([...PART, "file"])],
  ["thinking", new Set([...PART, "thinking", "signature", "closed"])],
  ["tool_result", new Set([...PART, "tool_use_id", "tool_call_id", "content", "is_error"])],
]);
const CALL: ReadonlySet<string> = new Set([
  ...["id", "type", "index", "function", "custom", "extra_content", "cache_control"],
]);
const FUNCTION: ReadonlySet<string> = new Set(["name", "arguments"]);
const CUSTOM: ReadonlySet<string> = new Set(["name", "input"]);

/** Members of a tool that the client runs; next to them a provider may read a tool of its own. */
const TOOL: ReadonlySet<string> = new Set([
  ...["type", "function", "custom", "cache_control", "strict", "name", "description", "defer_loading"],
  ...["allowed_callers", "input_examples", "eager_input_streaming"],
]);
const TOOL_TYPES: ReadonlySet<unknown> = new Set([undefined, null, "function", "custom"]);

export interface Unread {
  /** The first unread role or part; `null`: there is none. */
  readonly fault: { readonly path: string; readonly message: string } | null;
  /** Paths of members that are to be left out. */
  readonly members: readonly string[];
}

/** Cheap: asked of every request. */
export function readUnread(fields: Json): Unread {
  const reader = new UnreadReader();
  reader.body(fields);
  return reader;
}

function isClientTool({ function: called, custom }: Json): boolean {
  return isJsonObject(called) || isJsonObject(custom);
}

/** Longest name that is shown of a key outside the allow-lists. */
const MAX_SHOWN = 64;

/** A key without what does not show, in plain letters: some reader may look at it like this. */
function plainOf(name: string): string {
  return name
    .slice(0, MAX_SHOWN)
    .normalize("NFKC")
    .replace(/[^!-~]/g, "")
    .toLowerCase();
}

class UnreadReader implements Unread {
  fault: Unread["fault"] = null;
  readonly members: string[] = [];

  body(fields: Json): void {
    this.#members(fields, BODY, "");
    const { messages, tools } = fields;
    for (const [at, tool] of (Array.isArray(tools) ? tools : []).entries()) {
      if (isJsonObject(tool)) this.#tool(tool, `tools[${at}]`);
    }
    if (!Array.isArray(messages)) return;
    for (let at = 0; at < messages.length; at++) if (isJsonObject(messages[at])) this.message(messages[at], at);
  }

  #tool(tool: Json, path: string): void {
    if (!isClientTool(tool)) return;
    if (!TOOL_TYPES.has(tool["type"])) this.#fault(`${path}.type`, "is neither `function` nor `custom`");
    this.#members(tool, TOOL, `${path}.`);
  }

  message(message: Json, at: number): void {
    const known = MESSAGES.get(message["role"]);
    if (known === undefined) {
      const roles = [...MESSAGES.keys()].join(", ");
      this.#fault(`messages[${at}].role`, `is not one of ${roles}`);
      return;
    }
    this.#members(message, known, `messages[${at}].`);
    const { content, tool_calls: calls } = message;
    if (typeof content === "object" && content !== null) this.#content(content, `messages[${at}].content`);
    const { function_call: legacy } = message;
    if (known.has("function_call")) this.#detail(legacy, FUNCTION, `messages[${at}].function_call`);
    if (calls === undefined || calls === null || !known.has("tool_calls")) return;
    if (!Array.isArray(calls)) this.#fault(`messages[${at}].tool_calls`, "is not a list of tool calls");
    else for (const [index, call] of calls.entries()) this.#call(call, `messages[${at}].tool_calls[${index}]`);
  }

  #content(content: object, path: string): void {
    if (!Array.isArray(content)) {
      this.#fault(path, "is neither text nor a list of parts");
      return;
    }
    for (const [at, part] of content.entries()) {
      if (typeof part === "string" || part === null) continue;
      const place = `${path}[${at}]`;
      const known = isJsonObject(part) ? PARTS.get(part["type"]) : undefined;
      if (known === undefined || !isJsonObject(part)) {
        this.#fault(place, `is a part of none of these types: ${[...PARTS.keys()].join(", ")}`);
        continue;
      }
      this.#members(part, known, `${place}.`);
      if (part["type"] === "tool_result" && typeof part["content"] === "object" && part["content"] !== null) {
        this.#content(part["content"], `${place}.content`);
      }
    }
  }

  #call(call: unknown, path: string): void {
    if (!isJsonObject(call)) {
      if (call !== null) this.#fault(path, "is not a tool call");
      return;
    }
    this.#members(call, CALL, `${path}.`);
    const { function: called, custom } = call;
    this.#detail(called, FUNCTION, `${path}.function`);
    this.#detail(custom, CUSTOM, `${path}.custom`);
  }

  #detail(value: unknown, known: ReadonlySet<string>, path: string): void {
    if (isJsonObject(value)) this.#members(value, known, `${path}.`);
    else if (value !== undefined && value !== null) this.#fault(path, "is not an object");
  }

  #members(value: Json, known: ReadonlySet<string>, place: string): void {
    for (const name in value) {
      if (known.has(name)) continue;
      const twin = plainOf(name);
      if (known.has(twin)) this.#fault(place + name.slice(0, MAX_SHOWN), `may be taken for \`${twin}\`, which is read`);
      else this.members.push(place + name);
    }
  }

  #fault(path: string, what: string): void {
    this.fault ??= { path, message: `\`${path}\` ${what}` };
  }
}

/** `text`, of which `fields` were parsed, without the members that `readUnread` names. Without its fault. */
export function withoutUnread(text: string, fields: Json): string {
  const edit = new JsonEdit(text);
  for (const name of Object.keys(fields)) if (!BODY.has(name)) edit.remove(name);
  const { messages, tools } = fields;
  const offered = edit.raw("tools");
  if (offered?.startsWith("[") === true && Array.isArray(tools)) {
    const clean = (raw: string, tool: unknown): string | undefined =>
      isJsonObject(tool) && isClientTool(tool) ? without(raw, tool, TOOL).toString() : undefined;
    edit.setRaw(
      "tools",
      editElements(offered, (tool, at) => clean(tool, tools[at])),
    );
  }
  const raw = edit.raw("messages");
  if (raw?.startsWith("[") === true && Array.isArray(messages)) {
    edit.setRaw(
      "messages",
      editElements(raw, (message, at) => cleanMessage(message, messages[at], at)),
    );
  }
  return edit.toString();
}

/** Most messages of a long conversation are read as they are: their text is not looked into. */
function cleanMessage(raw: string, message: unknown, at: number): string | undefined {
  const known = isJsonObject(message) ? MESSAGES.get(message["role"]) : undefined;
  if (known === undefined || !isJsonObject(message)) return undefined;
  const unread = new UnreadReader();
  unread.message(message, at);
  if (unread.members.length === 0) return undefined;
  const edit = new JsonEdit(raw);
  for (const name of Object.keys(message)) if (!known.has(name)) edit.remove(name);
  const { content, tool_calls: calls } = message;
  if (Array.isArray(content)) {
    const parts = edit.raw("content") ?? "[]";
    edit.setRaw("content", cleanContent(parts, content));
  }
  const { function_call: legacy } = message;
  const detail = edit.raw("function_call");
  if (detail !== undefined && isJsonObject(legacy)) {
    edit.setRaw("function_call", without(detail, legacy, FUNCTION).toString());
  }
  const list = edit.raw("tool_calls");
  if (list?.startsWith("[") === true && Array.isArray(calls)) {
    edit.setRaw(
      "tool_calls",
      editElements(list, (call, at) => cleanCall(call, calls[at])),
    );
  }
  return edit.toString();
}

function cleanContent(raw: string, content: readonly unknown[]): string {
  return editElements(raw, (part, at) => {
    const value: unknown = content[at];
    const known = isJsonObject(value) ? PARTS.get(value["type"]) : undefined;
    if (known === undefined || !isJsonObject(value)) return undefined;
    const inner = value["content"];
    if (value["type"] !== "tool_result" && !hasOthers(value, known)) return undefined;
    const edit = without(part, value, known);
    if (value["type"] === "tool_result" && Array.isArray(inner)) {
      edit.setRaw("content", cleanContent(edit.raw("content") ?? "[]", inner));
    }
    return edit.toString();
  });
}

function cleanCall(raw: string, call: unknown): string | undefined {
  if (!isJsonObject(call)) return undefined;
  const { function: called, custom } = call;
  const isRead = !hasOthers(call, CALL) && !hasOthers(called, FUNCTION) && !hasOthers(custom, CUSTOM);
  if (isRead) return undefined;
  const edit = without(raw, call, CALL);
  for (const [name, known] of [
    ["function", FUNCTION],
    ["custom", CUSTOM],
  ] as const) {
    const detail = call[name];
    const text = edit.raw(name);
    if (isJsonObject(detail) && text !== undefined) edit.setRaw(name, without(text, detail, known).toString());
  }
  return edit.toString();
}

function hasOthers(value: unknown, known: ReadonlySet<string>): boolean {
  if (!isJsonObject(value)) return false;
  for (const name in value) if (!known.has(name)) return true;
  return false;
}

function without(raw: string, value: Json, known: ReadonlySet<string>): JsonEdit {
  const edit = new JsonEdit(raw);
  for (const name of Object.keys(value)) if (!known.has(name)) edit.remove(name);
  return edit;
}
