/** An `Answer` as a `chat.completion`. */
import type { Answer, AnswerChoice } from "../../conversation/answer.ts";
import { type Bound, type Json, type Part, unreachable } from "../../conversation/part.ts";
import type { AnswerContext } from "../wire.ts";
import { blockMember, writeCallExtra, writeDetail } from "./details.ts";
import { isPlain, LAYOUT_ID, type LayoutToken, writeLayout } from "./layout.ts";

export function writeAnswer(answer: Answer, context: AnswerContext): Json {
  return {
    id: answer.id ?? `chatcmpl-${context.traceId}`,
    object: "chat.completion",
    created: context.createdAt,
    model: answer.model ?? context.model,
    choices: answer.choices.map(writeChoice),
    ...(answer.rawUsage === undefined ? {} : { usage: answer.rawUsage }),
    ...answer.extra,
  };
}

/** The parts of an earlier turn as an assistant's message, with their order kept where it is not the plain one. */
export function writeAssistantMessage(parts: readonly Part[]): Json {
  const message = new MessageWriter();
  for (const part of parts) message.add(part);
  const { refusal, ...members } = message.finish();
  return refusal === null ? members : { ...members, refusal };
}

function writeChoice(choice: AnswerChoice, index: number): Json {
  const message = new MessageWriter();
  for (const part of choice.parts) message.add(part);
  const { finish } = choice;
  return {
    index,
    message: { ...message.finish(), ...finish.details, ...stopMember(finish.stopSequence), ...choice.extra },
    logprobs: choice.logprobs ?? null,
    finish_reason: finish.reason === "tool_calls" && choice.parts.some(isLegacyCall) ? "function_call" : finish.reason,
  };
}

function isLegacyCall(part: Part): boolean {
  return part.kind === "call" && part.isLegacy === true;
}

export function stopMember(stopSequence: string | undefined): Json {
  return stopSequence === undefined ? {} : { stop_sequence: stopSequence };
}

/** Parts in order, in: one message, with its order kept in `reasoning_details` where it is not the plain one. */
class MessageWriter {
  #text = "";
  #reasoning = "";
  #refusal: string | null = null;
  readonly #details: Json[] = [];
  readonly #calls: Json[] = [];
  /** By the member that holds them. */
  readonly #blocks: Record<string, Json[]> = {};
  #legacyCall: Json | null = null;
  readonly #citations: Json[] = [];
  readonly #annotations: Json[] = [];
  readonly #images: Json[] = [];
  readonly #tokens: LayoutToken[] = [];
  /** A bound part or block has to go back: only then does the order matter. */
  #isBound = false;

  add(part: Part): void {
    switch (part.kind) {
      case "text":
        this.#addText(part.text, part.bound, part.citations);
        return;
      case "reasoning":
        this.#reasoning += part.text;
        if (part.bound !== undefined) {
          this.#addDetail(writeDetail(part.text, part.form, part.bound, this.#details.length));
          this.#tokens.push({ kind: "reasoning" });
        }
        return;
      case "refusal":
        this.#refusal = (this.#refusal ?? "") + part.text;
        return;
      case "call":
        if (part.isLegacy === true) this.#legacyCall = { name: part.name, arguments: part.args };
        else this.#calls.push(writeCall(part));
        this.#tokens.push({ kind: "call" });
        return;
      case "block":
        this.#isBound = true;
        this.#addBlock(blockMember(part.bound.wire), part.bound.data ?? {});
        this.#tokens.push({ kind: "block" });
        return;
      case "image":
        this.#images.push(imagePart(part.media, part.bound));
        this.#tokens.push({ kind: "image" });
        if (part.bound !== undefined) this.#isBound = true;
        return;
      case "audio":
      case "video":
      case "file":
      case "result":
      case "opaque":
        // No answer of a chat model has them as parts; what a provider adds of the kind is an `extra`.
        return;
      default:
        unreachable(part);
    }
  }

