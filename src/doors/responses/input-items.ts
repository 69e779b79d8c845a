/** The input items of a stored response, page by page. */
import type { Json } from "../../conversation/part.ts";
import { inputItemId, type StoredResponse } from "../../conversation-store/client.ts";
import { RouterError } from "../../http/errors.ts";

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;
/**
 * A page of them, the last one first unless `order` is `asc`. Items that came without an id have one that is the same
 * each time. https://platform.openai.com/docs/api-reference/responses/input-items
 */
export function inputItems({ id, input }: Pick<StoredResponse, "id" | "input">, query: URLSearchParams): Json {
  const order = query.get("order") ?? "desc";
  if (order !== "asc" && order !== "desc") throw bad("order", "must be asc or desc");
  const limit = Number(query.get("limit") ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw bad("limit", `must be a whole number from 1 to ${MAX_LIMIT}`);
  }
  const items = input.map((item, at) => identified(item, id, at));
  if (order === "desc") items.reverse();
  const after = query.get("after");
  const from = after === null ? 0 : items.findIndex((item) => item["id"] === after) + 1;
  if (after !== null && from === 0) throw bad("after", "must be the id of an item of this response");
  const data = items.slice(from, from + limit);
  return {
    object: "list",
    data,
    first_id: data[0]?.["id"] ?? null,
    last_id: data.at(-1)?.["id"] ?? null,
    has_more: from + limit < items.length,
  };
}

function identified(item: Json, responseId: string, at: number): Json {
  const id = inputItemId(item, responseId, at);
  if (id === item["id"]) return item;
  const { type = "message" } = item;
  const content = item["role"] !== undefined && typeof item["content"] === "string" ? contentOf(item) : {};
  return { type, ...item, ...content, id };
}

/** Text alone as the list that a stored message always has. */
function contentOf({ role, content: text }: Json): Json {
  return { content: [{ type: role === "assistant" ? "output_text" : "input_text", text }] };
}

function bad(param: string, must: string): RouterError {
  return new RouterError("invalid_request", `\`${param}\` ${must}.`, { param });
}
