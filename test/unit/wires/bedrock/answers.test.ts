import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../../../../src/providers/adapter.ts";
import { bedrock } from "../../../../src/providers/bedrock.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { asChat, type StreamPart } from "../../../support/as-chat.ts";
import { event, exception, frame, messages, type SourceLine } from "../../../support/aws-event-stream.ts";
import { allFixtures, bytesOf, type Fixture, named, streamedAnswer, wholeAnswer } from "../../../support/fixtures.ts";
import { cutStep, tries } from "../../../support/tries.ts";

type Json = Record<string, unknown>;

const openStream = asChat(bedrock.adapter.translation).openStream;

const FIXTURES = allFixtures().filter(({ provider }) => provider === "bedrock");
const STREAMS = FIXTURES.filter(({ kind }) => kind === "eventstream");

const contextOf = (fields: Json = {}, model = "us.anthropic.claude-sonnet-4-5"): AnswerContext => ({
  asked: askedInChat(fields),
  model,
  traceId: "tr_1",
  createdAt: 1_795_000_000,
});

function read(pieces: readonly Uint8Array[], fields: Json = {}): StreamPart[] {
  const stream = openStream(contextOf(fields));
  return [...pieces.flatMap((piece) => [...stream.push(piece)]), ...stream.end()];
}

const chunksOf = (parts: readonly StreamPart[]): Json[] =>
  parts.flatMap((part) => ("chunk" in part ? [part.chunk as Json] : []));
const deltasOf = (parts: readonly StreamPart[]): Json[] =>
  chunksOf(parts).flatMap(({ choices }) => (choices as { delta: Json }[]).map(({ delta }) => delta));
const errorOf = (parts: readonly StreamPart[]): unknown =>
  parts.flatMap((part) => ("error" in part ? [part.error] : []))[0];
