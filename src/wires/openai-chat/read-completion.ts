/** A whole answer in OpenAI's protocol as the client gets it, or why it is none. */
import { isJsonObject } from "../../lib/json.ts";
import type { TranslatedAnswer } from "../../providers/adapter.ts";
import { mendAnswer } from "./mend/answer.ts";
import type { MendOptions } from "./mend/message.ts";

/** The provider itself says that the answer is broken. */
const BROKEN: TranslatedAnswer = {
  ok: false,
  failure: { class: "invalid_response", tryNext: true, trySame: false },
};

/** `text`: the exact body of which `body` was parsed. The same body comes back where nothing had to be mended. */
export function readCompletion(text: string, body: unknown, options: MendOptions): TranslatedAnswer {
  if (!isJsonObject(body)) return { ok: true, completion: {} };
  const mended = mendAnswer(text, body, options);
  const { choices } = mended.body;
  const isBroken =
    Array.isArray(choices) && choices.some((each) => isJsonObject(each) && each["finish_reason"] === "error");
  if (isBroken) return BROKEN;
  return mended.body === body
    ? { ok: true, completion: body }
    : { ok: true, completion: mended.body, text: mended.text };
}
