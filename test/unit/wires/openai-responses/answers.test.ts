/** Answers: any of them is written so that reading it gives it back, whole and as a stream in any pieces. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Answer, AnswerEvent } from "../../../../src/conversation/answer.ts";
import type { Conversation } from "../../../../src/conversation/conversation.ts";
import { eventsOf } from "../../../../src/conversation/events.ts";
import type { Json } from "../../../../src/conversation/part.ts";
import { readRequest as readChat } from "../../../../src/wires/openai-chat/read-request.ts";
import { responsesWire } from "../../../../src/wires/openai-responses/wire.ts";
import { ResponseStream } from "../../../../src/wires/openai-responses/write-stream.ts";
import type { AnswerContext } from "../../../../src/wires/wire.ts";
import { answerOf, chunksOf } from "../../../support/answers.ts";
import { readProtocol } from "../../../support/responses-protocol.ts";
import { IS_SOAK, tries } from "../../../support/tries.ts";
import { answers, PROVIDER } from "./conversations.ts";

const context: AnswerContext = {
  provider: PROVIDER,
  model: "asked-for",
  traceId: `tr_${"0".repeat(32)}`,
  createdAt: 1_800_000_000,
  conversation: null,
};

/** The event's texts in pieces of two characters, as a model would say them. */
function inPieces(events: readonly AnswerEvent[]): AnswerEvent[] {
  return events.flatMap((event): AnswerEvent[] => {
    if (event.kind !== "text" && event.kind !== "reasoning" && event.kind !== "call_args") return [event];
    const pieces = event.text.match(/[\s\S]{1,2}/gu) ?? [];
    return pieces.map((text, at) => ({ ...event, text, ...("begins" in event ? { begins: at === 0 } : {}) }));
  });
}

function streamed(events: readonly AnswerEvent[], flow?: Json): string {
  const writer = responsesWire.openWriter(context);
  return events.map((event) => writer.write([event])).join("") + writer.end(flow);
}

function readWhole(body: unknown): Answer {
  const read = responsesWire.readAnswer(JSON.stringify(body), body, context);
  if (!read.ok) throw new Error(read.failure.class);
  return read.answer;
}

function readStreamed(text: string, lengths: readonly number[] = [4_096]): AnswerEvent[] {
  const reader = responsesWire.openReader(context);
  const events = chunksOf(text, lengths).flatMap((chunk) => reader.push(chunk));
  return [...events, ...reader.end()];
}

/** What a client gets to see of an answer, and what has to survive. */
const comparable = ({ choices: [choice], usage, model, id }: Answer) => ({
  model,
  id,
  parts: choice?.parts.map((part) => (part.kind === "reasoning" ? { ...part, form: "any" } : part)),
  reason: choice?.finish.reason,
  usage: usage && {
    prompt: usage.prompt,
    completion: usage.completion,
    cached: usage.cached ?? 0,
    reasoning: usage.reasoning ?? 0,
  },
});

/** Random cuts, and damages, of streams of this wire. */
const CUTS = IS_SOAK ? 10_000 : 300;

test("reading what was written gives the answer back, whole and streamed in any pieces", () => {
  fc.assert(
    fc.property(
      answers,
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 4 }),
      (answer, lengths) => {
        const expected = comparable(answer);
        expect(comparable(readWhole(responsesWire.writeAnswer(answer, context)))).toEqual(expected);
        const events = readStreamed(streamed(inPieces(eventsOf(answer))), lengths);
        expect(comparable(answerOf(events))).toEqual(expected);
      },
    ),
    { numRuns: CUTS },
  );
});

test("the stream keeps the protocol and ends in the whole answer", () => {
  fc.assert(
    fc.property(answers, (answer) => {
      const text = streamed(inPieces(eventsOf(answer)), { trace_id: "tr_1" });
      const { faults, response, items } = readProtocol(text);
      expect(faults).toEqual([]);
      expect(response?.["output"]).toEqual(items);
      const whole = { ...responsesWire.writeAnswer(answer, context), completed_at: 0 };
      expect({ ...response, completed_at: 0 }).toEqual({ ...whole, flow: { trace_id: "tr_1" } });
    }),
    { numRuns: tries(150) },
  );
});

