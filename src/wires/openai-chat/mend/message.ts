/** What a message of a whole answer and a delta of a stream have in common when they are mended. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, JsonEdit } from "../../../lib/json.ts";
import { memberText } from "../../../lib/json-text.ts";
import { type CallLabels, wholeArguments } from "./calls.ts";
import { flattenContent } from "./content.ts";

export interface MendOptions {
  /** Unique per answer (the trace id): ids that are missing are made from it. */
  readonly seed: string;
  /** Where tools were sent under aliases: the client's name for one of them. */
  readonly ownName?: ((sent: string) => string) | undefined;
  /** Names, as they were sent, of custom tools that the provider got as functions with one text. */
  readonly textTools?: ReadonlySet<string> | null | undefined;
  /** The provider's own finish reasons. */
  readonly finishWords?: Readonly<Record<string, string>> | undefined;
}

/** A list, or an object, where a text belongs. */
export function hasOddContent(message: Json): boolean {
  const { content } = message;
  return typeof content === "object" && content !== null;
}

/** Puts text where `hasOddContent`, and thoughts, refusals, pictures and unknown parts in members of their own. */
export function writeContent(message: Json, edit: JsonEdit): void {
  const raw = edit.raw("content");
  if (raw === undefined) return;
  const { text, reasoning, refusal, images, others } = flattenContent(message["content"], raw);
  edit.set("content", text);
  if (reasoning !== "") edit.set("reasoning_content", textOf(message["reasoning_content"]) + reasoning);
  if (refusal !== "") edit.set("refusal", textOf(message["refusal"]) + refusal);
  if (images.length > 0 && message["images"] === undefined) edit.setRaw("images", `[${images.join(",")}]`);
  if (others.length > 0) edit.setRaw("content_parts", `[${others.join(",")}]`);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The calls of a message or delta, also where there is one call in place of a list. */
export function callsOf(message: Json): readonly unknown[] {
  const calls = message["tool_calls"];
  if (Array.isArray(calls)) return calls;
  return isJsonObject(calls) ? [calls] : [];
}

/** Is there at least one? An entry that is no object calls nothing. */
export function hasCalls(message: Json): boolean {
  return callsOf(message).some(isJsonObject);
}

/** The older `function_call` begins or is here. */
export function hasLegacyCall(message: Json): boolean {
  const call = message["function_call"];
  return isJsonObject(call) && typeof call["name"] === "string" && call["name"] !== "";
}

/** The older `function_call`, with arguments that are no text, or an alias. `isWhole`: no more pieces of it come. */
export function hasOddLegacyCall(message: Json, isWhole: boolean, labels: CallLabels): boolean {
  const call = message["function_call"];
  if (!isJsonObject(call) || (isWhole && !hasLegacyCall(message))) return false;
  const { arguments: args, name } = call;
  if (labels.nameOf(name) !== name) return true;
  if (typeof args !== "string") return isWhole || (args !== undefined && args !== null);
  return isWhole && wholeArguments(args, () => "") !== args;
}

export function writeLegacyCall(message: Json, edit: JsonEdit, isWhole: boolean, labels: CallLabels): void {
  const raw = edit.raw("function_call");
  const call = message["function_call"];
  if (raw === undefined || !isJsonObject(call)) return;
  const own = new JsonEdit(raw);
  const { arguments: args, name } = call;
  if (labels.nameOf(name) !== name) own.set("name", labels.nameOf(name));
  if (isWhole || (args !== undefined && args !== null && typeof args !== "string")) {
    own.set(
      "arguments",
      wholeArguments(args, () => memberText(raw, "arguments") ?? ""),
    );
  }
  edit.setRaw("function_call", own.toString());
}
