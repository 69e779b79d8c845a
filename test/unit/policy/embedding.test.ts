import { describe, expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import { canHave, servesSpace, spaceDimensions } from "../../../src/catalog/spaces.ts";
import { kindFault } from "../../../src/policy/embedding.ts";
import { RoutePolicy } from "../../../src/policy/schema.ts";

type Target = { provider: string; model: string; same_space?: boolean };

const faultOf = (targets: readonly Target[], embedding?: { space: string; dimensions?: number }) => {
  const policy = RoutePolicy.parse({ targets, ...(embedding && { embedding }) });
  const facts = policy.targets.map(({ provider, model }) => findModel(provider, model) ?? {});
  const fault = kindFault(policy, facts, (provider) => provider === "own");
  return fault && `${fault.code} ${fault.param}`;
};

const SMALL = { provider: "openai", model: "text-embedding-3-small" };
const LARGE = { provider: "openai", model: "text-embedding-3-large" };
const CHAT = { provider: "openai", model: "gpt-5" };

describe("a policy whose targets cannot stand in one route is refused with the path", () => {
  test.each([
    { name: "an embedding model in a chat policy", targets: [CHAT, SMALL], fault: "wrong_route_kind targets[1].model" },
    {
      name: "a declared space in a chat policy",
      targets: [{ ...CHAT, same_space: true }],
      fault: "invalid_request targets[0].same_space",
    },
    {
      name: "a chat model in an embedding policy",
      targets: [SMALL, CHAT],
      embedding: SMALL.model,
      fault: "wrong_route_kind targets[1].model",
    },
    {
      name: "a chat model that is declared",
      targets: [{ ...CHAT, same_space: true }],
      embedding: SMALL.model,
      fault: "wrong_route_kind targets[0].model",
    },
    { name: "two spaces", targets: [SMALL, LARGE], embedding: SMALL.model, fault: "invalid_request targets[1].model" },
    {
      name: "another space than that of the only target",
      targets: [SMALL],
      embedding: LARGE.model,
      fault: "invalid_request targets[0].model",
    },
    {
      name: "a model that is not known",
      targets: [SMALL, { provider: "vllm", model: "e" }],
      embedding: SMALL.model,
      fault: "invalid_request targets[1].model",
    },
    {
      name: "an own provider with the name of the model",
      targets: [{ provider: "own", model: SMALL.model }],
      embedding: SMALL.model,
      fault: "invalid_request targets[0].model",
    },
    {
      name: "the sandbox under another name",
      targets: [{ provider: "sandbox", model: "x" }],
      embedding: "y",
      fault: "invalid_request targets[0].model",
    },
  ])("$name", ({ targets, embedding, fault }) => {
    expect(faultOf(targets, embedding === undefined ? undefined : { space: embedding })).toBe(fault);
  });

  test.each([
    { name: "a fixed length", targets: [{ provider: "openai", model: "text-embedding-ada-002" }], dimensions: 512 },
    { name: "a longer one", targets: [SMALL], dimensions: 3_072 },
    { name: "one of a list", targets: [{ provider: "cohere", model: "embed-v4.0" }], dimensions: 700 },
  ])("a length that a target does not have: $name", ({ targets, dimensions }) => {
    expect(faultOf(targets, { space: targets[0]!.model, dimensions })).toBe("invalid_request embedding.dimensions");
  });
});

describe("a policy of one space is taken", () => {
  test.each([
    {
      name: "the same model at two providers",
      targets: [SMALL, { provider: "azure", model: SMALL.model }],
      space: SMALL.model,
    },
    {
      name: "by the ids of several providers",
      targets: [
        { provider: "cohere", model: "embed-english-v3.0" },
        { provider: "bedrock", model: "cohere.embed-english-v3" },
        { provider: "azure", model: "Cohere-embed-v3-english" },
      ],
      space: "Cohere-embed-v3-english",
    },
    {
      name: "open weights at several hosts",
      targets: [
        { provider: "workers-ai", model: "@cf/baai/bge-m3" },
        { provider: "deepinfra", model: "BAAI/bge-m3" },
        { provider: "ollama", model: "bge-m3" },
      ],
      space: "bge-m3",
    },
    {
      name: "what the operator declares",
      targets: [SMALL, { provider: "own", model: "x", same_space: true }],
      space: SMALL.model,
    },
    {
      name: "a space that the catalogue does not know, under its own name",
      targets: [{ provider: "vllm", model: "intfloat/e5-mistral-7b-instruct" }],
      space: "intfloat/e5-mistral-7b-instruct",
    },
    {
      name: "the sandbox under the name of the space",
      targets: [{ provider: "sandbox", model: "anything" }],
      space: "anything",
    },
    { name: "a shorter vector", targets: [LARGE], space: LARGE.model, dimensions: 256 },
    {
      name: "a longer one where the model has it",
      targets: [{ provider: "mistral", model: "codestral-embed" }],
      space: "codestral-embed",
      dimensions: 3_072,
    },
  ])("$name", ({ targets, space, dimensions }) => {
    expect(faultOf(targets, { space, ...(dimensions === undefined ? {} : { dimensions }) })).toBeNull();
  });

  test("chat policies are as before", () => expect(faultOf([CHAT, { provider: "own", model: "x" }])).toBeNull());
});

test("spaces are found by any of their names", () => {
  expect(spaceDimensions("text-embedding-3-large")).toBe(3_072);
  expect(spaceDimensions("BAAI/BGE-M3")).toBe(1_024);
  expect(spaceDimensions("nothing")).toBeUndefined();
  expect(servesSpace("bge-m3", "@cf/baai/bge-m3", findModel("workers-ai", "@cf/baai/bge-m3") ?? {})).toBe(true);
  expect(canHave(7, undefined)).toBe(true);
});
