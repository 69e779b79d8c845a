/** The answer that a stream's events add up to: what reading it whole has to give as well. */
import type { Answer, AnswerEvent, Finish } from "../../src/conversation/answer.ts";
import type { Bound, CallPart, Json, Part } from "../../src/conversation/part.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Reads choice 0. Events of one part follow each other, calls aside. */
export function answerOf(events: readonly AnswerEvent[]): Answer {
  const parts: Mutable<Part>[] = [];
  const calls = new Map<number, Mutable<CallPart>>();
  const logprobs: unknown[] = [];
  let answer: Mutable<Answer> = { id: undefined, model: undefined, choices: [], usage: null, rawUsage: undefined };
  let finish: Finish | undefined;
  for (const event of events) {
    const last = parts.at(-1);
    switch (event.kind) {
      case "start":
        answer.id ??= event.id;
        answer.model ??= event.model;
        break;
      case "text":
        if (event.logprobs !== undefined) logprobs.push(...(event.logprobs["content"] as unknown[]));
        if (last?.kind === "text" && event.begins !== true && last.bound === undefined) last.text += event.text;
        else parts.push({ kind: "text", path: "", text: event.text });
        break;
      case "reasoning":
        if (last?.kind === "reasoning" && event.begins !== true) last.text += event.text;
        else parts.push({ kind: "reasoning", path: "", text: event.text, form: event.form });
        break;
      case "bound":
        attach(parts, event.of, event.bound);
        break;
      case "refusal":
        if (last?.kind === "refusal") last.text += event.text;
        else parts.push({ kind: "refusal", path: "", text: event.text });
        break;
      case "call_start": {
        const { id, name, namespace, form, bound } = event;
        const call: Mutable<CallPart> = {
          ...({ kind: "call", path: "", id, name, form, args: "" } as const),
          ...(namespace === undefined ? {} : { namespace }),
          ...(bound === undefined ? {} : { bound }),
        };
        calls.set(event.index, call);
        parts.push(call);
        break;
      }
      case "call_args":
        calls.get(event.index)!.args += event.text;
        break;
      case "call_end":
        break;
      case "block":
        parts.push({ kind: "block", path: "", bound: event.bound });
        break;
      case "citation":
        if (last?.kind === "text") last.citations = [...(last.citations ?? []), ...citationOf(event)];
        break;
      case "media":
        break;
      case "finish":
        finish = event.finish;
        break;
      case "usage":
        answer = { ...answer, usage: event.counts, rawUsage: event.raw };
        break;
      case "extra":
        if (event.choice === null) answer.extra = { ...answer.extra, ...event.members };
        break;
      case "error":
        throw new Error(`the stream failed: ${JSON.stringify(event.body)}`);
    }
  }
  if (finish === undefined) throw new Error("the stream was cut");
  return {
    ...answer,
    choices: [{ parts, finish, ...(logprobs.length === 0 ? {} : { logprobs: { content: logprobs } }) }],
  };
}

function attach(parts: Mutable<Part>[], of: "reasoning" | "text" | "own", bound: Bound): void {
  const last = parts.at(-1);
  if (of !== "own" && last?.kind === of) last.bound = bound;
  else parts.push({ kind: "reasoning", path: "", text: "", form: "redacted", bound });
}

/** In the spelling of the Responses wire, which is where such an event comes from. */
function citationOf({ citation, url }: Extract<AnswerEvent, { kind: "citation" }>): Json[] {
  const detail = url?.["url_citation"] as Json | undefined;
  return [
    ...(citation === undefined ? [] : [citation]),
    ...(detail === undefined ? [] : [{ type: "url_citation", ...detail }]),
  ];
}

/** `text` in pieces of the given lengths, over and over, cut by bytes. */
export function chunksOf(text: string, lengths: readonly number[]): Uint8Array[] {
  const bytes = new TextEncoder().encode(text);
  const chunks: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = Math.max(1, lengths[turn % lengths.length] ?? 1);
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}
