/**
 * The content blocks of a stream. Text and reasoning blocks have no start event, only deltas; a tool call has one.
 *
 * What belongs to a block as a whole, its signature or Amazon's own call, is emitted when the block ends.
 */
import type { AnswerEvent } from "../../conversation/answer.ts";
import type { Bound, Json } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { CallArguments } from "../call-arguments.ts";
import { type CalledTools, customInput } from "../custom-tools.ts";
import type { AnswerContext } from "../wire.ts";
import { pictureUrl } from "./answer.ts";
import { ANSWER_TOOL, answerFormatOf } from "./answer-format.ts";
import { allowsOneCall } from "./ends.ts";
import { traitsOf } from "./models.ts";
import { isServerCall } from "./own-blocks.ts";
import { calledTools } from "./tools.ts";

const CHOICE = 0;

/** A content block that was begun and has not ended. */
interface OpenBlock {
  /** `hidden`: a second call where one is allowed. `own`: a call or result of a tool that Amazon runs. */
  kind: "new" | "text" | "reasoning" | "call" | "answer" | "hidden" | "own";
  /** Index of the call in the answer. */
  call: number;
  readonly args: CallArguments;
  /** Pieces of a custom tool's input, which is known when the object around it is whole; `null` for a function. */
  held: string[] | null;
  readonly redacted: string[];
  signature: string;
  imageFormat: unknown;
  /** Amazon's own block, and the text of its input so far. */
  own: Record<string, unknown>;
  ownInput: string;
}

export class BlockReader {
  /** Calls the client has been shown. */
  callCount = 0;
  readonly #tools: CalledTools;
  readonly #oneCall: boolean;
  readonly #open = new Map<unknown, OpenBlock>();
  /** Text held back until it is known whether it is the answer or accompanies it; `null`: nothing is held. */
  #heldText: string | null;
  #hasAnswer = false;

  constructor(context: AnswerContext) {
    const { conversation, model } = context;
    this.#tools = calledTools(conversation);
    this.#oneCall = allowsOneCall(context);
    const byTool = conversation !== null && answerFormatOf(conversation, traitsOf(model)).kind === "tool";
    this.#heldText = byTool ? "" : null;
  }

  start({ contentBlockIndex: index, start }: Json): AnswerEvent[] {
    const block = this.#begin(index);
    if (!isJsonObject(start)) return [];
    const { toolUse, toolResult, image } = start;
    if (isJsonObject(image)) block.imageFormat = image["format"];
    if (isJsonObject(toolResult)) {
      block.kind = "own";
      block.own = { toolResult: { ...toolResult, content: [] } };
    }
    return isJsonObject(toolUse) ? this.#startCall(block, toolUse) : [];
  }

