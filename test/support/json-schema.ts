/** JSON Schema as far as the service's own document goes: what breaks a schema, and values that keep it. */
import fc from "fast-check";

export type Schema = Readonly<Record<string, unknown>>;
export type Components = Readonly<Record<string, Schema>>;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const schemas = (value: unknown): readonly Schema[] => (Array.isArray(value) ? (value as Schema[]) : []);
const resolved = (schema: Schema, components: Components): Schema => {
  const reference = schema["$ref"];
  return typeof reference === "string" ? (components[reference.slice(reference.lastIndexOf("/") + 1)] ?? {}) : schema;
};

const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: (value) => typeof value === "string",
  number: (value) => typeof value === "number",
  integer: Number.isInteger,
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  array: Array.isArray,
  object: isObject,
};

/** Every fault of `value`, with its place. */
export function faultsOf(value: unknown, given: Schema, components: Components, at = "$"): string[] {
  const schema = resolved(given, components);
  const { type, enum: words, properties, required, items, anyOf, format, additionalProperties } = schema;
  const faults = schemas(schema["allOf"]).flatMap((each) => faultsOf(value, each, components, at));
  if (typeof type === "string" && TYPES[type]?.(value) !== true) return [...faults, `${at} is no ${type}`];
  if (Array.isArray(words) && !words.includes(value)) faults.push(`${at} is ${JSON.stringify(value)}`);
  if (format === "date-time" && !/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(String(value))) faults.push(`${at} is no time`);
  if (Array.isArray(anyOf) && schemas(anyOf).every((each) => faultsOf(value, each, components, at).length > 0)) {
    faults.push(`${at} is none of its alternatives`);
  }
  if (Array.isArray(value) && isObject(items)) {
    faults.push(...value.flatMap((each, index) => faultsOf(each, items, components, `${at}[${index}]`)));
  }
  if (!isObject(value)) return faults;
  const known = isObject(properties) ? properties : {};
  for (const name of Array.isArray(required) ? (required as string[]) : []) {
    if (!(name in value)) faults.push(`${at}.${name} is missing`);
  }
  for (const [name, member] of Object.entries(value)) {
    const own = known[name];
    if (isObject(own)) faults.push(...faultsOf(member, own, components, `${at}.${name}`));
    else if (additionalProperties === false) faults.push(`${at}.${name} is unknown`);
  }
  return faults;
}

/** Members that have a meaning beyond their type: by name, values that a deployment knows. */
export type Known = Readonly<Record<string, fc.Arbitrary<unknown>>>;

const anyJson = fc.jsonValue({ maxDepth: 2 });
/** Where a schema has no upper bound: small, so that no answer becomes huge. */
const MOST = 5;

/** Values that keep `given`. */
export function valuesOf(given: Schema, components: Components, known: Known = {}): fc.Arbitrary<unknown> {
  const schema = resolved(given, components);
  const inner = (each: Schema): fc.Arbitrary<unknown> => valuesOf(each, components, known);
  const { type, enum: words, anyOf, items } = schema;
  if (Array.isArray(anyOf)) return fc.oneof(...schemas(anyOf).map(inner));
  if (Array.isArray(words)) return fc.constantFrom(...(words as unknown[]));
  if (type === "boolean") return fc.boolean();
  if (type === "null") return fc.constant(null);
  if (type === "integer" || type === "number") return numbers(schema);
  if (type === "string") return texts(schema);
  if (type === "array") {
    const least = Number(schema["minItems"] ?? 0);
    return fc.array(isObject(items) ? inner(items) : anyJson, { minLength: least, maxLength: least + 2 });
  }
  return type === "object" ? objects(schema, inner, known) : anyJson;
}

function numbers({ type, minimum, exclusiveMinimum, maximum }: Schema): fc.Arbitrary<number> {
  const min = Number(minimum ?? exclusiveMinimum ?? 0);
  const max = Number(maximum ?? min + MOST);
  if (type === "integer") return fc.integer({ min, max });
  return fc.double({ min, max, minExcluded: exclusiveMinimum !== undefined, noNaN: true });
}

function texts({ format, pattern, minLength, maxLength }: Schema): fc.Arbitrary<string> {
  if (format === "date-time")
    return fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }).map((date) => date.toISOString());
  if (typeof pattern === "string") return fc.stringMatching(new RegExp(pattern));
  return fc.string({ minLength: Number(minLength ?? 0), maxLength: Math.min(20, Number(maxLength ?? 20)) });
}

function objects(schema: Schema, inner: (each: Schema) => fc.Arbitrary<unknown>, known: Known): fc.Arbitrary<unknown> {
  const { properties, additionalProperties, required } = schema;
  if (isObject(additionalProperties))
    return fc.dictionary(fc.string({ minLength: 1, maxLength: 9 }), inner(additionalProperties), { maxKeys: 3 });
  const members = Object.entries(isObject(properties) ? properties : {});
  const model = Object.fromEntries(members.map(([name, each]) => [name, known[name] ?? inner(each as Schema)]));
  return fc.record(model, { requiredKeys: Array.isArray(required) ? (required as string[]) : [] });
}

/** A value of `values` with one of its members, or all of it, replaced by anything. */
export function spoilt(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(values, fc.nat(), anyJson).map(([value, pick, other]) => {
    const names = isObject(value) ? Object.keys(value) : [];
    const name = names[pick % (names.length + 1)];
    return name === undefined ? other : { ...(value as object), [name]: other };
  });
}
