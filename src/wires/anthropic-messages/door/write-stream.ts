/**
 * `AnswerEvent`s as the event stream of this wire: dense indexes, one block open at a time, each event with its line.
 *
 * Calls may come interleaved. The first of them is written as it comes; what belongs to a later one waits until those
 * before it have ended. https://platform.claude.com/docs/en/build-with-claude/streaming
 */
import type { AnswerEvent, Finish } from "../../../conversation/answer.ts";
import { type Bound, type Json, type ReasoningPart, unreachable } from "../../../conversation/part.ts";
import type { TokenCounts } from "../../../conversation/usage.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { inlineOf } from "../../openai-chat/chat-wire.ts";
import type { AnswerContext, AnswerWriter } from "../../wire.ts";
import { errorEvent } from "../same-wire/forward.ts";
import { stopReasonOf } from "../stop-reasons.ts";
import { writeUsage } from "../usage.ts";
import {
  callBlock,
  callCarrier,
  carrier,
  imageBlock,
  isOwnCitation,
  providerBlock,
  redacted,
  signatureOf,
} from "./answer-blocks.ts";
import { messageId, tierMember } from "./write-answer.ts";

/** A block that has begun. The first one is open to the client, the others wait. */
interface Block {
  readonly kind: "text" | "thinking" | "call" | "whole";
  readonly start: Json;
  /** What the client has not got yet. */
  deltas: Json[];
  hasEnded: boolean;
  readonly form: ReasoningPart["form"];
}

export class MessageStream implements AnswerWriter {
  readonly #context: AnswerContext;
  readonly #blocks: Block[] = [];
  /** Blocks that the client has whole. */
  #sent = 0;
  /** Blocks of calls by the calls' places. */
  readonly #calls = new Map<number, Block>();
  #last: Block | undefined;
  #refusal: Block | undefined;
  #index = -1;
  #isOpen = false;
  #hasBegun = false;
  #id: string | undefined;
  #model: string | undefined;
  #usage: TokenCounts | null = null;
  #extra: Json = {};
  readonly #annotations: Json[] = [];
  #finish: Finish | undefined;
  #flow: Json | undefined;
  #text: string[] = [];

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  write(events: readonly AnswerEvent[]): string {
    for (const event of events) this.#take(event);
    return this.#taken();
  }

  skip(events: readonly AnswerEvent[]): void {
    this.write(events);
  }

  attach(flow: Json): void {
    this.#flow = flow;
  }

  end(flow: Json | undefined = this.#flow): string {
    this.#begin();
    this.#endBlocks();
    const finish = this.#finish ?? { reason: "stop" };
    const delta = {
      stop_reason: stopReasonOf(finish, this.#calls.size > 0),
      stop_sequence: finish.stopSequence ?? null,
      ...finish.details,
    };
    this.#send({
      type: "message_delta",
      delta,
      usage: { ...writeUsage(this.#usage), ...tierMember(this.#extra) },
      ...(this.#annotations.length > 0 ? { annotations: this.#annotations } : {}),
      ...(flow === undefined ? {} : { flow }),
    });
    this.#send({ type: "message_stop" });
    return this.#taken();
  }

  fail(message: string): string {
    return this.#taken() + errorEvent(message, this.#context.traceId);
  }

  #taken(): string {
    const text = this.#text.join("");
    this.#text = [];
    return text;
  }

  #send(event: Json): void {
    this.#text.push(`event: ${String(event["type"])}\ndata: ${JSON.stringify(event)}\n\n`);
  }

