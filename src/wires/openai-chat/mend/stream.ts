/**
 * The chunks of a stream in OpenAI's protocol, mended: what clients rely on is put right, every other byte stays.
 *
 * Frames that are no chunk are dropped: no data, plain text, JSON of another kind. A stream that the provider itself
 * ends with `[DONE]` is whole: a finish reason that it left out is put in. One without either was cut, and stays so.
 */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../../lib/json.ts";
import { type Cut, editElements, elementCuts, memberCut } from "../../../lib/json-spans.ts";
import { type ChunkView, carriesAnswer, reportsFailure, viewParsed } from "../chunk.ts";
import { CallLabels, CallStream, type OwedText } from "./calls.ts";
import { finishWord, isFinishWord } from "./finish-words.ts";
import {
  callsOf,
  hasLegacyCall,
  hasOddContent,
  hasOddLegacyCall,
  type MendOptions,
  writeContent,
  writeLegacyCall,
} from "./message.ts";

/** One event of the stream that the client may get. */
export interface ChunkFrame {
  /** JSON text of the chunk, or `[DONE]`. */
  readonly data: string;
  readonly view: ChunkView;
  /** `data` is what the provider sent. */
  readonly isExact: boolean;
}

interface OpenChoice {
  readonly calls: CallStream;
  hasLegacyCall: boolean;
  /** Calls came that cannot be read: what announces them keeps its word, so that the gate can say so. */
  hasUnreadableCalls: boolean;
  /** It said something. */
  hasContent: boolean;
  /** The finish reason that the client got. */
  finish: string | null;
}

const DONE: ChunkFrame = { data: "[DONE]", view: { kind: "done", chunk: {} }, isExact: true };
const NOTHING: readonly ChunkFrame[] = [];

export class ChunkMender {
  readonly #options: MendOptions;
  readonly #ids: CallLabels;
  readonly #choices = new Map<number, OpenChoice>();
  /** Members that every chunk of the stream repeats. */
  #common: Json = {};

  constructor(options: MendOptions) {
    this.#options = options;
    this.#ids = new CallLabels(options);
  }

  /** The frames for the `data` of one event. The same for every chunking of the bytes, since events are whole. */
  push(data: string): readonly ChunkFrame[] {
    const bare = data.length < 16 ? data.trim() : data;
    if (bare === "") return NOTHING;
    if (bare === "[DONE]") return [...this.#finishAll(), DONE];
    const parsed = tryParseJson(data);
    // Some leave the empty line between events out.
    if (parsed === undefined && data.includes("\n")) {
      return data.split("\n").flatMap((line) => this.push(line).map((frame) => ({ ...frame, isExact: false })));
    }
    // Google's endpoint wraps its errors into a list.
    const chunk: unknown = Array.isArray(parsed) && parsed.length === 1 ? parsed[0] : parsed;
    if (!isJsonObject(chunk)) return NOTHING;
    if (reportsFailure(chunk)) return [{ data, view: { kind: "error", chunk }, isExact: true }];
    if (chunk !== parsed) return NOTHING;
    const { choices } = chunk;
    if (!Array.isArray(choices)) return withoutChoices(data, chunk);
    const plain = choices.length === 1 ? this.#plain(data, chunk, choices[0]) : null;
    if (plain !== null) return [plain];
    return this.#mend(data, chunk, choices);
  }

  /**
   * Nearly every chunk is a piece of text, of thoughts, or of a role: those are recognised by their first characters.
   */
  #plain(data: string, chunk: Json, choice: unknown): ChunkFrame | null {
    if (!isJsonObject(choice)) return null;
    const { index, delta, finish_reason: finish } = choice;
    if (typeof index !== "number" || !isJsonObject(delta) || (finish !== null && finish !== undefined)) return null;
    const { content } = delta;
    const isText = typeof content === "string" || content === undefined || content === null;
    if (!isText || delta["tool_calls"] !== undefined || delta["function_call"] !== undefined) return null;
    if (indexOf(index) === undefined) return null;
    this.#common = chunk;
    const hasContent = carriesAnswer(delta);
    if (hasContent) this.#choice(index).hasContent = true;
    else this.#choice(index);
    return { data, view: { kind: hasContent ? "content" : "empty", chunk }, isExact: true };
  }

