/**
 * Tool calls that a provider writes loosely, as clients need them: each with a dense `index` (in streams), an id that no
 * other call of the answer has, a type, and its arguments as JSON text.
 *
 * What is seen in the field: call deltas without an index (Gemini's OpenAI endpoint), index 0 for every call, empty or
 * equal ids, id and name repeated with every delta, a fresh id with every delta, arguments as an object (llama.cpp,
 * Ollama), `null`, the text "null" or nothing at all.
 */

import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../../../lib/json.ts";
import type { Cut } from "../../../lib/json-spans.ts";
import { memberText } from "../../../lib/json-text.ts";
import { encodeBase62 } from "../../../lib/text/base62.ts";
import { argumentsText, CallArguments } from "../../call-arguments.ts";
import { customInput } from "../../custom-tools.ts";
import { JsonProgress } from "./json-progress.ts";
import type { MendOptions } from "./message.ts";

/** Ids that are unique within one answer, the same for every chunking of it, and the client's own names of its tools. */
export class CallLabels {
  readonly #seed: string;
  readonly #taken = new Set<string>();
  #made = 0;

  readonly #ownName: ((sent: string) => string) | undefined;
  readonly #textTools: ReadonlySet<string> | null;

  /** `seed`: its last 20 letters and digits are unique per answer. `ownName`: of a name under which a tool was sent. */
  constructor({ seed, ownName, textTools }: Pick<MendOptions, "seed" | "ownName" | "textTools">) {
    this.#ownName = ownName;
    this.#textTools = textTools ?? null;
    this.#seed = `call_${seed.replace(/[^0-9A-Za-z]/g, "").slice(-20)}`;
  }

  /** The client's name for the tool that is called; the same where it was sent under its own. */
  nameOf(sent: unknown): unknown {
    return typeof sent === "string" && this.#ownName !== undefined ? this.#ownName(sent) : sent;
  }

  /** Is the tool that is called a custom one, which was sent as a function? */
  isText(sent: unknown): boolean {
    return typeof sent === "string" && this.#textTools?.has(sent) === true;
  }

  /** `wanted` where it is a text that no call has yet, else a new id. */
  take(wanted: unknown): string {
    let id = typeof wanted === "number" ? String(wanted) : wanted;
    while (typeof id !== "string" || id === "" || this.#taken.has(id)) {
      id = this.#seed + encodeBase62(this.#made++, 4);
    }
    this.#taken.add(id);
    return id;
  }
}

/** The text of arguments, whatever they are; `""` for none. An empty list is how PHP spells an empty object. */
function textOf(args: unknown, cut: Cut): string {
  if (typeof args === "string") return args;
  if (args === undefined || args === null || (Array.isArray(args) && args.length === 0)) return "";
  return cut();
}

/** The arguments of a call in a whole answer: never empty, never the text of `null`. */
export function wholeArguments(args: unknown, cut: Cut): string {
  return argumentsText(textOf(args, cut));
}

/** One call of a whole answer, mended; `undefined` where nothing has to change. */
export function mendWholeCall(call: Json, cut: Cut, ids: CallLabels): string | undefined {
  const id = ids.take(call["id"]);
  const detail = detailOf(call);
  const name = ids.nameOf(detail.name);
  if (!detail.isCustom && ids.isText(detail.name)) {
    const input = customInput(textOf(detail.args, () => argumentsOf(cut())));
    return withDetail(new JsonEdit(cut()), call)
      .remove("function")
      .set("id", id)
      .set("type", "custom")
      .set("custom", { name, input })
      .toString();
  }
  const isFine =
    id === call["id"] &&
    name === detail.name &&
    isFilledText(call["type"]) &&
    (detail.isCustom || (isJsonObject(call["function"]) && isFineText(call["function"]["arguments"])));
  if (isFine) return undefined;
  const edit = withDetail(new JsonEdit(cut()), call);
  if (id !== call["id"]) edit.set("id", id);
  if (!isFilledText(call["type"])) edit.set("type", detail.isCustom ? "custom" : "function");
  const member = detail.isCustom ? "custom" : "function";
  const raw = edit.raw(member) ?? "{}";
  const own = new JsonEdit(raw);
  if (name !== detail.name) own.set("name", name);
  if (!detail.isCustom) {
    const text = wholeArguments(detail.args, () => memberText(raw, "arguments") ?? "");
    if (text !== detail.args) own.set("arguments", text);
  }
  return edit.setRaw(member, own.toString()).toString();
}

