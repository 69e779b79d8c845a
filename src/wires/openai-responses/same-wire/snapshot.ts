/** What the events of a stream that broke add up to. */
import type { Json } from "../../../conversation/part.ts";
import { isJsonObject, tryParseJson } from "../../../lib/json.ts";
import { SseSplitter } from "../../../lib/sse.ts";

type Open = Record<string, unknown>;

/** The items of `text`, whole events; what was not closed is incomplete. */
export function outputOf(text: string): readonly Json[] {
  const items = new Map<number, Open>();
  const done = new Set<number>();
  const splitter = new SseSplitter(Number.POSITIVE_INFINITY);
  for (const { data } of splitter.push(text)) {
    const event = data === null ? undefined : tryParseJson(data);
    const { type, output_index: index, item } = isJsonObject(event) ? event : {};
    if (!isJsonObject(event) || typeof index !== "number") continue;
    const known = items.get(index);
    if (isJsonObject(item)) {
      items.set(index, { ...item });
      if (type === "response.output_item.done") done.add(index);
    } else if (known !== undefined && !done.has(index)) add(known, String(type), event);
  }
  const ordered = [...items].sort(([one], [other]) => one - other);
  return ordered.map(([index, item]) => (done.has(index) ? item : { ...item, status: "incomplete" }));
}

/** What `event` says of an item that is open. */
function add(item: Open, type: string, event: Json): void {
  const { delta, part, annotation } = event;
  const own = partOf(item, event);
  switch (type) {
    case "response.content_part.added":
    case "response.content_part.done":
    case "response.reasoning_summary_part.added":
      if (own !== null && isJsonObject(part)) own.list[own.at] = { ...part };
      return;
    case "response.output_text.annotation.added":
      if (own?.part !== undefined) own.part["annotations"] = [...listOf(own.part["annotations"]), annotation];
      return;
    case "response.function_call_arguments.delta":
      item["arguments"] = String(item["arguments"] ?? "") + String(delta);
      return;
    case "response.custom_tool_call_input.delta":
      item["input"] = String(item["input"] ?? "") + String(delta);
      return;
    default: {
      if (own?.part === undefined || typeof delta !== "string") return;
      const member = type === "response.refusal.delta" ? "refusal" : "text";
      own.part[member] = String(own.part[member] ?? "") + delta;
      const logprobs = listOf(event["logprobs"]);
      if (logprobs.length > 0) own.part["logprobs"] = [...listOf(own.part["logprobs"]), ...logprobs];
    }
  }
}

/** The part that `event` is about, in the list that holds it. */
function partOf(item: Open, event: Json): { list: unknown[]; at: number; part: Open | undefined } | null {
  const { content_index: content, summary_index: summary } = event;
  const [name, at] = typeof content === "number" ? ["content", content] : ["summary", summary];
  if (typeof at !== "number" || typeof name !== "string") return null;
  const list = [...listOf(item[name])];
  item[name] = list;
  if (at > list.length) return null;
  const part = list[at];
  return { list, at, part: isJsonObject(part) ? part : undefined };
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