  #addText(text: string, bound: Bound | undefined, citations: readonly Json[] | undefined): void {
    const start = this.#text.length;
    this.#text += text;
    const cited = citations === undefined || citations.length === 0 ? {} : { citations: citations.length };
    this.#tokens.push({ kind: "text", length: text.length, ...cited });
    if (bound !== undefined) {
      this.#addDetail(writeDetail("", "redacted", bound, this.#details.length));
      this.#tokens.push({ kind: "attached" });
    }
    if (citations === undefined) return;
    this.#citations.push(...citations);
    this.#annotations.push(...urlCitations(citations, start, this.#text.length));
  }

  #addBlock(member: string, block: Json): void {
    const blocks = this.#blocks[member];
    if (blocks === undefined) this.#blocks[member] = [block];
    else blocks.push(block);
  }

  #addDetail(detail: Json): void {
    this.#isBound = true;
    this.#details.push(detail);
  }

  finish(): Json {
    if (this.#isBound && !isPlain(this.#tokens)) this.#details.push(layoutDetail(this.#tokens, this.#details.length));
    const hasCalls = this.#calls.length > 0 || this.#legacyCall !== null;
    const isSilent = this.#text === "" && (hasCalls || this.#refusal !== null);
    return {
      role: "assistant",
      content: isSilent ? null : this.#text,
      refusal: this.#refusal,
      ...(this.#reasoning === "" ? {} : { reasoning_content: this.#reasoning }),
      ...(this.#details.length === 0 ? {} : { reasoning_details: this.#details }),
      ...(this.#calls.length === 0 ? {} : { tool_calls: this.#calls }),
      ...(this.#legacyCall === null ? {} : { function_call: this.#legacyCall }),
      ...(this.#images.length === 0 ? {} : { images: this.#images }),
      ...(this.#annotations.length === 0 ? {} : { annotations: this.#annotations }),
      ...(this.#citations.length === 0 ? {} : { citations: this.#citations }),
      ...this.#blocks,
    };
  }
}

/** The entry that keeps the order of a turn. */
export function layoutDetail(tokens: readonly LayoutToken[], index: number): Json {
  return { type: "reasoning.encrypted", id: LAYOUT_ID, format: "unknown", index, data: writeLayout(tokens) };
}

function writeCall(call: Extract<Part, { kind: "call" }>): Json {
  const name = call.namespace === undefined ? call.name : `${call.namespace}__${call.name}`;
  const { id, args, bound, cache } = call;
  const more = { ...writeCallExtra(bound), ...(cache === undefined ? {} : { cache_control: cache }) };
  if (call.form === "custom") return { id, type: "custom", custom: { name, input: args }, ...more };
  return { id, type: "function", function: { name, arguments: args }, ...more };
}

function imagePart(media: Extract<Part, { kind: "image" }>["media"], bound: Bound | undefined): Json {
  const url =
    media.kind === "base64" ? `data:${media.mediaType};base64,${media.data}` : media.kind === "url" ? media.url : "";
  return { type: "image_url", image_url: { url }, ...writeCallExtra(bound) };
}

/** OpenAI's annotations for citations of the web; other citations have no counterpart there. */
export function urlCitations(citations: readonly Json[], start: number, end: number): Json[] {
  return citations.flatMap((citation) => {
    if (typeof citation["url"] !== "string") return [];
    const title = typeof citation["title"] === "string" ? citation["title"] : "";
    const place = placeOf(citation, start) ?? { start_index: start, end_index: end };
    const detail = { url: citation["url"], title, ...place };
    return [{ type: "url_citation", url_citation: detail }];
  });
}

/** Where the citation itself says which part of its text it is for; `start`: of the text among all. */
function placeOf({ type, start_index: from, end_index: to }: Json, start: number): Json | null {
  if (type !== "url_citation" || typeof from !== "number" || typeof to !== "number") return null;
  return { start_index: start + from, end_index: start + to };
}
