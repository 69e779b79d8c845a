import { describe, expect, test } from "vitest";
import { exampleOf } from "../../../src/lib/json-example.ts";

describe("exampleOf", () => {
  test.each([
    { name: "a string", schema: { type: "string" }, value: "example" },
    { name: "the first of an enum", schema: { type: "string", enum: ["b", "a"] }, value: "b" },
    { name: "a constant", schema: { const: 7 }, value: 7 },
    { name: "an integer", schema: { type: "integer" }, value: 1 },
    { name: "a number above its minimum", schema: { type: "integer", exclusiveMinimum: 5 }, value: 6 },
    { name: "a number below its maximum", schema: { type: "number", maximum: 0 }, value: 0 },
    { name: "a multiple", schema: { type: "integer", multipleOf: 5 }, value: 5 },
    { name: "an empty array", schema: { type: "array", items: { type: "string" } }, value: [] },
    {
      name: "as many items as needed",
      schema: { type: "array", minItems: 2, items: { type: "null" } },
      value: [null, null],
    },
    { name: "a nullable type", schema: { type: ["null", "boolean"] }, value: true },
    { name: "the first of alternatives", schema: { anyOf: [{ type: "integer" }, { type: "string" }] }, value: 1 },
    { name: "a short string", schema: { type: "string", maxLength: 3 }, value: "exa" },
    { name: "a long string", schema: { type: "string", minLength: 9 }, value: "exampleee" },
    { name: "a format", schema: { type: "string", format: "date" }, value: "2025-01-01" },
    {
      name: "only required members",
      schema: { properties: { a: { type: "integer" }, b: {} }, required: ["a"] },
      value: { a: 1 },
    },
    {
      name: "nested objects and references",
      schema: {
        type: "object",
        required: ["who"],
        properties: { who: { $ref: "#/$defs/person" } },
        $defs: { person: { type: "object", required: ["name"], properties: { name: { type: "string" } } } },
      },
      value: { who: { name: "example" } },
    },
    {
      name: "allOf as one object",
      schema: {
        allOf: [
          { type: "object", required: ["a"], properties: { a: { type: "integer" } } },
          { required: ["b"], properties: { b: { type: "boolean" } } },
        ],
      },
      value: { a: 1, b: true },
    },
    { name: "nothing for an unknown reference", schema: { $ref: "https://example.com/x" }, value: "example" },
    { name: "nothing at all", schema: undefined, value: "example" },
  ])("gives $name", ({ schema, value }) => {
    expect(exampleOf(schema)).toEqual(value);
  });

  test("ends on a recursive schema and on a wide one", () => {
    const recursive = { type: "object", required: ["next"], properties: { next: { $ref: "#" } } };
    expect(JSON.stringify(exampleOf(recursive)).length).toBeLessThan(1_000);
    const wide = { type: "array", minItems: 16, items: { $ref: "#" } };
    expect(JSON.stringify(exampleOf(wide)).length).toBeLessThan(100_000);
  });

  test("a property called __proto__ is only a property", () => {
    const schema: unknown = JSON.parse(
      '{"type":"object","required":["__proto__"],"properties":{"__proto__":{"type":"integer"}}}',
    );
    expect(JSON.stringify(exampleOf(schema))).toBe('{"__proto__":1}');
  });
});
