import fc from "fast-check";
import { expect, test } from "vitest";
import { foldedRoot } from "../../../src/wires/root-schema.ts";

type Json = Record<string, unknown>;

const TEXT = { type: "string" };
const NUMBER = { type: "integer" };

test.each<{ name: string; schema: Json; folded: Json }>([
  {
    name: "an object stays as it is",
    schema: { type: "object", properties: { a: { anyOf: [TEXT, NUMBER] } }, required: ["a"], $defs: { A: TEXT } },
    folded: { type: "object", properties: { a: { anyOf: [TEXT, NUMBER] } }, required: ["a"], $defs: { A: TEXT } },
  },
  {
    name: "a root without a type is an object",
    schema: { properties: {} },
    folded: { properties: {}, type: "object" },
  },
  {
    name: "a list of values",
    schema: { type: "object", properties: { a: TEXT }, enum: [{ a: "x" }] },
    folded: {
      type: "object",
      description: 'Of the arguments: enum: [{"a":"x"}]',
      properties: { a: TEXT },
    },
  },
  { name: "a type that allows null", schema: { type: ["object", "null"] }, folded: { type: "object" } },
  {
    name: "required members by choice",
    schema: {
      type: "object",
      properties: { body: TEXT, issue: NUMBER, pull: NUMBER },
      required: ["body"],
      anyOf: [{ required: ["issue"] }, { required: ["pull"] }],
    },
    folded: {
      type: "object",
      description: 'Of the arguments: at least one of these must hold: {"required":["issue"]} | {"required":["pull"]}',
      properties: { body: TEXT, issue: NUMBER, pull: NUMBER },
      required: ["body"],
    },
  },
  {
    name: "shapes by choice",
    schema: {
      description: "d",
      oneOf: [
        { type: "object", properties: { id: TEXT, kind: { const: "a" } }, required: ["id", "kind"] },
        { type: "object", properties: { id: NUMBER, kind: { const: "a" } }, required: ["id"] },
      ],
    },
    folded: {
      type: "object",
      description: expect.stringMatching(/^d Of the arguments: exactly one of these must hold: /),
      properties: { id: { anyOf: [TEXT, NUMBER] }, kind: { const: "a" } },
      required: ["id"],
    },
  },
  {
    name: "all of several, one of them by reference",
    schema: {
      allOf: [{ $ref: "#/$defs/Base" }, { properties: { b: NUMBER }, required: ["b"] }, true],
      $defs: { Base: { type: "object", properties: { a: TEXT }, required: ["a"] } },
    },
    folded: {
      type: "object",
      properties: { a: TEXT, b: NUMBER },
      required: ["a", "b"],
      $defs: { Base: { type: "object", properties: { a: TEXT }, required: ["a"] } },
    },
  },
  {
    name: "a root that only refers",
    schema: { $ref: "#/definitions/N", definitions: { N: { type: "object", properties: { a: TEXT } } } },
    folded: {
      type: "object",
      properties: { a: TEXT },
      definitions: { N: { type: "object", properties: { a: TEXT } } },
    },
  },
  {
    name: "conditions in words",
    schema: { type: "object", properties: { a: TEXT }, not: { required: ["a"] }, additionalProperties: false },
    folded: {
      type: "object",
      additionalProperties: false,
      description: 'Of the arguments: not: {"required":["a"]}',
      properties: { a: TEXT },
    },
  },
  {
    name: "a reference to elsewhere",
    schema: { $ref: "https://a.example/s.json" },
    folded: { type: "object", properties: {} },
  },
])("$name", ({ schema, folded }) => {
  expect(foldedRoot(schema)).toEqual(folded);
});

test("any schema: an object at the root, nothing that is refused there, and twice is once", () => {
  const level = (below: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    fc.record(
      {
        type: fc.constantFrom<unknown>("object", "string", ["object", "null"]),
        properties: fc.dictionary(fc.constantFrom("a", "b", "__proto__"), below),
        required: fc.oneof(fc.array(fc.constantFrom("a", "b"), { maxLength: 2 }), fc.constant(1)),
        anyOf: fc.oneof(fc.array(below, { maxLength: 2 }), fc.constant("x")),
        allOf: fc.oneof(fc.array(below, { maxLength: 2 }), fc.constant({})),
        $ref: fc.constantFrom<unknown>("#", "#/", "#/$defs/A", "#/$defs/B", "x", 1),
        $defs: fc.constant({ A: { $ref: "#/$defs/A" }, B: { properties: { b: {} } } }),
      },
      { requiredKeys: [] },
    );
  const part = level(
    level(fc.oneof(fc.constant({ type: "string" }), fc.constant(true), fc.jsonValue({ maxDepth: 1 }))),
  );
  fc.assert(
    fc.property(part, (schema) => {
      const folded = foldedRoot(schema as Json);
      expect(folded["type"]).toBe("object");
      for (const name of ["anyOf", "oneOf", "allOf", "not", "$ref"]) expect(folded).not.toHaveProperty([name]);
      expect(foldedRoot(folded)).toBe(folded);
    }),
  );
});

test("many references to one large definition stay cheap", () => {
  const large = Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`p${at}`, TEXT]));
  const schema = {
    allOf: Array.from({ length: 2_000 }, () => ({ $ref: "#/$defs/Large" })),
    $defs: { Large: { properties: large, not: { required: Object.keys(large) } } },
  };
  const { description, properties } = foldedRoot(schema);
  expect(String(description).length).toBeLessThanOrEqual(2_000);
  expect(Object.keys(properties as Json).length).toBeLessThanOrEqual(10_000);
});
