/**
 * A function call that Gemini tells piece by piece: its name first, then single values with their JSON paths.
 *
 * Pure, and total: a path that cannot be read is passed over. The call is emitted as a whole when it ends, since the
 * values need not come in the order of a JSON text. Values keep Google's own spelling, members the order in which they
 * came. https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
 * (`streamFunctionCallArguments`)
 */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject, scanJson } from "../../lib/json.ts";
import { elementTexts } from "../../lib/json-text.ts";
import { type Cut, elementCuts, memberCut } from "./cuts.ts";

/** Deeper paths are passed over: writing their values as JSON would exhaust the stack. */
const MAX_DEPTH = 64;
const STEP = /\.([^.[\]]+)|\[(\d{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]/gy;

/** A value that is whole, as exact JSON text. */
interface Leaf {
  readonly text: string;
}
/** A text that comes in pieces, without its quotes. */
interface Text {
  readonly pieces: string[];
}
type Members = Map<string, Node>;
type Node = Leaf | Text | Members | Node[];

export class PartialCall {
  readonly id: unknown;
  readonly name: string;
  readonly signature: string;
  readonly #args: Members = new Map();

  /** `cut` gives the exact text of `call`, which has a name. */
  constructor(call: Json, cut: Cut, signature: string) {
    this.id = call["id"];
    this.name = String(call["name"]);
    this.signature = signature;
    this.take(call, cut);
  }

  take({ args, partialArgs }: Json, cut: Cut): void {
    if (isJsonObject(args)) {
      for (const [name, value] of membersOf(memberCut(cut, "args")())) this.#args.set(name, value);
    }
    if (!Array.isArray(partialArgs)) return;
    const cuts = elementCuts(memberCut(cut, "partialArgs"));
    for (const [at, each] of partialArgs.entries()) {
      if (!isJsonObject(each) || typeof each["jsonPath"] !== "string") continue;
      const leaf = leafOf(each, cuts(at));
      if (leaf !== undefined) this.#set(stepsOf(each["jsonPath"]), leaf);
    }
  }

  /** The arguments as exact JSON text. */
  args(): string {
    return textOf(this.#args);
  }

  #set(steps: readonly (string | number)[], value: Leaf): void {
    const last = steps.at(-1);
    if (last === undefined) return;
    let place: Members | Node[] = this.#args;
    for (const [at, step] of steps.slice(0, -1).entries()) {
      const found = opened(readAt(place, step));
      const next: Members | Node[] = found ?? (typeof steps[at + 1] === "number" ? [] : new Map());
      writeAt(place, step, next);
      place = next;
    }
    writeAt(place, last, joined(readAt(place, last), value));
  }
}

/** A long text comes in pieces under one path. */
function joined(before: Node | undefined, now: Leaf): Node {
  if (before === undefined || before instanceof Map || Array.isArray(before) || !isText(now)) return now;
  if ("pieces" in before) before.pieces.push(unquoted(now));
  else return isText(before) ? { pieces: [unquoted(before), unquoted(now)] } : now;
  return before;
}

const isText = ({ text }: Leaf): boolean => text.startsWith('"');
const unquoted = ({ text }: Leaf): string => text.slice(1, -1);

/** A place that can be descended into; `undefined` for a value that is neither an object nor a list. */
function opened(node: Node | undefined): Members | Node[] | undefined {
  if (node === undefined || node instanceof Map || Array.isArray(node)) return node;
  if ("pieces" in node) return undefined;
  if (node.text.startsWith("{")) return membersOf(node.text);
  return node.text.startsWith("[") ? elementTexts(node.text).map((text) => ({ text })) : undefined;
}

function membersOf(text: string): Members {
  return new Map(
    scanJson(text).members.map(({ key, valueStart, valueEnd }) => [key, { text: text.slice(valueStart, valueEnd) }]),
  );
}

function stepsOf(path: string): (string | number)[] {
  if (!path.startsWith("$")) return [];
  const steps: (string | number)[] = [];
  let length = 1;
  STEP.lastIndex = 1;
  for (let match = STEP.exec(path); match !== null && steps.length < MAX_DEPTH; match = STEP.exec(path)) {
    const [all, name, index, single, double] = match;
    steps.push(index === undefined ? (name ?? single ?? double ?? "") : Number(index));
    length += all.length;
  }
  STEP.lastIndex = 0;
  return length === path.length ? steps : [];
}

function readAt(place: Members | Node[], step: string | number): Node | undefined {
  if (!Array.isArray(place)) return place.get(String(step));
  return typeof step === "number" ? place[step] : undefined;
}

/** A list grows by one at a time, whatever index is named: no answer shall make it large. */
function writeAt(place: Members | Node[], step: string | number, value: Node): void {
  if (!Array.isArray(place)) place.set(String(step), value);
  else if (typeof step === "number") place[Math.min(step, place.length)] = value;
}

function leafOf(value: Json, cut: Cut): Leaf | undefined {
  if ("nullValue" in value) return { text: "null" };
  const { stringValue, numberValue, boolValue } = value;
  if (typeof stringValue === "string") return { text: JSON.stringify(stringValue) };
  // Google's JSON spells numbers that are none as texts ("NaN").
  if (typeof numberValue === "number") return { text: memberCut(cut, "numberValue")() };
  return typeof boolValue === "boolean" ? { text: String(boolValue) } : undefined;
}

function textOf(node: Node): string {
  if (node instanceof Map) {
    return `{${[...node].map(([name, value]) => `${JSON.stringify(name)}:${textOf(value)}`).join(",")}}`;
  }
  if (Array.isArray(node)) return `[${node.map(textOf).join(",")}]`;
  return "pieces" in node ? `"${node.pieces.join("")}"` : node.text;
}
