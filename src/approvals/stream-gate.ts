/**
 * The tool calls of one stream, kept back until somebody says what becomes of them.
 *
 * Text streams on. Calls, and the end of a choice that calls, are held, and put together from their pieces meanwhile.
 * Once they are decided the released ones are sent as events, so that a client gets exactly what was recorded,
 * whatever the provider wrote.
 */
import type { Answer, AnswerEvent, Finish } from "../conversation/answer.ts";
import type { CallPart, Part } from "../conversation/part.ts";
import { type SeenCall, seenCall } from "../conversation/tool-turns.ts";
import { harmlessEvent } from "./extras.ts";
import type { ToolRules } from "./match.ts";
import { BlockFilter } from "./provider-run.ts";
import { isReleased, type Release, releasedCalls, removalNotice, UNREADABLE } from "./release.ts";

/** Text of an answer beyond this is not kept: the answer cannot be fetched later. In characters. */
const MAX_TEXT_LENGTH = 1_000_000;
/** No model makes more calls in one answer, and no person could decide them. */
export const MAX_CALLS = 256;
/** Arguments of all calls of an answer together, in characters. */
export const MAX_ARGUMENTS_LENGTH = 8 * 1024 * 1024;

/** A call as its pieces add up. */
interface HeldCall {
  readonly part: Omit<CallPart, "args">;
  readonly pieces: string[];
}

interface ChoiceState {
  readonly choice: number;
  readonly calls: Map<number, HeldCall>;
  text: string;
  reasoning: string;
  refusal: string;
  finish: Finish | null;
}

export class StreamGate {
  readonly #blocks: BlockFilter;
  readonly #choices = new Map<number, ChoiceState>();
  #id: string | undefined;
  #model: string | undefined;
  /** The held items as they came; `null` once one of them may not be released so. */
  #raw: string[] | null = [];
  #textLength = 0;
  #argumentsLength = 0;
  #callCount = 0;

  /** `rules`: what a provider may run by itself. */
  constructor(rules: ToolRules) {
    this.#blocks = new BlockFilter(rules);
  }

  /** Something is kept back: what has to come after it must be kept too. */
  get isHolding(): boolean {
    return this.#callCount > 0;
  }

  /** More is called than may be held, or could be recorded: the answer is none. */
  get isOverfull(): boolean {
    return this.#callCount > MAX_CALLS || this.#argumentsLength > MAX_ARGUMENTS_LENGTH;
  }

  /**
   * What may go on of `events`: the same list where nothing is kept back or changed. `raw`: their text, where it says
   * nothing else.
   */
  pass(events: readonly AnswerEvent[], raw: string | null = null): readonly AnswerEvent[] {
    const passed: AnswerEvent[] = [];
    let isSame = true;
    for (const event of events) {
      const own = this.#pass(event);
      isSame &&= own === event;
      if (Array.isArray(own)) passed.push(...own);
      else if (own !== null) passed.push(own);
    }
    if (isSame) return events;
    // Released as it came only where all of it was held.
    const isDropped = events.some(({ kind }) => kind === "block" || kind === "extra");
    if (raw === null || isDropped || passed.some(({ kind }) => kind !== "start")) this.#raw = null;
    else if (this.isOverfull) this.#raw = null;
    else this.#raw?.push(raw);
    return passed;
  }

