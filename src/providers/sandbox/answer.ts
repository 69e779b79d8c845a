/**
 * What the sandbox says: text, JSON that fits a schema, or a call of an offered tool, as a completion or as events.
 *
 * Deterministic but for `created`. Token counts are a quarter of the characters, rounded up: near enough to real ones
 * for budgets to mean something.
 */

import { isJsonObject } from "../../lib/json.ts";
import { exampleOf } from "../../lib/json-example.ts";
import { digestBase62 } from "../../lib/text/base62.ts";
import type { AdapterCall } from "../adapter.ts";

const CHARACTERS_PER_TOKEN = 4;
const MAX_QUOTE_CHARACTERS = 120;
const MAX_CHOICES = 8;
const MAX_CHUNKS = 10_000;
const ID_LENGTH = 24;
const FILLER = ["The", "policy", "of", "this", "route", "asked", "for", "more", "chunks."] as const;

interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

interface Choice {
  /** Text in the pieces it is streamed in. Empty together with a tool call. */
  readonly pieces: readonly string[];
  readonly toolCall: ToolCall | undefined;
  readonly finishReason: "stop" | "length" | "tool_calls";
}

export interface Answer {
  readonly id: string;
  readonly model: string;
  /** Epoch seconds. */
  readonly created: number;
  readonly choices: readonly Choice[];
  readonly usage: Readonly<Record<string, unknown>>;
}

export async function writeAnswer(call: AdapterCall, now: number): Promise<Answer> {
  const { fields, params, model } = call;
  const id = await digest(JSON.stringify([model, fields]));
  const maxTokens = tokenLimit(call);
  const count = Math.min(MAX_CHOICES, Math.max(1, wholeNumber(fields["n"]) ?? 1));
  const choices: Choice[] = [];
  let completionTokens = 0;
  for (let index = 0; index < count; index++) {
    const toolCall = chosenTool(fields, params, `${id}${index}`.slice(-ID_LENGTH));
    const choice = toolCall === undefined ? textChoice(call, index, maxTokens) : toolChoice(toolCall);
    const tokens = tokensOf(
      choice.pieces.join("") + (toolCall === undefined ? "" : toolCall.name + toolCall.arguments),
    );
    choices.push(choice);
    completionTokens += Math.min(tokens, maxTokens);
  }
  const promptTokens = tokensOf(JSON.stringify([fields["messages"], fields["tools"] ?? null]));
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
  return { id: `chatcmpl-${id}`, model, created: Math.floor(now / 1000), choices, usage };
}

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return digestBase62(new Uint8Array(hash), ID_LENGTH);
}

function tokensOf(text: string): number {
  return Math.ceil(text.length / CHARACTERS_PER_TOKEN);
}

function wholeNumber(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? Math.trunc(value) : undefined;
}

/** The smallest of the limits that apply: the client's, or else the policy's taste, under the policy's bound. */
function tokenLimit({ fields, params, maxOutputTokens }: AdapterCall): number {
  const own = [fields["max_tokens"], fields["max_completion_tokens"]].map(wholeNumber).filter((n) => n !== undefined);
  const tastes = [params["max_tokens"], params["max_completion_tokens"]]
    .map(wholeNumber)
    .filter((n) => n !== undefined);
  const limits = own.length > 0 ? own : tastes;
  return Math.max(0, Math.min(...limits, maxOutputTokens ?? Number.POSITIVE_INFINITY));
}

/**
 * The tool to call, if one is to be called: the one the client insists on, else the first. Behind a result none, unless
 * the client insists: then the first that was not called yet, as an agent's last step is a call of its output tool.
 */
function chosenTool(
  fields: AdapterCall["fields"],
  params: AdapterCall["params"],
  idTail: string,
): ToolCall | undefined {
  const scripted = params["tool_call"];
  const choice = fields["tool_choice"];
  const tools = Array.isArray(fields["tools"])
    ? fields["tools"].map(functionOf).filter((tool) => tool !== undefined)
    : [];
  if (scripted === false || choice === "none") return undefined;
  const wanted = functionOf(choice)?.["name"];
  const isBehindResult = scripted !== true && isToolResult(lastMessage(fields));
  if (isBehindResult && wanted === undefined && choice !== "required") return undefined;
  const called = isBehindResult ? calledNames(fields["messages"]) : new Set();
  const fresh = tools.find((each) => !called.has(each["name"])) ?? tools.at(-1);
  const tool = tools.find((each) => each["name"] === wanted) ?? fresh;
  if (tool === undefined) return undefined;
  const schema = isJsonObject(tool["parameters"]) ? tool["parameters"] : {};
  const example = exampleOf({ type: "object", ...schema });
  return { id: `call_${idTail}`, name: String(tool["name"]), arguments: JSON.stringify(example) };
}

function functionOf(tool: unknown): Record<string, unknown> | undefined {
  if (!isJsonObject(tool) || !isJsonObject(tool["function"])) return undefined;
  return typeof tool["function"]["name"] === "string" ? tool["function"] : undefined;
}

function lastMessage(fields: AdapterCall["fields"]): unknown {
  return Array.isArray(fields["messages"]) ? fields["messages"].at(-1) : undefined;
}

/** Names of the functions that were called in the conversation. */
function calledNames(messages: unknown): ReadonlySet<unknown> {
  const calls = (Array.isArray(messages) ? messages : []).flatMap((message: unknown) => {
    const list = isJsonObject(message) ? message["tool_calls"] : undefined;
    return Array.isArray(list) ? (list as readonly unknown[]) : [];
  });
  return new Set(calls.map((call) => functionOf(call)?.["name"]));
}

