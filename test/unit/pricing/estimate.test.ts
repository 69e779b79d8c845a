/** The bounds that reservations hold: above what can be used, and read from the body alone. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { choicesOf, outputCap, ownCap, promptBound } from "../../../src/pricing/estimate.ts";

const message = (content: unknown) => ({ role: "user", content });

describe("the prompt", () => {
  test.each([
    { name: "its bytes and 16 per message", fields: { messages: [message("hi"), message("ho")] }, tokens: 100 + 32 },
    { name: "1,024 more with tools", fields: { messages: [], tools: [] }, tokens: 100 + 1_024 },
    { name: "and with legacy functions", fields: { messages: [], functions: [] }, tokens: 100 + 1_024 },
    {
      name: "50,000 per picture",
      fields: { messages: [message([{ type: "image_url" }, { type: "text", text: "x" }])] },
      tokens: 100 + 16 + 50_000,
    },
    {
      name: "sound has more bytes than tokens",
      fields: { messages: [message([{ type: "input_audio" }])] },
      tokens: 116,
    },
    { name: "what is no list of messages has no parts", fields: { messages: "x" }, tokens: 100 },
  ])("$name", ({ fields, tokens }) => expect(promptBound(fields, 100, {})).toEqual({ ok: true, tokens }));

  test("a policy's ceilings count in place of ours", () => {
    const fields = { messages: [message([{ type: "image_url" }, { type: "file" }])] };
    expect(promptBound(fields, 100, { image: 1_000, file: 9_000 })).toEqual({ ok: true, tokens: 100 + 16 + 10_000 });
  });

  test.each(["file", "input_file", "document", "video_url"])(
    "a part of the type %s has no bound without one",
    (type) => {
      expect(promptBound({ messages: [message([{ type }])] }, 100, {})).toEqual({ ok: false, part: "file" });
    },
  );

  test("never below the bytes, whatever stands in the messages", () => {
    fc.assert(
      fc.property(fc.array(fc.anything(), { maxLength: 20 }), fc.nat(1_000_000), (messages, bytes) => {
        const bound = promptBound({ messages }, bytes, { file: 1 });
        return bound.ok && bound.tokens >= bytes;
      }),
    );
  });
});

describe("the output", () => {
  test.each([
    { name: "the client's cap", fields: { max_tokens: 50 }, policy: undefined, model: 1_000, cap: 50 },
    {
      name: "the smaller of its two spellings",
      fields: { max_tokens: 50, max_completion_tokens: 40 },
      policy: undefined,
      model: 1_000,
      cap: 40,
    },
    { name: "the policy's when it is lower", fields: { max_tokens: 50 }, policy: 30, model: 1_000, cap: 30 },
    { name: "the model's without any other", fields: {}, policy: undefined, model: 1_000, cap: 1_000 },
    { name: "a default where nobody knows", fields: {}, policy: undefined, model: undefined, cap: 32_768 },
  ])("$name", ({ fields, policy, model, cap }) => expect(outputCap(fields, policy, model)).toBe(cap));

  test("only the client's own caps are its own, and each choice may be as long", () => {
    expect([ownCap({}), ownCap({ max_tokens: 3 }), choicesOf({}), choicesOf({ n: 4 })]).toEqual([undefined, 3, 1, 4]);
  });
});
