/**
 * The tool calls of one stream, kept back until somebody says what becomes of them.
 *
 * Text streams on. What carries a call, and the finish reason behind it, is held as it came; the calls are put together
 * from their fragments meanwhile. When they are decided, the held events follow unchanged where that is what a client
 * would make of them, else written anew.
 */
import { isJsonObject } from "../lib/json.ts";
import { isFilled, isFinishReason } from "../wires/openai-chat/chunk.ts";
import { carriesCalls, isPlain, isPlainMessage, readCalls, type SeenCall, withoutCalls } from "./calls.ts";
import { isReleased, type Release, removalNotice, toolApproval, writeCalls } from "./release.ts";
import type { RuledCall } from "./types.ts";

type Json = Readonly<Record<string, unknown>>;

/** Text of an answer beyond this is not kept: the answer cannot be fetched later. In characters. */
const MAX_TEXT_LENGTH = 1_000_000;
/** Members of a delta that are no news of their own. */
const LABELS: ReadonlySet<string> = new Set(["role", "name", "channel"]);
const TEXTS = ["content", "reasoning_content", "reasoning", "refusal"] as const;

/** A call as its fragments add up. */
interface Assembled {
  readonly key: unknown;
  id: string | null;
  kind: SeenCall["kind"];
  name: string;
  arguments: string;
}

interface ChoiceState {
  readonly index: unknown;
  readonly calls: Assembled[];
  readonly texts: Map<string, string>;
  finishReason: string | null;
  /** From a member `message` beside the delta, which holds the whole answer so far. */
  repeated: SeenCall[];
  /** Something was called, readable or not. */
  hasCalls: boolean;
  /** The client has been told who speaks. */
  hasRole: boolean;
}

interface HeldEvent {
  readonly chunk: Json;
  /** `null`: the chunk was taken apart, and only this part of it is held. */
  readonly raw: string | null;
}

export class StreamGate {
  readonly #choices = new Map<unknown, ChoiceState>();
  readonly #held: HeldEvent[] = [];
  #usage: HeldEvent | null = null;
  /** What clients make of the held events differs from one to the next: they are written anew. */
  #isOdd = false;
  #textLength = 0;