  #take(event: AnswerEvent): void {
    switch (event.kind) {
      case "start":
        this.#id ??= event.id;
        this.#model ??= event.model;
        return;
      case "text":
        this.#onText(event.text, event.begins === true);
        return;
      case "refusal":
        this.#onText(event.text, this.#last !== this.#refusal);
        this.#refusal = this.#last;
        return;
      case "reasoning":
        this.#onReasoning(event);
        return;
      case "bound":
        this.#onBound(event.of, event.bound);
        return;
      case "call_start": {
        this.#endLast();
        const carried = callCarrier(event.bound);
        if (carried !== null) this.#add("whole", carried);
        this.#calls.set(event.index, this.#add("call", { ...callBlock(event), input: {} }));
        return;
      }
      case "call_args": {
        const call = this.#calls.get(event.index);
        if (call !== undefined && event.text !== "")
          this.#delta(call, { type: "input_json_delta", partial_json: event.text });
        return;
      }
      case "call_end": {
        const call = this.#calls.get(event.index);
        if (call !== undefined) this.#endBlock(call);
        return;
      }
      case "block":
        this.#endLast();
        this.#add("whole", providerBlock(event.bound));
        return;
      case "citation":
        this.#onCitation(event.citation, event.url);
        return;
      case "media": {
        const block = mediaBlock(event.source);
        this.#endLast();
        if (block !== null) this.#add("whole", block);
        return;
      }
      case "finish":
        this.#finish = event.finish;
        this.#endBlocks();
        return;
      case "usage":
        this.#usage = event.counts;
        return;
      case "extra":
        if (event.choice === null) this.#extra = { ...this.#extra, ...event.members };
        return;
      case "error":
        // The caller's to handle: it knows what to say.
        return;
      default:
        unreachable(event);
    }
  }

  #onText(text: string, begins: boolean): void {
    if (text === "") return;
    if (begins || this.#last?.kind !== "text" || this.#last.hasEnded) {
      this.#endLast();
      this.#add("text", { type: "text", text: "" });
    }
    if (this.#last !== undefined) this.#delta(this.#last, { type: "text_delta", text });
  }

  #onReasoning({ text, begins, form }: Extract<AnswerEvent, { kind: "reasoning" }>): void {
    const isOpen = this.#last?.kind === "thinking" && !this.#last.hasEnded && begins !== true;
    if (!isOpen) {
      if (text === "" && begins !== true) return;
      this.#endLast();
      this.#add("thinking", { type: "thinking", thinking: "", signature: "" }, form);
    }
    if (this.#last !== undefined && text !== "") this.#delta(this.#last, { type: "thinking_delta", thinking: text });
  }

  #onBound(of: "reasoning" | "text" | "own", bound: Bound): void {
    const last = this.#last;
    if (of === "reasoning" && last?.kind === "thinking" && !last.hasEnded) {
      this.#delta(last, { type: "signature_delta", signature: signatureOf(last.form, bound) });
      last.hasEnded = true;
      this.#flush();
      return;
    }
    this.#endLast();
    this.#add("whole", of === "text" ? carrier("text", bound) : redacted(bound));
  }

  #onCitation(citation: Json | undefined, url: Json | undefined): void {
    const last = this.#last;
    if (citation !== undefined && isOwnCitation(citation) && last?.kind === "text" && !last.hasEnded) {
      this.#delta(last, { type: "citations_delta", citation });
    } else this.#annotations.push(...[citation, url].filter((each) => each !== undefined));
  }

  #add(kind: Block["kind"], start: Json, form: Block["form"] = "full"): Block {
    const block: Block = { kind, start, deltas: [], hasEnded: kind === "whole", form };
    this.#last = block;
    this.#blocks.push(block);
    this.#flush();
    return block;
  }

  #delta(block: Block, delta: Json): void {
    if (block.hasEnded) return;
    block.deltas.push(delta);
    if (this.#blocks[this.#sent] === block) this.#flush();
  }

  /** A call may still go on behind what comes next. */
  #endLast(): void {
    if (this.#last !== undefined && this.#last.kind !== "call") this.#endBlock(this.#last);
  }

  #endBlock(block: Block): void {
    if (block.hasEnded) return;
    // Unsigned thinking is marked, so that it is recognised later.
    if (block.kind === "thinking") {
      block.deltas.push({ type: "signature_delta", signature: signatureOf(block.form, undefined) });
    }
    block.hasEnded = true;
    this.#flush();
  }

  #endBlocks(): void {
    for (const block of this.#blocks.slice(this.#sent)) this.#endBlock(block);
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const message = {
      id: messageId(this.#id, this.#context.traceId),
      ...{ type: "message", role: "assistant" },
      model: this.#model ?? this.#context.model,
      ...{ content: [], stop_reason: null, stop_sequence: null },
      usage: writeUsage(this.#usage),
    };
    this.#send({ type: "message_start", message });
  }

  /** Sends what is due of the first block, and of those behind it as far as it has ended. */
  #flush(): void {
    this.#begin();
    for (;;) {
      const block = this.#blocks[this.#sent];
      if (block === undefined) return;
      if (!this.#isOpen) {
        this.#isOpen = true;
        this.#send({ type: "content_block_start", index: ++this.#index, content_block: block.start });
      }
      for (const delta of block.deltas) this.#send({ type: "content_block_delta", index: this.#index, delta });
      block.deltas = [];
      if (!block.hasEnded) return;
      this.#send({ type: "content_block_stop", index: this.#index });
      this.#isOpen = false;
      this.#sent++;
    }
  }
}

/** A picture in OpenAI's shape. */
function mediaBlock(source: Json): Json | null {
  const image = source["image_url"];
  const url = isJsonObject(image) ? image["url"] : image;
  if (typeof url !== "string") return null;
  const inline = inlineOf(url);
  return imageBlock(
    inline === null ? { kind: "url", url } : { kind: "base64", mediaType: inline.mediaType, data: inline.base64 },
  );
}
