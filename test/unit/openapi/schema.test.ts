import { describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { PromotionRequest } from "../../../src/admin/promotions.ts";
import { DecisionRequest } from "../../../src/approvals/decision.ts";
import { KeyChange, KeyRequest, KeyRotation } from "../../../src/keys/record.ts";
import { answerSchema, requestSchema } from "../../../src/openapi/schema.ts";
import { ProviderRequest } from "../../../src/policy/provider-record.ts";
import { RoutePolicy } from "../../../src/policy/schema.ts";
import { ChatFields } from "../../../src/wires/openai-chat/request-fields.ts";

const SCHEMAS = {
  ChatFields,
  DecisionRequest,
  KeyRequest,
  KeyChange,
  KeyRotation,
  PromotionRequest,
  ProviderRequest,
  RoutePolicy,
};

/** zod's own words for the same: bounds that every whole number has, names of keys and any JSON are left out. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const members = value as Record<string, unknown>;
  if (typeof members["$ref"] === "string") return {};
  const kept = Object.entries(members).filter(([name, member]) => {
    if (["$schema", "$defs", "propertyNames"].includes(name)) return false;
    if (name === "pattern" && members["format"] === "date-time") return false;
    if (name === "additionalProperties" && typeof member === "object" && members["properties"] !== undefined)
      return false;
    return Math.abs(Number(member)) !== Number.MAX_SAFE_INTEGER;
  });
  return Object.fromEntries(kept.map(([name, member]) => [name, plain(member)]));
}

describe("a request's schema", () => {
  test.each(Object.entries(SCHEMAS))("%s reads as zod's own generator has it", (_, schema) => {
    const theirs = plain(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
    expect(plain(requestSchema(schema))).toEqual(theirs);
  });

  test("a kind of schema that the generator does not know is an error, not a gap", () => {
    expect(() => requestSchema(z.object({ a: z.tuple([z.string()]) }))).toThrow("tuple");
  });
});

test.each([
  { spelling: "string", schema: { type: "string" } },
  { spelling: "integer?", schema: { anyOf: [{ type: "integer" }, { type: "null" }] } },
  { spelling: "time", schema: { type: "string", format: "date-time" } },
  { spelling: "a|b", schema: { type: "string", enum: ["a", "b"] } },
  { spelling: "Key", schema: { $ref: "#/components/schemas/Key" } },
  { spelling: "any", schema: {} },
  { spelling: ["any"] as const, schema: { type: "array", items: {} } },
  {
    spelling: { a: "string", "b?": "any" },
    schema: { type: "object", properties: { a: { type: "string" }, b: {} }, required: ["a"] },
  },
])("a shape is spelled $spelling", ({ spelling, schema }) => {
  expect(answerSchema(spelling)).toEqual(schema);
});