  /** Something is kept back: what has to come after it must be kept too. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** What may go on of `chunk`, itself where nothing is kept back of it, `null` where everything is. */
  pass(chunk: Json, raw: string): Json | null {
    const choices = Array.isArray(chunk["choices"]) ? chunk["choices"].filter(isJsonObject) : [];
    const passed: Json[] = [];
    const held: Json[] = [];
    for (const choice of choices) {
      const parts = this.#split(choice);
      if (parts.passed !== null) passed.push(parts.passed);
      if (parts.held !== null) held.push(parts.held);
    }
    if (held.length === 0) return chunk;
    if (passed.length === 0) {
      this.#held.push({ chunk, raw });
      return null;
    }
    const { usage, ...rest } = chunk;
    this.#held.push({
      chunk: isFilled(usage) ? { ...rest, usage, choices: held } : { ...rest, choices: held },
      raw: null,
    });
    return { ...rest, choices: passed };
  }

  /** The usage event, which comes last. */
  keepUsage(chunk: Json, raw: string): void {
    this.#usage = { chunk, raw };
  }

  /** The calls that were made, choice by choice. */
  calls(): SeenCall[] {
    return this.#inOrder().flatMap(callsOf);
  }

  /** The whole answer as a chat completion; `null` when its text was too long to be kept. */
  toCompletion(): Record<string, unknown> | null {
    const first = this.#held[0]?.chunk;
    if (first === undefined || this.#textLength > MAX_TEXT_LENGTH) return null;
    const { id, created, model } = first;
    const choices = this.#inOrder().map((state) => ({
      index: state.index,
      message: {
        role: "assistant",
        content: null,
        ...Object.fromEntries(state.texts),
        ...writeCalls(callsOf(state).map((call) => ({ call, id: call.id ?? "" }))),
      },
      finish_reason: state.finishReason,
    }));
    return { id, object: "chat.completion", created, model, choices };
  }

  /** The events that end the answer, all but `[DONE]`. `release.ruling` is of `calls()`. */
  finish(release: Release): string {
    const approval = { tool_approval: toolApproval(release) };
    const seen = this.calls();
    const isWhole = release.ruling.calls.every((call, at) => {
      return isReleased(release, call) && (seen[at]?.kind === "legacy" || seen[at]?.id === call.id);
    });
    const isUnchanged = isWhole && !this.#isOdd && seen.length > 0;
    const hasPending = approval.tool_approval.status === "pending";
    const events = isUnchanged ? this.#held : this.#rewritten(release);
    const last = events.length - 1;
    let text = events.map((event, at) => write(event, hasPending && at === last ? approval : null)).join("");
    if (this.#usage !== null) text += write(this.#usage, hasPending ? approval : null);
    return text;
  }

  #inOrder(): ChoiceState[] {
    return [...this.#choices.values()].sort((a, b) => Number(a.index) - Number(b.index));
  }

  #split(choice: Json): { passed: Json | null; held: Json | null } {
    const delta = isJsonObject(choice["delta"]) ? choice["delta"] : {};
    const message = isJsonObject(choice["message"]) ? choice["message"] : {};
    const state = this.#stateOf(choice["index"] ?? 0);
    this.#noteText(state, delta);
    const carries = carriesCalls(delta) || carriesCalls(message);
    if (carriesCalls(delta)) this.#assemble(state, delta);
    if (carriesCalls(message)) this.#repeat(state, message);
    state.hasCalls ||= carries;
    const isLast = isFinishReason(choice["finish_reason"]);
    if (isLast) state.finishReason = String(choice["finish_reason"]);
    const isFree = !carries && !(isLast && state.hasCalls);
    const text = withoutCalls(delta);
    const hasText = isFree || Object.entries(text).some(([name, value]) => !LABELS.has(name) && isFilled(value));
    if (!hasText) return { passed: null, held: choice };
    state.hasRole ||= delta["role"] !== undefined;
    if (isFree) return { passed: choice, held: null };
    const { message: _message, finish_reason: _reason, ...rest } = choice;
    const { tool_calls, function_call } = delta;
    const calls = {
      ...(isFilled(tool_calls) ? { tool_calls } : {}),
      ...(isFilled(function_call) ? { function_call } : {}),
    };
    return { passed: { ...rest, delta: text, finish_reason: null }, held: { ...choice, delta: calls } };
  }

  #stateOf(index: unknown): ChoiceState {
    const known = this.#choices.get(index);
    if (known !== undefined) return known;
    const state: ChoiceState = {
      ...{ index, calls: [], texts: new Map(), finishReason: null, repeated: [], hasCalls: false, hasRole: false },
    };
    this.#choices.set(index, state);
    return state;
  }

  #noteText(state: ChoiceState, delta: Json): void {
    for (const name of TEXTS) {
      const text = delta[name];
      if (typeof text !== "string" || text === "") continue;
      this.#textLength += text.length;
      if (this.#textLength <= MAX_TEXT_LENGTH) state.texts.set(name, (state.texts.get(name) ?? "") + text);
    }
  }

  /** Some clients read the message, others the delta: where both call something they may get different calls. */
  #repeat(state: ChoiceState, message: Json): void {
    if (state.calls.length + state.repeated.length > 0 || !isPlainMessage(message)) this.#isOdd = true;
    state.repeated = readCalls(message);
  }

  #assemble(state: ChoiceState, delta: Json): void {
    if (state.repeated.length > 0) this.#isOdd = true;
    const listed = Array.isArray(delta["tool_calls"]) ? delta["tool_calls"] : [];
    const fragments = readCalls({ tool_calls: listed });
    for (const [at, part] of listed.filter(isJsonObject).entries()) {
      if (!Number.isInteger(part["index"]) || !isPlain(part)) this.#isOdd = true;
      const fragment = fragments[at];
      if (fragment !== undefined) this.#add(state, part["index"], fragment);
    }
    if (!Array.isArray(delta["tool_calls"]) && isFilled(delta["tool_calls"])) this.#isOdd = true;
    if (!isPlain({ function: delta["function_call"] })) this.#isOdd = true;
    for (const legacy of readCalls({ function_call: delta["function_call"] })) this.#add(state, "legacy", legacy);
  }

  #add(state: ChoiceState, key: unknown, fragment: SeenCall): void {
    const call = findCall(state.calls, key, fragment.id);
    if (call === undefined) {
      const { id, kind, name, arguments: text } = fragment;
      state.calls.push({ key: key ?? state.calls.length, id, kind, name, arguments: text });
      if (name === "") this.#isOdd = true;
      return;
    }
    call.arguments += fragment.arguments;
    if (fragment.id !== null) {
      if (call.id !== null && call.id !== fragment.id) this.#isOdd = true;
      call.id ??= fragment.id;
    }
    if (fragment.name === "") return;
    // Some clients add names up, others take the first.
    this.#isOdd = true;
    if (call.name === "") call.name = fragment.name;
    if (fragment.kind === "custom") call.kind = "custom";
  }

  /** One event per choice with its text and its calls, and one that ends it. */
  #rewritten(release: Release): HeldEvent[] {
    const { chunk: last = {} } = this.#held.at(-1) ?? {};
    const { usage, choices: _choices, ...base } = last;
    const events: HeldEvent[] = [];
    let at = 0;
    for (const state of this.#inOrder()) {
      if (!state.hasCalls) continue;
      const { index } = state;
      const seen = callsOf(state);
      const ruled = release.ruling.calls.slice(at, at + seen.length);
      at += seen.length;
      const { delta, isEmpty } = releasedDelta(seen, ruled, release);
      const missing = removalNotice(release, ruled) ?? (seen.length === 0 ? UNREADABLE : null);
      const before = state.texts.has("content") ? "\n\n" : "";
      const deltas: Json[] = [
        ...(state.hasRole ? [] : [{ role: "assistant" }]),
        ...(missing === null ? [] : [{ content: before + missing }]),
        ...(isEmpty ? [] : [delta]),
      ];
      const choices: Json[] = deltas.map((each) => ({ index, delta: each, finish_reason: null }));
      choices.push({ index, delta: {}, finish_reason: isEmpty ? "stop" : state.finishReason });
      for (const choice of choices) events.push({ chunk: { ...base, choices: [choice] }, raw: null });
    }
    const final = events.pop();
    if (final !== undefined) events.push(isFilled(usage) ? { chunk: { ...final.chunk, usage }, raw: null } : final);
    return events;
  }
}

