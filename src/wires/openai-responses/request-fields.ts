/**
 * The members of a Responses request that the router reads, and what they must be.
 *
 * Loose on purpose, as for chat: what is not read is the provider's to judge. SDKs send `null` and empty values for what
 * they leave out, so both mean absent. The router's own member, `route`, is the door's to check.
 */
import * as z from "zod/mini";
import type { Json } from "../../conversation/part.ts";
import { RouterError } from "../../http/errors.ts";
import { EXPLAINED, invalidField } from "../../http/validation-errors.ts";
import { isJsonObject, wordOf } from "../../lib/json.ts";
import { shortLists } from "../../lib/long-lists.ts";
import { textOf } from "./items.ts";

const flag = z.nullish(z.boolean("must be true or false"));
const text = z.nullish(z.string("must be a string"));
const positiveInteger = z.nullish(
  z.int("must be a positive integer").check(z.minimum(1, "must be a positive integer")),
);
const object = z.nullish(z.looseObject({}, "must be an object"));

const Item = z.looseObject({ type: text, role: text }, "must be an object");

export const ResponsesFields = z.looseObject({
  model: z.string('must be a string such as "flow/best-reasoning"'),
  input: z.union([z.string(), z.array(Item)], "must be a string or an array of items"),
  instructions: text,
  stream: flag,
  store: flag,
  previous_response_id: text,
  max_output_tokens: positiveInteger,
  parallel_tool_calls: flag,
  tools: z.nullish(z.array(z.looseObject({}, "must be an object"), "must be an array")),
  include: z.nullish(z.array(z.string("must be a string"), "must be an array")),
  text: object,
  reasoning: object,
  metadata: object,
});
export type ResponsesFields = z.infer<typeof ResponsesFields>;

/** Members that would leave state at a provider, or start work that outlives the request. */
const REFUSED = [
  ["background", "Leave it out: a response is made while the request waits."],
  ["conversation", "Leave it out, and send the whole input or `previous_response_id`."],
] as const;

/** Throws 400 that names the first member at fault. */
export function checkFields(fields: Json): ResponsesFields {
  for (const [name, remedy] of REFUSED) {
    const value = fields[name];
    if (value === undefined || value === null || value === false) continue;
    throw new RouterError("invalid_request", `\`${name}\` is not supported. ${remedy}`, { param: name });
  }
  const { input } = fields;
  // Items are checked one by one: the fault of one is named by its own place, and many would take all memory.
  const short = { ...shortLists(fields, LISTS), ...(Array.isArray(input) ? { input: [] } : {}) };
  const parsed = ResponsesFields.safeParse({ ...fields, ...short }, EXPLAINED);
  if (!parsed.success) throw invalidField(parsed.error.issues);
  if (!Array.isArray(input)) return parsed.data;
  for (const [at, item] of input.entries()) checkItem(item, at);
  return { ...parsed.data, input };
}

const LISTS = { tools: isJsonObject, include: (value: unknown): boolean => typeof value === "string" };

/** What says whose result an item is, or what it calls: approvals depend on it. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  function_call: ["call_id", "name"],
  custom_tool_call: ["call_id", "name"],
  function_call_output: ["call_id"],
  custom_tool_call_output: ["call_id"],
  item_reference: ["id"],
};

function checkItem(item: Json, at: number): void {
  const checked = Item.safeParse(item, EXPLAINED);
  if (!checked.success) {
    throw invalidField(checked.error.issues.map((issue) => ({ ...issue, path: ["input", at, ...issue.path] })));
  }
  const { type } = item;
  const path = `input[${at}]`;
  if (type === undefined || type === null || type === "message") {
    const needed = type === "message" || item["content"] !== undefined ? "role" : "type";
    // An item with an id alone is a reference, as the SDKs' types allow.
    if (needed === "type" && textOf(item["id"]) !== undefined) return;
    if (textOf(item[needed]) === undefined) throw missing(`${path}.${needed}`);
    return;
  }
  for (const name of NEEDED[wordOf(type)] ?? []) if (textOf(item[name]) === undefined) throw missing(`${path}.${name}`);
}

function missing(param: string): RouterError {
  return new RouterError("invalid_request", `\`${param}\` is required and must be a string.`, { param });
}
