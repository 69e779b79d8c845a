/** Embedding routes behind everything that holds for every route: policies, kinds, limits, clocks, explain. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, type ErrorBody, sharedChatRig } from "../support/chat.ts";
import { type EmbeddingsBody, embed, embeddingRoute, fromBase64, openAiEmbeds } from "../support/embeddings.ts";
import { connectRaw, requestText } from "../support/raw.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
  const body = { protocol: "openai", base_url: `${rig.upstream.url}/v1` };
  await rig.worker.admin("/admin/providers/own", { method: "PUT", body });
});
afterAll(() => rig.stop());

type Json = Readonly<Record<string, unknown>>;
const SMALL = "text-embedding-3-small";
const LARGE = "text-embedding-3-large";
const openAi = (more: Json = {}) => ({
  targets: [{ provider: "openai", model: SMALL }],
  embedding: { space: SMALL },
  ...more,
});
const answerOf = async (response: Response): Promise<EmbeddingsBody> => {
  const text = await response.text();
  expect(response.status, text.slice(0, 600)).toBe(200);
  return JSON.parse(text) as EmbeddingsBody;
};
const errorOf = async (response: Response): Promise<ErrorBody["error"] & { readonly status: number }> => {
  const { error } = (await response.json()) as ErrorBody;
  return { ...error, status: response.status };
};

describe("policies", () => {
  const put = (name: string, policy: Json, env = "production") =>
    rig.worker.admin(`/admin/routes/${env}/${name}`, { method: "PUT", body: policy });

  test.each([
    {
      name: "mixed spaces",
      policy: {
        targets: [
          { provider: "openai", model: SMALL },
          { provider: "openai", model: LARGE },
        ],
        embedding: { space: SMALL },
      },
      code: "invalid_request",
      param: "targets[1].model",
    },
    {
      name: "an own provider that is not declared",
      policy: { targets: [{ provider: "own", model: SMALL }], embedding: { space: SMALL } },
      code: "invalid_request",
      param: "targets[0].model",
    },
    {
      name: "a chat model in an embedding route",
      policy: { targets: [{ provider: "openai", model: "gpt-5" }], embedding: { space: SMALL } },
      code: "wrong_route_kind",
      param: "targets[0].model",
    },
    {
      name: "an embedding model in a chat route",
      policy: {
        targets: [
          { provider: "openai", model: "gpt-5" },
          { provider: "openai", model: SMALL },
        ],
      },
      code: "wrong_route_kind",
      param: "targets[1].model",
    },
    {
      name: "a length that the model does not have",
      policy: { targets: [{ provider: "openai", model: SMALL }], embedding: { space: SMALL, dimensions: 2_000 } },
      code: "invalid_request",
      param: "embedding.dimensions",
    },
    {
      name: "no space",
      policy: { targets: [{ provider: "openai", model: SMALL }], embedding: {} },
      code: "invalid_request",
      param: "embedding.space",
    },
    {
      name: "an unknown member",
      policy: { targets: [{ provider: "openai", model: SMALL }], embedding: { space: SMALL, size: 1 } },
      code: "invalid_request",
      param: "embedding.size",
    },
    {
      name: "a length of nothing",
      policy: { targets: [{ provider: "openai", model: SMALL }], embedding: { space: SMALL, dimensions: 0 } },
      code: "invalid_request",
      param: "embedding.dimensions",
    },
  ])("$name: refused with the path", async ({ policy, code, param }) => {
    const error = await errorOf(await put("refused", policy));
    expect(error).toMatchObject({ status: 400, code, param });
    expect(error.message).toContain(param);
  });

  test("a declared space is promoted and rolled back to like any other", async () => {
    const good = { targets: [{ provider: "own", model: "x", same_space: true }], embedding: { space: "x" } };
    expect((await put("moves", good, "staging")).status).toBe(200);
    const promoted = await rig.worker.admin("/admin/routes/moves/promote", {
      body: { from: "staging", to: "production" },
    });
    expect(promoted.status, await promoted.text()).toBe(200);
    expect((await put("moves", { ...good, description: "second" })).status).toBe(200);
    const back = await rig.worker.admin("/admin/routes/production/moves/rollback", { body: {} });
    expect(back.status, await back.text()).toBe(200);
  });

  test("GET /v1/models shows the kind of each route", async () => {
    const route = await embeddingRoute(rig, { ...openAi(), embedding: { space: SMALL, dimensions: 512 } });
    const chat = await rig.route();
    const one = async (id: string) => {
      const response = await rig.worker.fetch(`/v1/models/${id}`, { headers: rig.headers(route) });
      return (await response.json()) as Json;
    };
    expect(await one(route.model)).toMatchObject({
      ...{ kind: "embedding", embedding: { space: SMALL, dimensions: 512 }, context_window: 8_192 },
      ...{ prices: { input_usd_per_million_tokens: 0.02 }, capabilities: {} },
    });
    expect(await one(chat.model)).toMatchObject({ kind: "chat" });
    expect(await one(chat.model)).not.toHaveProperty("embedding");
  });
});

describe("the wrong kind of route", () => {
  const message = [{ role: "user", content: "hi" }];

  test.each([
    { door: "/v1/chat/completions", body: { messages: message }, codeAt: "error" },
    { door: "/v1/messages", body: { messages: message, max_tokens: 9 }, codeAt: "error" },
    { door: "/v1/responses", body: { input: "hi" }, codeAt: "error" },
  ])("$door on an embedding route", async ({ door, body }) => {
    rig.upstream.reset();
    const route = await embeddingRoute(rig, openAi());
    const response = await rig.worker.fetch(door, {
      ...{ method: "POST", headers: rig.headers(route), body: JSON.stringify({ model: route.model, ...body }) },
    });
    const { error } = (await response.json()) as ErrorBody;
    expect([response.status, error.code]).toEqual([400, "wrong_route_kind"]);
    expect(error.message).toContain("/v1/embeddings");
    expect(rig.upstream.calls).toEqual([]);
  });

  test("embeddings on a chat route", async () => {
    rig.upstream.reset();
    const route = await rig.route();
    const response = await embed(rig, route, { input: "hi" });
    const id = response.headers.get("x-request-id") ?? "";
    expect(await errorOf(response)).toMatchObject({
      status: 400,
      code: "wrong_route_kind",
      param: "model",
      type: "invalid_request_error",
    });
    expect(response.headers.get("x-should-retry")).toBe("false");
    // It leaves a light trace, which counts nowhere.
    await expect
      .poll(async () => (await rig.worker.fetch(`/v1/traces/${id}`, { headers: rig.headers(route) })).json(), {
        timeout: 5_000,
      })
      .toMatchObject({ status: "refused", error_code: "wrong_route_kind", api: "embeddings" });
    expect(rig.upstream.calls).toEqual([]);
  });

  test("raw models: known ones by their kind, others by what is asked", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536));
    const { key, id } = await rig.worker.createKey({ scopes: ["chat", "raw_models"] });
    const route = { model: `openai/${SMALL}`, key, keyId: id, models: [] };
    await answerOf(await embed(rig, route, { input: "a" }));
    await answerOf(await embed(rig, { ...route, model: "vllm/of-no-list" }, { input: "a" }));
    expect(await errorOf(await embed(rig, { ...route, model: "openai/gpt-5" }, { input: "a" }))).toMatchObject({
      code: "wrong_route_kind",
    });
    expect(await errorOf(await rig.ask(route))).toMatchObject({ code: "wrong_route_kind" });
  });
});

describe("what holds for every route", () => {
  test("aliases, tags, apps, a client's own id and narrowing by provider", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536));
    const targets = ["openai", "azure"].map((provider) => ({ provider, model: SMALL }));
    const route = await embeddingRoute(rig, { ...openAi({ policy: { aliases: ["ada-alias"] } }), targets });
    const headers = { "x-flowlayer-app": "search", "x-client-request-id": "mine", "x-session-id": "s" };
    const response = await embed(
      rig,
      { ...route, model: "ada-alias" },
      { input: "a", route: { only: ["azure"], tags: { team: "x" } } },
      headers,
    );
    await answerOf(response);
    expect(rig.upstream.calls[0]!.headers).toHaveProperty("api-key");
    expect(response.headers.get("x-flowlayer-provider")).toBe("azure");
    // The same text has the same vector at every target: no conversation is kept.
    expect(response.headers.get("x-flowlayer-affinity")).toBeNull();
    const trace = await rig.trace(route, response);
    expect(trace).toMatchObject({ api: "embeddings", app: "search", tags: { team: "x" }, client_request_id: "mine" });
    expect(trace.cost_usd).toBe(6.6e-8);
  });

  test("a hedge answers where the first target is silent, and what it cost is counted", async () => {
    rig.upstream.reset();
    const model = `hedged-${Math.random()}`;
    const targets = ["vllm", "own"].map((provider, at) => ({ provider, model: `${model}-${at}`, same_space: true }));
    rig.upstream.scriptFor(`${model}-0`, { hang: true });
    rig.upstream.scriptFor(`${model}-1`, openAiEmbeds(4));
    const policy = { latency: { budget_ms: 600, hedge_max_ratio: 1 } };
    const route = await embeddingRoute(rig, { targets, embedding: { space: model }, policy });
    const response = await embed(rig, route, { input: "a" });
    await answerOf(response);
    expect(response.headers.get("x-flowlayer-hedge")).toBe("won");
    expect(response.headers.get("x-flowlayer-provider")).toBe("own");
  });

  test("a hard latency budget ends it", async () => {
    rig.upstream.reset();
    rig.upstream.script({ hang: true });
    const policy = { latency: { budget_ms: 150, mode: "hard" } };
    const route = await embeddingRoute(rig, openAi({ policy }));
    expect(await errorOf(await embed(rig, route, { input: "a" }))).toMatchObject({
      status: 504,
      code: "latency_budget_exceeded",
    });
  });

  test("a budget refuses what may cost more than it has, by the bytes of the inputs", async () => {
    rig.upstream.reset();
    const key = { budget: { limit_usd: 0.000001, period: "total" } };
    const route = await embeddingRoute(rig, openAi({ key }));
    const error = await errorOf(await embed(rig, route, { input: "x".repeat(1_000) }));
    expect(error).toMatchObject({
      status: 402,
      code: "budget_exceeded",
      limit: { kind: "key_budget", bound_usd: 0.00002032 },
    });
    const spend = await errorOf(
      await embed(rig, await embeddingRoute(rig, openAi()), {
        input: "x".repeat(1_000),
        route: { spend_budget_usd: 0.000001 },
      }),
    );
    expect(spend).toMatchObject({ status: 402, code: "request_budget_exceeded" });
    expect(rig.upstream.calls).toEqual([]);
  });

  test("limits of requests and tokens hold", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536));
    const route = await embeddingRoute(
      rig,
      openAi({ key: { limits: { requests_per_minute: 1, tokens_per_minute: 1_000 } } }),
    );
    const response = await embed(rig, route, { input: "a" });
    await answerOf(response);
    expect(response.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    expect(response.headers.get("x-ratelimit-limit-tokens")).toBe("1000");
    expect(await errorOf(await embed(rig, route, { input: "a" }))).toMatchObject({
      status: 429,
      code: "rate_limit_exceeded",
    });
  });

  test("approval holds nothing here", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536));
    const route = await embeddingRoute(rig, openAi({ policy: { tools: { require_approval: true } } }));
    const response = await embed(rig, route, { input: "a" }, { "x-flowlayer-require-tool-approval": "true" });
    await answerOf(response);
    expect(response.headers.get("x-flowlayer-tool-approval")).toBeNull();
  });

  test("a client that leaves ends the call and is settled once", async () => {
    rig.upstream.reset();
    rig.upstream.script({ hang: true });
    const route = await embeddingRoute(rig, openAi());
    const client = await connectRaw(rig.worker.url);
    const text = JSON.stringify({ model: route.model, input: "abcdefgh" });
    client.send(requestText("POST", "/v1/embeddings", rig.headers(route), text));
    await expect.poll(() => rig.upstream.calls.length, { timeout: 5_000 }).toBe(1);
    client.reset();
    await expect.poll(() => rig.upstream.calls[0]?.closedBy, { timeout: 5_000 }).toBe("router");
    await expect
      .poll(async () => (await rig.traces(route))[0], { timeout: 5_000 })
      .toMatchObject({
        ...{ status: "cancelled", api: "embeddings", usage: { prompt_tokens: 2, source: "counted" }, cost_usd: 4e-8 },
      });
  });

  test("an input that is too long for every window is refused in the words that clients look for", async () => {
    rig.upstream.reset();
    const route = await embeddingRoute(rig, {
      targets: [
        { provider: "workers-ai", model: "@cf/baai/bge-base-en-v1.5" },
        { provider: "together", model: "BAAI/bge-base-en-v1.5" },
      ],
      embedding: { space: "bge-base-en-v1.5" },
    });
    const error = await errorOf(await embed(rig, route, { input: ["short", "long ".repeat(2_000)] }));
    expect(error).toMatchObject({ status: 400, code: "context_length_exceeded", param: "input" });
    expect(error.message).toContain("maximum context length is 512 tokens");
    expect(rig.upstream.calls).toEqual([]);
  });

  test("the sandbox gives the same text the same vector of unit length, as long as it is asked for", async () => {
    const route = await embeddingRoute(rig, {
      targets: [{ provider: "sandbox", model: "any" }],
      embedding: { space: "any" },
    });
    const { data } = await answerOf(
      await embed(rig, route, {
        input: ["a red bicycle", "a blue car", "a red bicycle"],
        dimensions: 64,
        encoding_format: "base64",
      }),
    );
    const [one, two, again] = data.map(({ embedding }) => fromBase64(String(embedding)));
    const product = (left: readonly number[], right: readonly number[]) =>
      left.reduce((sum, each, at) => sum + each * right[at]!, 0);
    expect(again).toEqual(one);
    expect(one!.length).toBe(64);
    expect(product(one!, one!)).toBeCloseTo(1, 5);
    const { data: query } = await answerOf(await embed(rig, route, { input: "bicycle", dimensions: 64 }));
    const asked = query[0]!.embedding as number[];
    expect(product(asked, one!)).toBeGreaterThan(product(asked, two!));
    const failing = await embeddingRoute(rig, {
      targets: [{ provider: "sandbox", model: "f", params: { fail: "midstream" } }],
      embedding: { space: "f" },
    });
    expect((await errorOf(await embed(rig, failing, { input: "a" }))).status).toBe(502);
  });
});

describe("explain", () => {
  test("says who would be asked, how, and for what at most", async () => {
    rig.upstream.reset();
    const targets = [
      { provider: "groq", model: "e" },
      { provider: "cohere", model: "embed-v4.0" },
      { provider: "azure", model: "embed-v-4-0" },
    ];
    const route = await embeddingRoute(rig, {
      targets: targets.map((each) => ({ ...each, same_space: true })),
      embedding: { space: "embed-v4.0" },
    });
    const name = route.model.slice("flow/".length);
    const body = { api: "embeddings", request: { input: ["abcd", "efgh"], user: "u" } };
    const response = await rig.worker.admin(`/admin/routes/production/${name}/explain`, { body });
    const text = await response.text();
    expect(response.status, text).toBe(200);
    expect(JSON.parse(text)).toMatchObject({
      targets: [
        { provider: "groq", state: "out", order: null, reasons: [{ code: "capability" }] },
        { provider: "cohere", state: "first", order: 1, lane: "translated", dropped: ["user"], bound_usd: 0.0000048 },
        { provider: "azure", order: 2, lane: "native", dropped: [] },
      ],
      ...{ admission: { ok: true }, output_cap: null },
    });
    const own = await embed(rig, route, { input: "a" }, { "x-flowlayer-explain": "true" });
    expect(own.status).toBe(200);
    expect((await own.json()) as object).toMatchObject({ targets: [{ state: "out" }, { order: 1 }, { order: 2 }] });
    const chat = await rig.worker.admin(`/admin/routes/production/${name}/explain`, {
      body: { request: { messages: [{ role: "user", content: "x" }] } },
    });
    expect(await errorOf(chat)).toMatchObject({ status: 400, code: "wrong_route_kind" });
    expect(rig.upstream.calls).toEqual([]);
  });
});
