/**
 * The conversation as Converse wants it: system apart, user and assistant strictly in turns, results in the user's turn.
 *
 * Surprising: where no tool may be called (`tool_choice: "none"`, or no tools at all), earlier calls and their results
 * are written as text. Converse refuses `toolUse` blocks without `toolConfig`, and with it the model might call again:
 * there is no `none`. https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolConfiguration.html
 */
import { isJsonObject } from "../../lib/json.ts";
import { type PastCall, partsOf, pastCallsOf } from "../openai-chat/chat-wire.ts";
import type { BlockWriter } from "./content.ts";

type Json = Readonly<Record<string, unknown>>;
type Role = "user" | "assistant";

export interface Conversation {
  readonly system: readonly Json[];
  readonly messages: readonly { readonly role: Role; readonly content: readonly Json[] }[];
  /** The last turn gives results of calls before which there is no reasoning. */
  readonly isBareLoop: boolean;
  /** What was left out and changes nothing that was asked for. */
  readonly dropped: readonly string[];
}

export interface ConversationOptions {
  readonly writer: BlockWriter;
  readonly toolBlocks: boolean;
  /** Signed reasoning of Bedrock's own goes back to it. */
  readonly reasoningBlocks: boolean;
}

export const isSystemRole = (role: unknown): boolean => role === "system" || role === "developer";
export const isToolRole = (role: unknown): boolean => role === "tool" || role === "function";

/** Where somebody has to say something; this says nothing. */
const FILLER: Json = { text: "." };

export function toConversation(messages: unknown, options: ConversationOptions): Conversation {
  const reader = new ConversationReader(options);
  for (const message of Array.isArray(messages) ? messages : []) {
    if (isJsonObject(message)) reader.add(message);
  }
  return reader.end();
}

class ConversationReader {
  readonly #options: ConversationOptions;
  readonly #system: Json[] = [];
  readonly #turns: { role: Role; content: Json[] }[] = [];
  readonly #ids = new CallIds();
  readonly #names = new Map<string, string>();
  readonly #dropped = new Set<string>();

  constructor(options: ConversationOptions) {
    this.#options = options;
  }

  add(message: Json): void {
    const { writer } = this.#options;
    const { role, content } = message;
    if (message["name"] !== undefined && !isToolRole(role)) this.#dropped.add("messages.name");
    const mark = writer.cachePoint(message);
    if (isSystemRole(role)) this.#system.push(...writer.blocks(content), ...mark);
    else if (role === "assistant") this.#push("assistant", [...this.#assistantBlocks(message), ...mark]);
    else if (isToolRole(role)) this.#push("user", [...this.#resultBlocks(message), ...mark]);
    else this.#push("user", [...writer.blocks(content), ...mark]);
  }

