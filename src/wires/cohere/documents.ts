/** Documents that the model may cite from, rebuilt: only scalars and texts of the client's object are sent. */
import type { Json } from "../../conversation/part.ts";
import { isJsonObject } from "../../lib/json.ts";

/** `{id?, data}` as Cohere takes it; `null` for anything else. https://docs.cohere.com/reference/chat, `documents` */
export function documentOf(source: unknown): Json | null {
  if (!isJsonObject(source)) return null;
  const { id, data } = source;
  if (typeof data === "string") return { ...idOf(id), data };
  if (!isJsonObject(data)) return null;
  const members = Object.entries(data).map(([name, value]) => [name, scalarOf(value)] as const);
  return { ...idOf(id), data: Object.fromEntries(members) };
}

function idOf(id: unknown): Json {
  return typeof id === "string" ? { id } : {};
}

/** A list or an object becomes its JSON text. */
function scalarOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}

/** The request's `documents`; `null` where one of them is none. */
export function documentsOf(source: unknown): readonly unknown[] | null {
  if (!Array.isArray(source)) return null;
  const documents = source.map((each) => (typeof each === "string" ? each : documentOf(each)));
  return documents.includes(null) ? null : documents;
}