function isFineText(args: unknown): boolean {
  return typeof args === "string" && argumentsText(args) === args;
}

interface Detail {
  readonly name: unknown;
  readonly args: unknown;
  /** A custom tool: its input is free text and is never touched. */
  readonly isCustom: boolean;
}

/** Name and arguments, also where they stand in the call itself (Workers AI's own form). */
function detailOf(call: Json): Detail {
  const { function: own, custom } = call;
  if (isJsonObject(custom) && !isJsonObject(own)) {
    return { name: custom["name"], args: custom["input"], isCustom: true };
  }
  const detail = isJsonObject(own) ? own : call;
  return { name: detail["name"], args: detail["arguments"], isCustom: false };
}

/** Puts `name` and `arguments` of the call itself where they belong. */
function withDetail(edit: JsonEdit, call: Json): JsonEdit {
  if (isJsonObject(call["function"]) || isJsonObject(call["custom"])) return edit;
  const members = (["name", "arguments"] as const).flatMap((name) => {
    const raw = edit.raw(name);
    edit.remove(name);
    return raw === undefined ? [] : [`"${name}":${raw}`];
  });
  return edit.setRaw("function", `{${members.join(",")}}`);
}

const isFilledText = (value: unknown): value is string => typeof value === "string" && value !== "";

/** A call of a stream whose deltas are still to come. */
interface OpenCall {
  /** What the client counts it by. */
  readonly index: number;
  readonly sourceIndex: number | undefined;
  /** As the provider wrote it. */
  readonly sourceId: string | undefined;
  /** Some tell it behind the id. */
  name: string | undefined;
  readonly isCustom: boolean;
  /** A custom tool that was sent as a function: its arguments so far, which are given at the end. `null`: it is none. */
  held: string[] | null;
  readonly progress: JsonProgress;
  readonly args: CallArguments;
}

/** What a call still has to get when its choice ends. */
export interface OwedText {
  readonly text: string;
  readonly isCustom: boolean;
}

export interface MendedDelta {
  /** The index that the client counts the call by. */
  readonly index: number;
  /** `undefined`: as it came. `null`: it says nothing, and is left out. */
  readonly text: string | null | undefined;
}

/** The calls of one choice of a stream. */
export class CallStream {
  readonly #ids: CallLabels;
  /** The latest call under each index and each id of the provider's. */
  readonly #byIndex = new Map<number, OpenCall>();
  readonly #byId = new Map<string, OpenCall>();
  /** Begun since the last `close`. */
  #open: OpenCall[] = [];
  #last: OpenCall | undefined;
  #count = 0;

  constructor(ids: CallLabels) {
    this.#ids = ids;
  }

  get hasCalls(): boolean {
    return this.#count > 0;
  }

