/**
 * A tool's JSON Schema with nothing at its root but an object's own members.
 *
 * Providers refuse a request for one tool whose root is `anyOf`, `oneOf`, `allOf` or a reference, which MCP allows since
 * 2026-07-28. What can be merged is merged; what cannot is written into the description, where the model reads it.
 * Deeper levels stay as they are. https://github.com/github/github-mcp-server/issues/3126
 */
import type { Json } from "../conversation/part.ts";
import { isJsonObject } from "../lib/json.ts";

/** Constraints between members that no provider takes at the root. */
const TOLD: ReadonlySet<string> = new Set([
  ...["not", "if", "then", "else", "dependentSchemas", "dependentRequired", "enum"],
]);
const CHOICES = ["anyOf", "oneOf"] as const;
const MAX_REFERENCES = 8;
const MAX_DESCRIPTION_LENGTH = 2_000;
/** A few references to one large definition must not become work and text without end. */
const MAX_RESOLVED = 100;
const MAX_PROPERTIES = 10_000;

/** `schema` as an object schema that holds at most the same values and, for `anyOf` and `oneOf`, some more. */
export function foldedRoot(schema: Json): Json {
  const root = resolved(schema, schema);
  const isPlain = root === schema && !Object.keys(schema).some(isFolded);
  if (isPlain) return typeOf(schema) === "object" ? schema : { ...schema, type: "object" };
  const fold = new Fold(schema);
  fold.add(root);
  return fold.finish(root);
}

function isFolded(name: string): boolean {
  return TOLD.has(name) || name === "allOf" || CHOICES.some((each) => each === name);
}

/** The type without `null`: a tool is never called with nothing. */
function typeOf({ type }: Json): unknown {
  return Array.isArray(type) ? undefined : type;
}

/** What a local `$ref` at the top of `schema` means, with its sibling members. A loop of them means nothing. */
function resolved(schema: Json, root: Json): Json {
  let found = schema;
  for (let count = 0; count < MAX_REFERENCES; count++) {
    const { $ref: reference, ...beside } = found;
    if (typeof reference !== "string") return reference === undefined ? found : beside;
    const target = targetOf(reference, root);
    if (target === null) return beside;
    found = { ...target, ...beside };
  }
  const { $ref: _loop, ...rest } = found;
  return rest;
}

/** The schema at `#/$defs/Name`; `null` for an address elsewhere. */
function targetOf(reference: string, root: Json): Json | null {
  if (!reference.startsWith("#/")) return null;
  let value: unknown = root;
  for (const segment of reference.slice(2).split("/")) {
    const name = segment.replaceAll("~1", "/").replaceAll("~0", "~");
    value = isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  }
  return isJsonObject(value) ? value : null;
}

class Fold {
  readonly #schema: Json;
  readonly #properties = new Map<string, unknown[]>();
  readonly #required = new Set<string>();
  readonly #told: string[] = [];
  #toldLength = 0;
  #resolved = 0;
  #propertyCount = 0;

  constructor(schema: Json) {
    this.#schema = schema;
  }

  /** All of `part` holds. */
  add(part: Json, depth = 0): void {
    this.#addProperties(part);
    for (const name of requiredOf(part)) this.#required.add(name);
    for (const [name, value] of Object.entries(part)) {
      if (TOLD.has(name)) this.#tell(`${name}:`, [value]);
    }
    for (const name of CHOICES) this.#addChoices(name, part[name]);
    const all = Array.isArray(part["allOf"]) ? part["allOf"] : [];
    for (const each of all) {
      if (!isJsonObject(each)) continue;
      if (depth < MAX_REFERENCES) this.add(this.#resolve(each), depth + 1);
      else this.#tell("all of:", [each]);
    }
  }

  #resolve(schema: Json): Json {
    if (schema["$ref"] === undefined || this.#resolved++ >= MAX_RESOLVED) return schema;
    return resolved(schema, this.#schema);
  }

  #tell(words: string, values: readonly unknown[]): void {
    if (this.#toldLength > MAX_DESCRIPTION_LENGTH) return;
    const text = `${words} ${values.map((value) => JSON.stringify(value)).join(" | ")}`;
    this.#toldLength += text.length;
    this.#told.push(text);
  }

  /** One of them holds: every member may be there, required is what all of them require. */
  #addChoices(name: (typeof CHOICES)[number], value: unknown): void {
    const branches = (Array.isArray(value) ? value : []).filter(isJsonObject);
    if (branches.length === 0) return;
    const members = branches.map((branch) => this.#resolve(branch));
    for (const member of members) this.#addProperties(member);
    const [first, ...others] = members.map((member) => new Set(requiredOf(member)));
    for (const each of first ?? []) if (others.every((other) => other.has(each))) this.#required.add(each);
    this.#tell(`${name === "anyOf" ? "at least" : "exactly"} one of these must hold:`, branches);
  }

  #addProperties({ properties }: Json): void {
    if (!isJsonObject(properties)) return;
    for (const [name, schema] of Object.entries(properties)) {
      if (++this.#propertyCount > MAX_PROPERTIES) return;
      const known = this.#properties.get(name);
      if (known === undefined) this.#properties.set(name, [schema]);
      else known.push(schema);
    }
  }

  finish(root: Json): Json {
    const kept = Object.entries(root).filter(([name]) => !isFolded(name) && !MADE.has(name));
    const definitions = DEFINITIONS.flatMap((name) =>
      this.#schema[name] === undefined ? [] : [[name, this.#schema[name]] as const],
    );
    const properties = [...this.#properties].map(([name, schemas]) => [name, eitherOf(schemas)] as const);
    const description = described(root["description"], this.#told);
    return {
      type: "object",
      ...Object.fromEntries(kept),
      ...(description === undefined ? {} : { description }),
      properties: Object.fromEntries(properties),
      ...(this.#required.size === 0 ? {} : { required: [...this.#required] }),
      ...Object.fromEntries(definitions),
    };
  }
}

const DEFINITIONS = ["$defs", "definitions"] as const;
const MADE: ReadonlySet<string> = new Set(["type", "properties", "required", "description", ...DEFINITIONS]);

function requiredOf({ required }: Json): string[] {
  return Array.isArray(required) ? required.filter((name) => typeof name === "string") : [];
}

/** Equal ones once. */
function eitherOf(schemas: readonly unknown[]): unknown {
  const different = [...new Map(schemas.map((schema) => [JSON.stringify(schema), schema])).values()];
  return different.length === 1 ? different[0] : { anyOf: different };
}

function described(description: unknown, told: readonly string[]): string | undefined {
  const own = typeof description === "string" ? description : undefined;
  if (told.length === 0) return own;
  const words = `Of the arguments: ${told.join("; ")}`.slice(0, MAX_DESCRIPTION_LENGTH);
  return own === undefined ? words : `${own} ${words}`;
}
