/** What the schema of a policy says of a place in it: which members, which values, and which faults. */
import type { Json, JsonObject } from "../json.ts";
import { type Path, pathText } from "./json-text.ts";

export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: Json;
  readonly enum?: readonly Json[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
}

/** The schema of what stands at `path`; `null` where the schema does not know the place. */
export function schemaAt(schema: Schema, path: Path): Schema | null {
  let now: Schema = schema;
  for (const step of path) {
    const open = now.additionalProperties;
    const next: Schema | undefined =
      typeof step === "number"
        ? now.items
        : (now.properties?.[step] ?? (typeof open === "object" && Object.keys(open).length > 0 ? open : undefined));
    if (next === undefined) return null;
    now = next;
  }
  return now;
}

/** The values that the schema lists, as JSON texts. */
export function listedValues(schema: Schema): readonly string[] {
  const listed = [...(schema.enum ?? []), ...(schema.anyOf ?? []).flatMap((each) => each.enum ?? [])];
  const types = typesOf(schema);
  const texts = listed.map((value) => JSON.stringify(value));
  if (types.includes("boolean")) texts.push("true", "false");
  if (schema.default !== undefined && (typeof schema.default !== "object" || schema.default === null)) {
    texts.unshift(JSON.stringify(schema.default));
  }
  return [...new Set(texts)];
}

function typesOf({ type, properties }: Schema): readonly string[] {
  if (type === undefined) return properties === undefined ? [] : ["object"];
  return typeof type === "string" ? [type] : type;
}

/** What a member may begin as, with `|` where the caret goes. */
export function firstText(schema: Schema): string {
  // Values that are only some of many are proposed, and none of them is taken for the reader.
  const [listed] = schema.anyOf === undefined ? listedValues(schema) : [];
  if (listed !== undefined) return `${listed}|`;
  const [type] = typesOf(schema);
  return { array: "[|]", object: "{|}", string: '"|"' }[type ?? ""] ?? `${schema.minimum ?? 0}|`;
}

/** In words: `integer from 1 to 16, default 4`. */
export function summary(schema: Schema): string {
  const { minimum, exclusiveMinimum, maximum } = schema;
  const low = minimum ?? exclusiveMinimum;
  const range = low === undefined ? "" : maximum === undefined ? ` from ${low}` : ` from ${low} to ${maximum}`;
  const preset = schema.default === undefined ? "" : JSON.stringify(schema.default);
  const kind = typesOf(schema).join(" or ");
  return `${kind}${range}${preset === "" || preset.length > 24 ? "" : `, default ${preset}`}`;
}

export interface Fault {
  /** As `pathText` writes it. */
  readonly path: string;
  readonly message: string;
}

const typeOf = (value: Json): string =>
  value === null ? "null" : Array.isArray(value) ? "array" : Number.isInteger(value) ? "integer" : typeof value;

const MOST_FAULTS = 20;

/** What the schema refuses, each at its place. The control plane looks again, and at more than a schema can say. */
export function faultsIn(value: Json, schema: Schema, path: Path = [], faults: Fault[] = []): readonly Fault[] {
  const at = (inner: Path, message: string): void => {
    if (faults.length < MOST_FAULTS) faults.push({ path: pathText(inner), message });
  };
  const type = typeOf(value);
  const types = typesOf(schema);
  if (types.length > 0 && !types.includes(type) && !(type === "integer" && types.includes("number"))) {
    at(path, `must be of type ${types.join(" or ")}, and is ${type}`);
    return faults;
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    at(path, `must be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`);
  }
  if (typeof value === "number") {
    const { minimum = Number.NEGATIVE_INFINITY, exclusiveMinimum, maximum = Number.POSITIVE_INFINITY } = schema;
    if (value < minimum || value > maximum) at(path, `must be ${minimum} to ${maximum}, and is ${value}`);
    if (exclusiveMinimum !== undefined && value <= exclusiveMinimum)
      at(path, `must be greater than ${exclusiveMinimum}`);
  }
  if (Array.isArray(value)) {
    const list = value as readonly Json[];
    if (list.length < (schema.minItems ?? 0)) at(path, `needs at least ${schema.minItems} elements`);
    if (list.length > (schema.maxItems ?? Number.POSITIVE_INFINITY))
      at(path, `takes at most ${schema.maxItems} elements`);
    if (schema.items !== undefined) {
      for (const [index, each] of list.entries()) faultsIn(each, schema.items, [...path, index], faults);
    }
  } else if (type === "object") {
    const object = value as JsonObject;
    for (const name of schema.required ?? []) {
      if (!Object.hasOwn(object, name)) at([...path, name], "is missing");
    }
    for (const [name, each] of Object.entries(object)) {
      const inner = schemaAt(schema, [name]);
      if (inner !== null) faultsIn(each, inner, [...path, name], faults);
      else if (schema.additionalProperties === false) at([...path, name], "is no member of a policy");
    }
  }
  return faults;
}
