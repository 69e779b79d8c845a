/** How a stream that moves natively is judged by its tail: long last events, and errors that are none. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, sharedChatRig } from "../support/chat.ts";
import { readStream } from "../support/sse.ts";
import { usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());

const chunk = (more: object): string =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "m", ...more })}\n\n`;
const words = (text: string, more: object = {}): string =>
  chunk({ choices: [{ index: 0, delta: { content: text }, finish_reason: null, ...more }] });
const STOP = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
const USAGE = { usage: usage(10, 5) };
const CITATIONS = { citations: Array.from({ length: 40 }, () => "c".repeat(2_000)) };
const DONE = "data: [DONE]\n\n";
const FILTER_FAILED = { content_filter_results: { error: { code: "content_filter_error", message: "not filtered" } } };

test.each([
  {
    name: "finish and usage in front of long citations",
    events: [words("Hi"), chunk({ ...STOP, ...USAGE, ...CITATIONS }), DONE],
  },
  {
    name: "a long event behind the finish",
    events: [words("Hi"), chunk(STOP), chunk({ choices: [], ...USAGE, ...CITATIONS }), DONE],
  },
  {
    name: "long events behind the usage",
    events: [
      words("Hi"),
      chunk({ ...STOP, ...USAGE }),
      chunk({ choices: [], ...CITATIONS }),
      chunk({ choices: [], ...CITATIONS }),
      DONE,
    ],
  },
  {
    name: "an `error` inside a filter's result",
    events: [words("Hi", FILTER_FAILED), chunk(STOP), chunk({ choices: [], ...USAGE }), DONE],
  },
  {
    name: "an `error` inside a filter's result, without `[DONE]`",
    events: [words("Hi", FILTER_FAILED), chunk(STOP), chunk({ choices: [], ...USAGE })],
  },
])("$name: a whole answer stays one", async ({ events }) => {
  const route = await rig.route({ providers: ["openai"] });
  rig.upstream.script({ events });
  const response = await rig.ask(route, { stream: true, stream_options: { include_usage: true } });
  const text = await response.text();
  expect(text.startsWith(events[0]!)).toBe(true);
  expect(text.endsWith(DONE)).toBe(true);
  expect(text).not.toContain("stream_interrupted");
  const trace = await rig.trace(route, response);
  expect(trace).toMatchObject({ status: "ok", usage: { prompt_tokens: 10, completion_tokens: 5, source: "upstream" } });
  expect(trace.attempts.map(({ outcome }) => outcome)).toEqual(["ok"]);
  expect(rig.calls(route)).toEqual([1]);
});

test("an error far in front of the end is an error all the same", async () => {
  const route = await rig.route({ providers: ["openai"] });
  const error = `data: ${JSON.stringify({ error: { message: "overloaded" } })}\n\n`;
  const events = [
    words("Hi"),
    error,
    chunk({ choices: [], ...CITATIONS }),
    chunk({ choices: [], ...CITATIONS }),
    chunk(STOP),
  ];
  rig.upstream.script({ events });
  const response = await rig.ask(route, { stream: true, stream_options: { include_usage: true } });
  const { text, isBroken } = await readStream(response);
  // The provider's own error has reached the client; the end of the body says the rest.
  expect({ isBroken, hasOurs: text.includes("stream_interrupted") }).toEqual({ isBroken: true, hasOurs: false });
  expect(await rig.trace(route, response)).toMatchObject({ status: "error", error_code: "stream_interrupted" });
  expect(rig.calls(route)).toEqual([1]);
});