  #startCall(block: OpenBlock, toolUse: Json): AnswerEvent[] {
    const name = String(toolUse["name"]);
    if (name === ANSWER_TOOL) {
      block.kind = "answer";
      this.#hasAnswer = true;
      return this.#release("reasoning");
    }
    if (isServerCall(toolUse)) {
      block.kind = "own";
      block.own = { toolUse };
      return [];
    }
    if (this.#oneCall && this.callCount > 0) {
      block.kind = "hidden";
      return [];
    }
    block.kind = "call";
    block.call = this.callCount++;
    const tool = this.#tools.named(name);
    if (tool.form === "custom") block.held = [];
    const id = String(toolUse["toolUseId"]);
    return [{ kind: "call_start", choice: CHOICE, index: block.call, id, ...tool }];
  }

  delta({ contentBlockIndex: index, delta }: Json): AnswerEvent[] {
    if (!isJsonObject(delta)) return [];
    const { text, toolUse, toolResult, reasoningContent, citation, image, ...rest } = delta;
    if (typeof text === "string") return text === "" ? [] : this.#text(this.#block(index), text);
    if (isJsonObject(toolUse)) return this.#arguments(this.#open.get(index), toolUse["input"]);
    if (isJsonObject(reasoningContent)) return this.#reasoning(this.#block(index), reasoningContent);
    if (isJsonObject(citation)) return isTooDeep(citation) ? [] : [{ kind: "citation", choice: CHOICE, citation }];
    if (isJsonObject(image)) {
      const url = pictureUrl(this.#open.get(index)?.imageFormat, image["source"]);
      if (url === null) return [];
      return [{ kind: "media", choice: CHOICE, media: "image", source: { type: "image_url", image_url: { url } } }];
    }
    if (toolResult !== undefined) addResult(this.#block(index), toolResult);
    else if (Object.keys(rest).length > 0) {
      const block = this.#block(index);
      if (block.kind === "new") block.kind = "own";
      if (block.kind === "own") block.own = { ...block.own, ...rest };
    }
    return [];
  }

  stop(index: unknown): AnswerEvent[] {
    const block = this.#open.get(index);
    if (block === undefined) return [];
    this.#open.delete(index);
    switch (block.kind) {
      case "new":
      case "text":
      case "hidden":
        return [];
      case "reasoning":
        return boundsOf(block);
      case "call": {
        const rest = block.args.end();
        const text = block.held === null ? rest : customInput([...block.held, rest].join(""));
        const end = { kind: "call_end", choice: CHOICE, index: block.call } as const;
        return text === "" ? [end] : [{ kind: "call_args", choice: CHOICE, index: block.call, text }, end];
      }
      case "answer":
        return textEvents(block.args.end(), false);
      case "own":
        return ownEvents(block);
    }
  }

  /** Blocks that never ended, and text that turned out to be the answer. */
  end(): AnswerEvent[] {
    return [...[...this.#open.keys()].flatMap((index) => this.stop(index)), ...this.#release("text")];
  }

  #begin(index: unknown): OpenBlock {
    const block: OpenBlock = {
      ...{
        kind: "new",
        call: 0,
        args: new CallArguments(),
        held: null,
        redacted: [],
        signature: "",
        imageFormat: undefined,
      },
      ...{ own: {}, ownInput: "" },
    };
    this.#open.set(index, block);
    return block;
  }

  #block(index: unknown): OpenBlock {
    return this.#open.get(index) ?? this.#begin(index);
  }

  #text(block: OpenBlock, text: string): AnswerEvent[] {
    const begins = block.kind === "new";
    if (begins) block.kind = "text";
    if (this.#hasAnswer) return [{ kind: "reasoning", choice: CHOICE, text, form: "full", begins }];
    if (this.#heldText === null) return textEvents(text, begins);
    this.#heldText += text;
    return [];
  }

  #release(as: "text" | "reasoning"): AnswerEvent[] {
    const held = this.#heldText;
    this.#heldText = null;
    if (held === null || held === "") return [];
    if (as === "text") return textEvents(held, true);
    return [{ kind: "reasoning", choice: CHOICE, text: held, form: "full", begins: true }];
  }

  #arguments(block: OpenBlock | undefined, input: unknown): AnswerEvent[] {
    // Documented as a text; an object would be the arguments at once.
    const piece =
      typeof input === "string" ? input : isJsonObject(input) && !isTooDeep(input) ? JSON.stringify(input) : "";
    switch (block?.kind) {
      case "call": {
        const text = block.args.push(piece);
        block.held?.push(text);
        return text === "" || block.held !== null
          ? []
          : [{ kind: "call_args", choice: CHOICE, index: block.call, text }];
      }
      case "answer":
        return textEvents(block.args.push(piece), false);
      case "own":
        block.ownInput += piece;
        return [];
      default:
        return [];
    }
  }

  #reasoning(block: OpenBlock, { text, signature, redactedContent }: Json): AnswerEvent[] {
    const begins = block.kind === "new";
    if (begins) block.kind = "reasoning";
    if (typeof signature === "string") block.signature += signature;
    if (typeof redactedContent === "string") block.redacted.push(redactedContent);
    const piece = typeof text === "string" ? text : "";
    // The first one is emitted without text too: what is signed later is this block, and not the one before.
    return begins || piece !== ""
      ? [{ kind: "reasoning", choice: CHOICE, text: piece, form: "full", ...(begins ? { begins } : {}) }]
      : [];
  }
}

function textEvents(text: string, begins: boolean): AnswerEvent[] {
  return text === "" ? [] : [{ kind: "text", choice: CHOICE, text, ...(begins ? { begins } : {}) }];
}

/** A signature belongs to the text of its block; encrypted reasoning is a block of its own. */
function boundsOf({ signature, redacted }: OpenBlock): AnswerEvent[] {
  const common = { wire: "bedrock", provider: null } as const;
  const event = (of: "reasoning" | "own", bound: Bound): AnswerEvent => ({ kind: "bound", choice: CHOICE, of, bound });
  return [
    ...redacted.map((encrypted) => event("own", { ...common, encrypted })),
    ...(signature === "" ? [] : [event("reasoning", { ...common, signature })]),
  ];
}

function addResult(block: OpenBlock, pieces: unknown): void {
  const known = block.own["toolResult"];
  if (block.kind === "new") block.kind = "own";
  if (block.kind !== "own") return;
  const result = isJsonObject(known) ? known : {};
  const content = Array.isArray(result["content"]) ? result["content"] : [];
  // The list is this reader's own, so it grows in place.
  content.push(...(Array.isArray(pieces) ? pieces : [pieces]));
  block.own = { ...block.own, toolResult: { ...result, content } };
}

function ownEvents({ own, ownInput }: OpenBlock): AnswerEvent[] {
  const { toolUse } = own;
  const input = isJsonObject(toolUse) ? (tryParseJson(ownInput) ?? {}) : undefined;
  const data = isJsonObject(toolUse) ? { toolUse: { ...toolUse, input } } : own;
  if (isTooDeep(data)) return [];
  return [{ kind: "block", choice: CHOICE, bound: { wire: "bedrock", provider: null, data } }];
}
