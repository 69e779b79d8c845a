/**
 * What an answer says at its end beyond what its model said: `flow`, whether it was kept, and figures that the provider
 * did not give.
 */
import type { Json } from "../conversation/part.ts";
import type { TokenCounts } from "../conversation/usage.ts";
import { isJsonObject, type JsonEdit, parseJson } from "../lib/json.ts";
import type { AnswerContext, AnswerWriter, DoorWire } from "../wires/wire.ts";
import type { KeepAnswer, Kept, LastWords } from "./types.ts";

/** In which wire an answer is, and whose it is. */
export interface Spoken {
  readonly wire: DoorWire;
  readonly context: AnswerContext;
}

/**
 * The protocol's end of a complete answer, which is kept before, where it is. `own`: members of `flow` that only this
 * answer has.
 */
export async function lastEvents(
  answer: AnswerWriter,
  { flow, keep }: LastWords,
  own: Json | null,
  spoken: Spoken,
): Promise<string> {
  if (flow === null) return answer.end();
  const kept = keep === null || answer.finished === undefined ? null : await keep(toKeep(answer.finished(), spoken));
  return answer.end({ ...flow(), ...own, ...kept?.flow }, kept?.members);
}

/** Keeps the answer that `edit` makes so far, and writes into it what is to be said of that. */
export async function keepText(edit: JsonEdit, keep: KeepAnswer | null, spoken: Spoken): Promise<Kept> {
  if (keep === null) return NOTHING_KEPT;
  const answer = parseJson(edit.toString());
  const kept = await keep(toKeep(isJsonObject(answer) ? answer : {}, spoken));
  for (const [name, value] of Object.entries(kept.members)) edit.set(name, value);
  return kept;
}

function toKeep(answer: Json, { wire, context }: Spoken): Json {
  return wire.kept?.(answer, context) ?? answer;
}

const NOTHING_KEPT: Kept = { members: {}, flow: {} };

/** The usage member of an answer in `wire`, which is `raw` in chat. */
export function wireUsage(counts: TokenCounts, raw: Json, wire: DoorWire, context: AnswerContext): unknown {
  if (wire.id === "openai-chat") return raw;
  const answer = { id: undefined, model: undefined, choices: [], usage: counts, rawUsage: raw };
  return wire.writeAnswer(answer, context)["usage"];
}
