import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { google } from "../../../../src/providers/google.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type StreamPart } from "../../../support/as-chat.ts";
import { allFixtures, bytesOf, type Fixture, named, streamedAnswer, wholeAnswer } from "../../../support/fixtures.ts";
import { cutStep, tries } from "../../../support/tries.ts";
import { ending, stream, toText, translate, whole, wholeOf } from "./support.ts";

const OURS = allFixtures().filter(({ provider }) => provider === "google");
const STREAMS = OURS.filter(({ kind }) => kind === "sse");
const WHOLE = OURS.filter(({ kind }) => kind === "json");

function expectAnswer(answer: ReturnType<typeof wholeAnswer>, { expect: wanted }: Fixture): void {
  if (wanted.text !== undefined) expect(answer.text).toBe(wanted.text);
  if (wanted.reasoning_text !== undefined) expect(answer.reasoning).toBe(wanted.reasoning_text);
  if (wanted.choices_text !== undefined) expect(answer.choicesText).toEqual(wanted.choices_text);
  const calls = wanted.tool_calls ?? [];
  expect(answer.toolCalls.map(({ name, arguments: text }) => [name, JSON.parse(text)])).toEqual(
    calls.map(({ name, arguments_json }) => [name, JSON.parse(arguments_json)]),
  );
  for (const [at, { id }] of calls.entries()) if (id !== undefined) expect(answer.toolCalls[at]?.id).toBe(id);
  expect(new Set(answer.toolCalls.map(({ id }) => id)).size).toBe(calls.length);
}

function expectUsage(usage: unknown, { expect: wanted }: Fixture): void {
  if (wanted.prompt_tokens === undefined) {
    expect(usage).toBeUndefined();
    return;
  }
  expect(usage).toMatchObject({
    prompt_tokens: wanted.prompt_tokens,
    completion_tokens: wanted.completion_tokens,
    prompt_tokens_details: { cached_tokens: wanted.cached_tokens ?? 0 },
    completion_tokens_details: { reasoning_tokens: wanted.reasoning_tokens ?? 0 },
  });
}