  #pass(event: AnswerEvent): AnswerEvent | AnswerEvent[] | null {
    switch (event.kind) {
      case "call_start":
        this.#begin(event);
        return null;
      case "call_args":
        this.#argumentsLength += event.text.length;
        if (!this.isOverfull) this.#state(event.choice).calls.get(event.index)?.pieces.push(event.text);
        return null;
      case "call_end":
        return null;
      case "finish":
        return this.#end(event);
      case "text":
      case "reasoning":
      case "refusal":
        this.#note(this.#state(event.choice), event.kind, event.text);
        return event;
      case "start":
        this.#id ??= event.id;
        this.#model ??= event.model;
        return event;
      case "extra":
        return harmlessEvent(event);
      case "block":
        return this.#blocks.mayPass(event.bound) ? event : null;
      default:
        return event;
    }
  }

  #end(event: Extract<AnswerEvent, { kind: "finish" }>): AnswerEvent | AnswerEvent[] | null {
    const { choice, finish } = event;
    const state = this.#state(choice);
    state.finish = finish;
    if (state.calls.size > 0) return null;
    if (finish.reason !== "tool_calls") return event;
    // It announces a call that cannot be read: the client has nothing to run.
    const text = state.text === "" ? UNREADABLE : `\n\n${UNREADABLE}`;
    return [
      { kind: "text", choice, text },
      { kind: "finish", choice, finish: { reason: "stop" } },
    ];
  }

  #begin(event: Extract<AnswerEvent, { kind: "call_start" }>): void {
    this.#callCount++;
    const { calls } = this.#state(event.choice);
    if (this.isOverfull || calls.has(event.index)) return;
    const { kind: _, choice: _choice, index, ...rest } = event;
    calls.set(index, { part: { kind: "call", path: "", ...rest }, pieces: [] });
  }

  #note(state: ChoiceState, kind: "text" | "reasoning" | "refusal", text: string): void {
    this.#textLength += text.length;
    if (this.#textLength <= MAX_TEXT_LENGTH) state[kind] += text;
  }

  #state(choice: number): ChoiceState {
    let state = this.#choices.get(choice);
    if (state === undefined) {
      state = { choice, calls: new Map(), text: "", reasoning: "", refusal: "", finish: null };
      this.#choices.set(choice, state);
    }
    return state;
  }

  #inOrder(): ChoiceState[] {
    return [...this.#choices.values()].sort((a, b) => a.choice - b.choice);
  }

  /** The calls that were made, choice by choice. */
  calls(): SeenCall[] {
    return this.#inOrder().flatMap((state) => partsOf(state).map(seenCall));
  }

  /** The whole answer as the model gave it; `null` when its text was too long to be kept. */
  answer(): Answer | null {
    if (this.#textLength > MAX_TEXT_LENGTH) return null;
    const choices = this.#inOrder().map((state) => ({
      parts: [...textParts(state), ...partsOf(state)],
      finish: state.finish ?? { reason: "stop" as const },
    }));
    return { id: this.#id, model: this.#model, choices, usage: null, rawUsage: undefined };
  }

  /** What was held as it came, where all of it is released and says nothing but its calls; else `null`. */
  unchanged(release: Release): string | null {
    const seen = this.calls();
    const isWhole = release.ruling.calls.every((call, at) => {
      return isReleased(release, call) && (seen[at]?.kind === "legacy" || seen[at]?.id === call.id);
    });
    return isWhole && seen.length > 0 ? (this.#raw?.join("") ?? null) : null;
  }

  /** The events that end the answer. `release.ruling` is of `calls()`. */
  finish(release: Release): AnswerEvent[] {
    const events: AnswerEvent[] = [];
    let at = 0;
    for (const state of this.#inOrder()) {
      const { choice, text } = state;
      const parts = partsOf(state);
      if (parts.length === 0) continue;
      const ruled = release.ruling.calls.slice(at, at + parts.length);
      at += parts.length;
      const missing = removalNotice(release, ruled);
      if (missing !== null) events.push({ kind: "text", choice, text: text === "" ? missing : `\n\n${missing}` });
      const released = releasedCalls(parts, ruled, release);
      for (const [index, { kind: _, path: _path, args, ...call }] of released.entries()) {
        events.push({ kind: "call_start", choice, index, ...call });
        if (args !== "") events.push({ kind: "call_args", choice, index, text: args });
        events.push({ kind: "call_end", choice, index });
      }
      const finish = released.length === 0 ? { reason: "stop" as const } : state.finish;
      if (finish !== null) events.push({ kind: "finish", choice, finish });
    }
    return events;
  }
}

function partsOf({ calls }: ChoiceState): CallPart[] {
  return [...calls.values()].map(({ part, pieces }) => ({ ...part, args: pieces.join("") }));
}

function textParts({ text, reasoning, refusal }: ChoiceState): Part[] {
  return [
    ...(reasoning === "" ? [] : [{ kind: "reasoning", text: reasoning, form: "full", path: "" } as const]),
    ...(text === "" ? [] : [{ kind: "text", text, path: "" } as const]),
    ...(refusal === "" ? [] : [{ kind: "refusal", text: refusal, path: "" } as const]),
  ];
}
