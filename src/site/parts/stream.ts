/** Server-sent events of any door, and the text in them. */
import { parseJson } from "../../lib/json.ts";

type Json = string | number | boolean | null | readonly Json[] | JsonObject;
interface JsonObject {
  readonly [member: string]: Json;
}

/** The data of each event, in order; comments and other fields are left out. */
export async function* eventsOf(response: Response): AsyncGenerator<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) return;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  }
}

const object = (value: Json | undefined): JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");

/** What an event adds to the answer's text, and the error that it tells of. */
export function deltaOf(data: string): { readonly text: string; readonly error: string | null } {
  let event: JsonObject;
  try {
    event = object(parseJson(data) as Json);
  } catch {
    return { text: "", error: null };
  }
  const error = object(event["error"] ?? object(event["response"])["error"]);
  if (error["message"] !== undefined) return { text: "", error: text(error["message"]) };
  const [choice] = (event["choices"] as readonly Json[] | undefined) ?? [];
  const chat = text(object(object(choice)["delta"])["content"]);
  const messages = text(object(event["delta"])["text"]);
  const responses = event["type"] === "response.output_text.delta" ? text(event["delta"]) : "";
  return { text: chat + messages + responses, error: null };
}
