/** A whole answer of Gemini. One without a good end, Google's own word for it, is no answer. */
import type { Answer, AnswerChoice } from "../../conversation/answer.ts";
import type { Json, Part } from "../../conversation/part.ts";
import { isJsonObject, isTooDeep } from "../../lib/json.ts";
import type { AnswerContext, ReadAnswer } from "../wire.ts";
import { CalledTools } from "./called-tools.ts";
import {
  blockOf,
  CandidateReader,
  candidatesOf,
  idOf,
  logprobsOf,
  modelOf,
  type ReadContext,
  type ReadPart,
} from "./read-candidate.ts";
import { UsageReader } from "./read-usage.ts";

const NO_ANSWER = { ok: false, failure: { class: "invalid_response", tryNext: true, trySame: false } } as const;

interface ReadChoice {
  readonly reader: CandidateReader;
  readonly parts: ReadPart[];
  logprobs: Json | undefined;
}

export function readAnswer(text: string, body: unknown, context: AnswerContext): ReadAnswer {
  if (!isJsonObject(body) || isTooDeep(body)) return NO_ANSWER;
  const shared: ReadContext = { answer: context, tools: new CalledTools(context.conversation) };
  const block = blockOf(body);
  const choices = new Map<number, ReadChoice>();
  const at = (choice: number): ReadChoice => {
    const known = choices.get(choice);
    if (known !== undefined) return known;
    const fresh: ReadChoice = { reader: new CandidateReader(choice, shared), parts: [], logprobs: undefined };
    choices.set(choice, fresh);
    return fresh;
  };
  for (const { choice, candidate, cut } of candidatesOf(body, () => text)) {
    const read = at(choice);
    for (const part of read.reader.read(candidate, cut)) addPart(read.parts, part);
    read.logprobs = logprobsOf(candidate) ?? read.logprobs;
  }
  // A refused prompt has no candidates. It is an answer all the same: an empty one.
  if (block !== undefined && choices.size === 0) at(0);
  const ordered = [...choices.values()].toSorted((a, b) => a.reader.choice - b.reader.choice);
  const isCut = block === undefined && ordered.some(({ reader }) => reader.finish() === null);
  const usage = new UsageReader();
  usage.read(body);
  if (ordered.length === 0 || isCut) return { ...NO_ANSWER, rawUsage: usage.raw() };
  const answer: Answer = {
    id: idOf(body),
    model: modelOf(body),
    choices: ordered.map((choice) => toChoice(choice, block)),
    usage: usage.counts(),
    rawUsage: usage.raw(),
    extra: usage.tier(),
  };
  return { ok: true, answer };
}

function toChoice({ reader, parts, logprobs }: ReadChoice, block: Json | undefined): AnswerChoice {
  return {
    parts,
    finish: { reason: block === undefined ? (reader.finish() ?? "stop") : "content_filter", native: reader.word },
    logprobs,
    extra: reader.extra(block),
  };
}

/** Neighbours of one kind are one part, as they are in a stream. A signature belongs to exactly its own part. */
function addPart(parts: Part[], part: ReadPart): void {
  const last = parts.at(-1);
  const isPlain = part.bound === undefined && last?.bound === undefined;
  if (isPlain && part.kind === "text" && last?.kind === "text") {
    parts[parts.length - 1] = { ...last, text: last.text + part.text };
  } else if (isPlain && part.kind === "reasoning" && last?.kind === "reasoning") {
    parts[parts.length - 1] = { ...last, text: last.text + part.text };
  } else parts.push(part);
}
