/**
 * JSON Schema from two sources: the zod schemas that check requests, and short spellings of the shapes we answer with.
 *
 * zod brings a generator of its own, several KiB larger than this one, which knows only the kinds that our schemas use.
 * A kind it does not know throws, and a test builds the whole document.
 */
import type * as z from "zod/mini";

export type JsonSchema = { readonly [member: string]: unknown };

type Definition = Readonly<Record<string, unknown>> & { readonly type?: string };
type Node = z.core.$ZodType;

// Each kind of schema has members of its own; they are read by name, because the type of the base has none of them.
const definitionOf = (node: unknown): Definition => (node as Node)._zod.def as unknown as Definition;

const CONSTRAINTS: Readonly<Record<string, string>> = {
  string: "Length",
  array: "Items",
};

/** What a client may send where `node` checks it. Throws for a kind of schema that is not used so far. */
export function requestSchema(node: unknown): JsonSchema {
  const definition = definitionOf(node);
  const { type = "", innerType } = definition;
  switch (type) {
    case "unknown":
    case "lazy":
      return {};
    case "boolean":
      return { type };
    case "string":
    case "number":
      return { type: definition["format"] === "safeint" ? "integer" : type, ...constraints(definition) };
    case "enum":
      return { type: "string", enum: Object.values(definition["entries"] as object) };
    case "array":
      return { type, items: requestSchema(definition["element"]), ...constraints(definition) };
    case "record":
      return { type: "object", additionalProperties: requestSchema(definition["valueType"]) };
    case "object":
      return objectSchema(definition);
    case "optional":
      return requestSchema(innerType);
    case "union":
      return { anyOf: (definition["options"] as readonly unknown[]).map(requestSchema) };
    case "nullable":
      return { anyOf: [requestSchema(innerType), { type: "null" }] };
    case "default":
    case "prefault":
      return { ...requestSchema(innerType), default: definition["defaultValue"] };
    default:
      throw new Error(`The generator does not know schemas of the kind ${type}.`);
  }
}

function objectSchema({ shape, catchall }: Definition): JsonSchema {
  const members = Object.entries(shape as Readonly<Record<string, unknown>>);
  const mayMiss = ["optional", "default", "prefault"];
  const required = members.filter(([, node]) => !mayMiss.includes(definitionOf(node).type ?? "")).map(([name]) => name);
  const isStrict = catchall !== undefined && definitionOf(catchall).type === "never";
  return {
    type: "object",
    properties: Object.fromEntries(members.map(([name, node]) => [name, requestSchema(node)])),
    ...(required.length === 0 ? {} : { required }),
    ...(isStrict ? { additionalProperties: false } : {}),
  };
}

/** Bounds and patterns. What a function checks cannot be said in a schema and is left to the answer. */
function constraints(definition: Definition): JsonSchema {
  const found: Record<string, unknown> = {};
  const { type = "", checks } = definition;
  const own = definition["check"] === "string_format" ? [definition] : [];
  const given = Array.isArray(checks) ? (checks as readonly unknown[]).map(definitionOf) : [];
  for (const { check, minimum, maximum, value, inclusive, format, pattern } of [...own, ...given]) {
    if (check === "min_length") found[`min${CONSTRAINTS[type]}`] = minimum;
    if (check === "max_length") found[`max${CONSTRAINTS[type]}`] = maximum;
    if (check === "greater_than") found[inclusive === true ? "minimum" : "exclusiveMinimum"] = value;
    if (check === "less_than") found[inclusive === true ? "maximum" : "exclusiveMaximum"] = value;
    if (check === "string_format" && format === "datetime") found["format"] = "date-time";
    else if (check === "string_format" && pattern instanceof RegExp) found["pattern"] = pattern.source;
  }
  return found;
}

/**
 * A shape as it is written down: a type's name, `time`, `Name` of a component, `A|B` for one of these components, `a|b` for
 * one of these words; with `?`
 * at the end it may be null. A member's name with `?` at the end may be absent. An array holds its element's spelling.
 */
export type Spelling = string | readonly [Spelling] | { readonly [member: string]: Spelling };

export const REFERENCE = "#/components/schemas/";

/** The schema of an answer. Further members may come with a later version. */
export function answerSchema(spelling: Spelling): JsonSchema {
  if (typeof spelling === "string") return wordSchema(spelling);
  if (isArraySpelling(spelling)) return { type: "array", items: answerSchema(spelling[0]) };
  const members = Object.entries(spelling).map(([name, member]) => {
    const isRequired = !name.endsWith("?");
    return { name: isRequired ? name : name.slice(0, -1), isRequired, schema: answerSchema(member) };
  });
  const required = members.filter(({ isRequired }) => isRequired).map(({ name }) => name);
  return {
    type: "object",
    properties: Object.fromEntries(members.map(({ name, schema }) => [name, schema])),
    ...(required.length === 0 ? {} : { required }),
  };
}

const isArraySpelling = (spelling: object): spelling is readonly [Spelling] => Array.isArray(spelling);

function wordSchema(word: string): JsonSchema {
  if (word.endsWith("?")) return { anyOf: [wordSchema(word.slice(0, -1)), { type: "null" }] };
  if (word === "any") return {};
  if (word === "time") return { type: "string", format: "date-time" };
  if (/^[A-Z].*\|/.test(word)) return { anyOf: word.split("|").map(wordSchema) };
  if (word.includes("|")) return { type: "string", enum: word.split("|") };
  return /^[A-Z]/.test(word) ? { $ref: REFERENCE + word } : { type: word };
}
