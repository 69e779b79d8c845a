/**
 * JSON Schemas as constrained decoding of Claude takes them, at Anthropic and at Bedrock alike.
 *
 * Pure. Every object is closed and constraints it does not know are described in text; a schema that leaves an object
 * open cannot be had so, which `isOpen` says beforehand.
 */
import { isJsonObject } from "../lib/json.ts";

type Json = Readonly<Record<string, unknown>>;

/** The provider demands `type: "object"` at the top. */
export function objectSchema(schema: Json): Json {
  return schema["type"] === "object" ? schema : { ...schema, type: "object" };
}

/**
 * Keywords that constrained decoding does not know. The provider's own SDKs do the same: they move them into the
 * description, where the model still reads them.
 * https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
 */
const UNSUPPORTED: ReadonlySet<string> = new Set([
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"],
  ...["minLength", "maxLength", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"],
  ...["minProperties", "maxProperties", "propertyNames", "dependentRequired", "if", "then", "else", "not"],
]);
const FORMATS: ReadonlySet<string> = new Set([
  ...["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"],
]);
/** Members whose value is a map of names to schemas. */
const SCHEMA_MAPS: ReadonlySet<string> = new Set(["properties", "$defs", "definitions"]);
const SCHEMA_LISTS: ReadonlySet<string> = new Set(["anyOf", "oneOf", "allOf", "prefixItems"]);
/** Requests are at most 64 levels deep, so this never bites; it keeps the recursion bounded all the same. */
const MAX_DEPTH = 100;

/** Some object of `schema` may have members the schema does not name, which structured output cannot say. */
export function isOpen(schema: unknown, depth = 0): boolean {
  if (!isJsonObject(schema) || depth > MAX_DEPTH) return false;
  const extra = schema["additionalProperties"];
  if ((extra !== undefined && extra !== false) || isJsonObject(schema["patternProperties"])) return true;
  if (schema["type"] === "object" && !isJsonObject(schema["properties"]) && extra !== false) return true;
  return Object.entries(schema).some(([name, value]) => {
    if (SCHEMA_MAPS.has(name) && isJsonObject(value))
      return Object.values(value).some((each) => isOpen(each, depth + 1));
    if (SCHEMA_LISTS.has(name) && Array.isArray(value)) return value.some((each) => isOpen(each, depth + 1));
    return name === "items" && isOpen(value, depth + 1);
  });
}

/** `schema` as structured output takes it: every object closed, unknown constraints described in text. */
export function closed(schema: unknown, depth = 0): Json {
  if (!isJsonObject(schema) || depth > MAX_DEPTH) return {};
  const result: Record<string, unknown> = {};
  const told: string[] = [];
  for (const [name, value] of Object.entries(schema)) {
    const isSupported = isSupportedMember(name, value);
    if (!isSupported) told.push(`${name}: ${JSON.stringify(value)}`);
    else if (SCHEMA_MAPS.has(name) && isJsonObject(value)) {
      result[name] = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, closed(each, depth + 1)]));
    } else if (SCHEMA_LISTS.has(name) && Array.isArray(value)) {
      result[name === "oneOf" ? "anyOf" : name] = value.map((each) => closed(each, depth + 1));
    } else result[name] = name === "items" && isJsonObject(value) ? closed(value, depth + 1) : value;
  }
  const types = Array.isArray(schema["type"]) ? schema["type"] : [schema["type"]];
  if (types.includes("object") || isJsonObject(schema["properties"])) result["additionalProperties"] = false;
  if (told.length > 0) {
    const words = `{${told.join(", ")}}`;
    result["description"] = typeof schema["description"] === "string" ? `${schema["description"]} ${words}` : words;
  }
  return result;
}

function isSupportedMember(name: string, value: unknown): boolean {
  if (name === "format") return typeof value === "string" && FORMATS.has(value);
  if (name === "minItems") return value === 0 || value === 1;
  return !UNSUPPORTED.has(name) && name !== "patternProperties";
}
