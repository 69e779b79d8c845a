/**
 * The smallest value that a JSON Schema accepts, for answers without a model.
 *
 * Pure and total: covers the keywords that tool parameters and structured outputs use, ends on recursive schemas, and
 * gives a plain value for what it does not understand (`pattern`, `not`, `if`).
 */
import { isJsonObject } from "./json.ts";

/** Deeper than this a schema is recursive without an end, and nothing would satisfy it. */
const MAX_DEPTH = 16;
const MAX_ITEMS = 16;
const MAX_STRING_LENGTH = 1_024;
/** All values of one example together: wide schemas times deep ones would otherwise explode. */
const MAX_VALUES = 1_000;

const FORMATS: ReadonlyMap<string, string> = new Map([
  ["date-time", "2025-01-01T00:00:00Z"],
  ["date", "2025-01-01"],
  ["time", "00:00:00Z"],
  ["email", "user@example.com"],
  ["uri", "https://example.com/"],
  ["uuid", "00000000-0000-4000-8000-000000000000"],
]);

interface Walk {
  readonly root: unknown;
  values: number;
}

export function exampleOf(schema: unknown): unknown {
  return example(schema, 0, { root: schema, values: 0 });
}

function example(schema: unknown, depth: number, walk: Walk): unknown {
  walk.values++;
  if (depth > MAX_DEPTH || walk.values > MAX_VALUES) return null;
  if (!isJsonObject(schema)) return "example";
  if (typeof schema["$ref"] === "string") return example(resolve(schema["$ref"], walk.root), depth + 1, walk);
  if (Object.hasOwn(schema, "const")) return schema["const"];
  const choices = schema["enum"];
  if (Array.isArray(choices) && choices.length > 0) return choices[0];
  for (const keyword of ["anyOf", "oneOf"]) {
    const options = schema[keyword];
    if (Array.isArray(options) && options.length > 0) return example(options[0], depth + 1, walk);
  }
  if (Array.isArray(schema["allOf"])) return example(joined(schema, schema["allOf"], walk.root), depth + 1, walk);
  switch (typeOf(schema)) {
    case "object":
      return exampleObject(schema, depth, walk);
    case "array":
      return exampleArray(schema, depth, walk);
    case "integer":
    case "number":
      return exampleNumber(schema);
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      return exampleString(schema);
  }
}

function typeOf(schema: Readonly<Record<string, unknown>>): unknown {
  const type = schema["type"];
  if (Array.isArray(type)) return type.find((each) => each !== "null") ?? "null";
  if (type !== undefined) return type;
  if (schema["properties"] !== undefined || schema["required"] !== undefined) return "object";
  return schema["items"] === undefined ? "string" : "array";
}

/** `#/$defs/name` and the like. Other documents are never fetched. */
function resolve(reference: string, root: unknown): unknown {
  if (!reference.startsWith("#")) return undefined;
  let found: unknown = root;
  for (const part of reference.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (!isJsonObject(found) || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return found;
}

/** `allOf` over object schemas, written as one: members and their requirements add up, later keywords win. */
function joined(schema: Record<string, unknown>, parts: readonly unknown[], root: unknown): Record<string, unknown> {
  const { allOf: _, ...own } = schema;
  let result: Record<string, unknown> = own;
  for (const part of parts) {
    const whole = isJsonObject(part) && typeof part["$ref"] === "string" ? resolve(part["$ref"], root) : part;
    if (!isJsonObject(whole)) continue;
    result = {
      ...result,
      ...whole,
      properties: { ...objectOf(result["properties"]), ...objectOf(whole["properties"]) },
      required: [...namesOf(result["required"]), ...namesOf(whole["required"])],
    };
  }
  return result;
}

function exampleObject(schema: Record<string, unknown>, depth: number, walk: Walk): Record<string, unknown> {
  const properties = objectOf(schema["properties"]);
  // `fromEntries` defines members, so a property called `__proto__` is only that.
  return Object.fromEntries(
    namesOf(schema["required"]).map((name) => [
      name,
      example(Object.hasOwn(properties, name) ? properties[name] : {}, depth + 1, walk),
    ]),
  );
}

function exampleArray(schema: Record<string, unknown>, depth: number, walk: Walk): unknown[] {
  const length = Math.min(numberOf(schema["minItems"], 0), MAX_ITEMS);
  return Array.from({ length }, () => example(schema["items"] ?? {}, depth + 1, walk));
}

function exampleNumber(schema: Record<string, unknown>): number {
  const whole = schema["type"] === "integer";
  const step = whole ? 1 : 0.5;
  const low = Math.max(
    numberOf(schema["minimum"], Number.NEGATIVE_INFINITY),
    numberOf(schema["exclusiveMinimum"], Number.NEGATIVE_INFINITY) + step,
  );
  const high = Math.min(
    numberOf(schema["maximum"], Number.POSITIVE_INFINITY),
    numberOf(schema["exclusiveMaximum"], Number.POSITIVE_INFINITY) - step,
  );
  const multiple = numberOf(schema["multipleOf"], 0);
  const value = Math.min(Math.max(1, low), high);
  if (multiple > 0) return Math.ceil(value / multiple) * multiple <= high ? Math.ceil(value / multiple) * multiple : 0;
  return whole ? Math.ceil(value) : value;
}

function exampleString(schema: Record<string, unknown>): string {
  const format = FORMATS.get(String(schema["format"]));
  if (format !== undefined) return format;
  const shortest = Math.min(numberOf(schema["minLength"], 0), MAX_STRING_LENGTH);
  return "example".padEnd(shortest, "e").slice(0, Math.max(0, numberOf(schema["maxLength"], MAX_STRING_LENGTH)));
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return isJsonObject(value) ? value : {};
}

function namesOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((name) => typeof name === "string") : [];
}

function numberOf(value: unknown, otherwise: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}
