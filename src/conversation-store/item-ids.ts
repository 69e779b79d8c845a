/** Ids of input items that came without one: the same each time, so that clients can refer to what they listed. */

type Json = Readonly<Record<string, unknown>>;

/** What ids of items begin with, by type. */
const PREFIXES: Readonly<Record<string, string>> = {
  message: "msg",
  function_call: "fc",
  function_call_output: "fco",
  custom_tool_call: "ctc",
  custom_tool_call_output: "ctco",
  reasoning: "rs",
};

/** The id of the item at `at` of the input of a response: its own, or one that is made of the response's. */
export function inputItemId({ id, type = "message" }: Json, responseId: string, at: number): string {
  if (typeof id === "string" && id !== "") return id;
  const prefix = (typeof type === "string" ? PREFIXES[type] : undefined) ?? "item";
  // Items of the output end in digits alone: no id is given twice.
  return `${prefix}_${responseId.replace(/^resp_/, "")}i${at.toString(16).padStart(4, "0")}`;
}

const MADE_ID = /^[a-z]{2,4}_(.{1,200})i[0-9a-f]{4,5}$/;

/** The response that an id may have been made of; `null` for one that was not. */
export function responseIdIn(itemId: string): string | null {
  const tail = MADE_ID.exec(itemId)?.[1];
  return tail === undefined ? null : `resp_${tail}`;
}
