/** What a body that a schema refuses is told: the member to mend, and the one that was meant. */
import { describe, expect, test } from "vitest";
import * as z from "zod/mini";
import { EXPLAINED, invalidField } from "../../../src/http/validation-errors.ts";
import { PolicyDocument } from "../../../src/policy/schema.ts";

function refusalOf(schema: z.ZodMiniType, body: unknown): { message: string; param: unknown } {
  const parsed = schema.safeParse(body, EXPLAINED);
  if (parsed.success) throw new Error("It was taken.");
  const { message, param } = invalidField(parsed.error.issues);
  return { message, param };
}

const target = { provider: "openai", model: "gpt-5" };

describe("a misspelled member of a policy is named with the one that was meant", () => {
  test.each<[string, object, string]>([
    ["targetz", { targetz: [target] }, "targets"],
    ["targets[0].modle", { targets: [{ provider: "openai", modle: "gpt-5" }] }, "model"],
    ["targets[1].Provider", { targets: [target, { Provider: "openai", model: "m" }] }, "provider"],
    ["latncy", { targets: [target], latncy: {} }, "latency"],
    ["latency.budget", { targets: [target], latency: { budget: 1 } }, "budget_ms"],
  ])("%s", (param, body, meant) => {
    const message = `\`${param}\` is not a known field. The nearest known field is \`${meant}\`.`;
    expect(refusalOf(PolicyDocument, body)).toEqual({ message, param });
  });
});

test("what is like no known member is to be removed, and what is missing is asked for first", () => {
  expect(refusalOf(PolicyDocument, { targets: [target], colour: "red" }).message).toBe(
    "`colour` is not a known field. Remove it.",
  );
  expect(refusalOf(PolicyDocument, { colour: "red" }).message).toBe("`targets`: is required.");
});

test("thousands of unknown members cost no more than their number", () => {
  const schema = z.strictObject({ list: z.array(z.strictObject({ first: z.optional(z.string()) })) });
  const name = "x".repeat(100);
  const list = Array.from({ length: 20_000 }, (_, at) => ({ [`${name}${at}`]: 1 }));
  const begun = performance.now();
  expect(refusalOf(schema, { list }).message).toContain("Remove it.");
  const missing = Object.fromEntries(list.flatMap((each) => Object.entries(each)));
  expect(refusalOf(schema, missing).message).toBe("`list`: is required.");
  expect(performance.now() - begun).toBeLessThan(2_000);
});
