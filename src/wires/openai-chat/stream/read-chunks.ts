/**
 * The chunks of a stream in OpenAI's protocol as `AnswerEvent`s. The chunks are mended: every call has an index, an id
 * and arguments as text.
 */
import type { AnswerEvent } from "../../../conversation/answer.ts";
import type { Bound, Json } from "../../../conversation/part.ts";
import { isJsonObject } from "../../../lib/json.ts";
import { type ChunkView, isFilled, isFinishReason, usageOf } from "../chunk.ts";
import { BLOCK_MEMBERS, readCallExtra, readDetail } from "../details.ts";
import { reasonOf } from "../read-answer.ts";
import { readChatUsage } from "../usage.ts";

const NOTHING: readonly AnswerEvent[] = [];

/** Members of a chunk that are read here, or that say nothing about the answer. */
const CHUNK_MEMBERS: ReadonlySet<string> = new Set([
  ...["id", "object", "created", "model", "choices", "usage", "x_groq", "obfuscation", "error"],
]);
const DELTA_MEMBERS: ReadonlySet<string> = new Set([
  ...["role", "content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio", "images"],
  ...["annotations", "name", "channel"],
  ...BLOCK_MEMBERS.map(([name]) => name),
]);

/** The same where what was signed is read as parts. */
const PART_MEMBERS: ReadonlySet<string> = new Set([...DELTA_MEMBERS, "reasoning_details"]);

/**
 * How much is read. `extras`: also members that the core has no place for, for a chat stream that is written again.
 * `parts`: what providers signed and encrypted is read as parts, for a stream in another wire.
 */
export type Detail = "plain" | "extras" | "parts";

/** A call that grows. */
interface OpenCall {
  readonly index: number;
  readonly id: string;
  readonly form: "function" | "custom";
  /** Emitted. It waits for a name that comes late. */
  hasBegun: boolean;
}

/** The calls of one choice by the provider's index, or `legacy`. */
type ChoiceCalls = Map<unknown, OpenCall>;

export class ChunkReader {
  readonly #withExtras: boolean;
  readonly #asParts: boolean;
  /** By choice: what its last content was, which signed data belongs to. */
  readonly #last = new Map<number, "reasoning" | "text" | "other">();
  readonly #choices = new Map<number, ChoiceCalls>();
  readonly #begun = new Set<number>();
  readonly #repeated = new Map<number, readonly unknown[]>();
  #hasStarted = false;

  /** A chunk held an answer so far next to its delta: its calls are emitted later than they came. */
  get hasRepeated(): boolean {
    return this.#repeated.size > 0;
  }

  constructor(detail: Detail) {
    this.#withExtras = detail !== "plain";
    this.#asParts = detail === "parts";
  }

  /** What a chunk says. Nothing for one that was malformed, or that ends the protocol. */
  read({ kind, chunk }: ChunkView): readonly AnswerEvent[] {
    if (kind === "done" || kind === "malformed") return NOTHING;
    if (kind === "error") return [{ kind: "error", body: chunk }];
    const events: AnswerEvent[] = [];
    const { id, model, created, choices } = chunk;
    // Azure's first chunk has an empty id, and says nothing yet.
    if (!this.#hasStarted && typeof id === "string" && id !== "") {
      this.#hasStarted = true;
      const createdAt = typeof created === "number" ? created : undefined;
      events.push({
        kind: "start",
        id,
        model: typeof model === "string" && model !== "" ? model : undefined,
        createdAt,
      });
    }
    if (this.#withExtras) addExtra(events, null, chunk, CHUNK_MEMBERS);
    for (const choice of Array.isArray(choices) ? choices : []) if (isJsonObject(choice)) this.#choice(choice, events);
    const raw = usageOf(chunk);
    if (isJsonObject(raw)) events.push({ kind: "usage", counts: readChatUsage(raw), raw });
    return events;
  }

  #choice(choice: Json, events: AnswerEvent[]): void {
    const index = typeof choice["index"] === "number" ? choice["index"] : 0;
    const { delta, message, finish_reason: finish } = choice;
    const before = events.length;
    if (isJsonObject(delta)) this.#delta(index, delta, choice["logprobs"], events);
    if (isJsonObject(message) && Array.isArray(message["tool_calls"])) {
      this.#repeated.set(index, message["tool_calls"]);
    }
    if (!this.#begun.has(index)) {
      this.#begun.add(index);
      // It says nothing yet, but it has to come to an end.
      if (events.length === before) events.push({ kind: "text", choice: index, text: "" });
    }
    if (isFinishReason(finish)) {
      this.#endRepeated(index, events);
      this.#endCalls(index, events);
      events.push({ kind: "finish", choice: index, finish: { reason: reasonOf(finish), native: finish } });
    }
  }

