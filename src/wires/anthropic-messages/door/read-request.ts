/**
 * The body of `POST /v1/messages` as a `Conversation`.
 *
 * Read for providers of another wire only. Arguments of past calls are cut out of the client's own text. Everything that
 * is not known becomes an opaque member or part, so that the writer has to say what becomes of it.
 * https://platform.claude.com/docs/en/api/messages
 */
import type {
  Controls,
  Conversation,
  OpaqueMember,
  ReasoningControl,
  ResponseFormat,
  Turn,
} from "../../../conversation/conversation.ts";
import type { Json, Part } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { elementTexts, memberText } from "../../../lib/json-text.ts";
import { oddMembers } from "../../unknown-members.ts";
import { inputText } from "../calls.ts";
import { readBlock } from "../read-blocks.ts";
import { isCarried, uncarried } from "./carried.ts";
import { readToolChoice, readTools } from "./read-tools.ts";

const WIRE = "anthropic-messages";

/** Top-level members that are read here, or that are the router's own. */
const READ_MEMBERS: ReadonlySet<string> = new Set([
  ...[
    "model",
    "messages",
    "system",
    "stream",
    "max_tokens",
    "tools",
    "tool_choice",
    "thinking",
    "temperature",
    "top_p",
  ],
  ...["top_k", "stop_sequences", "metadata", "service_tier", "output_config", "route"],
]);
const KINDS = {
  ...({ temperature: "number", top_p: "number", top_k: "number", stop_sequences: "strings" } as const),
  ...({ service_tier: "string", metadata: "object", output_config: "object" } as const),
};
const OUTPUT_MEMBERS: ReadonlySet<string> = new Set(["effort", "format"]);

const SPELLING: Conversation["spelling"] = {
  maxOutputTokens: "max_tokens",
  temperature: "temperature",
  topP: "top_p",
  topK: "top_k",
  stop: "stop_sequences",
  toolChoice: "tool_choice",
  parallelToolCalls: "tool_choice.disable_parallel_tool_use",
  responseFormat: "output_config.format",
  serviceTier: "service_tier",
  user: "metadata.user_id",
};

/** `text` is the exact body that `fields` were parsed from; without it numbers of past calls may be rounded. */
export function readRequest(fields: Json, text?: string): Conversation {
  const { tools, others } = readTools(fields["tools"]);
  return {
    turns: [...readSystem(fields["system"]), ...readMessages(fields["messages"], text)],
    tools,
    controls: readControls(fields, tools),
    stream: fields["stream"] === true,
    others: [...otherMembers(fields), ...others],
    spelling: SPELLING,
  };
}

function otherMembers(fields: Json): OpaqueMember[] {
  const members = Object.entries(fields).filter(([name]) => !READ_MEMBERS.has(name));
  const output = isJsonObject(fields["output_config"]) ? fields["output_config"] : {};
  const rest = Object.entries(output).filter(([name]) => !OUTPUT_MEMBERS.has(name));
  if (rest.length > 0) members.push(["output_config", Object.fromEntries(rest)]);
  const { user_id: _id, ...account } = isJsonObject(fields["metadata"]) ? fields["metadata"] : {};
  if (Object.keys(account).length > 0) members.push(["metadata", account]);
  const unknown = members.map(([name, source]): OpaqueMember => {
    return { wire: WIRE, name, path: name, source, asksForNothing: isNothing(source) };
  });
  return [...unknown, ...oddMembers(WIRE, fields, KINDS)];
}

function isNothing(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === 0 || value === "";
}

function readControls(fields: Json, tools: Conversation["tools"]): Controls {
  const number = (name: string): number | undefined =>
    typeof fields[name] === "number" ? (fields[name] as number) : undefined;
  const stops = Array.isArray(fields["stop_sequences"]) ? fields["stop_sequences"] : [];
  const stop = stops.filter((each) => typeof each === "string");
  const { user_id: user } = isJsonObject(fields["metadata"]) ? fields["metadata"] : {};
  const choice = isJsonObject(fields["tool_choice"]) ? fields["tool_choice"] : {};
  const { service_tier: tier } = fields;
  return {
    maxOutputTokens: number("max_tokens"),
    temperature: number("temperature"),
    topP: number("top_p"),
    topK: number("top_k"),
    stop: stop.length === 0 ? undefined : stop,
    toolChoice: readToolChoice(choice, tools),
    parallelToolCalls: choice["disable_parallel_tool_use"] === true ? false : undefined,
    responseFormat: readFormat(fields["output_config"]),
    reasoning: readReasoning(fields),
    serviceTier: typeof tier === "string" ? tier : undefined,
    user: typeof user === "string" ? user : undefined,
  };
}

