/**
 * Whatever a hostile client writes: a call that a provider is shown a result of is one that the record is asked for.
 * What the adapters make of a conversation is the judge.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { readResults } from "../../../src/approvals/calls.ts";
import { writeRequest as toAnthropic } from "../../../src/wires/anthropic-messages/write-request.ts";
import { bedrockWire } from "../../../src/wires/bedrock/wire.ts";
import { cohereWire } from "../../../src/wires/cohere/wire.ts";
import { geminiWire } from "../../../src/wires/gemini/wire.ts";
import { readRequest } from "../../../src/wires/openai-chat/read-request.ts";
import { hasResults, readToolTurns } from "../../../src/wires/openai-chat/tool-turns.ts";
import type { UpstreamWire } from "../../../src/wires/wire.ts";
import { tries } from "../../support/tries.ts";

type Json = Readonly<Record<string, unknown>>;

/** Ids that some adapter may take for another one, and names that it may make an id of. */
const IDS = ["a b", "a.b", "a_b", "a b ", "call_1", "call_f", "call_f_2", "", undefined, null, 1, ["a b"], { id: 1 }];
const NAMES = ["f", "f_2", "1", "", undefined];
const id = fc.constantFrom<unknown>(...IDS);
const name = fc.constantFrom(...NAMES);

const call = fc.record({ id, function: fc.record({ name }) });
const message: fc.Arbitrary<Json> = fc.oneof(
  fc.record({ role: fc.constantFrom("assistant", "model"), tool_calls: fc.array(call, { maxLength: 3 }) }),
  fc.record({ role: fc.constant("assistant"), function_call: fc.record({ name }) }),
  fc.record({ role: fc.constant("tool"), tool_call_id: id, name, content: fc.constant("r") }),
  fc.record({ role: fc.constant("function"), tool_call_id: id, name, content: fc.constant("r") }),
);

/** Every call of the conversation gets arguments of its own, by which it is known again. */
function numbered(messages: readonly Json[]): Json[] {
  let serial = 0;
  const withArguments = (called: Json): Json => ({ ...called, arguments: JSON.stringify({ n: serial++ }) });
  return messages.map((each) => {
    const { tool_calls, function_call } = each;
    const calls = (tool_calls as { id: unknown; function: Json }[] | undefined)?.map((made) => {
      return { ...made, type: "function", function: withArguments(made.function) };
    });
    return {
      ...each,
      ...(calls === undefined ? {} : { tool_calls: calls }),
      ...(function_call === undefined ? {} : { function_call: withArguments(function_call as Json) }),
    };
  });
}

interface Shown {
  /** What a provider pairs calls and results by. */
  readonly calls: readonly { readonly by: unknown; readonly n: unknown }[];
  readonly results: readonly unknown[];
}

const blocksOf = (messages: readonly Json[], member: string): Json[] =>
  messages.flatMap((each) => (Array.isArray(each[member]) ? (each[member] as Json[]) : []));
/** The body that a wire writes for the messages, with a tool on offer: without any, calls may be written as text. */
function bodyOf(wire: UpstreamWire, messages: readonly Json[]): unknown {
  const conversation = readRequest({ messages, tools: [{ type: "function", function: { name: "offered" } }] });
  const target = { provider: wire.id, model: "m", maxOutputTokens: undefined };
  return JSON.parse(wire.writeRequest(conversation, target).body);
}
const nOf = (args: unknown): unknown => (args as Json)["n"];

const ADAPTERS: Readonly<Record<string, (messages: readonly Json[]) => Shown>> = {
  anthropic(messages) {
    const target = { provider: "anthropic", model: "claude-opus-5", maxOutputTokens: undefined };
    const body = JSON.parse(toAnthropic(readRequest({ messages }), target).body) as { messages: Json[] };
    const blocks = blocksOf(body.messages, "content");
    return {
      calls: blocks
        .filter(({ type }) => type === "tool_use")
        .map((block) => ({ by: block["id"], n: nOf(block["input"]) })),
      results: blocks.filter(({ type }) => type === "tool_result").map((block) => block["tool_use_id"]),
    };
  },
  bedrock(messages) {
    const { messages: written } = bodyOf(bedrockWire, messages) as { messages: Json[] };
    const blocks = blocksOf(written, "content") as Record<string, Json>[];
    return {
      calls: blocks.flatMap(({ toolUse }) => (toolUse ? [{ by: toolUse["toolUseId"], n: nOf(toolUse["input"]) }] : [])),
      results: blocks.flatMap(({ toolResult }) => (toolResult ? [toolResult["toolUseId"]] : [])),
    };
  },
  cohere(messages) {
    const { messages: written } = bodyOf(cohereWire, messages) as { messages: readonly Json[] };
    return {
      calls: blocksOf(written, "tool_calls").map((made) => ({
        by: made["id"],
        n: nOf(JSON.parse(String((made["function"] as Json)["arguments"]))),
      })),
      results: written.filter(({ role }) => role === "tool").map((each) => each["tool_call_id"]),
    };
  },
  gemini(messages) {
    const { contents } = bodyOf(geminiWire, messages) as { contents: Json[] };
    const parts = blocksOf(contents, "parts") as Record<string, Json>[];
    // By the name, where one of them has no id.
    const calls = parts.flatMap(({ functionCall }) => (functionCall ? [functionCall] : []));
    const results = parts.flatMap(({ functionResponse }) => (functionResponse ? [functionResponse] : []));
    const isOf = (made: Json, result: Json): boolean =>
      result["id"] === undefined ? result["name"] === made["name"] : result["id"] === made["id"];
    return {
      calls: calls.map((made) => ({ by: nOf(made["args"]), n: nOf(made["args"]) })),
      results: results.flatMap((result) => calls.filter((made) => isOf(made, result)).map((made) => nOf(made["args"]))),
    };
  },
};

test.each(Object.entries(ADAPTERS))("%s gets no result of a call that the record is not asked for", (_, shownBy) => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 2, maxLength: 6 }), (given) => {
      const messages = numbered(given);
      const { calls, results } = shownBy(messages);
      if (results.length > 0) expect(hasResults(messages)).toBe(true);
      const asked = new Set(
        readResults(readToolTurns(messages)).flatMap(({ calls: claims }) => claims.map((each) => each.arguments)),
      );
      const answered = calls.filter(({ by }) => results.includes(by)).map(({ n }) => JSON.stringify({ n }));
      expect([...asked]).toEqual(expect.arrayContaining(answered));
    }),
    { numRuns: tries(2_000) },
  );
});