  #delta(choice: number, delta: Json, logprobs: unknown, events: AnswerEvent[]): void {
    const { content, refusal, tool_calls: calls, function_call: legacy } = delta;
    const thought = delta["reasoning_content"] ?? delta["reasoning"];
    if (typeof thought === "string" && thought !== "") {
      events.push({ kind: "reasoning", choice, text: thought, form: "full" });
      this.#last.set(choice, "reasoning");
    }
    // Details of thoughts among them: what is said comes behind.
    if (this.#withExtras) {
      if (this.#asParts) this.#addBound(events, choice, delta["reasoning_details"]);
      addExtra(events, choice, delta, this.#asParts ? PART_MEMBERS : DELTA_MEMBERS);
      if (addBlocks(events, choice, delta)) this.#last.set(choice, "other");
    }
    const likely = isJsonObject(logprobs) ? { logprobs } : undefined;
    if (typeof content === "string" && (content !== "" || likely !== undefined)) {
      events.push({ kind: "text", choice, text: content, ...likely });
      if (content !== "") this.#last.set(choice, "text");
    }
    if (typeof refusal === "string" && refusal !== "") events.push({ kind: "refusal", choice, text: refusal });
    if (Array.isArray(calls)) {
      for (const call of calls) if (isJsonObject(call)) this.#call(choice, call, call["index"] ?? 0, false, events);
    }
    if (isJsonObject(legacy)) this.#call(choice, { function: legacy }, "legacy", true, events);
    addMedia(events, choice, delta);
  }

  /**
   * Some providers send the answer so far along with each delta: its calls count at the end, where no delta had any.
   */
  #endRepeated(choice: number, events: AnswerEvent[]): void {
    const calls = this.#repeated.get(choice);
    if (calls === undefined || this.#choices.has(choice)) return;
    for (const [at, call] of calls.entries()) if (isJsonObject(call)) this.#call(choice, call, at, false, events);
  }

  #call(choice: number, call: Json, key: unknown, isLegacy: boolean, events: AnswerEvent[]): void {
    const { custom, function: called } = call;
    const isCustom = isJsonObject(custom) && !isJsonObject(called);
    const detail: Json = isCustom ? custom : isJsonObject(called) ? called : {};
    let calls = this.#choices.get(choice);
    if (calls === undefined) {
      calls = new Map();
      this.#choices.set(choice, calls);
    }
    let open = calls.get(key);
    if (open === undefined) {
      const id = typeof call["id"] === "string" ? call["id"] : "";
      open = { index: calls.size, id, form: isCustom ? "custom" : "function", hasBegun: false };
      calls.set(key, open);
    }
    const args = isCustom ? detail["input"] : detail["arguments"];
    const hasArgs = typeof args === "string" && args !== "";
    const name = typeof detail["name"] === "string" ? detail["name"] : "";
    if (!open.hasBegun && (name !== "" || hasArgs)) {
      const bound = this.#asParts ? readCallExtra(call) : undefined;
      this.#begin(choice, open, name, isLegacy, events, bound);
    }
    // An empty piece is nothing to a client, but it belongs to the call all the same.
    if (hasArgs || (this.#withExtras && name === "")) {
      events.push({ kind: "call_args", choice, index: open.index, text: hasArgs ? args : "" });
    }
  }

  #begin(
    choice: number,
    open: OpenCall,
    name: string,
    isLegacy: boolean,
    events: AnswerEvent[],
    bound?: Bound | undefined,
  ): void {
    open.hasBegun = true;
    this.#last.set(choice, "other");
    const { index, id, form } = open;
    const more = { ...(isLegacy ? { isLegacy } : {}), ...(bound === undefined ? {} : { bound }) };
    events.push({ kind: "call_start", choice, index, id, name, form, ...more });
  }

  /** Entries without anything signed or encrypted repeat thoughts that are read already. */
  #addBound(events: AnswerEvent[], choice: number, entries: unknown): void {
    for (const entry of Array.isArray(entries) ? entries : []) {
      const part = readDetail(entry, "");
      const bound = part?.bound;
      if (part === null || bound === undefined) continue;
      const isPhase = bound.data?.["phase"] !== undefined;
      if (bound.signature === undefined && bound.encrypted === undefined && !isPhase) continue;
      const last = this.#last.get(choice);
      const isThought = !isPhase && (part.text !== "" || last === "reasoning");
      events.push({ kind: "bound", choice, of: isThought ? "reasoning" : last === "text" ? "text" : "own", bound });
      // The next signed thing is not of the same thought.
      this.#last.set(choice, "other");
    }
  }

  /** What was called without a name and without arguments is emitted at the end: it cannot be approved. */
  #endCalls(choice: number, events: AnswerEvent[]): void {
    for (const open of this.#choices.get(choice)?.values() ?? []) {
      if (!open.hasBegun) this.#begin(choice, open, "", false, events);
    }
  }
}

function addMedia(events: AnswerEvent[], choice: number, { images, audio, annotations }: Json): void {
  if (Array.isArray(images)) {
    for (const source of images) {
      if (isJsonObject(source)) events.push({ kind: "media", choice, media: "image", source });
    }
  }
  if (isJsonObject(audio)) events.push({ kind: "media", choice, media: "audio", source: audio });
  if (Array.isArray(annotations)) {
    for (const url of annotations) if (isJsonObject(url)) events.push({ kind: "citation", choice, url });
  }
}

/** Blocks of tools that a provider ran. */
function addBlocks(events: AnswerEvent[], choice: number, delta: Json): boolean {
  const before = events.length;
  for (const [name, wire] of BLOCK_MEMBERS) {
    const blocks = delta[name];
    for (const data of Array.isArray(blocks) ? blocks : []) {
      if (isJsonObject(data)) events.push({ kind: "block", choice, bound: { wire, provider: null, data } });
    }
  }
  return events.length > before;
}

function addExtra(events: AnswerEvent[], choice: number | null, source: Json, known: ReadonlySet<string>): void {
  const members: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(source)) if (!known.has(name) && isFilled(value)) members[name] = value;
  if (Object.keys(members).length > 0) events.push({ kind: "extra", choice, members });
}
