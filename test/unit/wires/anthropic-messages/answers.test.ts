import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../../src/providers/adapter.ts";
import { anthropic } from "../../../../src/providers/anthropic.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type ChatStream, type StreamPart } from "../../../support/as-chat.ts";
import { inChat } from "../../../support/asked.ts";
import {
  allFixtures,
  bytesOf,
  type Fixture,
  isStream,
  named,
  streamedAnswer,
  wholeAnswer,
} from "../../../support/fixtures.ts";
import { cutStep } from "../../../support/tries.ts";

type Json = Readonly<Record<string, unknown>>;

const CONTEXT: AnswerContext = { asked: askedInChat({}), model: "asked", traceId: "tr_1", createdAt: 1_795_000_000 };
const FIXTURES = allFixtures().filter(({ provider }) => provider === "anthropic");
const STREAMS = FIXTURES.filter(isStream);
const encoder = new TextEncoder();

function open(): ChatStream {
  const translator = asChat(anthropic.adapter.translation).openStream(CONTEXT);
  if (translator === undefined) throw new Error("no translator");
  return translator;
}

function translate(pieces: readonly Uint8Array[]): StreamPart[] {
  const translator = open();
  return [...pieces.flatMap((piece) => translator.push(piece)), ...translator.end()];
}

const chunksOf = (parts: readonly StreamPart[]): Json[] =>
  parts.flatMap((part) => ("chunk" in part ? [part.chunk] : []));
