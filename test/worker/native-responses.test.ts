/** Responses to a provider that speaks Responses: bytes in, bytes out, with a state that is the layer's own. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { readProtocol } from "../support/responses-protocol.ts";
import { readStream } from "../support/sse.ts";
import { completion } from "../support/upstream.ts";

type Json = Record<string, unknown>;

let rig: ChatRig;
let openai: TestRoute;
beforeAll(async () => {
  rig = await sharedChatRig();
  openai = await rig.route({ providers: ["openai"] });
});
afterAll(() => rig.stop());
beforeEach(() => rig.upstream.reset());

const post = (route: TestRoute, text: string, headers: object = {}): Promise<Response> =>
  rig.worker.fetch("/v1/responses", { method: "POST", headers: { ...rig.headers(route), ...headers }, body: text });
const ask = (route: TestRoute, body: object = {}, headers: object = {}): Promise<Response> =>
  post(route, JSON.stringify({ model: route.model, input: "Hello.", ...body }), headers);

const sent = (): { text: string; body: Json; path: string } => {
  const call = rig.upstream.calls.at(-1);
  const text = call?.body ?? "{}";
  return { text, body: JSON.parse(text) as Json, path: call?.path ?? "" };
};

const THOUGHT = { type: "reasoning", id: "rs_up", summary: [], encrypted_content: "gAAAA-secret" };
const SAID = {
  ...{ type: "message", id: "msg_up", status: "completed", role: "assistant" },
  content: [{ type: "output_text", text: "It rains: ☔", annotations: [], logprobs: [] }],
};
const CALLED = {
  ...{ type: "function_call", id: "fc_up", status: "completed", call_id: "call_up", name: "lookup" },
  arguments: '{"n":1.0,"id":9007199254740993123}',
};
const USAGE = {
  ...{ input_tokens: 20, input_tokens_details: { cached_tokens: 8 }, output_tokens: 9, total_tokens: 29 },
  output_tokens_details: { reasoning_tokens: 5 },
};

const response = (more: object = {}): Json => ({
  ...{ id: "resp_up", object: "response", created_at: 1_790_000_000, status: "completed", model: "gpt-up" },
  ...{ error: null, incomplete_details: null, store: false, previous_response_id: null },
  ...{ output: [THOUGHT, SAID], usage: USAGE },
  ...more,
});

/** A stream as the provider writes it; `until`: how many events of it. */
function told(output: readonly Json[] = [THOUGHT, SAID], status = "completed"): string[] {
  let sequence = 0;
  const event = (type: string, members: object): string =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...members })}\n\n`;
  const begun = response({ status: "in_progress", output: [], usage: null });
  const texts: string[] = [
    event("response.created", { response: begun }),
    event("response.in_progress", { response: begun }),
  ];
  for (const [output_index, item] of output.entries()) {
    const place = { output_index, item_id: item["id"] };
    const { content, arguments: args } = item as { content?: { text: string }[]; arguments?: string };
    const empty = content === undefined ? {} : { content: [] };
    const open = { ...item, ...empty, ...(args === undefined ? {} : { arguments: "" }) };
    const shown = item["status"] === undefined ? open : { ...open, status: "in_progress" };
    texts.push(event("response.output_item.added", { output_index, item: shown }));
    for (const [content_index, part] of (content ?? []).entries()) {
      texts.push(event("response.content_part.added", { ...place, content_index, part: { ...part, text: "" } }));
      for (const delta of [part.text.slice(0, 5), part.text.slice(5)]) {
        texts.push(event("response.output_text.delta", { ...place, content_index, delta, logprobs: [] }));
      }
      texts.push(event("response.output_text.done", { ...place, content_index, text: part.text, logprobs: [] }));
      texts.push(event("response.content_part.done", { ...place, content_index, part }));
    }
    if (args !== undefined) {
      texts.push(event("response.function_call_arguments.delta", { ...place, delta: args }));
      texts.push(event("response.function_call_arguments.done", { ...place, arguments: args }));
    }
    texts.push(event("response.output_item.done", { output_index, item }));
  }
  const details = status === "incomplete" ? { incomplete_details: { reason: "max_output_tokens" } } : {};
  texts.push(event(`response.${status}`, { response: response({ status, output, ...details }) }));
  return texts;
}

describe("the request", () => {
  test("reaches the provider byte for byte, whole and stateless", async () => {
    rig.upstream.script({ json: response() });
    const rest = `"input":[{"role":"user","content":[{"type":"input_text","text":"a","x":1.0}]}, {"type":"hologram","data":9007199254740993123}],
      "tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f","parameters":{}}]},{"type":"web_search"}],
      "text":{"format":{"type":"text"}}, "x_new":1e400`;
    const answer = await post(
      openai,
      `{"model":"${openai.model}","route":{},"metadata":null,"background":false, ${rest}}`,
    );
    expect(answer.status, await answer.clone().text()).toBe(200);
    const { text, path } = sent();
    expect(path).toBe("/v1/responses");
    expect(text).toBe(`{"model":"${openai.models[0]}","background":false, ${rest},"store":false}`);
  });

  test("asks a model that reasons for thoughts that can be sent back, and keeps to the cap", async () => {
    const policy = { limits: { max_output_tokens: 64 } };
    const route = await rig.route({
      providers: ["openai"],
      policy,
      targets: [{ params: { reasoning_effort: "low" } }],
    });
    rig.upstream.script({ json: response() });
    await ask(route, { reasoning: { effort: "high" }, include: ["web_search_call.results"], max_output_tokens: 200 });
    expect(sent().body).toMatchObject({
      ...{ max_output_tokens: 64, store: false, reasoning: { effort: "high" } },
      include: ["web_search_call.results", "reasoning.encrypted_content"],
    });
    await ask(route, { include: null });
    expect(sent().body).toMatchObject({ reasoning: { effort: "low" } });
  });

  test.each([
    ["xai", "/v1/responses"],
    ["deepseek", "/v1/responses"],
    ["openrouter", "/v1/responses"],
    ["azure", "/v1/responses"],
  ])("%s is asked at %s", async (provider, path) => {
    const route = await rig.route({ providers: [provider] });
    rig.upstream.script({ json: response() });
    const answer = await ask(route, {
      input: [{ role: "user", content: "q" }, THOUGHT, { role: "user", content: "r" }],
    });
    expect(answer.status, await answer.clone().text()).toBe(200);
    expect(await answer.json()).toMatchObject({ id: "resp_up", flow: { provider } });
    expect(sent().path).toBe(path);
    // OpenAI and Azure encrypt alike: neither of the others may see it.
    expect(sent().text.includes("gAAAA-secret")).toBe(provider === "azure");
  });
});

describe("whole answers", () => {
  test("keep the provider's text and id, say where they are stored, and carry flow", async () => {
    rig.upstream.script({ json: response({ x_new: 1 }) });
    const answer = await ask(openai);
    const body = (await answer.json()) as Json;
    expect(body).toMatchObject({ ...response({ x_new: 1 }), store: true, flow: { provider: "openai" } });
    expect(await rig.trace(openai, answer)).toMatchObject({
      ...{ api: "responses", status: "ok" },
      usage: { prompt_tokens: 20, cached_tokens: 8, completion_tokens: 9, reasoning_tokens: 5, source: "upstream" },
    });
    const read = await rig.worker.fetch("/v1/responses/resp_up", { headers: rig.headers(openai) });
    expect(await read.json()).toMatchObject({ id: "resp_up", output: [{ type: "reasoning" }, SAID] });
  });

  test("a response that failed falls back, over lanes", async () => {
    const route = await rig.route({ providers: ["openai", "groq"] });
    const error = { code: "server_error", message: "down" };
    rig.upstream.scriptFor(route.models[0] ?? "", { json: response({ status: "failed", error, output: [] }) });
    rig.upstream.scriptFor(route.models[1] ?? "", { json: completion({ text: "By chat." }) });
    const body = (await (await ask(route)).json()) as Json;
    expect(body).toMatchObject({ status: "completed", flow: { fallback: true, provider: "groq" } });
  });
});

describe("streams", () => {
  test.each([1, 2])("whose last event lacks %i line ends get them", async (ends) => {
    const own = told().join("");
    rig.upstream.script({ events: [own.slice(0, -ends)] });
    const answer = await readStream(await ask(openai, { stream: true, store: false }));
    expect(answer).toEqual({ text: own, isBroken: false });
  });

  const TOOLS = { tools: [{ type: "function", name: "lookup", parameters: { type: "object" } }] };

  test.each([
    ["text", told(), "completed", []],
    ["a call", told([CALLED]), "completed", ["lookup"]],
    ["an answer that was cut short", told([SAID], "incomplete"), "incomplete", []],
  ])("that are not stored pass byte for byte: %s", async (_, events, status, tool_calls) => {
    for (const sliceBytes of [undefined, 9]) {
      rig.upstream.reset();
      rig.upstream.script({ events, ...(sliceBytes === undefined ? {} : { sliceBytes }) });
      const answer = await ask(openai, { stream: true, store: false, ...TOOLS });
      const { text, isBroken } = await readStream(answer);
      expect({ text, isBroken }).toEqual({ text: events.join(""), isBroken: false });
      const read = readProtocol(text, { noDone: true });
      expect([read.faults, read.response?.["status"]]).toEqual([[], status]);
      expect(await rig.trace(openai, answer)).toMatchObject({
        ...{ status: "ok", tool_calls },
        usage: { prompt_tokens: 20, completion_tokens: 9, reasoning_tokens: 5, source: "upstream" },
      });
    }
  });

  test("that are stored say so, keep all other bytes, and are there when their end arrives", async () => {
    const events = told();
    rig.upstream.script({ events, sliceBytes: 13 });
    const answer = await ask(openai, { stream: true });
    const { text, isBroken } = await readStream(answer);
    expect(isBroken).toBe(false);
    expect(text).toContain(events.slice(2, -1).join(""));
    const read = readProtocol(text, { noDone: true });
    expect(read.faults).toEqual([]);
    expect(read.response).toMatchObject({ id: "resp_up", store: true, flow: { provider: "openai" } });
    const stored = await rig.worker.fetch("/v1/responses/resp_up", { headers: rig.headers(openai) });
    expect(stored.status).toBe(200);
    rig.upstream.reset();
    rig.upstream.script({ events });
    const next = await ask(openai, { input: "And?", previous_response_id: "resp_up", stream: true, store: false });
    const followed = readProtocol((await readStream(next)).text, { noDone: true });
    expect([followed.faults, followed.response?.["previous_response_id"]]).toEqual([[], "resp_up"]);
    const { body } = sent();
    expect(body).not.toHaveProperty("previous_response_id");
    expect(body["input"]).toMatchObject([
      { role: "user" },
      // Its own thoughts come back as it encrypted them.
      THOUGHT,
      { type: "message", role: "assistant" },
      { role: "user", content: "And?" },
    ]);
  });

  test.each([
    [true, 1],
    [true, 7],
    [true, 9],
    [false, 7],
    [false, 9],
  ])("that break end with response.failed and a normal end (stored: %s, after %i events)", async (store, at) => {
    const events = told([THOUGHT, SAID, CALLED]);
    rig.upstream.script({ events: events.slice(0, at), gapMs: 3, end: "reset" });
    const answer = await ask(openai, { stream: true, store });
    if (at < 7) {
      expect(answer.status).toBe(502);
      return;
    }
    const { text, isBroken } = await readStream(answer);
    expect(isBroken).toBe(false);
    const read = readProtocol(text);
    expect(read.faults).toEqual([]);
    expect(read.response).toMatchObject({
      ...{ id: "resp_up", status: "failed", error: { code: "server_error" } },
      flow: { code: "stream_interrupted" },
    });
    expect(await rig.trace(openai, answer)).toMatchObject({ status: "error", error_code: "stream_interrupted" });
  });

  test("that report their own failure are not taken for whole", async () => {
    const error = { code: "server_error", message: "The model is down." };
    const failed = { type: "response.failed", sequence_number: 9, response: response({ status: "failed", error }) };
    const own = `event: response.failed\ndata: ${JSON.stringify(failed)}\n\n`;
    for (const store of [true, false]) {
      rig.upstream.reset();
      rig.upstream.script({ events: [...told([SAID]).slice(0, 5), own] });
      const answer = await ask(openai, { stream: true, store });
      const { text, isBroken } = await readStream(answer);
      expect([isBroken, text.match(/event: response\.failed/g)?.length]).toEqual([false, 1]);
      expect(text).toContain("The model is down.");
      expect(await rig.trace(openai, answer)).toMatchObject({ status: "error" });
    }
  });

  test.each([true, false])(
    "that say `error` alone get the protocol's last event behind it (stored: %s)",
    async (store) => {
      const begun = told([SAID]).slice(0, 5);
      const error = { type: "error", code: "server_error", message: "It broke.", param: null, sequence_number: 5 };
      const own = `event: error\ndata: ${JSON.stringify(error)}\n\n`;
      rig.upstream.script({ events: [...begun, own] });
      const answer = await ask(openai, { stream: true, store });
      const { text, isBroken } = await readStream(answer);
      expect(isBroken).toBe(false);
      const read = readProtocol(text, { errorEvent: true });
      expect([read.faults, read.types.at(-1)]).toEqual([[], "response.failed"]);
      expect(text.startsWith(store ? "event: response.created" : begun.join("") + own)).toBe(true);
      expect(read.response).toMatchObject({
        ...{ id: "resp_up", status: "failed", error: { code: "server_error" } },
        output: [{ type: "message", content: [{ text: "It ra" }] }],
        flow: { code: "stream_interrupted" },
      });
      expect(await rig.trace(openai, answer)).toMatchObject({ status: "error", error_code: "stream_interrupted" });
    },
  );
});

describe("approval", () => {
  const TOOLS = { tools: [{ type: "function", name: "lookup", parameters: { type: "object" } }] };

  test.each([false, true])("holds a call, and lets an approved one pass (stream: %s)", async (stream) => {
    const script = stream ? { events: told([CALLED]) } : { json: response({ output: [CALLED] }) };
    const policy = (tools: object) => ({ tools: { require_approval: true, wait_ms: 0, ...tools } });
    const gated = await rig.route({ providers: ["openai"], policy: policy({}) });
    rig.upstream.script(script);
    const held = await (await ask(gated, { stream, ...TOOLS })).text();
    expect(held).not.toContain('"function_call"');
    expect(held).toContain("tool_approval");
    const open = await rig.route({ providers: ["openai"], policy: policy({ auto_approve: ["look*"] }) });
    const passed = await (await ask(open, { stream, ...TOOLS })).text();
    expect(passed).toContain('"function_call"');
    if (stream) expect([readProtocol(held).faults, readProtocol(passed).faults]).toEqual([[], []]);
    expect(passed).toContain(CALLED.arguments.replaceAll('"', '\\"'));
  });
});

test("a conversation of ten turns, with two changes of provider, keeps what each provider bound", async () => {
  const pair = await rig.route({ providers: ["openai", "xai"], policy: { retry: { same_target: 0 } } });
  const [first = "", second = ""] = pair.models;
  const down = { status: 500, json: { error: { message: "down" } } };
  let previous: string | null = null;
  for (let turn = 0; turn < 10; turn++) {
    const isFirst = turn < 4 || turn >= 6;
    const secret = isFirst ? `gAAAA-${turn}` : `xai-${turn}`;
    const output = [
      { ...THOUGHT, id: `rs_${turn}`, encrypted_content: secret },
      { ...SAID, id: `msg_${turn}` },
    ];
    const json = response({ id: `resp_${turn}`, output });
    rig.upstream.scriptFor(first, isFirst ? { json } : down);
    rig.upstream.scriptFor(second, { json });
    const answer = await ask(pair, {
      input: `Turn ${turn}.`,
      ...(previous === null ? {} : { previous_response_id: previous }),
    });
    expect(answer.status, await answer.clone().text()).toBe(200);
    const { text } = sent();
    for (let before = 0; before < turn; before++) {
      const wasFirst = before < 4 || before >= 6;
      expect(text.includes(wasFirst ? `gAAAA-${before}` : `xai-${before}`), `${before} in ${turn}`).toBe(
        wasFirst === isFirst,
      );
    }
    previous = String(((await answer.json()) as Json)["id"]);
  }
});

describe("what is asked besides an answer", () => {
  const call = (route: TestRoute, path: string, body: object): Promise<Response> =>
    rig.worker.fetch(`/v1/responses/${path}`, {
      method: "POST",
      headers: rig.headers(route),
      body: JSON.stringify({ model: route.model, input: "Hello.", ...body }),
    });

  test("tokens are counted by the first native target, else estimated", async () => {
    const route = await rig.route({ providers: ["groq", "openai"] });
    rig.upstream.script({ json: { object: "response.input_tokens", input_tokens: 11 } });
    const response = await call(route, "input_tokens", { instructions: "i", stream: true, max_output_tokens: 5 });
    expect(await response.json()).toEqual({ object: "response.input_tokens", input_tokens: 11 });
    expect(sent()).toMatchObject({ path: "/v1/responses/input_tokens" });
    expect(sent().body).toEqual({ model: route.models[1], input: "Hello.", instructions: "i" });
    rig.upstream.script({ status: 404, json: { error: { message: "Unknown request URL" } } });
    const estimated = await call(route, "input_tokens", {});
    expect(estimated.headers.get("x-flowlayer-token-count")).toBe("estimated");
  });

  test("a conversation is compacted by a native target, and booked like any answer", async () => {
    const route = await rig.route({ providers: ["groq", "openai"] });
    const compaction = {
      ...{ id: "resp_c", object: "response.compaction", created_at: 1, usage: USAGE },
      output: [
        { type: "message", role: "user", content: [] },
        { type: "compaction", id: "cmp_1", encrypted_content: "x" },
      ],
    };
    rig.upstream.script({ json: compaction });
    const response = await call(route, "compact", { instructions: "i" });
    expect(response.status, await response.clone().text()).toBe(200);
    const { flow, ...rest } = (await response.json()) as Json;
    expect(rest).toEqual(compaction);
    expect(flow).toMatchObject({ provider: "openai" });
    expect(sent()).toMatchObject({ path: "/v1/responses/compact" });
    expect(sent().body).toEqual({ model: route.models[1], input: "Hello.", instructions: "i" });
    expect(await rig.trace(route, response)).toMatchObject({ status: "ok", usage: { completion_tokens: 9 } });
    const none = await call(await rig.route({ providers: ["groq"] }), "compact", {});
    expect(none.status).toBe(404);
    expect(await none.json()).toMatchObject({
      error: { code: "not_found", message: expect.stringContaining("Codex") },
    });
  });
});