  end(): Conversation {
    const [system, turns] = [this.#system, this.#turns];
    // OpenAI answers instructions alone; here somebody has to speak first.
    if (turns.length === 0 && system.length > 0) turns.push({ role: "user", content: system.splice(0) });
    if (turns.length === 0) turns.push({ role: "user", content: [FILLER] });
    for (const turn of turns) if (turn.role === "user") turn.content = [...withText(turn.content)];
    const last = turns.at(-1);
    const block = last?.content.at(-1);
    if (last?.role === "assistant" && typeof block?.["text"] === "string") {
      // A text to be continued must not end in white space: Claude refuses it.
      last.content[last.content.length - 1] = { text: block["text"].trimEnd() };
    }
    const caller = last?.content.some((each) => "toolResult" in each) === true ? turns.at(-2) : undefined;
    const isBareLoop = caller !== undefined && !caller.content.some((each) => "reasoningContent" in each);
    return { system, messages: turns, isBareLoop, dropped: [...this.#dropped] };
  }

  #push(role: Role, blocks: readonly Json[]): void {
    if (blocks.length === 0) return;
    const last = this.#turns.at(-1);
    if (last?.role !== role) this.#turns.push({ role, content: [...blocks] });
    // Claude refuses a turn in which anything stands before the results of the calls ahead of it.
    else if ("toolResult" in (blocks[0] ?? {})) last.content.splice(resultsEnd(last.content), 0, ...blocks);
    else last.content.push(...blocks);
  }

  #assistantBlocks(message: Json): Json[] {
    const { writer, toolBlocks, reasoningBlocks } = this.#options;
    const reasoning = reasoningBlocks ? signedReasoning(message["reasoning_details"]) : [];
    const refusal = message["refusal"];
    const spoken = writer.blocks(message["content"]);
    if (typeof refusal === "string" && refusal.trim() !== "") spoken.push({ text: refusal });
    return [...reasoning, ...spoken, ...pastCallsOf(message).map((call) => this.#callBlock(call, toolBlocks))];
  }

  #callBlock(call: PastCall, toolBlocks: boolean): Json {
    this.#names.set(call.id, call.name);
    if (!toolBlocks) return { text: `[Called ${call.name} with ${call.argsText === "" ? "{}" : call.argsText}]` };
    // An answer that was cut off may have left half an object. It is kept, as text in an object.
    const input = call.args ?? { arguments: call.argsText };
    return { toolUse: { toolUseId: this.#ids.begin(call.id), name: call.name, input } };
  }

  #resultBlocks(message: Json): Json[] {
    const { writer, toolBlocks } = this.#options;
    const { content } = message;
    const id = String(message["tool_call_id"] ?? `call_${String(message["name"])}`);
    const parts = partsOf(content);
    // Marks stand beside a result, never in it.
    const marks = parts.flatMap((part) => writer.cachePoint(part.source));
    const inner = parts.flatMap((part) => writer.block(part));
    if (!toolBlocks) return [{ text: `[Result of ${this.#names.get(id) ?? id}:]` }, ...inner, ...marks];
    const failed = message["is_error"] === true || message["status"] === "error";
    const result = {
      toolUseId: this.#ids.answered(id),
      // The client's text as it is, even where it is JSON: parsing it would round its numbers.
      content: inner.length === 0 ? [{ text: "(empty)" }] : inner,
      ...(failed ? { status: "error" } : {}),
    };
    return [{ toolResult: result }, ...marks];
  }
}

/** Where the results at the beginning of a turn end, their cache marks included. */
function resultsEnd(content: readonly Json[]): number {
  let end = 0;
  content.forEach((block, at) => {
    if (at === end && ("toolResult" in block || (at > 0 && "cachePoint" in block))) end = at + 1;
  });
  return end;
}

/** Documents need a text beside them: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html. */
function withText(content: readonly Json[]): readonly Json[] {
  const needsText = content.some((block) => "document" in block) && !content.some((block) => "text" in block);
  return needsText ? [...content, FILLER] : content;
}

/** Converse's rule for the id of a call; other vendors' ids break it, and some repeat theirs in every turn. */
const VALID_ID = /^[a-zA-Z0-9_-]{1,64}$/;

class CallIds {
  /** Ids sent for the client's one that wait for a result; parallel calls may share one. */
  readonly #waiting = new Map<string, string[]>();
  readonly #used = new Set<string>();
  #next = 1;

  begin(id: string): string {
    let alias = id;
    while (!VALID_ID.test(alias) || this.#used.has(alias)) alias = `call_${this.#next++}`;
    this.#used.add(alias);
    this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), alias]);
    return alias;
  }

  /** A result that no call waits for keeps its id, as far as that is allowed. */
  answered(id: string): string {
    return this.#waiting.get(id)?.shift() ?? (VALID_ID.test(id) ? id : this.begin(id));
  }
}

/** Only what this vendor signed: it refuses reasoning of others, and reasoning without a signature. */
function signedReasoning(details: unknown): Json[] {
  return (Array.isArray(details) ? details : []).flatMap((detail): Json[] => {
    if (!isJsonObject(detail) || detail["format"] !== "bedrock") return [];
    const { signature, data, text } = detail;
    if (typeof data === "string") return [{ reasoningContent: { redactedContent: data } }];
    if (typeof signature !== "string" || signature === "") return [];
    return [{ reasoningContent: { reasoningText: { text: typeof text === "string" ? text : "", signature } } }];
  });
}
