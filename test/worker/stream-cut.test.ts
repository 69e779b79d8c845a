/** Streams that break after their first byte: what the client is told, and what the trace says. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { collect, eventData, textOf } from "../support/sse.ts";
import { chunks, type Script } from "../support/upstream.ts";
import { CUTS, ERRORS, FINISH, HALF, MODES, ONE, ROLE, TWO } from "./stream-cut.table.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
  await rig.prepareForMany();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const INTERRUPTED = {
  id: expect.stringMatching(/^.+$/),
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta: {}, finish_reason: "error" }],
  error: {
    message: expect.stringMatching(/^The provider./),
    type: "upstream_error",
    code: "stream_interrupted",
    param: null,
  },
};

async function play(route: TestRoute, body: object, script: Script): Promise<{ response: Response; text: string }> {
  rig.upstream.scriptFor(route.models[0]!, script);
  const response = await rig.ask(route, { ...body, stream: true });
  expect(response.status).toBe(200);
  return { response, text: await textOf(response) };
}

const lastEvent = (text: string): unknown => JSON.parse(eventData(text).at(-1) ?? "null");

describe.each(MODES)("$mode", ({ mode, body }) => {
  test.each(
    CUTS.flatMap((cut) => [
      { ...cut, where: "between events", last: [TWO] },
      { ...cut, where: "inside an event", last: [TWO, HALF] },
      { ...cut, where: "inside a CRLF event", last: [`${ONE.trimEnd()}\r\n`] },
    ]),
  )(
    "$name $where: one last error event, no [DONE], and the trace says error",
    async ({ outcome, policy, script, last }) => {
      const route = await rig.route({ policy });
      const { response, text } = await play(route, body, script(last));
      expect(text.startsWith(ROLE + ONE)).toBe(true);
      expect(lastEvent(text)).toEqual(INTERRUPTED);
      expect(eventData(text).filter((data) => data.includes("stream_interrupted"))).toHaveLength(1);
      expect(eventData(text)).not.toContain("[DONE]");
      if (mode === "pump") expect(text).not.toContain('"del\n');
      expect(rig.calls(route)).toEqual([1, 0]);
      expect(await rig.trace(route, response)).toMatchObject({
        status: "error",
        http_status: 200,
        error_code: "stream_interrupted",
        attempts: [{ outcome, status: 200, winner: true }],
        usage: { source: "counted" },
      });
      await expect.poll(() => rig.upstream.callsTo(route.models[0]!)[0]?.closedAt).not.toBeNull();
    },
  );

  test("a stream cut behind its finish reason was complete", async () => {
    const route = await rig.route();
    const { response, text } = await play(route, body, { events: [ROLE, ONE, FINISH], gapMs: 10, end: "fin" });
    expect(collect(text)).toMatchObject({ text: "one ", finishReason: "stop", isDone: true, error: null });
    expect(await rig.trace(route, response)).toMatchObject({ status: "ok", usage: { source: "counted" } });
  });

  test("half an event behind the finish reason takes nothing from the answer", async () => {
    const route = await rig.route();
    const { response, text } = await play(route, body, { events: [ROLE, ONE, FINISH, HALF], gapMs: 10, end: "fin" });
    expect(text.startsWith(ROLE + ONE + FINISH)).toBe(true);
    expect(text).not.toContain("stream_interrupted");
    expect(await rig.trace(route, response)).toMatchObject({ status: "ok" });
  });

  test("a finish reason inside half an event is none: the call beside it never arrived", async () => {
    const route = await rig.route();
    const event = chunks("", { toolCalls: [{ id: "c", name: "send", arguments: "{}" }] })[1] ?? "";
    const half = event.replace('"finish_reason":null', '"finish_reason":"tool_calls"').trimEnd().slice(0, -2);
    expect(half).toContain('"finish_reason":"tool_calls"');
    const { response, text } = await play(route, body, { events: [ROLE, ONE, half], gapMs: 10, end: "fin" });
    expect(lastEvent(text)).toEqual(INTERRUPTED);
    expect(await rig.trace(route, response)).toMatchObject({ status: "error", error_code: "stream_interrupted" });
  });

  test.each(ERRORS)(
    "$name of the upstream's in mid-stream ends the answer with an error",
    async ({ events, sentDone, isNamed }) => {
      const script = { events: [ROLE, ONE, ...events], gapMs: 5 };
      const route = await rig.route();
      const { response, text } = await play(route, body, script);
      expect(text.startsWith(ROLE + ONE)).toBe(true);
      // What the provider has sent natively, its [DONE] included, cannot be taken back, and an error of its own is
      // enough.
      if (mode === "pump" || !isNamed) {
        expect(lastEvent(text)).toEqual(INTERRUPTED);
        expect(eventData(text)).not.toContain("[DONE]");
      } else expect(text).not.toContain("stream_interrupted");
      if (sentDone !== true) expect(eventData(text)).not.toContain("[DONE]");
      // In its own words, with nothing in them that looks like a credential.
      if (isNamed) expect(text).toContain("vendor words");
      if (mode === "pump") expect(text).not.toContain("sk-live-0123456789");
      expect(rig.calls(route)).toEqual([1, 0]);
      expect(await rig.trace(route, response)).toMatchObject({
        status: "error",
        error_code: "stream_interrupted",
        attempts: [{ outcome: "server_error" }],
      });
    },
  );

  test("comments without end are bounded by total_ms", async () => {
    const route = await rig.route({ policy: { timeouts: { idle_ms: 1_000, total_ms: 2_000 } } });
    const { text } = await play(route, body, {
      events: [ROLE, ONE, ...Array<string>(2_000).fill(": ping\n\n")],
      gapMs: 5,
    });
    expect(lastEvent(text)).toEqual(INTERRUPTED);
    await expect.poll(() => rig.upstream.callsTo(route.models[0]!)[0]?.closedBy).toBe("router");
  });
});

test("where the router reads events, a line of 9 MB ends the answer", async () => {
  const route = await rig.route();
  const { text } = await play(
    route,
    {},
    { events: [ROLE, ONE, `data: ${"x".repeat(9_000_000)}`], gapMs: 5, end: "stall" },
  );
  expect(text.startsWith(ROLE + ONE)).toBe(true);
  expect(text.length).toBeLessThan(2_000);
  expect(lastEvent(text)).toEqual(INTERRUPTED);
  await expect.poll(() => rig.upstream.callsTo(route.models[0]!)[0]?.closedBy).toBe("router");
});

test("of several choices, one without a finish reason makes an answer without [DONE] unfinished", async () => {
  const route = await rig.route();
  const second = ONE.replace('"index":0', '"index":1');
  const cut = await play(route, { n: 2 }, { events: [ROLE, ONE, second, FINISH] });
  expect(lastEvent(cut.text)).toEqual(INTERRUPTED);
  const both = [ROLE, ONE, second, FINISH, FINISH.replace('"index":0', '"index":1'), "data: [DONE]\n\n"];
  expect((await play(route, { n: 2 }, { events: both })).text).toBe(both.join(""));
});