  #mend(data: string, chunk: Json, choices: readonly unknown[]): readonly ChunkFrame[] {
    if (choices.length > 0) this.#common = chunk;
    const all = memberCut(() => data, "choices");
    const cuts = elementCuts(all);
    const before: ChunkFrame[] = [];
    const edited = choices.map((choice, at) =>
      // A choice that is no object says nothing.
      isJsonObject(choice) ? this.#mendChoice(choice, at, choices.length, cuts(at), before) : null,
    );
    if (edited.every((each) => each === undefined)) {
      const frame = { data, view: viewParsed(chunk), isExact: true };
      return before.length === 0 ? [frame] : [...before, frame];
    }
    const mended = new JsonEdit(data)
      .setRaw(
        "choices",
        editElements(all(), (_, at) => edited[at]),
      )
      .toString();
    return [...before, frameOf(mended)];
  }

  /** `undefined` where nothing has to change. What is due before this chunk is put into `before`. */
  #mendChoice(choice: Json, at: number, count: number, cut: Cut, before: ChunkFrame[]): string | undefined {
    const index = indexOf(choice["index"]) ?? (count === 1 ? 0 : at);
    const state = this.#choice(index);
    const isWholeMessage = !isJsonObject(choice["delta"]) && isJsonObject(choice["message"]);
    const source = isWholeMessage ? choice["message"] : choice["delta"];
    const delta: Json = isJsonObject(source) ? source : {};
    const finish = choice["finish_reason"];
    const hasFinish = isFinishWord(finish);
    state.hasContent ||= carriesAnswer(delta);
    state.hasUnreadableCalls ||= hasUnreadable(delta["tool_calls"]);
    const mended = this.#mendDelta(delta, state, memberCut(cut, isWholeMessage ? "message" : "delta"), hasFinish);
    if (hasFinish) {
      for (const [call, text] of mended.owed) before.push(this.#frame(index, owedDelta(call, text), null));
    }
    const calls = callsMade(state);
    const keepsWord = calls === "none" && state.hasUnreadableCalls;
    const ends = hasFinish && !keepsWord ? finishWord(finish, calls, this.#options.finishWords) : finish;
    // A client takes the first end for the end, and gets it once. A word of no meaning is no end.
    const word = hasFinish ? (ends === state.finish ? null : ends) : typeof finish === "string" ? null : finish;
    if (hasFinish) state.finish = String(ends);
    const isFine = choice["index"] === index && isJsonObject(choice["delta"]) && word === finish;
    if (isFine && mended.text === undefined) return undefined;
    const edit = new JsonEdit(cut());
    if (choice["index"] !== index) edit.set("index", index);
    if (isWholeMessage) edit.remove("message").setRaw("delta", mended.text ?? memberCut(cut, "message")());
    else if (mended.text !== undefined || !isJsonObject(choice["delta"])) edit.setRaw("delta", mended.text ?? "{}");
    if (word !== finish) edit.set("finish_reason", word);
    return edit.toString();
  }

  #mendDelta(
    delta: Json,
    state: OpenChoice,
    cut: Cut,
    isLast: boolean,
  ): { readonly text: string | undefined; readonly owed: ReadonlyMap<number, OwedText> } {
    const calls = callsOf(delta);
    const isList = Array.isArray(delta["tool_calls"]);
    const cuts = elementCuts(memberCut(cut, "tool_calls"));
    // An entry that is no object calls nothing.
    const mended = calls.map((call, at) => (isJsonObject(call) ? state.calls.mend(call, cuts(at)) : NO_CALL));
    const texts = mended.map(({ text }) => text);
    const owed = new Map(isLast ? state.calls.close() : []);
    const places = owed.size === 0 ? NO_PLACES : new Map(mended.map((call, at) => [call.index, at]));
    for (const [index, due] of owed) {
      // Where the call is in this very chunk its arguments are put there.
      const at = places.get(index);
      if (at === undefined) continue;
      texts[at] = texts[at] === null ? owedCall(index, due) : withOwed(texts[at] ?? cuts(at)(), due);
      owed.delete(index);
    }
    if (hasLegacyCall(delta)) state.hasLegacyCall = true;
    const isOdd = hasOddContent(delta);
    const isOddLegacy = hasOddLegacyCall(delta, false, this.#ids);
    const areCallsFine = texts.every((text) => text === undefined) && (isList || calls.length === 0);
    if (!isOdd && !isOddLegacy && areCallsFine) return { text: undefined, owed };
    const edit = new JsonEdit(cut());
    if (isOdd) writeContent(delta, edit);
    if (isOddLegacy) writeLegacyCall(delta, edit, false, this.#ids);
    if (!areCallsFine) {
      const list = calls.flatMap((_, at) => (texts[at] === null ? [] : [texts[at] ?? cuts(at)()]));
      if (list.length === 0) edit.remove("tool_calls");
      else edit.setRaw("tool_calls", `[${list.join(",")}]`);
    }
    return { text: edit.toString(), owed };
  }

  /** The provider says that the answer is over: choices that have no finish reason get one. */
  #finishAll(): ChunkFrame[] {
    const frames: ChunkFrame[] = [];
    // An answer that ends before it said anything is no answer.
    if (![...this.#choices.values()].some(({ hasContent }) => hasContent)) return frames;
    for (const [index, state] of this.#choices) {
      if (state.finish !== null) continue;
      state.finish = "stop";
      for (const [call, text] of state.calls.close()) {
        frames.push(this.#frame(index, owedDelta(call, text), null));
      }
      frames.push(this.#frame(index, {}, finishWord("stop", callsMade(state))));
    }
    return frames;
  }

  /** A chunk of this stream that its provider did not send. */
  #frame(index: number, delta: Json, finish: string | null): ChunkFrame {
    const { id, created, model } = this.#common;
    const choices = [{ index, delta, finish_reason: finish }];
    return frameOf(JSON.stringify({ id, object: "chat.completion.chunk", created, model, choices }));
  }

  #choice(index: number): OpenChoice {
    let state = this.#choices.get(index);
    if (state === undefined) {
      const calls = new CallStream(this.#ids);
      state = { calls, hasLegacyCall: false, hasUnreadableCalls: false, hasContent: false, finish: null };
      this.#choices.set(index, state);
    }
    return state;
  }
}

const NO_PLACES: ReadonlyMap<number, number> = new Map();
const NO_CALL = { index: -1, text: null } as const;

/** A chunk without `choices` is one only where it has the usage of the answer, or calls itself a chunk. */
function withoutChoices(data: string, chunk: Json): readonly ChunkFrame[] {
  const isChunk = isJsonObject(chunk["usage"]) || chunk["object"] === "chat.completion.chunk";
  return isChunk ? [frameOf(new JsonEdit(data).set("choices", []).toString())] : NOTHING;
}

function frameOf(data: string): ChunkFrame {
  const chunk = tryParseJson(data);
  return { data, view: viewParsed(isJsonObject(chunk) ? chunk : {}), isExact: false };
}

function owedDelta(index: number, owed: OwedText): Json {
  return { tool_calls: [entryOf(index, owed)] };
}

const owedCall = (index: number, owed: OwedText): string => JSON.stringify(entryOf(index, owed));

function entryOf(index: number, { text, isCustom }: OwedText): Json {
  return isCustom ? { index, custom: { input: text } } : { index, function: { arguments: text } };
}

function withOwed(call: string, { text, isCustom }: OwedText): string {
  const edit = new JsonEdit(call);
  const [member, name] = isCustom ? ["custom", "input"] : ["function", "arguments"];
  return edit.setRaw(member, new JsonEdit(edit.raw(member) ?? "{}").set(name, text).toString()).toString();
}

function hasUnreadable(calls: unknown): boolean {
  return Array.isArray(calls) ? calls.some((call) => !isJsonObject(call)) : calls != null;
}

function callsMade({ calls, hasLegacyCall }: OpenChoice): "none" | "tools" | "legacy" {
  return calls.hasCalls ? "tools" : hasLegacyCall ? "legacy" : "none";
}

function indexOf(value: unknown): number | undefined {
  if (typeof value === "string" && /^\d{1,6}$/.test(value)) return Number(value);
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : undefined;
}
