/**
 * A function call that Gemini tells piece by piece: its name first, then single values with their JSON paths.
 *
 * Pure, and total: a path that cannot be read is passed over. The call is told as a whole when it ends, since the
 * values need not come in the order of a JSON text. https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
 * (`streamFunctionCallArguments`)
 */
import { isJsonObject } from "../../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** Deeper ones are none: writing them as JSON would exhaust the stack. */
const MAX_DEPTH = 64;
const STEP = /\.([^.[\]]+)|\[(\d{1,9})\]|\['([^']*)'\]|\["([^"]*)"\]/gy;

export class PartialCall {
  readonly id: unknown;
  readonly name: unknown;
  readonly signature: string;
  readonly #args: Record<string, unknown> = emptyObject();

  constructor(call: Json, signature: string) {
    this.id = call["id"];
    this.name = call["name"];
    this.signature = signature;
    this.take(call);
  }

  take({ args, partialArgs }: Json): void {
    for (const [name, value] of Object.entries(isJsonObject(args) ? args : {})) this.#args[name] = value;
    for (const each of Array.isArray(partialArgs) ? partialArgs : []) {
      if (isJsonObject(each) && typeof each["jsonPath"] === "string") this.#set(stepsOf(each["jsonPath"]), each);
    }
  }

  /** As Gemini writes a call that comes at once. */
  whole(): Json {
    return { id: this.id, name: this.name, args: this.#args };
  }

  #set(steps: readonly (string | number)[], value: Json): void {
    const last = steps.at(-1);
    if (last === undefined) return;
    let place: Record<string, unknown> | unknown[] = this.#args;
    for (const [at, step] of steps.slice(0, -1).entries()) {
      const found = readAt(place, step);
      const isFound = Array.isArray(found) || isJsonObject(found);
      const next: Record<string, unknown> | unknown[] = isFound
        ? found
        : typeof steps[at + 1] === "number"
          ? []
          : emptyObject();
      if (!isFound) writeAt(place, step, next);
      place = next;
    }
    const before = readAt(place, last);
    const now = plainValueOf(value);
    // A long text comes in pieces under one path.
    if (now !== undefined) {
      writeAt(place, last, typeof before === "string" && typeof now === "string" ? before + now : now);
    }
  }
}

/** Without a prototype, `__proto__` is a name like any other. */
function emptyObject(): Record<string, unknown> {
  return Object.create(null);
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

function readAt(place: Record<string, unknown> | unknown[], step: string | number): unknown {
  if (Array.isArray(place)) return typeof step === "number" ? place[step] : undefined;
  return Object.hasOwn(place, step) ? place[step] : undefined;
}

/** A list grows by one at a time, whatever index is named: no answer shall make it large. */
function writeAt(place: Record<string, unknown> | unknown[], step: string | number, value: unknown): void {
  if (!Array.isArray(place)) place[String(step)] = value;
  else if (typeof step === "number") place[Math.min(step, place.length)] = value;
}

function plainValueOf(value: Json): unknown {
  if ("nullValue" in value) return null;
  return value["stringValue"] ?? value["numberValue"] ?? value["boolValue"];
}