const asText = (parts: readonly StreamPart[]): string =>
  chunksOf(parts)
    .map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`)
    .join("");
const deltasOf = (parts: readonly StreamPart[]): Json[] =>
  chunksOf(parts).flatMap((chunk) => (chunk["choices"] as { delta: Json }[]).map(({ delta }) => delta));
const usageOf = (parts: readonly StreamPart[]): Json | undefined =>
  chunksOf(parts).at(-1)?.["usage"] as Json | undefined;

function fixture(file: string): Buffer {
  const found = FIXTURES.find((each) => each.isOwn && each.file === `anthropic/${file}`);
  if (found === undefined) throw new Error(`no fixture ${file}`);
  return bytesOf(found);
}

function expectAnswer(answer: ReturnType<typeof wholeAnswer>, { expect: wanted, isOwn }: Fixture): void {
  if (wanted.text !== undefined) expect(answer.text).toBe(wanted.text);
  expect(answer.reasoning).toBe(wanted.reasoning_text ?? "");
  if (isOwn || wanted.refusal !== undefined) expect(answer.refusal).toBe(wanted.refusal ?? "");
  if (wanted.finish_reason !== undefined) expect(answer.finishReason).toBe(wanted.finish_reason);
  const calls = answer.toolCalls.map((call) => ({ ...call, arguments: JSON.parse(call.arguments) as unknown }));
  expect(calls).toEqual(
    (wanted.tool_calls ?? []).map(({ id, name, arguments_json }) => ({
      id,
      name,
      arguments: JSON.parse(arguments_json ?? "{}") as unknown,
    })),
  );
}

function expectUsage(usage: Json | undefined, { expect: wanted }: Fixture): void {
  if (wanted.prompt_tokens === undefined) return;
  expect(usage).toMatchObject({
    prompt_tokens: wanted.prompt_tokens,
    completion_tokens: wanted.completion_tokens,
    total_tokens: wanted.prompt_tokens + (wanted.completion_tokens ?? 0),
    prompt_tokens_details: {
      cached_tokens: wanted.cached_tokens ?? 0,
      cache_write_tokens: wanted.cache_write_tokens ?? expect.any(Number),
    },
    completion_tokens_details: { reasoning_tokens: wanted.reasoning_tokens ?? 0 },
  });
}

test("all eight kinds of answer are there, streamed and whole", () => {
  expect(STREAMS.filter(({ isOwn }) => isOwn).length).toBeGreaterThanOrEqual(14);
  expect(FIXTURES.filter(({ kind }) => kind === "json").length).toBeGreaterThanOrEqual(9);
});

describe.each(named(STREAMS))("$name", ({ fixture: each }) => {
  const bytes = bytesOf(each);
  const whole = translate([bytes]);

  test("says what the provider said", () => {
    expectAnswer(streamedAnswer(asText(whole)), each);
    const errors = whole.flatMap((part) => ("error" in part ? [part.error] : []));
    const wanted = each.expect.error;
    expect(errors).toHaveLength(wanted === undefined ? 0 : 1);
    if (wanted !== undefined) {
      expect(errors[0]).toMatchObject({ error: { type: wanted.type, message: wanted.message } });
      expect(whole.at(-1)).toHaveProperty("error");
    } else {
      expect(chunksOf(whole).at(-1)).toMatchObject({ choices: [] });
    }
    expectUsage(usageOf(whole), each);
  });

  test("every chunk has the same id, model and time", () => {
    const heads = chunksOf(whole).map(({ id, model, object, created }) =>
      JSON.stringify({ id, model, object, created }),
    );
    expect(new Set(heads).size).toBeLessThanOrEqual(1);
  });

  test("a cut at any byte gives the same parts", () => {
    const wanted = JSON.stringify(whole);
    for (let at = 0; at <= bytes.length; at += cutStep(each.isOwn, bytes.length)) {
      expect(JSON.stringify(translate([bytes.subarray(0, at), bytes.subarray(at)]))).toBe(wanted);
    }
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect(JSON.stringify(translate(single))).toBe(wanted);
  });

  test("whatever is done to the bytes, nothing throws and at most one finish is written", () => {
    const edit = fc.record({ at: fc.nat(bytes.length), drop: fc.nat(40), put: fc.uint8Array({ maxLength: 8 }) });
    fc.assert(
      fc.property(fc.array(edit, { maxLength: 4 }), fc.nat(200), (edits, step) => {
        let mutated = Uint8Array.from(bytes);
        for (const { at, drop, put } of edits) {
          mutated = Uint8Array.from([...mutated.subarray(0, at), ...put, ...mutated.subarray(at + drop)]);
        }
        const pieces: Uint8Array[] = [];
        for (let at = 0; at < mutated.length; at += step + 1) pieces.push(mutated.subarray(at, at + step + 1));
        const parts = translate(pieces);
        expect(JSON.stringify(parts)).toBe(JSON.stringify(translate([mutated])));
        const finishes = chunksOf(parts).flatMap((chunk) =>
          (chunk["choices"] as { finish_reason: unknown }[]).filter(({ finish_reason }) => finish_reason !== null),
        );
        expect(finishes.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 40 },
    );
  });
});

describe.each(named(FIXTURES.filter(({ kind, expect: { error } }) => kind === "json" && error === undefined)))(
  "$name",
  ({ fixture: each }) => {
    test("says what the provider said", () => {
      const text = bytesOf(each).toString("utf8");
      const answer = asChat(anthropic.adapter.translation).toCompletion(JSON.parse(text), CONTEXT, text);
      if (answer?.ok !== true) throw new Error("not an answer");
      expect(answer.completion).toMatchObject({ object: "chat.completion", created: 1_795_000_000 });
      expectAnswer(wholeAnswer(answer.completion as unknown as Parameters<typeof wholeAnswer>[0]), each);
      expectUsage(answer.completion["usage"] as Json, each);
    });
  },
);

describe.each(named(FIXTURES.filter(({ kind }) => kind === "error")))("$name", ({ fixture: each }) => {
  test("is classified", () => {
    const failure = anthropic.adapter.classify({
      status: each.status,
      headers: new Headers(each.headers as Record<string, string>),
      body: JSON.parse(bytesOf(each).toString("utf8")),
    });
    const seconds = each.expect.retry_after_s;
    if (seconds !== undefined) expect(failure.retryAfterMs).toBe(seconds * 1000);
    const byStatus: Record<number, string> = {
      401: "auth",
      403: "auth",
      404: "auth",
      429: "rate_limited",
      529: "server_error",
    };
    const wanted = byStatus[each.status];
    if (wanted !== undefined) expect(failure.class).toBe(wanted);
  });
});

describe("what OpenAI has no place for", () => {
  test("signed thinking comes as one detail, and goes back as it came", async () => {
    const details = deltasOf(translate([fixture("reasoning.sse")])).flatMap(
      (delta) => delta["reasoning_details"] ?? [],
    );
    expect(details).toEqual([
      {
        type: "reasoning.text",
        format: "anthropic-claude-v1",
        provider: "anthropic",
        index: 0,
        text: "First the tens, then the ones.",
        signature: "c2lnbmF0dXJlLW9uZQ==",
      },
      {
        type: "reasoning.encrypted",
        format: "anthropic-claude-v1",
        provider: "anthropic",
        index: 1,
        data: "b3BhcXVl",
      },
    ]);
    const fields = {
      messages: [
        { role: "user", content: "6 times 7?" },
        { role: "assistant", content: "That is 42.", reasoning_details: details },
        { role: "user", content: "Sure?" },
      ],
    };
    const request = await anthropic.adapter.toUpstream({
      ...inChat(fields),
      stream: false,
      model: "claude-sonnet-4-6",
      params: {},
      maxOutputTokens: undefined,
      config: { baseUrl: "https://x", headers: {} },
    });
    expect((JSON.parse(request.body) as { messages: Json[] }).messages[1]).toEqual({
      role: "assistant",
      content: [
        { type: "thinking", thinking: "First the tens, then the ones.", signature: "c2lnbmF0dXJlLW9uZQ==" },
        { type: "redacted_thinking", data: "b3BhcXVl" },
        { type: "text", text: "That is 42." },
      ],
    });
  });

  test("thinking without text keeps its signature", () => {
    const deltas = deltasOf(translate([fixture("reasoning-omitted-tool.sse")]));
    expect(deltas.flatMap((delta) => delta["reasoning_details"] ?? [])).toEqual([
      {
        type: "reasoning.text",
        format: "anthropic-claude-v1",
        provider: "anthropic",
        index: 0,
        text: "",
        signature: "b25seS1zaWduZWQ=",
      },
    ]);
  });

  test("citations, web annotations and blocks of the provider's tools", () => {
    const deltas = deltasOf(translate([fixture("web-search.sse")]));
    expect(deltas.flatMap((delta) => delta["citations"] ?? [])).toMatchObject([{ cited_text: "noon" }]);
    expect(deltas.flatMap((delta) => delta["annotations"] ?? [])).toEqual([
      {
        type: "url_citation",
        url_citation: { url: "https://example.org/tides", title: "Tides", start_index: 0, end_index: 13 },
      },
    ]);
    expect(deltas.flatMap((delta) => delta["server_tool_blocks"] ?? [])).toMatchObject([
      { type: "server_tool_use", name: "web_search", input: { query: "tides" } },
      { type: "web_search_tool_result", tool_use_id: "srvtoolu_own" },
    ]);
    expect(deltasOf(translate([fixture("stop-sequence.sse")]))).toContainEqual({ stop_sequence: "three" });
  });

  test("the tier that served and the lifetimes of cache writes", () => {
    const answer = asChat(anthropic.adapter.translation).toCompletion(
      JSON.parse(fixture("whole-cached.json").toString("utf8")),
      CONTEXT,
    );
    expect(answer).toMatchObject({
      completion: {
        service_tier: "priority",
        usage: { cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 } },
      },
    });
  });
});

describe("streams that are none", () => {
  const parts = (text: string): StreamPart[] => translate([encoder.encode(text)]);

  test("a plain error body", () => {
    const body = { type: "error", error: { type: "rate_limit_error", message: "slow" } };
    expect(parts(JSON.stringify(body))).toEqual([{ error: body }]);
    expect(parts(JSON.stringify(body, null, 2))).toEqual([{ error: body }]);
  });

  test("nothing, and nonsense", () => {
    expect(parts("")).toEqual([]);
    expect(parts("<html></html>")).toEqual([]);
    expect(parts("data: [1]\n\ndata: null\n\ndata: {}\n\n")).toEqual([]);
  });

  test("a last event without its empty line", () => {
    const text = fixture("text.sse").toString("utf8").trimEnd();
    expect(parts(text)).toEqual(parts(`${text}\n\n`));
  });

  test("a stream cut before its end has no finish, and usage as far as it was known", () => {
    const text = fixture("text.sse").toString("utf8");
    const cut = parts(text.slice(0, text.indexOf("event: message_delta")));
    expect(streamedAnswer(asText(cut)).finishReason).toBeNull();
    expect(usageOf(cut)).toMatchObject({ prompt_tokens: 14, completion_tokens: 1 });
  });

  test("an input that stands in the block's start", () => {
    const events = [
      {
        type: "content_block_start",
        index: 0,
        content_block: { type: "tool_use", id: "t", name: "f", input: { a: 1 } },
      },
      { type: "content_block_stop", index: 0 },
    ];
    const text = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
    expect(streamedAnswer(asText(parts(text))).toolCalls).toEqual([{ id: "t", name: "f", arguments: '{"a":1}' }]);
  });

  test("what comes later for a block that is kept, and a figure a gateway filled in with 0", () => {
    const events = [
      { type: "message_start", message: { usage: { input_tokens: 30, output_tokens: 2 } } },
      { type: "content_block_start", index: 0, content_block: { type: "compaction", content: null } },
      { type: "content_block_delta", index: 0, delta: { type: "compaction_delta", content: "So far." } },
      { type: "content_block_stop", index: 0 },
      { type: "message_delta", delta: { stop_reason: "end_turn" }, usage: { input_tokens: 0, output_tokens: 0 } },
      { type: "message_stop" },
    ];
    const got = parts(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""));
    expect(deltasOf(got)[0]).toMatchObject({ server_tool_blocks: [{ type: "compaction", content: "So far." }] });
    expect(usageOf(got)).toMatchObject({ prompt_tokens: 30, completion_tokens: 0 });
  });

  test("an endless event is noticed", () => {
    const translator = open();
    expect(translator.push(encoder.encode(`data: ${"x".repeat(8 * 1_048_576)}`))).toEqual([]);
    expect(translator.isOverlong).toBe(true);
  });

  test("a file that the provider fetched may be larger than any text", () => {
    const block = { type: "web_fetch_tool_result", tool_use_id: "s", content: { data: "A".repeat(3_000_000) } };
    const got = parts(`data: ${JSON.stringify({ type: "content_block_start", index: 0, content_block: block })}\n\n`);
    const stop = 'data: {"type":"content_block_stop","index":0}\n\n';
    expect(got).toEqual([]);
    const text = `data: ${JSON.stringify({ type: "content_block_start", index: 0, content_block: block })}\n\n${stop}`;
    expect(deltasOf(parts(text)).flatMap((delta) => delta["server_tool_blocks"] ?? [])).toEqual([block]);
  });

  test.each([null, [], "x", {}, { content: "text" }, { type: "message", content: null }])("no answer: %j", (body) => {
    expect(asChat(anthropic.adapter.translation).toCompletion(body, CONTEXT)).toEqual({
      ok: false,
      failure: { class: "invalid_response", tryNext: true, trySame: false },
    });
  });

  test.each([undefined, null, "", "pause_turn", "compaction"])("a whole answer that ends with %j is none", (reason) => {
    const body = { content: [{ type: "text", text: "Half of" }], stop_reason: reason, usage: {} };
    expect(asChat(anthropic.adapter.translation).toCompletion(body, CONTEXT)).toEqual({
      ok: false,
      failure: { class: "invalid_response", tryNext: true, trySame: false },
    });
  });

  test("any object with content and an end is read without throwing", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.jsonValue(), fc.jsonValue(), (content, usage, reason) => {
        const body = { content, usage, stop_reason: reason };
        const isEnd = typeof reason === "string" && reason !== "";
        expect(asChat(anthropic.adapter.translation).toCompletion(body, CONTEXT).ok).toBe(isEnd);
      }),
    );
  });
});