test("any events, in any order, are written without a throw and within the protocol", () => {
  const choice = 0;
  const event = fc.oneof(
    fc.tuple(fc.string(), fc.boolean()).map(([text, begins]): AnswerEvent => ({ kind: "text", choice, text, begins })),
    fc.string().map((text): AnswerEvent => ({ kind: "reasoning", choice, text, form: "full" })),
    fc.string().map((text): AnswerEvent => ({ kind: "refusal", choice, text })),
    fc.constantFrom("reasoning", "text", "own").map((of): AnswerEvent => {
      return { kind: "bound", choice, of, bound: { wire: "gemini", provider: null, signature: "s" } };
    }),
    fc.nat(2).map((index): AnswerEvent => {
      return { kind: "call_start", choice, index, id: "same", name: "f", form: index === 2 ? "custom" : "function" };
    }),
    fc.tuple(fc.nat(2), fc.string()).map(([index, text]): AnswerEvent => ({ kind: "call_args", choice, index, text })),
    fc.nat(2).map((index): AnswerEvent => ({ kind: "call_end", choice, index })),
    fc.constant<AnswerEvent>({ kind: "block", choice, bound: { wire: "bedrock", provider: null } }),
    fc.constant<AnswerEvent>({ kind: "citation", choice, citation: { url: "https://a.example" } }),
    fc.constant<AnswerEvent>({ kind: "media", choice, media: "image", source: { image_url: { url: "data:,aGk=" } } }),
    fc.constant<AnswerEvent>({ kind: "text", choice: 1, text: "of another choice" }),
    fc.constant<AnswerEvent>({ kind: "extra", choice: null, members: { service_tier: "flex" } }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 20 }), fc.boolean(), (events, breaks) => {
      const writer = responsesWire.openWriter(context);
      const text = writer.write(events) + (breaks ? writer.fail("It broke.") : writer.end());
      expect(readProtocol(text).faults).toEqual([]);
    }),
    { numRuns: tries(500) },
  );
});

const said = (...events: AnswerEvent[]): Json[] => {
  const { faults, response } = readProtocol(
    streamed([...events, { kind: "finish", choice: 0, finish: { reason: "stop" } }]),
  );
  expect(faults).toEqual([]);
  return response?.["output"] as Json[];
};

test("a damaged stream is read without a throw, the same in any pieces, and says nothing after its end", () => {
  const damage = fc.record({ at: fc.nat(), length: fc.nat(40), text: fc.string({ maxLength: 8 }) });
  fc.assert(
    fc.property(
      answers,
      fc.array(damage, { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 200 }),
      (answer, damages, length) => {
        let text = streamed(inPieces(eventsOf(answer)));
        for (const { at, length: cut, text: put } of damages) {
          const place = at % text.length;
          text = text.slice(0, place) + put + text.slice(place + cut);
        }
        const events = readStreamed(text, [length]);
        expect(events).toEqual(readStreamed(text, [1 << 20]));
        const end = events.findIndex(({ kind }) => kind === "finish" || kind === "error");
        const after = end === -1 ? [] : events.slice(end + 1).map(({ kind }) => kind);
        expect(after.filter((kind) => kind !== "usage" && kind !== "extra")).toEqual([]);
      },
    ),
    { numRuns: CUTS },
  );
});

