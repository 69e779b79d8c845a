/** Whole answers in OpenAI's protocol that are not quite: what clients rely on is put right, all else stays. */
import { isJsonObject } from "../../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** The same object where nothing had to be done. */
export function mendChoices(body: unknown): Json {
  if (!isJsonObject(body)) return {};
  const choices = body["choices"];
  if (!Array.isArray(choices) || !choices.some(needsMending)) return body;
  return { ...body, choices: choices.map((choice) => (needsMending(choice) ? mended(choice) : choice)) };
}

function needsMending(choice: unknown): choice is Json {
  if (!isJsonObject(choice)) return false;
  const message = choice["message"];
  // Azure leaves the message out of a choice that its filter emptied. Without an end it is no answer at all.
  if (!isJsonObject(message)) return message === undefined && typeof choice["finish_reason"] === "string";
  const content = message["content"];
  return isJsonObject(content) || (content === undefined && choice["finish_reason"] === "content_filter");
}

function mended(choice: Json): Json {
  const message = choice["message"];
  if (!isJsonObject(message)) return { ...choice, message: { role: "assistant", content: "", refusal: null } };
  const content = message["content"];
  // Workers AI parses what it was told to write as JSON. A client expects the text.
  return { ...choice, message: { ...message, content: isJsonObject(content) ? JSON.stringify(content) : "" } };
}
