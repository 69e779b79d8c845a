/** A 200 that says nothing, and by its own figures wrote nothing, is no answer: the next target is asked. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig } from "../support/chat.ts";
import { collect } from "../support/sse.ts";
import { chunks, completion, type Script, usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const NOTHING = usage(10, 0);

async function ask(first: Script, body: object) {
  const route = await rig.route();
  rig.upstream.scriptFor(route.models[0]!, first);
  const isStream = "stream" in body;
  rig.upstream.scriptFor(
    route.models[1]!,
    isStream ? { events: chunks("second") } : { json: completion({ text: "second" }) },
  );
  const response = await rig.ask(route, body);
  const text = await response.text();
  return { route, response, said: isStream ? collect(text).text : JSON.parse(text).choices?.[0]?.message?.content };
}

describe.each([
  { mode: "whole", body: {}, script: (spec: object): Script => ({ json: completion({ text: "", ...spec }) }) },
  {
    mode: "pump",
    body: { stream: true },
    script: (spec: object): Script => ({ events: chunks("", spec) }),
  },
  {
    mode: "native",
    body: { stream: true, stream_options: { include_usage: true } },
    script: (spec: object): Script => ({ events: chunks("", spec) }),
  },
])("$mode", ({ body, script }) => {
  test("nothing said and nothing counted moves on, and both are booked", async () => {
    const { route, response, said } = await ask(script({ usage: NOTHING }), body);
    expect(said).toBe("second");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("invalid_response");
    const trace = await rig.trace(route, response);
    expect(trace.attempts.map(({ outcome }) => outcome)).toEqual(["invalid_response", "ok"]);
  });

  test.each([
    { name: "tokens were written, though nothing is shown", spec: { usage: usage(10, 3) } },
    { name: "the provider sends no figures", spec: { usage: null } },
    { name: "the cap ended it", spec: { usage: NOTHING, finishReason: "length" } },
    { name: "its filter ended it", spec: { usage: NOTHING, finishReason: "content_filter" } },
  ])("it is an answer where $name", async ({ spec }) => {
    const { response, said } = await ask(script(spec), body);
    expect(response.status).toBe(200);
    expect(said).toBe("");
    expect(response.headers.get("x-flowlayer-attempts")).toBe("1");
  });

  test("a call without text is an answer", async () => {
    const toolCalls = [{ id: "call_1", name: "find", arguments: "{}" }];
    const { response } = await ask(script({ usage: NOTHING, toolCalls, text: undefined }), body);
    expect(response.headers.get("x-flowlayer-attempts")).toBe("1");
  });
});
