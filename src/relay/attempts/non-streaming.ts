/** Stage 5, a whole answer: the upstream's text, read within bounds and checked to be an answer. */
import { type Answer, type Finish, outputPieces } from "../../conversation/answer.ts";
import { answerOf } from "../../conversation/fold.ts";
import type { Json } from "../../conversation/part.ts";
import { isNothing } from "../../conversation/usage.ts";
import { isJsonObject, isTooDeep, tryParseJson } from "../../lib/json.ts";
import { stringifyRaw } from "../../lib/raw-json.ts";
import { readText } from "../../lib/read-text.ts";
import type { UpstreamFailure } from "../../providers/adapter.ts";
import { hasError, outputOf, reportsFailure, usageOf } from "../../wires/openai-chat/chunk.ts";
import { chatDoorWire } from "../../wires/openai-chat/door-wire.ts";
import type { Received } from "../received.ts";
import type { Opened, Reading, WholeAnswer } from "../types.ts";

/** Above any chat answer; the isolate has 128 MB for all its requests, and holds text, value and what is written of it. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

const NOT_AN_ANSWER: UpstreamFailure = { class: "invalid_response", tryNext: true, trySame: false };

/**
 * Rejects when the connection breaks or the attempt is aborted; every other bad answer is a returned failure. `received`
 * learns of what was read by then.
 */
export async function openWhole(
  response: Response,
  reading: Reading,
  received: Received,
): Promise<Opened<WholeAnswer>> {
  const text = await readText(response, MAX_ANSWER_BYTES, (piece) => received.addBody(piece));
  const parsed = text === null ? undefined : tryParseJson(text);
  // Google's endpoint wraps its errors into a list.
  const isWrapped = Array.isArray(parsed) && parsed.length === 1 && isJsonObject(parsed[0]) && hasError(parsed[0]);
  const body: unknown = isWrapped ? parsed[0] : parsed;
  if (text !== null && parsed === undefined && EVENTS.test(text)) return openEvents(text, response, reading, received);
  if (text === null || !isJsonObject(body)) return { ok: false, failure: NOT_AN_ANSWER };
  const { sameWire, translation, wire } = reading;
  // What another wire's answer is made of may look like a failure in OpenAI's.
  const isDirect = sameWire !== undefined || translation?.readAnswer !== undefined;
  const isFailure = isDirect ? hasError(body) || body["type"] === "error" : reportsFailure(body);
  if (isDirect && !isFailure) return openDirect(text, body, reading, received);
  if (isFailure) {
    return { ok: false, failure: reading.classify({ status: response.status, headers: response.headers, body }) };
  }
  const translated = translation?.toCompletion?.(body, reading.answerContext, text);
  if (translated?.ok === false) {
    if (translated.usage !== undefined) received.noteFailed(translated.usage);
    return translated;
  }
  const answer = translated?.completion ?? body;
  const choices = answer["choices"];
  const isAnswer = Array.isArray(choices) && choices.length > 0 && choices.every(hasMessage);
  if (!isAnswer) return { ok: false, failure: NOT_AN_ANSWER };
  received.isWhole = true;
  received.noteAnswerId(answer["id"]);
  received.noteUsage(usageOf(answer));
  received.countWhole(() => outputOf(answer));
  if (isNothing(usageOf(answer)) && choices.every(isSilent)) return { ok: false, failure: NOT_AN_ANSWER };
  // An adapter that had nothing to put right gives the body itself back: then the provider's own text is kept.
  const own = translated?.ok === true ? translated.text : undefined;
  const { context } = reading;
  const whole = own ?? (answer === body ? text : JSON.stringify(answer));
  if (wire.id !== "openai-chat") return rewritten(chatDoorWire.readBack(whole, answer), reading);
  const toAnswer = (): Answer => reading.wire.readBack(whole, answer);
  const isPlain = (): boolean => reading.wire.isPlain(whole, answer);
  return { ok: true, value: { text: whole, body: answer, toAnswer, isPlain, context } };
}

/** How a stream of events begins. */
const EVENTS = /^\s*(?:data|event|id|retry)?:/;

/** A provider that streams whatever it is asked for: its events add up to the answer. */
function openEvents(text: string, response: Response, reading: Reading, received: Received): Opened<WholeAnswer> {
  const items = reading.openItems(true);
  const events = [...items.push(new TextEncoder().encode(text)), ...items.end()].flatMap((item) => item.events);
  const error = events.find((event) => event.kind === "error");
  const answer = answerOf(events);
  if (error !== undefined || answer === null) {
    received.noteFailed(events.findLast((event) => event.kind === "usage")?.raw);
    const { status, headers } = response;
    const failure = error === undefined ? NOT_AN_ANSWER : reading.classify({ status, headers, body: error.body });
    return { ok: false, failure };
  }
  return accepted(answer, received) ? rewritten(answer, reading) : { ok: false, failure: NOT_AN_ANSWER };
}

/** What is known of an answer once all of it is there. False: it says nothing, and by its figures is none. */
function accepted(answer: Answer, received: Received): boolean {
  received.isWhole = true;
  received.noteAnswerId(answer.id);
  received.noteUsage(answer.rawUsage);
  received.countWhole(() => outputPieces(answer));
  const isSilent = answer.choices.every(({ parts, finish }) => parts.length === 0 && isDone(finish));
  return !(isNothing(answer.rawUsage) && isSilent);
}

/** An answer that goes from the provider's wire to the door's with no chat between: as it came where both are the same. */
function openDirect(text: string, body: Json, reading: Reading, received: Received): Opened<WholeAnswer> {
  const { sameWire, translation, context, answerContext } = reading;
  // Names and forms in an answer of the same wire are the client's own: the request was not translated.
  const own = sameWire?.readWhole(text, body, { ...context, conversation: null });
  const read = own ?? translation?.readAnswer?.(text, body, answerContext);
  if (read?.ok !== true) {
    if (read?.rawUsage !== undefined) received.noteFailed(read.rawUsage);
    return read ?? { ok: false, failure: NOT_AN_ANSWER };
  }
  const { answer } = read;
  if (!accepted(answer, received)) return { ok: false, failure: NOT_AN_ANSWER };
  if (own?.ok !== true) return rewritten(answer, reading);
  const { isPlain = false } = own;
  return {
    ok: true,
    value: { text: own.text, body: own.body, toAnswer: () => answer, isPlain: () => isPlain, context },
  };
}

/** The answer in the format of the door. */
function rewritten(answer: Answer, { wire, context }: Reading): Opened<WholeAnswer> {
  if (wire.isUnwritable?.(answer) === true) return { ok: false, failure: NOT_AN_ANSWER };
  const body = wire.writeAnswer(answer, context);
  return { ok: true, value: { text: stringifyRaw(body), body, toAnswer: () => answer, isPlain: () => false, context } };
}

const isDone = (finish: Finish): boolean => finish.reason === "stop";

/** It stops and says nothing: no member of its message but the role has anything in it. */
function isSilent(choice: Json): boolean {
  const { message, finish_reason: finish } = choice;
  if (!isJsonObject(message) || finish !== "stop") return false;
  return Object.entries(message).every(([name, value]) => {
    const isEmpty = value === null || value === "" || (Array.isArray(value) && value.length === 0);
    return name === "role" || isEmpty;
  });
}

/** One that can be written again: its calls are measured, and may have to be released one by one. */
function hasMessage(choice: unknown): boolean {
  return isJsonObject(choice) && isJsonObject(choice["message"]) && !isTooDeep(choice["message"]);
}