  /** One entry of `delta.tool_calls`. */
  mend(call: Json, cut: Cut): MendedDelta {
    const detail = detailOf(call);
    const known = this.#find(call, detail);
    const open = known ?? this.#begin(call, detail);
    const { index } = open;
    // Some repeat a call that is complete, whole: once more it would spoil the arguments.
    if (known?.progress.isComplete === true && isFilledText(detail.name)) return { index, text: null };
    if (open.held !== null) return { index, text: this.#hold(open, open.held, call, detail, known === undefined, cut) };
    const args = detail.isCustom ? undefined : this.#pieceOf(open, detail.args, () => argumentsOf(cut()));
    const hasOddArgs = !detail.isCustom && args !== detail.args && !(args === "" && detail.args === undefined);
    const id = known === undefined ? this.#ids.take(call["id"]) : undefined;
    const isLateName = known !== undefined && known.name === undefined && isFilledText(detail.name);
    if (isLateName) known.name = detail.name;
    const name = known === undefined || isLateName ? this.#ids.nameOf(detail.name) : detail.name;
    // What a call began with is said once: some clients take a second id, type or name, or a `null`, for a new one.
    const isRepeated =
      known !== undefined &&
      (call["id"] !== undefined || call["type"] !== undefined || (detail.name !== undefined && !isLateName));
    const isFine =
      index === call["index"] &&
      (known !== undefined || (id === call["id"] && isFilledText(call["type"]))) &&
      !isRepeated &&
      name === detail.name &&
      !hasOddArgs &&
      (known !== undefined || detail.isCustom || isJsonObject(call["function"]));
    if (isFine) return { index, text: undefined };
    const edit = withDetail(new JsonEdit(cut()), call);
    if (index !== call["index"]) edit.set("index", index);
    if (id !== undefined && id !== call["id"]) edit.set("id", id);
    if (known === undefined && !isFilledText(call["type"])) edit.set("type", detail.isCustom ? "custom" : "function");
    if (known !== undefined) edit.remove("id").remove("type");
    const member = detail.isCustom ? "custom" : "function";
    const own = new JsonEdit(edit.raw(member) ?? "{}");
    if (known !== undefined && !isLateName) own.remove("name");
    else if (name !== detail.name) own.set("name", name);
    if (hasOddArgs) own.set("arguments", args);
    return { index, text: edit.setRaw(member, own.toString()).toString() };
  }

  /** The choice ends. Calls that never got an argument get `{}`: what is still owed, by index. */
  close(): ReadonlyMap<number, OwedText> {
    const owed = new Map<number, OwedText>();
    for (const { index, isCustom, held, args } of this.#open) {
      const due = held !== null ? customInput(held.join("")) : isCustom ? "" : args.end();
      if (due !== "") owed.set(index, { text: due, isCustom: held !== null });
    }
    this.#open = [];
    return owed;
  }

  /** Keeps a piece of arguments; the client gets the head of a custom call, and the input when the choice ends. */
  #hold(open: OpenCall, held: string[], call: Json, detail: Detail, isFirst: boolean, cut: Cut): string | null {
    const piece = textOf(detail.args, () => argumentsOf(cut()));
    open.progress.push(piece);
    held.push(piece);
    if (!isFirst) return null;
    const name = this.#ids.nameOf(detail.name);
    return JSON.stringify({
      ...{ index: open.index, id: this.#ids.take(call["id"]), type: "custom", custom: { name, input: "" } },
    });
  }

  /** The call that a delta goes on with; `undefined`: it begins one. */
  #find(call: Json, { name }: Detail): OpenCall | undefined {
    const index = indexOf(call["index"]);
    const id = isFilledText(call["id"]) ? call["id"] : undefined;
    const named = isFilledText(name);
    if (index !== undefined) {
      const known = this.#byIndex.get(index);
      if (known === undefined || !named) return known;
      if (id !== undefined && known.sourceId !== undefined) return id === known.sourceId ? known : undefined;
      // Without ids a second call under the same index shows by its name behind complete arguments.
      const isNamed = known.name !== undefined;
      const isNext = known.progress.isComplete || (isNamed && name !== known.name && known.progress.isEmpty);
      return isNext ? undefined : known;
    }
    const same = id === undefined ? undefined : this.#byId.get(id);
    if (!named) return same ?? this.#last;
    return this.#goesOn(id === undefined ? this.#last : same, id, name);
  }

  /** Without an index a repeated name goes on with its call only where that is under way. */
  #goesOn(same: OpenCall | undefined, id: string | undefined, name: string): OpenCall | undefined {
    const goesOn = same !== undefined && same.name === name && same.sourceId === id && !same.progress.isComplete;
    // A name alone, with nothing begun behind it, is a call of its own.
    return goesOn && (id !== undefined || !same.progress.isEmpty) ? same : undefined;
  }

  #begin(call: Json, { name, isCustom }: Detail): OpenCall {
    const open: OpenCall = {
      index: this.#count++,
      sourceIndex: indexOf(call["index"]),
      sourceId: isFilledText(call["id"]) ? call["id"] : undefined,
      name: isFilledText(name) ? name : undefined,
      isCustom,
      held: !isCustom && this.#ids.isText(name) ? [] : null,
      progress: new JsonProgress(),
      args: new CallArguments(),
    };
    this.#open.push(open);
    this.#last = open;
    if (open.sourceIndex !== undefined) this.#byIndex.set(open.sourceIndex, open);
    if (open.sourceId !== undefined) this.#byId.set(open.sourceId, open);
    return open;
  }

  /** What the client gets of `args` now. */
  #pieceOf(open: OpenCall, args: unknown, cut: Cut): string {
    const piece = textOf(args, cut);
    open.progress.push(piece);
    return open.args.push(piece);
  }
}

function argumentsOf(call: string): string {
  const own = memberText(call, "function");
  return memberText(own?.startsWith("{") === true ? own : call, "arguments") ?? "";
}

function indexOf(value: unknown): number | undefined {
  if (typeof value === "string" && /^\d{1,6}$/.test(value)) return Number(value);
  return typeof value === "number" && Number.isInteger(value) ? value : undefined;
}
