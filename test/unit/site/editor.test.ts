/** The policy editor: what is proposed at each place of a text that is half typed, and what a schema refuses where. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { lineOf, outline, pathText } from "../../../src/site/console/editor/json-text.ts";
import { insertion, proposalsAt } from "../../../src/site/console/editor/proposals.ts";
import { faultsIn, firstText, type Schema, summary } from "../../../src/site/console/editor/schema.ts";

const schema: Schema = {
  type: "object",
  additionalProperties: false,
  required: ["targets"],
  properties: {
    targets: {
      type: "array",
      minItems: 1,
      maxItems: 2,
      items: {
        type: "object",
        required: ["provider", "model"],
        additionalProperties: false,
        properties: {
          provider: { type: "string", anyOf: [{ enum: ["alpha", "beta"] }, { type: "string" }] },
          model: { type: "string" },
          weight: { type: "number", minimum: 0, maximum: 10, default: 1 },
          params: { type: "object", additionalProperties: {} },
        },
      },
    },
    strategy: { type: "string", enum: ["ordered", "fastest"], default: "ordered" },
    retry: { type: "object", properties: { times: { type: "integer", minimum: 0, maximum: 3 } } },
    cost: { type: "number", exclusiveMinimum: 0 },
    flag: { type: "boolean", default: true },
  },
};
const known = {
  schema,
  configured: ["beta"],
  models: [
    { provider: "alpha", id: "alpha-large", input: 3, output: 15 },
    { provider: "beta", id: "beta-small", input: null, output: null },
  ],
};

/** Names proposed at `|`. */
function namesAt(marked: string): readonly string[] {
  const caret = marked.indexOf("|");
  const found = proposalsAt(marked.replace("|", ""), caret, known);
  return found?.list.map(({ name }) => name) ?? [];
}

/** The text after the first proposal at `|` was taken, with `|` where the caret is then. */
function taken(marked: string): string {
  const caret = marked.indexOf("|");
  const text = marked.replace("|", "");
  const found = proposalsAt(text, caret, known);
  const [first] = found?.list ?? [];
  if (found === null || first === undefined) return marked;
  const inserted = insertion(found, first, text);
  const next = text.slice(0, found.context.from) + inserted.text + text.slice(found.context.to);
  const at = found.context.from + inserted.caret;
  return `${next.slice(0, at)}|${next.slice(at)}`;
}

describe("proposals", () => {
  test.each([
    ["members at the start", "{|", ["targets", "strategy", "retry", "cost", "flag"]],
    ["members that are not there yet, those that begin so first", '{"targets": [], "st|"}', ["strategy", "cost"]],
    ["members behind a comma", '{"strategy": "ordered", | }', ["targets", "retry", "cost", "flag"]],
    ["members of an element", '{"targets": [{"provider": "alpha", "|"}]}', ["model", "weight", "params"]],
    ["values of an enum", '{"strategy": |}', ["ordered", "fastest"]],
    ["values that begin as typed", '{"strategy": "fas|"}', ["fastest"]],
    ["configured providers first", '{"targets": [{"provider": "|"}]}', ["beta", "alpha"]],
    ["models of the provider", '{"targets": [{"provider": "alpha", "model": "|"}]}', ["alpha-large"]],
    ["models of a provider named behind", '{"targets": [{"model": "|", "provider": "beta"}]}', ["beta-small"]],
    ["both values of a flag", '{"flag": |', ["true", "false"]],
    ["members of an inner object", '{"retry": {"|', ["times"]],
    ["nothing behind a value", '{"strategy": "ordered" |}', []],
    ["nothing in free parameters", '{"targets": [{"params": {"|"}}]}', []],
    ["nothing outside", "|", []],
  ])("%s", (_, marked, names) => {
    expect(namesAt(marked)).toEqual(names);
  });

  test.each([
    ["a member with its first value", '{"strat|"}', '{"strategy": "ordered"|}'],
    ["a comma before the next member", '{"re| "flag": true}', '{"retry": {|}, "flag": true}'],
    [
      "no bracket that follows an open quote",
      '{"targets": [{"provider": "alpha", "mo| }]}',
      '{"targets": [{"provider": "alpha", "model": "|" }]}',
    ],
    ["the whole of a value", '{"strategy": "f|astes"}', '{"strategy": "fastest"|}'],
  ])("taking one inserts %s", (_, marked, expected) => {
    expect(taken(marked)).toBe(expected);
  });

  test("any text and any caret are read, in one pass", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'{}[]:,"\\ \nab1') }), fc.nat(), (text, at) => {
        const caret = at % (text.length + 1);
        const { context } = outline(text, caret);
        if (context === null) return;
        expect(context.from).toBeLessThanOrEqual(caret);
        expect(context.to).toBeGreaterThanOrEqual(caret);
        expect(context.to).toBeLessThanOrEqual(text.length);
      }),
    );
  });

  test("each member of JSON is found where it stands", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.jsonValue()), (value) => {
        const text = JSON.stringify(value, null, 2);
        const { offsets } = outline(text);
        for (const name of Object.keys(value)) {
          expect(text.slice(offsets.get(name) ?? -1).startsWith(JSON.stringify(name))).toBe(true);
        }
      }),
    );
  });
});

describe("what the schema refuses", () => {
  test.each([
    [{ targets: [{ provider: "alpha", model: "m" }], strategy: "fastest", cost: 0.5, flag: false }, []],
    [{}, ["targets is missing"]],
    [{ targets: [] }, ["targets needs at least 1 elements"]],
    [{ targets: [{ provider: "a" }] }, ["targets[0].model is missing"]],
    [{ targets: [{ provider: "a", model: "m", modell: 1 }] }, ["targets[0].modell is no member of a policy"]],
    [{ targets: [{ provider: "a", model: "m", weight: 11 }] }, ["targets[0].weight must be 0 to 10, and is 11"]],
    [{ targets: [{ provider: "a", model: "m" }], strategy: "any" }, ['strategy must be one of "ordered", "fastest"']],
    [
      { targets: [{ provider: "a", model: "m" }], retry: { times: "1" } },
      ["retry.times must be of type integer, and is string"],
    ],
    [{ targets: [{ provider: "a", model: "m" }], cost: 0 }, ["cost must be greater than 0"]],
  ])("%j", (policy, expected) => {
    expect(faultsIn(policy, schema).map(({ path, message }) => `${path} ${message}`)).toEqual(expected);
  });
});

test("words and places", () => {
  expect(summary(schema.properties?.["retry"]?.properties?.["times"] ?? {})).toBe("integer from 0 to 3");
  expect(firstText({ type: "array" })).toBe("[|]");
  expect(pathText(["targets", 0, "model"])).toBe("targets[0].model");
  expect(lineOf("a\nb\nc", 4)).toBe(3);
});