const UNREADABLE = "[The Flow Layer removed a tool call that cannot be read]";

function callsOf(state: ChoiceState): SeenCall[] {
  const { calls, repeated } = state;
  if (calls.length === 0) return repeated;
  return calls.map(({ id, kind, name, arguments: text }) => ({ id, kind, name, arguments: text }));
}

/** Without an index, an id that is new begins a call, and anything else goes on with the last one. */
function findCall(calls: readonly Assembled[], key: unknown, id: string | null): Assembled | undefined {
  if (key !== undefined && key !== null) return calls.find((call) => call.key === key);
  return id === null ? calls.at(-1) : calls.find((call) => call.id === id);
}

function releasedDelta(seen: readonly SeenCall[], ruled: readonly RuledCall[], release: Release) {
  let index = 0;
  const released = seen.flatMap((call, at) => {
    const ruling = ruled[at];
    return ruling !== undefined && isReleased(release, ruling) ? [{ call, id: ruling.id, index: index++ }] : [];
  });
  return { delta: writeCalls(released), isEmpty: released.length === 0 };
}

function write({ chunk, raw }: HeldEvent, flow: Json | null): string {
  if (raw !== null && flow === null) return raw;
  return `data: ${JSON.stringify(flow === null ? chunk : { ...chunk, flow })}\n\n`;
}