const sse = (parts: readonly StreamPart[]): string =>
  `${chunksOf(parts)
    .map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`)
    .join("")}data: [DONE]\n\n`;

function expectFixture({ expect: wanted }: Fixture, parts: readonly StreamPart[]): void {
  const answer = streamedAnswer(sse(parts));
  if (wanted.text !== undefined) expect(answer.text).toBe(wanted.text);
  expect(answer.reasoning).toBe(wanted.reasoning_text ?? "");
  const calls = wanted.tool_calls ?? [];
  expect(answer.toolCalls.map(({ id, name }) => ({ id, name }))).toEqual(calls.map(({ id, name }) => ({ id, name })));
  for (const [at, { arguments_json, arguments_valid_json = true }] of calls.entries()) {
    const got = answer.toolCalls[at]!.arguments;
    if (arguments_valid_json) expect(JSON.parse(got)).toEqual(JSON.parse(arguments_json));
    else expect(got).toBe(arguments_json);
  }
  if (wanted.error !== undefined) {
    expect(errorOf(parts)).toMatchObject(wanted.error);
    expect(answer.finishReason).toBeNull();
    return;
  }
  expect(errorOf(parts)).toBeUndefined();
  expect(answer.finishReason).toBe(wanted.finish_reason);
  expect(chunksOf(parts).at(-1)).toMatchObject({
    choices: [],
    usage: {
      prompt_tokens: wanted.prompt_tokens,
      completion_tokens: wanted.completion_tokens,
      prompt_tokens_details: {
        cached_tokens: wanted.cached_tokens ?? 0,
        ...(wanted.cache_write_tokens === undefined ? {} : { cache_write_tokens: wanted.cache_write_tokens }),
      },
    },
  });
}

test("there are fixtures of every kind", () => {
  const own = FIXTURES.filter(({ isOwn }) => isOwn);
  for (const kind of ["eventstream", "json", "error"]) {
    expect(own.filter((fixture) => fixture.kind === kind).length, kind).toBeGreaterThanOrEqual(8);
  }
});

test.each(named(STREAMS.filter(({ isOwn }) => isOwn)))("$name is what its readable source says", ({ fixture }) => {
  const source = readFileSync(fixture.path.replace(".eventstream", ".source.json"), "utf8");
  expect(bytesOf(fixture).equals(messages(JSON.parse(source) as SourceLine[]))).toBe(true);
});

describe("streams", () => {
  test.each(named(STREAMS))("$name: whole and cut at any byte", ({ fixture }) => {
    const bytes = bytesOf(fixture);
    const whole = read([bytes], fixture.request);
    expectFixture(fixture, whole);
    const wanted = JSON.stringify(whole);
    for (let at = 0; at < bytes.length; at += cutStep(fixture.isOwn, bytes.length)) {
      const parts = read([bytes.subarray(0, at), bytes.subarray(at)], fixture.request);
      if (JSON.stringify(parts) !== wanted) expect(parts, `cut at ${at}`).toEqual(whole);
    }
    expect(
      read(
        [...bytes].map((byte) => new Uint8Array([byte])),
        fixture.request,
      ),
    ).toEqual(whole);
  });

  test("random cuts and random damage never throw, and never finish after an error", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...STREAMS.filter(({ isOwn }) => isOwn)),
        fc.array(fc.tuple(fc.nat(3_000), fc.nat(255)), { maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 30 }),
        (fixture, damage, sizes) => {
          const bytes = Buffer.from(bytesOf(fixture));
          for (const [at, value] of damage) if (at < bytes.length) bytes[at] = value;
          const pieces: Uint8Array[] = [];
          let from = 0;
          for (const size of [...sizes, bytes.length]) {
            pieces.push(bytes.subarray(from, from + size));
            from += size;
          }
          const parts = read(pieces);
          expect(parts).toEqual(read([bytes]));
          const failedAt = parts.findIndex((part) => "error" in part);
          if (failedAt !== -1) expect(failedAt).toBe(parts.length - 1);
        },
      ),
      { numRuns: tries(150) },
    );
  });

  const start = event("messageStart", { role: "assistant" });
  const text = (words: string): Buffer => event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: words } });
  const stop = (stopReason: string): Buffer => event("messageStop", { stopReason });

  test("a cut stream has no finish and no usage", () => {
    const parts = read([start, text("a"), event("metadata", { usage: { inputTokens: 1, outputTokens: 1 } })]);
    expect(deltasOf(parts)).toEqual([{ role: "assistant", content: "a" }]);
    expect(chunksOf(parts).every(({ usage }) => usage === undefined)).toBe(true);
  });

  test("usage before the finish comes after it", () => {
    const parts = read([
      text("a"),
      event("metadata", { usage: { inputTokens: 1, outputTokens: 2 } }),
      stop("end_turn"),
    ]);
    expect(chunksOf(parts).at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 3 } });
  });

  test("events, members and payloads nobody knows change nothing", () => {
    const known = [start, text("a"), stop("end_turn")];
    const parts = read([
      start,
      event("contentBlockSurprise", { x: 1 }),
      frame(Buffer.alloc(0), Buffer.from("no JSON")),
      event("contentBlockDelta", { contentBlockIndex: 0 }),
      event("contentBlockDelta", { contentBlockIndex: 9, delta: { toolUse: { input: "{}" } } }),
      event("contentBlockDelta", []),
      text("a"),
      event("contentBlockStop", {}),
      stop("end_turn"),
    ]);
    expect(parts).toEqual(read(known));
  });

  test("extras: citations, pictures, blocks of Amazon's own tools", () => {
    const block = (index: number, delta: Json): Buffer =>
      event("contentBlockDelta", { contentBlockIndex: index, delta });
    const begin = (index: number, started: Json): Buffer =>
      event("contentBlockStart", { contentBlockIndex: index, start: started });
    const parts = read([
      block(0, { citation: { title: "document-1" } }),
      begin(1, { image: { format: "png" } }),
      block(1, { image: { source: { bytes: "AAAA" } } }),
      begin(2, { toolUse: { toolUseId: "s1", name: "nova_grounding", type: "server_tool_use" } }),
      block(2, { toolUse: { input: '{"query":' } }),
      block(2, { toolUse: { input: '"q"}' } }),
      event("contentBlockStop", { contentBlockIndex: 2 }),
      begin(3, { toolResult: { toolUseId: "s1" } }),
      block(3, { toolResult: [{ text: "found" }] }),
      block(3, { toolResult: [{ text: "more" }] }),
      event("messageStop", { stopReason: "end_turn", additionalModelResponseFields: { "/stop": 1 } }),
      event("metadata", { usage: { inputTokens: 1, outputTokens: 1 }, serviceTier: { type: "flex" } }),
    ]);
    expect(deltasOf(parts)).toEqual([
      { role: "assistant", citations: [{ title: "document-1" }] },
      { images: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" }, index: 0 }] },
      {
        bedrock_blocks: [
          { toolUse: { toolUseId: "s1", name: "nova_grounding", type: "server_tool_use", input: { query: "q" } } },
        ],
      },
      { bedrock_blocks: [{ toolResult: { toolUseId: "s1", content: [{ text: "found" }, { text: "more" }] } }] },
      { reasoning_details: [expect.objectContaining({ id: "flow-layout", data: "i b b" })] },
      {},
    ]);
    expect(chunksOf(parts).at(-1)).toMatchObject({
      service_tier: "flex",
      bedrock: { additionalModelResponseFields: { "/stop": 1 } },
    });
  });

  test("signed reasoning is handed over whole, even where its text is withheld", () => {
    const delta = (reasoningContent: Json): Buffer =>
      event("contentBlockDelta", { contentBlockIndex: 0, delta: { reasoningContent } });
    expect(
      deltasOf(read([delta({ text: "a" }), delta({ text: "b" }), delta({ signature: "s" }), stop("end_turn")])),
    ).toEqual([
      { role: "assistant", reasoning_content: "a" },
      { reasoning_content: "b" },
      { reasoning_details: [{ type: "reasoning.text", format: "bedrock", text: "ab", signature: "s", index: 0 }] },
      {},
    ]);
    expect(deltasOf(read([delta({ signature: "s" }), stop("end_turn")]))[0]).toEqual({
      role: "assistant",
      reasoning_details: [{ type: "reasoning.text", format: "bedrock", text: "", signature: "s", index: 0 }],
    });
    expect(deltasOf(read([delta({ redactedContent: "eA==" }), stop("end_turn")]))[0]).toEqual({
      role: "assistant",
      reasoning_details: [{ type: "reasoning.encrypted", format: "bedrock", data: "eA==", index: 0 }],
    });
  });

  test("one call where one is allowed", () => {
    const call = (index: number): Buffer[] => [
      event("contentBlockStart", {
        contentBlockIndex: index,
        start: { toolUse: { toolUseId: `t${index}`, name: "f" } },
      }),
      event("contentBlockDelta", { contentBlockIndex: index, delta: { toolUse: { input: '{"a":1}' } } }),
      event("contentBlockStop", { contentBlockIndex: index }),
    ];
    const parts = read([...call(0), ...call(1), stop("tool_use")], { parallel_tool_calls: false });
    expect(streamedAnswer(sse(parts)).toolCalls).toEqual([{ id: "t0", name: "f", arguments: '{"a":1}' }]);
  });

  test("the model a prompt router chose", () => {
    const trace = {
      promptRouter: { invokedModelId: "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0" },
    };
    const parts = read([
      text("a"),
      stop("end_turn"),
      event("metadata", { usage: { inputTokens: 1, outputTokens: 1 }, trace }),
    ]);
    expect(chunksOf(parts).at(-1)).toMatchObject({ model: "amazon.nova-pro-v1:0" });
  });

  test("text without the answer tool is still the answer", () => {
    const parts = read([text('{"a"'), text(":1}"), stop("end_turn")], { response_format: { type: "json_object" } });
    expect(streamedAnswer(sse(parts)).text).toBe('{"a":1}');
  });

  test.each([
    {
      name: "an exception",
      bytes: exception("validationException", { message: "m" }),
      error: { type: "validationException", message: "m" },
    },
    { name: "an output that cannot be read", bytes: stop("malformed_tool_use"), error: { type: "malformed_tool_use" } },
    { name: "a damaged message", bytes: Buffer.from(text("b")).fill(1, 14, 15), error: { type: "eventStreamError" } },
    {
      name: "bytes of another protocol",
      bytes: Buffer.from("HTTP/1.1 502 Bad Gateway"),
      error: { type: "eventStreamError" },
    },
  ])("$name ends the stream", ({ bytes, error }) => {
    const parts = read([start, text("a"), bytes, text("c"), stop("end_turn")]);
    expect(deltasOf(parts)).toEqual([{ role: "assistant", content: "a" }]);
    expect(errorOf(parts)).toMatchObject(error);
  });

  test("a JSON body instead of a stream is an error", () => {
    const body = Buffer.from('{"message":"Too many requests"}');
    for (const pieces of [[body], [...body].map((byte) => new Uint8Array([byte]))]) {
      expect(read(pieces)).toEqual([{ error: { message: "Too many requests" } }]);
    }
    expect(read([Buffer.from("{ nonsense")])).toEqual([]);
  });

  test("a message that is too long says so", () => {
    const stream = openStream(contextOf());
    const parts = stream.push(
      event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "x".repeat(8_400_000) } }),
    );
    expect(stream.isOverlong).toBe(true);
    expect(parts).toMatchObject([{ error: { type: "eventStreamError" } }]);
    const talker = openStream(contextOf());
    for (let count = 0; count < 100; count++) talker.push(Buffer.from(`{${"x".repeat(1_000)}`));
    expect(talker.isOverlong).toBe(true);
  });
});

describe("whole answers", () => {
  const { toCompletion } = asChat(bedrock.adapter.translation);

  test.each(named(FIXTURES.filter(({ kind }) => kind === "json")))("$name", ({ fixture }) => {
    const wanted = fixture.expect;
    const body = JSON.parse(bytesOf(fixture).toString("utf8")) as unknown;
    const translated = toCompletion(body, contextOf(fixture.request));
    if (!translated.ok) throw new Error("no answer");
    const { completion } = translated;
    const answer = wholeAnswer(completion);
    expect(answer.text).toBe(wanted.text);
    expect(answer.reasoning).toBe(wanted.reasoning_text ?? "");
    expect(answer.finishReason).toBe(wanted.finish_reason);
    expect(answer.toolCalls).toHaveLength(wanted.tool_calls?.length ?? 0);
    for (const [at, { id, name, arguments_json }] of (wanted.tool_calls ?? []).entries()) {
      const call = answer.toolCalls[at]!;
      expect({ ...call, arguments: JSON.parse(call.arguments) as unknown }).toEqual({
        id,
        name,
        arguments: JSON.parse(arguments_json),
      });
    }
    expect(completion["usage"]).toMatchObject({
      prompt_tokens: wanted.prompt_tokens,
      completion_tokens: wanted.completion_tokens,
      prompt_tokens_details: { cached_tokens: wanted.cached_tokens ?? 0 },
    });
  });

  const answer = (content: unknown, more: Json = {}): unknown => ({
    output: { message: { role: "assistant", content } },
    stopReason: "end_turn",
    usage: { inputTokens: 1, outputTokens: 1 },
    ...more,
  });
  const messageOf = (body: unknown, fields: Json = {}, model?: string): Json => {
    const translated = toCompletion(body, contextOf(fields, model));
    if (!translated.ok) throw new Error("no answer");
    return (translated.completion["choices"] as { message: Json }[])[0]!.message;
  };

  test("signed and redacted reasoning, citations, pictures and unknown blocks are kept", () => {
    const message = messageOf(
      answer([
        { reasoningContent: { reasoningText: { text: "a", signature: "s" } } },
        { reasoningContent: { redactedContent: "eA==" } },
        { citationsContent: { content: [{ text: "cited" }], citations: [{ title: "t" }] } },
        { image: { format: "png", source: { bytes: "AAAA" } } },
        { toolUse: { toolUseId: "s1", name: "nova_grounding", input: {}, type: "server_tool_use" } },
        { surprise: 1 },
      ]),
    );
    expect(message).toMatchObject({
      content: "cited",
      reasoning_content: "a",
      reasoning_details: [
        { type: "reasoning.text", format: "bedrock", text: "a", signature: "s" },
        { type: "reasoning.encrypted", format: "bedrock", data: "eA==" },
        { id: "flow-layout", data: "r r t5+1 i b b" },
      ],
      citations: [{ title: "t" }],
      images: [{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }],
      bedrock_blocks: [{ toolUse: { name: "nova_grounding" } }, { surprise: 1 }],
    });
    expect(message["tool_calls"]).toBeUndefined();
  });

  test("extras of the answer, and the model a prompt router chose", () => {
    const trace = {
      promptRouter: { invokedModelId: "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0" },
    };
    const translated = toCompletion(answer([{ text: "a" }], { trace, serviceTier: { type: "flex" } }), contextOf());
    expect(translated).toMatchObject({
      ok: true,
      completion: { id: "chatcmpl-tr_1", model: "amazon.nova-pro-v1:0", service_tier: "flex", bedrock: { trace } },
    });
  });

  test("one call where one is allowed; a call is one even where the model says it ended its turn", () => {
    const call = (id: string): Json => ({ toolUse: { toolUseId: id, name: "f", input: { a: 1 } } });
    const body = answer([call("t0"), call("t1")]);
    expect(messageOf(body)["tool_calls"]).toHaveLength(2);
    expect(messageOf(body, { parallel_tool_calls: false })["tool_calls"]).toMatchObject([{ id: "t0" }]);
    expect(toCompletion(body, contextOf())).toMatchObject({
      completion: { choices: [{ finish_reason: "tool_calls" }] },
    });
  });

  test("arguments nested deeper than any stack are a text like any other", () => {
    const args = `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`;
    const call = `{"toolUse":{"toolUseId":"t","name":"f","input":${args}}}`;
    const text = `{"output":{"message":{"role":"assistant","content":[${call}]}},"stopReason":"tool_use"}`;
    const translated = toCompletion(JSON.parse(text), contextOf(), text);
    expect(translated.ok && wholeAnswer(translated.completion).toolCalls[0]?.arguments).toBe(args);
  });

  test.each([
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["tool_use", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["guardrail_intervened", "content_filter"],
    ["content_filtered", "content_filter"],
    ["refusal", "content_filter"],
  ])("%s → %s", (stopReason, finish) => {
    const translated = toCompletion(answer([{ text: "a" }], { stopReason }), contextOf());
    expect(translated).toMatchObject({ completion: { choices: [{ finish_reason: finish }] } });
    const parts = read([
      event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "a" } }),
      event("messageStop", { stopReason }),
    ]);
    expect(streamedAnswer(sse(parts))).toMatchObject({ text: "a", finishReason: finish });
  });

  test.each(["pause_turn", "malformed_model_output", "malformed_tool_use", "never_heard_of", "constructor", "", null])(
    "%s is no end, whatever came before it",
    (stopReason) => {
      const call = { toolUse: { toolUseId: "t", name: "f", input: {} } };
      for (const block of [{ text: "a" }, call]) {
        const translated = toCompletion(answer([block], { stopReason }), contextOf());
        expect(translated).toMatchObject({ ok: false, failure: { class: "invalid_response", tryNext: true } });
      }
      const parts = read([
        event("contentBlockDelta", { contentBlockIndex: 0, delta: { text: "a" } }),
        event("messageStop", { stopReason }),
      ]);
      expect(streamedAnswer(sse(parts))).toMatchObject({ text: "a", finishReason: null });
      const failure = bedrock.adapter.classify({ status: 200, headers: new Headers(), body: errorOf(parts) });
      expect(failure).toMatchObject({ class: "invalid_response", tryNext: true });
      // It is billed all the same.
      const usage = { prompt_tokens: 1, completion_tokens: 1 };
      expect(toCompletion(answer([], { stopReason }), contextOf())).toMatchObject({ ok: false, usage });
      const metadata = event("metadata", { usage: { inputTokens: 1, outputTokens: 1 } });
      for (const order of [
        [event("messageStop", { stopReason }), metadata],
        [metadata, event("messageStop", { stopReason })],
      ]) {
        const [billed, error, ...rest] = read([...order, event("contentBlockDelta", { delta: { text: "late" } })]);
        expect(billed).toMatchObject({ chunk: { choices: [], usage } });
        expect(error).toMatchObject({ error: { type: expect.stringMatching(/^malformed_/) } });
        expect(rest).toEqual([]);
      }
    },
  );

  test.each<{ name: string; body: unknown; kind: string }>([
    { name: "nothing", body: {}, kind: "invalid_response" },
    { name: "no object", body: [1], kind: "invalid_response" },
    { name: "no content", body: { output: { message: {} } }, kind: "invalid_response" },
    {
      name: "output that cannot be read",
      body: answer([], { stopReason: "malformed_model_output" }),
      kind: "invalid_response",
    },
    { name: "an error's body", body: { __type: "com.amazon#ThrottlingException", message: "m" }, kind: "rate_limited" },
    { name: "an error without a name", body: { message: "m" }, kind: "server_error" },
  ])("$name is no answer", ({ body, kind }) => {
    expect(toCompletion(body, contextOf())).toMatchObject({ ok: false, failure: { class: kind, tryNext: true } });
  });
});

describe("errors", () => {
  const classify = (status: number, body: unknown, headers: Record<string, string> = {}) =>
    bedrock.adapter.classify({ status, headers: new Headers(headers), body });
  const refused = (type: string, status: number, message = "m") =>
    classify(
      status,
      { message },
      { "x-amzn-errortype": `${type}:http://internal.amazon.com/coral/com.amazon.bedrock/` },
    );

  test.each<[string, number, string]>([
    ["ThrottlingException", 429, "rate_limited"],
    ["TooManyRequestsException", 429, "rate_limited"],
    ["ServiceQuotaExceededException", 400, "rate_limited"],
    ["ModelNotReadyException", 429, "rate_limited"],
    ["ModelTimeoutException", 408, "timeout"],
    ["AccessDeniedException", 403, "auth"],
    ["ExpiredTokenException", 403, "auth"],
    ["UnrecognizedClientException", 403, "auth"],
    ["InvalidSignatureException", 403, "auth"],
    ["IncompleteSignature", 400, "auth"],
    ["ResourceNotFoundException", 404, "auth"],
    ["ModelErrorException", 424, "server_error"],
    ["ModelStreamErrorException", 424, "server_error"],
    ["InternalServerException", 500, "server_error"],
    ["ServiceUnavailableException", 503, "server_error"],
    ["ValidationException", 400, "invalid_request"],
    ["SurpriseException", 400, "invalid_request"],
    ["SurpriseException", 500, "server_error"],
  ])("%s with %i: %s", (type, status, kind) => {
    expect(refused(type, status).class).toBe(kind);
    // In a stream the status is 200 and the name begins with a small letter.
    const inStream = classify(200, { type: type[0]!.toLowerCase() + type.slice(1), message: "m" });
    if (!type.startsWith("Surprise")) expect(inStream.class).toBe(kind);
  });

  test.each<[string, string]>([
    ["Input is too long for requested model.", "context_length"],
    ["The model returned the following errors: Input is too long for requested model.", "context_length"],
    ["The model returned the following errors: prompt is too long: 209353 tokens > 200000 maximum", "context_length"],
    ["Input Tokens Exceeded: Number of input tokens exceeds maximum length.", "context_length"],
    ["400 Bad Request: Too many input tokens. Max input tokens: 8192", "context_length"],
    ["input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000", "context_length"],
    ["This model's maximum context length is 8192 tokens.", "context_length"],
    ["Too many total text bytes: 30000000 > 25000000", "context_length"],
    ["The model returned the following errors: Output blocked by content filtering policy", "content_filter"],
    ["The text 'Input is too long' is not allowed in a tool's name.", "invalid_request"],
    ["This model doesn't support tool use in streaming mode.", "capability"],
    ["You invoked an unsupported model or your request did not allow prompt caching.", "capability"],
    ["This model doesn't support the image field. Remove image and try again.", "capability"],
    ["This model does not support assistant message prefill.", "capability"],
    ["The model returned the following errors: `temperature` is deprecated for this model.", "capability"],
    [
      "The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model.",
      "capability",
    ],
    ["The model returned the following errors: thinking.block_binding: Extra inputs are not permitted", "capability"],
    ["Malformed input request: #: extraneous key [top_k] is not permitted, please reformat your input.", "capability"],
    ["The maximum tokens you requested exceeds the model limit of 8192. Try again with a lower value.", "capability"],
    [
      "The model returned the following errors: messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation.",
      "capability",
    ],
    ["The model returned the following errors: The compiled grammar is too large.", "capability"],
    ["A conversation must alternate between user and assistant roles.", "invalid_request"],
  ])("a ValidationException: %s", (message, kind) => {
    expect(refused("ValidationException", 400, message)).toMatchObject({ class: kind, message });
    expect(classify(200, { type: "validationException", message })).toMatchObject({ class: kind });
  });

  test.each([
    "The provided model identifier is invalid.",
    "Invocation of model ID anthropic.claude-x with on-demand throughput isn't supported. Retry with an inference profile.",
  ])("our choice of model, not the client's request: %s", (message) => {
    expect(refused("ValidationException", 400, message)).toEqual({ class: "auth", tryNext: true, trySame: false });
  });

  test("the same words in a throttling are a throttling", () => {
    expect(refused("ThrottlingException", 429, "Too many tokens, please wait before trying again.").class).toBe(
      "rate_limited",
    );
  });

  test("a delay is heard", () => {
    const failure = classify(429, { message: "m" }, { "x-amzn-errortype": "ThrottlingException", "retry-after": "3" });
    expect(failure).toEqual({ class: "rate_limited", tryNext: true, trySame: true, retryAfterMs: 3_000 });
  });

  test("a model that is throttled itself", () => {
    const body = { type: "modelStreamErrorException", message: "m", originalStatusCode: 429 };
    expect(classify(200, body).class).toBe("rate_limited");
  });

  test("other places of the name, and none", () => {
    expect(classify(400, { __type: "com.amazon.coral.service#ExpiredTokenException", message: "m" }).class).toBe(
      "auth",
    );
    expect(
      classify(404, { Output: { __type: "com.amazon.coral.service#UnknownOperationException" }, Version: "1.0" }).class,
    ).toBe("auth");
    expect(classify(403, { Message: "m" }).class).toBe("auth");
    expect(classify(503, undefined).class).toBe("server_error");
    expect(classify(200, undefined).class).toBe("invalid_response");
    expect(classify(200, { type: "eventStreamError", message: "m" }).class).toBe("server_error");
    expect(classify(200, { type: "malformed_tool_use", message: "m" }).class).toBe("invalid_response");
  });

  test.each(named(FIXTURES.filter(({ kind }) => kind === "error")))(
    "$name: the recorded or hand-written error has a class of its own",
    ({ fixture }) => {
      const body = JSON.parse(bytesOf(fixture).toString("utf8")) as unknown;
      const failure = classify(fixture.status, body, fixture.headers);
      const words = failure.message ?? fixture.expect.error?.message;
      expect(words).toBe(fixture.expect.error?.message);
      if (fixture.status === 429) expect(failure.class).toBe("rate_limited");
    },
  );
});
