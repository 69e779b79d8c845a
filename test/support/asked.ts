/** A chat request as an adapter is called with it. */
import type { Json } from "../../src/conversation/part.ts";
import { JsonEdit, parseJson } from "../../src/lib/json.ts";
import type { AdapterCall } from "../../src/providers/adapter.ts";
import { askedInChat } from "../../src/wires/asked.ts";

/** `text`: its exact spelling, where that matters. */
export function inChat(fields: Json, text = JSON.stringify(fields)): Pick<AdapterCall, "asked" | "body" | "fields"> {
  return { asked: askedInChat(fields), body: new JsonEdit(text), fields };
}

export function textInChat(text: string): Pick<AdapterCall, "asked" | "body" | "fields"> {
  return inChat(parseJson(text) as Json, text);
}
