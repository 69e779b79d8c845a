import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../src/providers/adapter.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { allFixtures, bytesOf, named, wholeAnswer } from "../../support/fixtures.ts";

const CONTEXT: AnswerContext = {
  asked: askedInChat({}),
  model: "@cf/example",
  traceId: "tr_1",
  createdAt: 1_795_000_000,
};
const FIXTURES = allFixtures().filter(({ provider }) => provider === "workers-ai");
const adapter = findProvider("workers-ai")?.adapter;

const complete = (body: unknown) => adapter?.translation?.toCompletion?.(body, CONTEXT);
const classify = (status: number, body: unknown) => adapter?.classify({ status, headers: new Headers(), body });

test("streams are OpenAI's own", () => {
  expect(adapter?.translation?.openReader).toBeUndefined();
});

describe("answers, in the envelope and out of it", () => {
  test.each(named(FIXTURES.filter(({ kind }) => kind === "json")))("$name", ({ fixture }) => {
    const { expect: wanted } = fixture;
    const answer = complete(JSON.parse(bytesOf(fixture).toString()));
    if (answer?.ok !== true) throw new Error("refused");
    const { text, toolCalls, finishReason } = wholeAnswer(answer.completion as never);
    expect({ text, finishReason }).toEqual({ text: wanted.text, finishReason: wanted.finish_reason });
    expect(toolCalls.map(({ name, arguments: args }) => ({ name, args: JSON.parse(args) as unknown }))).toEqual(
      (wanted.tool_calls ?? []).map(({ name, arguments_json: args }) => ({ name, args: JSON.parse(args) as unknown })),
    );
    const [choice] = answer.completion["choices"] as [{ message: { content: unknown } }];
    if (toolCalls.length === 0) expect(choice.message.content).toBe(wanted.text);
    if (wanted.prompt_tokens === undefined) expect(answer.completion["usage"]).toBeUndefined();
    else expect(answer.completion["usage"]).toMatchObject({ prompt_tokens: wanted.prompt_tokens });
  });

  test("an answer that needs nothing is given back as it is", () => {
    const body = { choices: [{ index: 0, message: { role: "assistant", content: "a" }, finish_reason: "stop" }] };
    const answer = complete(body);
    expect(answer?.ok === true && answer.completion === body).toBe(true);
  });

  test.each([
    [{ success: false, errors: [{ code: 3040, message: "m" }], result: null }, "rate_limited"],
    [{ success: false, errors: [{ code: 5021, message: "m" }] }, "context_length"],
    [{ success: false, errors: [] }, "server_error"],
  ])("%j is a failure in status 200", (body, kind) => {
    expect(complete(body)).toMatchObject({ ok: false, failure: { class: kind } });
  });

  test.each([[{}], [{ result: null, success: true }], [{ result: {} }], [[]], [null], ["x"]])(
    "%j: no throw",
    (body) => {
      expect(complete(body)).toBeDefined();
    },
  );
});

describe("errors", () => {
  test.each<[number, number, string]>([
    [429, 3040, "rate_limited"],
    [429, 3036, "auth"],
    [400, 5007, "auth"],
    [404, 3042, "auth"],
    [400, 5004, "invalid_request"],
    [413, 3006, "invalid_request"],
    [413, 5021, "context_length"],
    [408, 3007, "timeout"],
    [403, 10000, "auth"],
  ])("%d with %d is %s", (status, code, kind) => {
    expect(classify(status, { success: false, result: null, errors: [{ code, message: "words" }] })?.class).toBe(kind);
  });

  test("the provider's words reach the client, and OpenAI's form is read too", () => {
    expect(classify(400, { success: false, errors: [{ code: 5004, message: "bad image" }] })?.message).toBe(
      "bad image",
    );
    expect(classify(400, { error: { message: "bad", code: "x" } })?.message).toBe("bad");
  });
});