function isToolResult(message: unknown): boolean {
  return isJsonObject(message) && (message["role"] === "tool" || message["role"] === "function");
}

function toolChoice(toolCall: ToolCall): Choice {
  return { pieces: [], toolCall, finishReason: "tool_calls" };
}

function textChoice({ fields, params, model }: AdapterCall, index: number, maxTokens: number): Choice {
  const json = jsonText(fields["response_format"]);
  const pieces =
    json === undefined ? inWords(prose(fields, model, index), wholeNumber(params["chunks"])) : inFragments(json);
  const kept: string[] = [];
  // Rounding up must not make a piece too many, so the room is counted in characters.
  let room = maxTokens * CHARACTERS_PER_TOKEN;
  for (const piece of pieces) {
    if (piece.length > room) {
      const rest = cut(piece, room);
      if (rest !== "") kept.push(rest);
      return { pieces: kept, toolCall: undefined, finishReason: "length" };
    }
    kept.push(piece);
    room -= piece.length;
  }
  return { pieces: kept, toolCall: undefined, finishReason: "stop" };
}

/** At most `length` UTF-16 units, never half a character. */
function cut(text: string, length: number): string {
  let result = "";
  for (const character of text) {
    if (result.length + character.length > length) break;
    result += character;
  }
  return result;
}

function jsonText(format: unknown): string | undefined {
  if (!isJsonObject(format)) return undefined;
  if (format["type"] === "json_object") return JSON.stringify({ answer: "sandbox" });
  if (format["type"] !== "json_schema") return undefined;
  const described = isJsonObject(format["json_schema"]) ? format["json_schema"]["schema"] : undefined;
  return JSON.stringify(exampleOf(described ?? { type: "object" }));
}

function prose(fields: AdapterCall["fields"], model: string, index: number): string {
  const said = lastUserText(fields).replace(/\s+/g, " ").trim();
  const quoted = cut(said, MAX_QUOTE_CHARACTERS);
  const quote = quoted === "" ? "" : ` You wrote: "${quoted}${quoted.length < said.length ? "…" : ""}"`;
  const which = index === 0 ? "" : ` This is choice ${index + 1}.`;
  return `This is the Flow Layer sandbox answering as ${model}; no model was called.${which}${quote}`;
}

function lastUserText(fields: AdapterCall["fields"]): string {
  const messages = Array.isArray(fields["messages"]) ? fields["messages"] : [];
  const message: unknown = messages.findLast((each) => isJsonObject(each) && each["role"] === "user");
  const content = isJsonObject(message) ? message["content"] : undefined;
  if (typeof content === "string") return content;
  const parts = Array.isArray(content) ? content : [];
  return parts.map((part) => (isJsonObject(part) && typeof part["text"] === "string" ? part["text"] : "")).join(" ");
}

/** Words with the space before them, as models stream. `count` makes exactly that many, with filler or by joining. */
function inWords(text: string, count: number | undefined): readonly string[] {
  const words: string[] = text.match(/\s*\S+/g) ?? [];
  if (count === undefined || count < 1) return words;
  const wanted = Math.min(count, MAX_CHUNKS);
  for (let at = 0; words.length < wanted; at++) words.push(` ${FILLER[at % FILLER.length]}`);
  const size = words.length / wanted;
  return Array.from({ length: wanted }, (_, at) =>
    words.slice(Math.floor(at * size), Math.floor((at + 1) * size)).join(""),
  );
}

/** JSON has few spaces: models stream it in short runs. */
function inFragments(json: string): readonly string[] {
  return json.match(/[\s\S]{1,8}/gu) ?? [];
}

function head(answer: Answer, object: string): Record<string, unknown> {
  const { id, created, model } = answer;
  return { id, object, created, model, system_fingerprint: "sandbox" };
}

/** The whole answer as the body of a non-streamed response. */
export function completionOf(answer: Answer): unknown {
  const choices = answer.choices.map(({ pieces, toolCall, finishReason }, index) => ({
    index,
    message: {
      role: "assistant",
      content: toolCall === undefined ? pieces.join("") : null,
      refusal: null,
      ...(toolCall === undefined ? {} : { tool_calls: [wholeCall(toolCall)] }),
    },
    logprobs: null,
    finish_reason: finishReason,
  }));
  return { ...head(answer, "chat.completion"), choices, usage: answer.usage };
}

function wholeCall({ id, name, arguments: text }: ToolCall): unknown {
  return { id, type: "function", function: { name, arguments: text } };
}

/** The answer as server-sent events. Usage is always among them: the adapter asks every upstream for it. */
export function eventsOf(answer: Answer): readonly string[] {
  const chunk = head(answer, "chat.completion.chunk");
  const event = (index: number, delta: unknown, finish: string | null): string =>
    sse({ ...chunk, choices: [{ index, delta, logprobs: null, finish_reason: finish }], usage: null });
  const events: string[] = [];
  for (const [index, choice] of answer.choices.entries()) {
    const { pieces, toolCall, finishReason } = choice;
    events.push(event(index, { role: "assistant", content: toolCall === undefined ? "" : null, refusal: null }, null));
    for (const piece of pieces) events.push(event(index, { content: piece }, null));
    if (toolCall !== undefined) {
      events.push(
        event(index, { tool_calls: [{ index: 0, ...Object(wholeCall({ ...toolCall, arguments: "" })) }] }, null),
      );
      for (const fragment of inFragments(toolCall.arguments)) {
        events.push(event(index, { tool_calls: [{ index: 0, function: { arguments: fragment } }] }, null));
      }
    }
    events.push(event(index, {}, finishReason));
  }
  events.push(sse({ ...chunk, choices: [], usage: answer.usage }), "data: [DONE]\n\n");
  return events;
}

function sse(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}