describe("answers", () => {
  test.each(named(STREAMS))("$name: the same parts wherever it is cut", ({ fixture }) => {
    const bytes = bytesOf(fixture);
    const parts = translate([bytes]);
    const answer = streamedAnswer(toText(parts));
    expectAnswer(answer, fixture);
    const chunks = parts.flatMap((part) => ("chunk" in part ? [part.chunk] : []));
    const counted = chunks.filter(({ usage }) => usage !== undefined);
    if (fixture.expect.error === undefined) {
      expect(answer.finishReason).toBe(fixture.expect.finish_reason);
      expectUsage(counted[0]?.["usage"], fixture);
      if (counted.length > 0) expect(chunks.at(-1)).toBe(counted[0]);
    } else {
      expect(answer.finishReason).toBeNull();
      expect(parts.at(-1)).toMatchObject({ error: { error: { message: fixture.expect.error.message } } });
    }
    const wanted = JSON.stringify(parts);
    for (let at = 1; at < bytes.length; at += cutStep(fixture.isOwn, bytes.length)) {
      expect(JSON.stringify(translate([bytes.subarray(0, at), bytes.subarray(at)]))).toBe(wanted);
    }
    expect(JSON.stringify(translate([...bytes].map((byte) => Uint8Array.of(byte))))).toBe(wanted);
  });

  test.each(named(WHOLE))("$name: a whole answer", ({ fixture }) => {
    const result = wholeOf(bytesOf(fixture).toString("utf8"));
    if (!result.ok) throw new Error("no answer");
    const answer = wholeAnswer(result.completion as unknown as Parameters<typeof wholeAnswer>[0]);
    expectAnswer(answer, fixture);
    expect(answer.finishReason).toBe(fixture.expect.finish_reason);
    expectUsage(result.completion["usage"], fixture);
  });

  test("there are fixtures of every kind", () => {
    expect(STREAMS.length).toBeGreaterThanOrEqual(11);
    expect(WHOLE.length).toBeGreaterThanOrEqual(9);
  });

  const deltas = (parts: readonly StreamPart[]): unknown[] =>
    parts.flatMap((part) =>
      "chunk" in part ? (part.chunk["choices"] as { delta: unknown }[]).map(({ delta }) => delta) : [],
    );

  test("signatures, pictures, citations and strange parts are kept, streamed or whole", () => {
    const event = {
      responseId: "r1",
      modelVersion: "models/gemini-x",
      candidates: [
        {
          content: {
            parts: [
              { text: "hm", thought: true, thoughtSignature: "T" },
              { text: "See ", thoughtSignature: "A" },
              { inlineData: { mimeType: "image/png", data: "AAAA" }, thoughtSignature: "P" },
              { executableCode: { language: "PYTHON", code: "1" } },
              { functionCall: { name: "f" }, thoughtSignature: "C" },
              { functionCall: { name: "g", args: { a: [] }, id: "x" } },
              { functionCall: { name: "g", args: {}, id: "x" } },
            ],
          },
          finishReason: "STOP",
          groundingMetadata: { groundingChunks: [{ web: { uri: "https://a.example/", title: "A" } }] },
          citationMetadata: { citationSources: [{ uri: "https://b.example/", startIndex: 1, endIndex: 3 }] },
        },
      ],
      usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 2, serviceTier: "flex" },
    };
    const signed = { format: "google-gemini-v1", provider: "google" };
    const details = [
      { type: "reasoning.text", text: "hm", signature: "T", index: 0, ...signed },
      { type: "reasoning.encrypted", data: "A", index: 1, ...signed },
      { type: "reasoning.encrypted", data: "r t4 s i c c c", id: "flow-layout", index: 2, format: "unknown" },
    ];
    const images = [
      {
        type: "image_url",
        image_url: { url: "data:image/png;base64,AAAA" },
        extra_content: { google: { thought_signature: "P" } },
      },
    ];
    const calls = [
      {
        id: "call_0_tr_1",
        type: "function",
        function: { name: "f", arguments: "{}" },
        extra_content: { google: { thought_signature: "C" } },
      },
      { id: "x", type: "function", function: { name: "g", arguments: '{"a":[]}' } },
      { id: "call_2_tr_1", type: "function", function: { name: "g", arguments: "{}" } },
    ];
    const [candidate] = event.candidates;
    const more = {
      citations: [
        { url: "https://a.example/", title: "A" },
        { url: "https://b.example/", start_index: 1, end_index: 3 },
      ],
      extra_content: {
        google: {
          groundingMetadata: candidate?.groundingMetadata,
          citationMetadata: candidate?.citationMetadata,
          parts: [{ executableCode: { language: "PYTHON", code: "1" } }],
        },
      },
    };
    expect(whole(event)).toMatchObject({
      ok: true,
      completion: {
        id: "r1",
        model: "gemini-x",
        service_tier: "flex",
        choices: [
          {
            finish_reason: "tool_calls",
            message: {
              content: "See ",
              reasoning_content: "hm",
              reasoning_details: details,
              images,
              tool_calls: calls,
              ...more,
            },
          },
        ],
      },
    });
    const parts = translate([stream(event)]);
    const argued = (index: number, text: string) => ({ tool_calls: [{ index, function: { arguments: text } }] });
    const begun = (index: number) => {
      const { function: detail, ...call } = calls[index]!;
      return { tool_calls: [{ index, ...call, function: { ...detail, arguments: "" } }] };
    };
    expect(deltas(parts)).toEqual([
      { role: "assistant", reasoning_content: "hm" },
      { reasoning_details: [details[0]] },
      { content: "See " },
      { reasoning_details: [details[1]] },
      { images: [{ ...images[0], index: 0 }] },
      ...[begun(0), argued(0, "{}")],
      ...[begun(1), argued(1, '{"a":[]}')],
      ...[begun(2), argued(2, "{}")],
      more,
      { reasoning_details: [details[2]] },
      {},
    ]);
    expect(parts.at(-1)).toMatchObject({ chunk: { id: "r1", model: "gemini-x", choices: [], service_tier: "flex" } });
  });

  test("logprobs are OpenAI's", () => {
    const logprobsResult = {
      chosenCandidates: [{ token: "a", logProbability: -0.5 }],
      topCandidates: [
        {
          candidates: [
            { token: "a", logProbability: -0.5 },
            { token: "b", logProbability: -1 },
          ],
        },
      ],
    };
    const content = [
      {
        ...{ token: "a", logprob: -0.5, bytes: null },
        top_logprobs: [
          { token: "a", logprob: -0.5, bytes: null },
          { token: "b", logprob: -1, bytes: null },
        ],
      },
    ];
    const body = { candidates: [{ content: { parts: [{ text: "a" }] }, finishReason: "STOP", logprobsResult }] };
    expect(whole(body)).toMatchObject({ completion: { choices: [{ logprobs: { content, refusal: null } }] } });
    expect(translate([stream(body)])[0]).toMatchObject({ chunk: { choices: [{ logprobs: { content } }] } });
  });

  test("arguments in pieces: odd paths are passed over, a list does not grow by an index, a nameless call is none", () => {
    const part = (functionCall: unknown) => ({ functionCall });
    const pieces = [
      ["$.a[999999999]", "far"],
      ["$.__proto__.x", "own"],
      ["no path", "lost"],
      ["$.b[", "lost"],
      [`$${"[0]".repeat(100_000)}`, "lost"],
      ["$.a.x", "lost"],
    ].map(([jsonPath, stringValue]) => part({ partialArgs: [{ jsonPath, stringValue }, null], willContinue: true }));
    const parts = [part({}), part({ name: "f", willContinue: true }), ...pieces];
    const answer = streamedAnswer(toText(translate([stream(ending("STOP", parts))])));
    const args = '{"a":["far"],"__proto__":{"x":"own"}}';
    expect(answer.toolCalls).toMatchObject([{ name: "f", arguments: args }]);
    expect(answer.finishReason).toBe("tool_calls");
    expect(whole(ending("STOP", parts))).toMatchObject({
      completion: { choices: [{ message: { tool_calls: [{ function: { name: "f", arguments: args } }] } }] },
    });
  });

  test("an answer nested deeper than can be written is none", () => {
    const args = `${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`;
    const text = `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":${args}}}]}}]}`;
    expect(translate([new TextEncoder().encode(`data: ${text}\n\n`)])).toMatchObject([{ error: {} }]);
    expect(wholeOf(text).ok).toBe(false);
  });

  test("citations of all events are told, each once", () => {
    const cited = (uri: string, text: string) => ({
      candidates: [{ content: { parts: [{ text }] }, citationMetadata: { citationSources: [{ uri, endIndex: 4 }] } }],
    });
    const bytes = [cited("https://a.test/", "a"), cited("https://b.test/", "b"), cited("https://b.test/", "c")];
    const parts = translate([...bytes.map((body) => stream(body)), stream(ending("RECITATION", []))]);
    const told = parts.filter((part) => JSON.stringify(part).includes('"citations"'));
    expect(told).toMatchObject([
      { chunk: { choices: [{ delta: { citations: [{ url: "https://a.test/" }, { url: "https://b.test/" }] } }] } },
    ]);
    expect(streamedAnswer(toText(parts))).toMatchObject({ text: "abc", finishReason: "content_filter" });
  });

  test.each([
    [{}],
    [{ candidates: [] }],
    [{ candidates: [{}] }],
    [{ usageMetadata: { promptTokenCount: 1 } }],
    [[]],
    [null],
  ])("%j is no answer", (body) => {
    expect(whole(body).ok).toBe(false);
    expect(streamedAnswer(toText(translate([stream(body)]))).finishReason).toBeNull();
  });

  test("a stream without a finish reason has no finish, but its usage", () => {
    const parts = translate([
      stream({ candidates: [{ content: { parts: [{ text: "x" }] } }], usageMetadata: { promptTokenCount: 3 } }),
    ]);
    expect(streamedAnswer(toText(parts)).finishReason).toBeNull();
    expect(parts.at(-1)).toMatchObject({ chunk: { usage: { prompt_tokens: 3, completion_tokens: 0 } } });
  });

  test("a block in the middle ends the answer as filtered", () => {
    const parts = translate([stream(ending("STOP"), { promptFeedback: { blockReason: "OTHER" } })]);
    expect(streamedAnswer(toText(parts))).toMatchObject({ text: "x", finishReason: "content_filter" });
  });

  const bare = { error: { code: 429, message: "Slow", status: "RESOURCE_EXHAUSTED" } };
  test.each([
    ["one line", `${JSON.stringify(bare)}\n`],
    ["a list", JSON.stringify([bare], null, 2)],
    ["without its end of line", JSON.stringify(bare, null, 2)],
    ["behind other lines", `event: x\n\n: comment\n\n${JSON.stringify(bare, null, 2)}`],
    ["with an empty line in it", JSON.stringify(bare, null, 2).replace("{\n", "{\n\n")],
    ["as an event", `event: error\ndata: ${JSON.stringify(bare)}\n\n`],
    ["before more text", `${JSON.stringify(bare)}\n\ndata: ${JSON.stringify(ending("STOP"))}\n\n`],
  ])("an error, %s, is the last part", (_, text) => {
    const bytes = new TextEncoder().encode(`data: ${JSON.stringify(ending("STOP"))}\n\n${text}`);
    const parts = translate([bytes]);
    expect(parts.at(-1)).toEqual({ error: bare });
    expect(streamedAnswer(toText(parts))).toMatchObject({ text: "x", finishReason: null });
  });

  test("an error right behind an event's line is seen", () => {
    const text = `data: ${JSON.stringify(ending("STOP"))}\n${JSON.stringify(bare, null, 2)}\n\n`;
    expect(translate([new TextEncoder().encode(text)]).at(-1)).toEqual({ error: bare });
  });

  test("an answer that is not a stream is read all the same", () => {
    const body = [ending("STOP"), ending("STOP", [{ text: "y" }])];
    const parts = translate([new TextEncoder().encode(JSON.stringify(body, null, 2))]);
    expect(streamedAnswer(toText(parts))).toMatchObject({ text: "xy", finishReason: "stop" });
  });

  test("any cut of mutated bytes ends, throws nothing and gives the same parts", () => {
    const corpora = STREAMS.map(bytesOf).filter(({ length }) => length < 4_000);
    fc.assert(
      fc.property(
        fc.nat(corpora.length - 1),
        fc.array(fc.record({ at: fc.nat(4_000), byte: fc.nat(255) }), { maxLength: 8 }),
        fc.array(fc.nat(4_000), { maxLength: 12 }),
        (which, changes, cuts) => {
          const bytes = Uint8Array.from(corpora[which]!);
          for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
          const places = [0, ...cuts.map((cut) => cut % bytes.length).toSorted((a, b) => a - b), bytes.length];
          const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
          expect(JSON.stringify(translate(pieces))).toBe(JSON.stringify(translate([bytes])));
        },
      ),
      { numRuns: tries(300) },
    );
  });

  test("a body of any shape is read without an exception", () => {
    const member = fc.constantFrom(
      ...[
        "candidates",
        "content",
        "parts",
        "functionCall",
        "inlineData",
        "text",
        "thought",
        "args",
        "index",
        "uri",
        "web",
      ],
      ...["usageMetadata", "promptFeedback", "groundingMetadata", "groundingChunks", "logprobsResult", "finishReason"],
    );
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom(null, true, 0, -1, 1e21, "", "STOP", "x"),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(member, tie("value"), { maxKeys: 4 }),
      ),
    }));
    const parts = fc.record({ candidates: fc.array(fc.record({ content: fc.record({ parts: fc.array(value) }) })) });
    fc.assert(
      fc.property(fc.oneof(value, parts), (body) => {
        whole(body);
        translate([stream(body)]);
      }),
    );
  });

  test("what is held back is bounded", () => {
    const translator = asChat(google.adapter.translation).openStream({
      asked: askedInChat({}),
      model: "m",
      traceId: "t",
      createdAt: 1,
    });
    const block = new TextEncoder().encode(`${"x".repeat(65_536)}\n\n`);
    for (let count = 0; count < 15; count++) translator.push(block);
    expect(translator.isOverlong).toBe(false);
    for (let count = 0; count < 3; count++) translator.push(block);
    expect(translator.isOverlong).toBe(true);
  });
});