function readReasoning(fields: Json): ReasoningControl | undefined {
  const thinking = isJsonObject(fields["thinking"]) ? fields["thinking"] : undefined;
  const output = isJsonObject(fields["output_config"]) ? fields["output_config"] : {};
  const { effort } = output;
  if (thinking === undefined && typeof effort !== "string") return undefined;
  const { type, budget_tokens: budget, display } = thinking ?? {};
  return {
    path: thinking === undefined ? "output_config.effort" : "thinking",
    ...(typeof effort === "string" ? { effort } : {}),
    ...(typeof budget === "number" ? { budget } : {}),
    ...(thinking === undefined ? {} : { enabled: type !== "disabled" }),
    ...(typeof display === "string" ? { display } : {}),
    ...(thinking === undefined ? {} : { native: { wire: WIRE, source: thinking } }),
  };
}

function readFormat(output: unknown): ResponseFormat | undefined {
  const format = isJsonObject(output) ? output["format"] : undefined;
  if (!isJsonObject(format)) return undefined;
  const { type, schema } = format;
  return type === "json_schema" && isJsonObject(schema)
    ? { kind: "json_schema", name: "answer", schema, strict: true }
    : { kind: "opaque", wire: WIRE, source: format };
}

function readSystem(system: unknown): Turn[] {
  const parts = readContent(system, "system");
  return parts.length === 0 ? [] : [{ role: "system", parts, path: "system" }];
}

/** A string is one text part; `null` and absence are none. Any other value is opaque: nothing is lost. */
function readContent(content: unknown, path: string): Part[] {
  if (content === null || content === undefined || content === "") return [];
  if (typeof content === "string") return [{ kind: "text", text: content, path }];
  if (!Array.isArray(content)) return [opaque(content, path)];
  return content.flatMap((block, at) => readAny(block, `${path}[${at}]`) ?? []);
}

function readAny(block: unknown, path: string): Part | null {
  return isJsonObject(block) ? readBlock(block, path) : opaque(block, path);
}

function opaque(source: unknown, path: string): Part {
  return { kind: "opaque", wire: WIRE, type: typeof source, source, path };
}

function readMessages(messages: unknown, text: string | undefined): Turn[] {
  const list = Array.isArray(messages) ? messages : [];
  const inputs = new ExactInputs(text);
  return list.flatMap((message, at) => (isJsonObject(message) ? readMessage(message, at, inputs) : []));
}

function readMessage(message: Json, at: number, inputs: ExactInputs): Turn[] {
  const path = `messages[${at}]`;
  const { role, content } = message;
  switch (role) {
    case "assistant":
      return turnOf("assistant", assistantParts(content, path, at, inputs), path);
    case "system":
      return turnOf("system", readContent(content, `${path}.content`), path);
    default: {
      const parts = userParts(content, `${path}.content`);
      const results = parts.filter(({ kind }) => kind === "result");
      const rest = parts.filter(({ kind }) => kind !== "result");
      return [...turnOf("tool", results, path), ...turnOf("user", rest, path)];
    }
  }
}

function turnOf(role: Turn["role"], parts: readonly Part[], path: string): Turn[] {
  return parts.length === 0 ? [] : [{ role, parts, path }];
}

function userParts(content: unknown, path: string): Part[] {
  if (!Array.isArray(content)) return readContent(content, path);
  return content.flatMap((block, at) => {
    const place = `${path}[${at}]`;
    const isResult = isJsonObject(block) && block["type"] === "tool_result";
    return (isResult ? readResult(block, place) : readAny(block, place)) ?? [];
  });
}

