/**
 * Whole answers in OpenAI's protocol that are not quite: what clients rely on is put right, every other byte stays.
 *
 * https://platform.openai.com/docs/api-reference/chat/object is what clients are written for.
 */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit, tryParseJson } from "../../../lib/json.ts";
import { type Cut, editElements, elementCuts, memberCut } from "../../../lib/json-spans.ts";
import { CallLabels, mendWholeCall } from "./calls.ts";
import { finishWord, isFinishWord } from "./finish-words.ts";
import {
  callsOf,
  hasCalls,
  hasLegacyCall,
  hasOddContent,
  hasOddLegacyCall,
  type MendOptions,
  writeContent,
  writeLegacyCall,
} from "./message.ts";

export interface MendedAnswer {
  readonly text: string;
  /** `text`, parsed. */
  readonly body: Json;
}

/** The same text and body where nothing had to be done. `text` is the exact body of which `body` was parsed. */
export function mendAnswer(text: string, body: Json, options: MendOptions): MendedAnswer {
  const choices = body["choices"];
  if (!Array.isArray(choices)) return { text, body };
  const ids = new CallLabels(options);
  const all = memberCut(() => text, "choices");
  const cuts = elementCuts(all);
  const edited = choices.map((choice, at) =>
    isJsonObject(choice) ? mendChoice(choice, at, cuts(at), ids, options) : undefined,
  );
  if (edited.every((each) => each === undefined)) return { text, body };
  const mended = new JsonEdit(text)
    .setRaw(
      "choices",
      editElements(all(), (_, at) => edited[at]),
    )
    .toString();
  const parsed = tryParseJson(mended);
  return isJsonObject(parsed) ? { text: mended, body: parsed } : { text, body };
}

/** `undefined` where nothing has to change. */
function mendChoice(choice: Json, at: number, cut: Cut, ids: CallLabels, options: MendOptions): string | undefined {
  const { message, finish_reason: finish } = choice;
  const hasMessage = isJsonObject(message);
  // Azure leaves the message out of a choice that its filter emptied. Without an end it is no answer at all.
  if (!hasMessage && (message != null || !isFinishWord(finish))) return undefined;
  const mended = hasMessage ? mendMessage(message, memberCut(cut, "message"), ids) : EMPTY_MESSAGE;
  // The body is whole, so the answer is: a provider that names no end has nothing more to say.
  const word = finishWord(
    isFinishWord(finish) ? finish : "stop",
    hasMessage ? callsIn(message) : "none",
    options.finishWords,
  );
  const isCounted = Number.isInteger(choice["index"]);
  if (mended === undefined && word === finish && isCounted) return undefined;
  const edit = new JsonEdit(cut());
  if (!isCounted) edit.set("index", at);
  if (mended !== undefined) edit.setRaw("message", mended);
  if (word !== finish) edit.set("finish_reason", word);
  return edit.toString();
}

const EMPTY_MESSAGE = JSON.stringify({ role: "assistant", content: "", refusal: null });

function callsIn(message: Json): "none" | "tools" | "legacy" {
  if (hasCalls(message)) return "tools";
  return hasLegacyCall(message) ? "legacy" : "none";
}

function mendMessage(message: Json, cut: Cut, ids: CallLabels): string | undefined {
  const hasRole = typeof message["role"] === "string" && message["role"] !== "";
  const isOdd = hasOddContent(message);
  const isOddLegacy = hasOddLegacyCall(message, true, ids);
  const calls = mendCalls(message, memberCut(cut, "tool_calls"), ids);
  // Calls without a content say as much as calls with `null`.
  const isSilent = message["content"] === undefined && callsIn(message) === "none";
  if (hasRole && !isSilent && !isOdd && !isOddLegacy && calls === undefined) return undefined;
  const edit = new JsonEdit(cut());
  if (!hasRole) edit.set("role", "assistant");
  if (isSilent) edit.set("content", "");
  else if (isOdd) writeContent(message, edit);
  if (isOddLegacy) writeLegacyCall(message, edit, true, ids);
  if (calls !== undefined) edit.setRaw("tool_calls", calls);
  return edit.toString();
}

function mendCalls(message: Json, cut: Cut, ids: CallLabels): string | undefined {
  const calls = callsOf(message);
  const cuts = elementCuts(cut);
  // An entry that is no object calls nothing.
  const edited = calls.map((call, at) => (isJsonObject(call) ? mendWholeCall(call, cuts(at), ids) : null));
  const isList = Array.isArray(message["tool_calls"]);
  if (edited.every((each) => each === undefined) && (isList || calls.length === 0)) return undefined;
  return isList ? editElements(cut(), (_, at) => edited[at]) : `[${edited[0] ?? cut()}]`;
}
