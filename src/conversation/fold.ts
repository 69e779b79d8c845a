/** Events as the whole answer that they add up to: the other way round is `events.ts`. */

import { isJsonObject } from "../lib/json.ts";
import type { Answer, AnswerChoice, AnswerEvent, Finish } from "./answer.ts";
import type { Json, Part } from "./part.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };
type TextLike = Extract<Part, { kind: "text" | "reasoning" | "refusal" }>;

interface OpenChoice {
  readonly parts: Writable<Part>[];
  /** By the call's index: its part, and the pieces of its arguments. */
  readonly calls: Map<number, { readonly part: Writable<Extract<Part, { kind: "call" }>>; readonly pieces: string[] }>;
  finish: Finish | null;
  extra: Json;
  logprobs: Json | undefined;
}

/** `null`: no choice, or one without an end, so that the answer was cut; or the provider's own error. */
export function answerOf(events: readonly AnswerEvent[]): Answer | null {
  const choices = new Map<number, OpenChoice>();
  let head: { readonly id?: string | undefined; readonly model?: string | undefined } = {};
  let usage: Pick<Answer, "usage" | "rawUsage"> = { usage: null, rawUsage: undefined };
  let extra: Json = {};
  for (const event of events) {
    if (event.kind === "error") return null;
    if (event.kind === "start") head = event;
    else if (event.kind === "usage") usage = { usage: event.counts, rawUsage: event.raw };
    else if (event.kind === "extra" && event.choice === null) extra = joined(extra, event.members);
    else {
      const at = event.choice ?? 0;
      const choice = choices.get(at) ?? { parts: [], calls: new Map(), finish: null, extra: {}, logprobs: undefined };
      choices.set(at, choice);
      add(choice, event);
    }
  }
  const whole = [...choices].toSorted(([a], [b]) => a - b).map(([, choice]) => closed(choice));
  const ended = whole.filter((choice) => choice !== null);
  if (ended.length === 0 || ended.length < whole.length) return null;
  return { id: head.id, model: head.model, choices: ended, ...usage, extra };
}

function closed({ parts, calls, finish, extra, logprobs }: OpenChoice): AnswerChoice | null {
  for (const { part, pieces } of calls.values()) part.args = pieces.join("") || "{}";
  const said = parts.filter((part) => !("text" in part) || part.text !== "" || part.bound !== undefined);
  return finish === null ? null : { parts: said as Part[], finish, extra, logprobs };
}

function add(choice: OpenChoice, event: Exclude<AnswerEvent, { kind: "start" | "usage" | "error" }>): void {
  const { parts, calls } = choice;
  switch (event.kind) {
    case "text":
    case "refusal": {
      if (event.kind === "text" && event.logprobs !== undefined) {
        choice.logprobs = joined(choice.logprobs ?? {}, event.logprobs);
      }
      const last = event.kind === "text" && event.begins === true ? undefined : lastOf(parts, event.kind);
      if (last !== undefined && last.bound === undefined) last.text += event.text;
      else parts.push({ kind: event.kind, text: event.text, path: "" });
      return;
    }
    case "reasoning": {
      const last = event.begins === true ? undefined : lastOf(parts, "reasoning");
      if (last !== undefined) last.text += event.text;
      else parts.push({ kind: "reasoning", text: event.text, form: event.form, path: "" });
      return;
    }
    case "bound": {
      const last = event.of === "own" ? undefined : lastOf(parts, event.of);
      if (last !== undefined) last.bound = event.bound;
      else parts.push({ kind: "reasoning", text: "", form: "redacted", path: "", bound: event.bound });
      return;
    }
    case "call_start": {
      const { choice: _, index, ...call } = event;
      const open = { ...call, kind: "call" as const, path: "", args: "" };
      parts.push(open);
      calls.set(index, { part: open, pieces: [] });
      return;
    }
    case "call_args":
      calls.get(event.index)?.pieces.push(event.text);
      return;
    case "block":
      parts.push({ kind: "block", path: "", bound: event.bound });
      return;
    case "citation": {
      const last = lastOf(parts, "text") as Writable<Extract<Part, { kind: "text" }>> | undefined;
      const place = event.url?.["url_citation"];
      const cited = event.citation ?? (isJsonObject(place) ? { type: "url_citation", ...place } : undefined);
      if (last !== undefined && cited !== undefined) last.citations = [...(last.citations ?? []), cited];
      return;
    }
    case "media":
      choice.extra = joined(
        choice.extra,
        event.media === "image" ? { images: [event.source] } : { audio: event.source },
      );
      return;
    case "extra":
      choice.extra = joined(choice.extra, event.members);
      return;
    case "finish":
      choice.finish = event.finish;
      return;
    default:
      // The end of a call says nothing that its pieces do not.
      return;
  }
}

function lastOf(parts: readonly Writable<Part>[], kind: TextLike["kind"]): Writable<TextLike> | undefined {
  const last = parts.at(-1);
  return last?.kind === kind ? (last as Writable<TextLike>) : undefined;
}

/** Lists that come in pieces are joined; of everything else the later one counts. */
function joined(before: Json, after: Json): Json {
  const lists = Object.entries(after).map(([name, value]) => {
    const known = before[name];
    return [name, Array.isArray(known) && Array.isArray(value) ? [...known, ...value] : value] as const;
  });
  return { ...before, ...Object.fromEntries(lists) };
}