test("any JSON as a response is an answer or a failure, never a throw", () => {
  const names = ["status", "output", "usage", "error", "incomplete_details", "service_tier", "id"] as const;
  const item = fc.dictionary(
    fc.constantFrom("type", "content", "summary", "arguments", "call_id", "annotations"),
    fc.jsonValue(),
  );
  const value = fc.oneof(fc.jsonValue(), fc.array(item, { maxLength: 3 }), fc.constantFrom("completed", "incomplete"));
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), value), (body) => {
      const read = responsesWire.readAnswer(JSON.stringify(body), body, context);
      if (read.ok) responsesWire.writeAnswer(read.answer, context);
      readStreamed(`data: ${JSON.stringify({ type: "response.completed", response: body })}\n\n`);
    }),
    { numRuns: tries(500) },
  );
});

describe("a stream that breaks", () => {
  test("ends in response.failed with what was said, the error and its code, then [DONE]", () => {
    const writer = new ResponseStream(context);
    const text =
      writer.write([
        { kind: "text", choice: 0, text: "So far" },
        { kind: "call_start", choice: 0, index: 0, id: "call_1", name: "f", form: "function" },
        { kind: "call_args", choice: 0, index: 0, text: '{"a"' },
      ]) + writer.fail("The stream was interrupted.", { trace_id: "tr_1" });
    const { faults, response, types } = readProtocol(text);
    expect(faults).toEqual([]);
    expect(types.at(-1)).toBe("response.failed");
    expect(response).toMatchObject({
      status: "failed",
      error: { code: "server_error", message: "The stream was interrupted." },
      flow: { trace_id: "tr_1", code: "stream_interrupted" },
    });
    expect(response?.["output"]).toMatchObject([
      { type: "message", content: [{ text: "So far" }] },
      { type: "function_call", arguments: '{"a"', status: "incomplete" },
    ]);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("before anything was said is a response that failed", () => {
    const { faults, types } = readProtocol(new ResponseStream(context).fail("No answer came."));
    expect(faults).toEqual([]);
    expect(types).toEqual(["response.created", "response.in_progress", "response.failed"]);
  });

  test.each([
    ["nothing", ""],
    ["a comment", ": ping\n\n"],
    ["its beginning", 'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n'],
    ["[DONE] alone", "data: [DONE]\n\n"],
    [
      "text",
      'data: {"type":"response.output_item.added","output_index":0,"item":{"id":"m","type":"message"}}\n\n' +
        'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi"}\n\n',
    ],
  ])("has no finish when it ends after %s", (_, text) => {
    expect(readStreamed(text).filter(({ kind }) => kind === "finish" || kind === "error")).toEqual([]);
  });

  test.each<[string, Json, Json]>([
    [
      "error, flat",
      { type: "error", code: "rate_limit_exceeded", message: "Slow down.", param: null },
      { code: "rate_limit_exceeded", message: "Slow down.", param: null },
    ],
    [
      "error, nested",
      { type: "error", error: { code: "server_error", message: "Oh." } },
      { code: "server_error", message: "Oh." },
    ],
    [
      "response.failed",
      { type: "response.failed", response: { error: { code: "invalid_prompt", message: "No." } } },
      { code: "invalid_prompt", message: "No." },
    ],
    ["an error without a type", { error: { message: "Down." } }, { message: "Down." }],
  ])("tells of %s once, and of nothing after it", (_, event, error) => {
    const line = `data: ${JSON.stringify(event)}\n\n`;
    expect(readStreamed(`${line + line}data: {"type":"response.completed","response":{}}\n\n`)).toEqual([
      { kind: "error", body: { error } },
    ]);
  });
});

describe("streams that leave something out", () => {
  const message = {
    id: "msg_1",
    type: "message",
    role: "assistant",
    status: "completed",
    content: [{ type: "output_text", text: "Hello", annotations: [] }],
  };
  const call = {
    id: "fc_1",
    type: "function_call",
    call_id: "call_1",
    name: "f",
    arguments: '{"id":9007199254740993}',
  };
  const line = (event: Json): string => `data: ${JSON.stringify(event)}\n\n`;

  test.each<[string, string]>([
    ["all but the last event", line({ type: "response.completed", response: { output: [message, call] } })],
    [
      "deltas",
      [message, call]
        .map(
          (item, index) =>
            line({
              type: "response.output_item.added",
              output_index: index,
              item: { ...item, content: [], arguments: "" },
            }) + line({ type: "response.output_item.done", output_index: index, item }),
        )
        .join("") + line({ type: "response.completed", response: { output: [] } }),
    ],
    [
      "the first event of items",
      [message, call]
        .map((item, index) => line({ type: "response.output_item.done", output_index: index, item }))
        .join("") + line({ type: "response.completed", response: { output: [message, call] } }),
    ],
    [
      "indexes",
      [message, call]
        .map(
          (item) =>
            line({ type: "response.output_item.added", item: { ...item, content: [], arguments: "" } }) +
            line({ type: "response.output_item.done", item }),
        )
        .join("") + line({ type: "response.completed", response: { output: [message, call] } }),
    ],
    [
      "the end of an item",
      line({ type: "response.output_item.added", output_index: 0, item: { ...message, content: [] } }) +
        line({
          type: "response.output_text.delta",
          output_index: 0,
          item_id: "msg_1",
          content_index: 0,
          delta: "Hel",
        }) +
        line({ type: "response.completed", response: { output: [message, call] } }),
    ],
  ])("lose nothing without %s", (_, text) => {
    const answer = answerOf(readStreamed(text));
    expect(answer.choices[0]?.parts).toEqual([
      { kind: "text", path: "", text: "Hello" },
      { kind: "call", path: "", id: "call_1", name: "f", form: "function", args: '{"id":9007199254740993}' },
    ]);
    expect(answer.choices[0]?.finish.reason).toBe("tool_calls");
  });

  test("a last event without its closing blank line counts", () => {
    const text = line({ type: "response.completed", response: { output: [message] } });
    expect(answerOf(readStreamed(text.trimEnd())).choices[0]?.finish.reason).toBe("stop");
  });

  test("frames that are no event are dropped", () => {
    const text = `data:\n\nid: 5\n\ndata: keepalive\n\n${line({ type: "response.completed", response: { output: [message] } })}`;
    expect(answerOf(readStreamed(text)).choices[0]?.parts).toHaveLength(1);
  });

  test.each(["", "null", " null "])("a call whose arguments are '%s' has an empty object", (args) => {
    const item = { ...call, arguments: args };
    const text =
      line({ type: "response.output_item.added", output_index: 0, item }) +
      line({ type: "response.output_item.done", output_index: 0, item });
    const events = readStreamed(text + line({ type: "response.completed", response: { output: [item] } }));
    expect(events.filter(({ kind }) => kind === "call_args")).toEqual([
      { kind: "call_args", choice: 0, index: 0, text: "{}" },
    ]);
  });
});

describe("how an answer ended", () => {
  test.each<[string, Json, string]>([
    ["completed", { status: "completed" }, "stop"],
    ["no status", {}, "stop"],
    ["its cap", { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } }, "length"],
    ["a filter", { status: "incomplete", incomplete_details: { reason: "content_filter" } }, "content_filter"],
    ["no reason", { status: "incomplete", incomplete_details: null }, "length"],
  ])("by %s", (_, members, reason) => {
    expect(readWhole({ output: [], ...members }).choices[0]?.finish.reason).toBe(reason);
    const type = members["status"] === "incomplete" ? "response.incomplete" : "response.completed";
    const events = readStreamed(`data: ${JSON.stringify({ type, response: { output: [], ...members } })}\n\n`);
    expect(answerOf(events).choices[0]?.finish.reason).toBe(reason);
  });

  test.each<[string, unknown, string]>([
    ["no object", "Hello", "invalid_response"],
    ["a chat completion", { object: "chat.completion", choices: [] }, "invalid_response"],
    ["one that still runs", { status: "in_progress", output: [] }, "invalid_response"],
    ["one that waits", { status: "queued", output: [] }, "invalid_response"],
    [
      "one that failed",
      { status: "failed", output: [], error: { code: "server_error", message: "Oh." } },
      "server_error",
    ],
    ["one that was cancelled", { status: "cancelled", output: [] }, "server_error"],
    ["one that was refused", { error: { code: "rate_limit_exceeded", message: "Slow." } }, "rate_limited"],
  ])("%s is a failure", (_, body, failure) => {
    const read = responsesWire.readAnswer(JSON.stringify(body), body, context);
    expect(read).toMatchObject({ ok: false, failure: { class: failure } });
  });
});

describe("what the bill is made from", () => {
  const usage = {
    ...{ input_tokens: 100, output_tokens: 50, total_tokens: 150, cost_in_usd_ticks: 7 },
    input_tokens_details: { cached_tokens: 30, cache_write_tokens: 5 },
    output_tokens_details: { reasoning_tokens: 20 },
  };

  test("holds cached and reasoning tokens, and what the provider says of its price", () => {
    expect(readWhole({ status: "completed", output: [], usage, service_tier: "flex" })).toMatchObject({
      rawUsage: {
        ...{ prompt_tokens: 100, completion_tokens: 50, total_tokens: 150, cost_in_usd_ticks: 7 },
        prompt_tokens_details: { cached_tokens: 30, cache_write_tokens: 5 },
        completion_tokens_details: { reasoning_tokens: 20 },
      },
      extra: { service_tier: "flex" },
    });
  });

  test("counts searches by the provider's figure, else by its items, and not the pages it opened", () => {
    const search = { id: "ws_1", type: "web_search_call", action: { type: "search", query: "q" } };
    const open = { id: "ws_2", type: "web_search_call", action: { type: "open_page" } };
    const files = { id: "fs_1", type: "file_search_call", queries: [] };
    const output = [search, open, files];
    const callsOf = (more: Json) =>
      readWhole({ status: "completed", output, usage, ...more }).rawUsage?.["server_tool_use"];
    expect(callsOf({})).toEqual({ web_search_requests: 1, file_search_requests: 1 });
    expect(callsOf({ tool_usage: { web_search: { num_requests: 3 } } })).toEqual({
      web_search_requests: 3,
      file_search_requests: 1,
    });
    const line = (event: Json): string => `data: ${JSON.stringify(event)}\n\n`;
    const text = output
      .map((item, index) => line({ type: "response.output_item.done", output_index: index, item }))
      .join("");
    const events = readStreamed(text + line({ type: "response.completed", response: { output: [], usage } }));
    expect(answerOf(events).rawUsage?.["server_tool_use"]).toEqual({ web_search_requests: 1, file_search_requests: 1 });
  });

  test("counts for a response that failed, too", () => {
    const failed = { status: "failed", error: { code: "server_error", message: "Oh." }, output: [], usage };
    expect(responsesWire.readAnswer("", failed, context)).toMatchObject({
      ok: false,
      rawUsage: { prompt_tokens: 100 },
    });
    const events = readStreamed(`data: ${JSON.stringify({ type: "response.failed", response: failed })}\n\n`);
    expect(events).toMatchObject([{ kind: "usage", raw: { prompt_tokens: 100 } }, { kind: "error" }]);
  });

  test("is unknown where there are no totals", () => {
    expect(readWhole({ status: "completed", output: [], usage: { input_tokens: "many" } })).toMatchObject({
      usage: null,
    });
  });
});

describe("what clients get", () => {
  test("calls come back under the client's own name", () => {
    const tools = [{ type: "function", function: { name: "calendar.list", parameters: {} } }];
    const conversation = readChat({ messages: [{ role: "user", content: "Hi" }], tools });
    const item = { type: "function_call", id: "fc_1", call_id: "call_1", name: "calendar_list", arguments: "{}" };
    const asked = { ...context, conversation };
    const read = responsesWire.readAnswer("", { status: "completed", output: [item] }, asked);
    expect(read).toMatchObject({ ok: true, answer: { choices: [{ parts: [{ name: "calendar.list" }] }] } });
    const reader = responsesWire.openReader(asked);
    const line = `data: ${JSON.stringify({ type: "response.completed", response: { output: [item] } })}\n\n`;
    const events = reader.push(new TextEncoder().encode(line));
    expect(events).toContainEqual(expect.objectContaining({ kind: "call_start", name: "calendar.list" }));
  });

  test("a namespace's tool comes back under its own name", () => {
    const namespaces = new Map([["agents__close", { namespace: "agents", name: "close" }]]);
    const conversation: Conversation = {
      turns: [],
      tools: [],
      controls: {},
      stream: false,
      others: [],
      spelling: {},
      namespaces,
    };
    const answer: Answer = {
      ...{ id: undefined, model: undefined, usage: null, rawUsage: undefined },
      choices: [
        {
          parts: [{ kind: "call", path: "", id: "call_1", name: "agents__close", form: "function", args: "{}" }],
          finish: { reason: "tool_calls" },
        },
      ],
    };
    const { output } = responsesWire.writeAnswer(answer, { ...context, conversation });
    expect(output).toMatchObject([{ type: "function_call", namespace: "agents", name: "close" }]);
  });

  test("what was asked for is repeated", () => {
    const conversation = responsesWire.readRequest({
      ...{ model: "m", input: "Hi", instructions: "Be kind.", metadata: { team: "a" }, temperature: 0.5 },
      ...{ tools: [{ type: "function", name: "f", parameters: null }], reasoning: { effort: "low" }, store: false },
    });
    const answer: Answer = {
      id: undefined,
      model: "m-1",
      usage: null,
      rawUsage: undefined,
      choices: [{ parts: [], finish: { reason: "stop" } }],
    };
    expect(responsesWire.writeAnswer(answer, { ...context, conversation })).toMatchObject({
      ...{ model: "m-1", instructions: "Be kind.", metadata: { team: "a" }, temperature: 0.5, store: false },
      ...{ reasoning: { effort: "low" }, tools: [{ type: "function", name: "f", strict: false }], status: "completed" },
    });
  });

  test("citations of the web are annotations, from any wire", () => {
    const [item] = said(
      { kind: "text", choice: 0, text: "Sunny." },
      {
        kind: "citation",
        choice: 0,
        url: {
          type: "url_citation",
          url_citation: { url: "https://a.example", title: "A", start_index: 1, end_index: 3 },
        },
      },
      {
        kind: "citation",
        choice: 0,
        citation: { type: "web_search_result_location", url: "https://b.example", title: "B" },
      },
      { kind: "citation", choice: 0, citation: { type: "page_location", start_page: 1 } },
    );
    expect(item).toMatchObject({
      content: [
        {
          annotations: [
            { type: "url_citation", url: "https://a.example", start_index: 1, end_index: 3 },
            { type: "url_citation", url: "https://b.example", start_index: 0, end_index: 6 },
          ],
        },
      ],
    });
  });

  test("two calls with one id, and calls without, get ids of their own", () => {
    const start = (index: number, id: string): AnswerEvent => ({
      kind: "call_start",
      choice: 0,
      index,
      id,
      name: "f",
      form: "function",
    });
    const ids = said(start(0, "a"), start(1, "a"), start(2, "")).map((item) => item["call_id"]);
    expect(new Set(ids).size).toBe(3);
    expect(ids[0]).toBe("a");
  });

  test("an answer that was cut short is incomplete, and says why", () => {
    for (const [reason, why] of [
      ["length", "max_output_tokens"],
      ["content_filter", "content_filter"],
    ] as const) {
      const text = streamed([
        { kind: "text", choice: 0, text: "So" },
        { kind: "finish", choice: 0, finish: { reason } },
      ]);
      const { faults, response } = readProtocol(text);
      expect(faults).toEqual([]);
      expect(response).toMatchObject({ status: "incomplete", incomplete_details: { reason: why } });
    }
  });
});