function readResult(block: Json, path: string): Part {
  const { content, is_error: isError, cache_control: mark, toolset_name: toolset } = block;
  const id = block["tool_use_id"] ?? "";
  if (typeof id !== "string") return opaque(block, path);
  return {
    kind: "result",
    path,
    callId: id,
    form: "function",
    parts: readContent(content, `${path}.content`),
    ...(typeof isError === "boolean" ? { isError } : {}),
    ...(isJsonObject(mark) ? { cache: mark } : {}),
    ...(typeof toolset === "string"
      ? { bound: { wire: WIRE, provider: null, data: { toolset_name: toolset } } as const }
      : {}),
  };
}

function assistantParts(content: unknown, path: string, message: number, inputs: ExactInputs): Part[] {
  if (!Array.isArray(content)) return readContent(content, `${path}.content`);
  const parts: Part[] = [];
  /** What is bound to the call that comes next. */
  let next: Part["bound"];
  for (const [at, block] of content.entries()) {
    const place = `${path}.content[${at}]`;
    if (!isJsonObject(block)) parts.push(opaque(block, place));
    else if (block["type"] === "tool_use") {
      parts.push(readCall(block, place, inputs.at(message, at), next));
      next = undefined;
    } else {
      const carried = uncarried(block["type"] === "redacted_thinking" ? block["data"] : block["signature"]);
      if (carried?.of === "call") next = carried.bound;
      else if (carried !== null) addCarried(parts, carried, block, place);
      else {
        const part = readBlock(block, place);
        // A mark that was damaged on its way signs nothing.
        if (part !== null) parts.push(part.kind === "reasoning" && isDamaged(part) ? unsigned(part) : part);
      }
    }
  }
  return parts;
}

function isDamaged({ bound }: Part): boolean {
  return isCarried(bound?.signature) || isCarried(bound?.encrypted);
}

function unsigned({ bound: _bound, ...part }: Part & { readonly kind: "reasoning" }): Part {
  return part;
}

function addCarried(
  parts: Part[],
  { of, form, bound }: NonNullable<ReturnType<typeof uncarried>>,
  block: Json,
  path: string,
): void {
  const owner = parts.at(-1);
  const { thinking } = block;
  if (of === "text" && owner?.kind === "text") parts[parts.length - 1] = { ...owner, bound };
  else if (of === "block") parts.push({ kind: "block", path, bound });
  else parts.push({ kind: "reasoning", form, text: typeof thinking === "string" ? thinking : "", path, bound });
}

function readCall(block: Json, path: string, exact: string | undefined, carried: Part["bound"]): Part {
  const { input, caller, toolset_name: toolset, cache_control: mark } = block;
  const [id, name] = [block["id"] ?? "", block["name"] ?? ""];
  // An id that is no text is read as one by some providers and not by others.
  if (typeof id !== "string" || typeof name !== "string") return opaque(block, path);
  const data = {
    ...(isJsonObject(caller) && caller["type"] !== "direct" ? { caller } : {}),
    ...(typeof toolset === "string" ? { toolset_name: toolset } : {}),
  };
  const own = Object.keys(data).length === 0 ? undefined : ({ wire: WIRE, provider: null, data } as const);
  const bound = carried ?? own;
  return {
    kind: "call",
    path,
    id,
    name,
    form: "function",
    args: inputText(input, exact),
    ...(bound === undefined ? {} : { bound }),
    ...(isJsonObject(mark) ? { cache: mark } : {}),
  };
}

/** Where the inputs of past calls stand in the client's text. Each message is cut once, and only where it has a call. */
class ExactInputs {
  readonly #text: string | undefined;
  #messages: readonly string[] | undefined;
  #current = -1;
  #blocks: readonly string[] = [];

  constructor(text: string | undefined) {
    this.#text = text;
  }

  at(message: number, block: number): string | undefined {
    if (this.#text === undefined) return undefined;
    this.#messages ??= elementTexts(memberText(this.#text, "messages") ?? "");
    if (this.#current !== message) {
      this.#current = message;
      this.#blocks = elementTexts(memberText(this.#messages[message] ?? "", "content") ?? "");
    }
    const found = this.#blocks[block];
    return found === undefined ? undefined : memberText(found, "input");
  }
}
