/** `POST /v1/embeddings` over HTTP: what reaches which provider, what comes back, what it costs, what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, type ErrorBody, sharedChatRig } from "../support/chat.ts";
import {
  type EmbeddingsBody,
  embed,
  embeddingRoute,
  fromBase64,
  openAiEmbeds,
  toBase64,
  valuesOf,
  vectorFor,
} from "../support/embeddings.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
  const body = { protocol: "openai", base_url: `${rig.upstream.url}/v1` };
  await rig.worker.admin("/admin/providers/own", { method: "PUT", body });
});
afterAll(() => rig.stop());

type Json = Readonly<Record<string, unknown>>;
const SMALL = "text-embedding-3-small";
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
const sent = (at = 0): Record<string, unknown> => JSON.parse(rig.upstream.calls[at]!.body) as Record<string, unknown>;
const texts = (count: number, prefix = "text"): string[] => Array.from({ length: count }, (_, at) => `${prefix} ${at}`);

describe("one call", () => {
  test("passes as it came, with flow, headers, cost and a trace", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536, 7));
    const route = await embeddingRoute(rig, openAi({ key: { budget: { limit_usd: 1, period: "day" } } }));
    const response = await embed(rig, route, { input: ["a", "b"], user: "u-1", unknown_member: { big: 1 } });
    // A bounded request sends only what is known to cost nothing.
    expect(await errorOf(response)).toMatchObject({ status: 402, code: "model_unpriced", param: "unknown_member" });
    const good = await embed(rig, route, { input: ["a", "b"], user: "u-1" });
    const { data, flow, usage, model } = await answerOf(good);
    expect(data.map(({ embedding }) => embedding)).toEqual([vectorFor("a", 1_536), vectorFor("b", 1_536)]);
    expect(usage).toEqual({ prompt_tokens: 14, total_tokens: 14 });
    expect(model).toBe(SMALL);
    expect(flow).toMatchObject({
      route: route.model,
      provider: "openai",
      model: SMALL,
      attempts: 1,
      cost_usd: 14 * 2e-8,
    });
    expect(sent()).toEqual({ model: SMALL, input: ["a", "b"], user: "u-1" });
    expect(rig.upstream.calls.map(({ path }) => path)).toEqual(["/v1/embeddings"]);
    expect(good.headers.get("x-flowlayer-cost-usd")).toBe("0.00000028");
    expect(good.headers.get("x-flowlayer-budget-remaining-usd")).not.toBeNull();
    expect(good.headers.get("x-flowlayer-output-cap")).toBeNull();
    const trace = await rig.trace(route, good);
    expect(trace).toMatchObject({
      api: "embeddings",
      status: "ok",
      stream: false,
      cost_usd: 2.8e-7,
      provider: "openai",
    });
    expect(trace.usage).toMatchObject({ prompt_tokens: 14, completion_tokens: 0, source: "upstream" });
  });

  test("unknown members and nulls reach a provider of OpenAI's protocol as they came", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(8));
    const targets = [{ provider: "own", model: "local", same_space: true }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "local", dimensions: 8 } });
    const body = `{"model":"${route.model}", "input": "x","dimensions":null,"x_big":12345678901234567890,"x_null":null,"route":{"tags":{"a":"b"}}}`;
    const response = await rig.worker.fetch("/v1/embeddings", { method: "POST", headers: rig.headers(route), body });
    await answerOf(response);
    expect(rig.upstream.calls[0]!.body).toContain('"x_big":12345678901234567890,"x_null":null');
    expect(sent()).toMatchObject({ model: "local", input: "x" });
    expect(sent()).not.toHaveProperty("route");
    // Nobody knows how long vectors of `local` are by themselves.
    expect(sent()["dimensions"]).toBe(8);
  });

  test.each([
    { name: "a string", input: "one", count: 1 },
    { name: "tokens of one text", input: [1, 2, 3], count: 1 },
    { name: "tokens of two texts", input: [[1, 2], [3]], count: 2 },
  ])("$name is sent as it is", async ({ input, count }) => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536));
    const route = await embeddingRoute(rig, openAi());
    const { data } = await answerOf(await embed(rig, route, { input }));
    expect(data.length).toBe(count);
    expect(sent()["input"]).toEqual(input);
  });

  test("base64 is float32 in little-endian, the provider's own or ours", async () => {
    for (const [provider, model, space] of [
      ["openai", SMALL, SMALL],
      ["deepinfra", "BAAI/bge-m3", "bge-m3"],
    ] as const) {
      rig.upstream.reset();
      rig.upstream.script(openAiEmbeds(provider === "openai" ? 1_536 : 1_024));
      const route = await embeddingRoute(rig, { targets: [{ provider, model }], embedding: { space } });
      const { data } = await answerOf(await embed(rig, route, { input: "hello", encoding_format: "base64" }));
      const { embedding } = data[0]!;
      expect(fromBase64(String(embedding))).toEqual(vectorFor("hello", provider === "openai" ? 1_536 : 1_024));
      expect(sent()["encoding_format"]).toBe(provider === "openai" ? "base64" : undefined);
    }
  });

  test("a provider that leaves base64 out all the same is mended", async () => {
    rig.upstream.reset();
    rig.upstream.script({
      json: { object: "list", data: [{ index: 0, embedding: [0.5, -0.25] }], model: "m", usage: {} },
    });
    const targets = [{ provider: "own", model: "m", same_space: true }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "m" } });
    const { data, usage } = await answerOf(await embed(rig, route, { input: "four", encoding_format: "base64" }));
    expect(data[0]!.embedding).toBe(toBase64([0.5, -0.25]));
    expect(usage).toEqual({ prompt_tokens: 1, total_tokens: 1 });
  });
});

describe("dimensions", () => {
  const large = (dimensions?: number) => ({
    targets: [{ provider: "openai", model: "text-embedding-3-large" }],
    embedding: { space: "text-embedding-3-large", ...(dimensions === undefined ? {} : { dimensions }) },
  });

  test("the route's are asked for, the client's may be no others", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(3_072));
    const route = await embeddingRoute(rig, large(1_024));
    const { data } = await answerOf(await embed(rig, route, { input: "x" }));
    expect(valuesOf(data[0]!.embedding).length).toBe(1_024);
    expect(sent()["dimensions"]).toBe(1_024);
    await answerOf(await embed(rig, route, { input: "x", dimensions: 1_024 }));
    const refused = await errorOf(await embed(rig, route, { input: "x", dimensions: 512 }));
    expect(refused).toMatchObject({ status: 400, code: "invalid_request", param: "dimensions" });
    expect(refused.message).toContain("1024");
    expect(rig.upstream.calls.length).toBe(2);
  });

  test("where the route names none, the client's are asked for, and refused where the model has no such length", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(3_072));
    const route = await embeddingRoute(rig, large());
    await answerOf(await embed(rig, route, { input: "x", dimensions: 256 }));
    expect(sent()["dimensions"]).toBe(256);
    const fixed = await embeddingRoute(rig, {
      targets: [{ provider: "openai", model: "text-embedding-ada-002" }],
      embedding: { space: "text-embedding-ada-002" },
    });
    expect(await errorOf(await embed(rig, fixed, { input: "x", dimensions: 256 }))).toMatchObject({
      ...{ status: 400, code: "no_capable_target", param: "dimensions" },
    });
    // Its own length is no request at all, and it refuses the member.
    rig.upstream.script(openAiEmbeds(1_536));
    await answerOf(await embed(rig, fixed, { input: "x", dimensions: 1_536 }));
    expect(JSON.parse(rig.upstream.calls.at(-1)!.body)).not.toHaveProperty("dimensions");
  });

  test.each([
    { name: "too short", vectors: [[0.1, 0.2]] },
    { name: "of two lengths", vectors: [[0.1, 0.2, 0.3], [0.1]], input: ["a", "b"] },
    { name: "too few", vectors: [], input: ["a"] },
    { name: "no numbers", vectors: [["a", "b", "c"]] },
    { name: "null", vectors: [null] },
    { name: "base64 of half a value", vectors: ["AAAA"] },
  ])("vectors that are $name are an invalid answer, and another target is asked", async ({ vectors, input = "a" }) => {
    rig.upstream.reset();
    const data = vectors.map((embedding, index) => ({ object: "embedding", index, embedding }));
    const space = `space-${Math.random()}`;
    const targets = [
      { provider: "own", model: `bad-${space}`, same_space: true },
      { provider: "vllm", model: `good-${space}`, same_space: true },
    ];
    rig.upstream.scriptFor(`bad-${space}`, {
      json: { object: "list", data, model: "m", usage: { prompt_tokens: 2, total_tokens: 2 } },
    });
    rig.upstream.scriptFor(`good-${space}`, openAiEmbeds(3));
    const route = await embeddingRoute(rig, { targets, embedding: { space, dimensions: 3 } });
    const response = await embed(rig, route, { input });
    await answerOf(response);
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("invalid_response");
    expect(response.headers.get("x-flowlayer-provider")).toBe("vllm");
  });
});

describe("providers of other wires", () => {
  const unit = (at: number, length: number): number[] => Array.from({ length }, (_, place) => (place === at ? 1 : 0));

  test.each([
    { asked: "query", said: "search_query" },
    { asked: "RETRIEVAL_DOCUMENT", said: "search_document" },
    { asked: "passage", said: "search_document" },
    { asked: "clustering", said: "clustering" },
    { asked: undefined, said: "search_document" },
    { asked: "a_word_of_its_own", said: "a_word_of_its_own" },
  ])("cohere is told $asked as $said", async ({ asked, said }) => {
    rig.upstream.reset();
    const lists = [unit(0, 1_536), unit(1, 1_536)];
    rig.upstream.script({ json: { embeddings: { float: lists }, meta: { billed_units: { input_tokens: 11 } } } });
    const targets = [{ provider: "cohere", model: "embed-v4.0" }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "embed-v4.0" } });
    const response = await embed(rig, route, { input: ["a", "b"], user: "u", ...(asked && { input_type: asked }) });
    const { data, usage } = await answerOf(response);
    expect(rig.upstream.calls[0]!.path).toBe("/v1/embed");
    expect(sent()).toEqual({
      ...{ model: "embed-v4.0", texts: ["a", "b"], input_type: said, truncate: "NONE", embedding_types: ["float"] },
    });
    expect(data.map(({ embedding }) => embedding)).toEqual(lists);
    expect(usage.prompt_tokens).toBe(11);
    expect(response.headers.get("x-flowlayer-dropped-params")).toBe("user");
    expect(response.headers.get("x-flowlayer-cost-usd")).toBe("0.00000132");
  });

  test("google gets one request per text, and its tokens are counted where it gives none", async () => {
    rig.upstream.reset();
    rig.upstream.script({ json: { embeddings: [{ values: unit(2, 768) }, { values: unit(3, 768) }] } });
    const targets = [{ provider: "google", model: "gemini-embedding-001" }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "gemini-embedding-001", dimensions: 768 } });
    const response = await embed(rig, route, { input: ["abcd", "efgh"], input_type: "query" });
    const { usage } = await answerOf(response);
    expect(rig.upstream.calls[0]!.path).toBe("/v1/models/gemini-embedding-001:batchEmbedContents");
    const shared = { model: "models/gemini-embedding-001", taskType: "RETRIEVAL_QUERY", outputDimensionality: 768 };
    expect(sent()).toEqual({
      requests: ["abcd", "efgh"].map((text) => ({ ...shared, content: { parts: [{ text }] } })),
    });
    expect(usage).toEqual({ prompt_tokens: 2, total_tokens: 2 });
    expect((await rig.trace(route, response)).usage).toMatchObject({ prompt_tokens: 2, source: "counted" });
  });

  test("bedrock's Titan is called once per text", async () => {
    rig.upstream.reset();
    rig.upstream.script(({ body }) => {
      const { inputText } = JSON.parse(body) as { inputText: string };
      return { json: { embedding: vectorFor(inputText, 512), inputTextTokenCount: 5 } };
    });
    const targets = [{ provider: "bedrock", model: "amazon.titan-embed-text-v2:0" }];
    const route = await embeddingRoute(rig, {
      targets,
      embedding: { space: "amazon.titan-embed-text-v2:0", dimensions: 512 },
    });
    const input = texts(9);
    const response = await embed(rig, route, { input });
    const { data, usage } = await answerOf(response);
    expect(data.map(({ embedding }) => embedding)).toEqual(input.map((text) => vectorFor(text, 512)));
    expect(usage.prompt_tokens).toBe(45);
    expect(rig.upstream.calls.length).toBe(9);
    expect(rig.upstream.calls[0]!.path).toBe("/v1/model/amazon.titan-embed-text-v2%3A0/invoke");
    expect(JSON.parse(rig.upstream.calls[0]!.body)).toMatchObject({ dimensions: 512 });
    expect(response.headers.get("x-flowlayer-attempts")).toBe("1");
    expect(response.headers.get("x-flowlayer-cost-usd")).toBe("0.0000009");
  });

  test("bedrock's Cohere is charged by what AWS counted", async () => {
    rig.upstream.reset();
    rig.upstream.script({
      json: { embeddings: [unit(0, 1_024)], response_type: "embeddings_floats" },
      headers: { "x-amzn-bedrock-input-token-count": "21" },
    });
    const targets = [{ provider: "bedrock", model: "cohere.embed-english-v3" }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "embed-english-v3.0" } });
    const { usage } = await answerOf(await embed(rig, route, { input: "a", input_type: "document" }));
    expect(sent()).toEqual({ texts: ["a"], input_type: "search_document", truncate: "NONE" });
    expect(usage.prompt_tokens).toBe(21);
  });

  test.each([
    {
      provider: "voyage",
      model: "voyage-3.5",
      member: "input_type",
      asked: "RETRIEVAL_QUERY",
      said: "query",
      length: "output_dimension",
      dimensions: 256,
    },
    {
      provider: "nvidia",
      model: "nvidia/nv-embedqa-e5-v5",
      member: "input_type",
      asked: "search_document",
      said: "passage",
      length: "dimensions",
      dimensions: 256,
    },
    {
      provider: "jina",
      model: "jina-embeddings-v3",
      member: "task",
      asked: "query",
      said: "retrieval.query",
      length: "dimensions",
      dimensions: 256,
    },
    {
      provider: "mistral",
      model: "codestral-embed",
      member: "input_type",
      asked: "query",
      said: undefined,
      length: "output_dimension",
      dimensions: 256,
    },
    {
      provider: "openai",
      model: SMALL,
      member: "input_type",
      asked: "query",
      said: undefined,
      length: "dimensions",
      dimensions: 256,
    },
  ])("$provider is told what a text is for, and how long its vector is, in its own words", async (row) => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(row.dimensions));
    const { provider, model } = row;
    const route = await embeddingRoute(rig, {
      targets: [{ provider, model }],
      embedding: { space: model, dimensions: 256 },
    });
    const response = await embed(rig, route, { input: "a", input_type: row.asked });
    // The scripted provider reads OpenAI's member only.
    if (row.length === "dimensions") await answerOf(response);
    else await response.body?.cancel();
    expect(sent()[row.member]).toBe(row.said);
    expect(sent()[row.length]).toBe(256);
    if (row.length !== "dimensions") expect(sent()).not.toHaveProperty("dimensions");
    if (row.said === undefined)
      expect(response.headers.get("x-flowlayer-dropped-params") ?? "").toContain("input_type");
  });

  test("a provider whose models do not embed, or take no tokens, is passed over, and refused where it is alone", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(4));
    const groq = { provider: "groq", model: "e", same_space: true };
    const mistral = { provider: "mistral", model: "mistral-embed", same_space: true };
    const own = { provider: "own", model: "e", same_space: true };
    const spec = { embedding: { space: "e" } };
    const route = await embeddingRoute(rig, { targets: [groq, mistral, own], ...spec });
    const response = await embed(rig, route, { input: [1, 2] });
    await answerOf(response);
    expect(response.headers.get("x-flowlayer-provider")).toBe("own");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("capability");
    const alone = await embeddingRoute(rig, { targets: [groq], ...spec });
    expect(await errorOf(await embed(rig, alone, { input: "a" }))).toMatchObject({
      code: "no_capable_target",
      param: "model",
    });
    const noTokens = await embeddingRoute(rig, { targets: [mistral], ...spec });
    expect(await errorOf(await embed(rig, noTokens, { input: [1] }))).toMatchObject({
      code: "no_capable_target",
      param: "input",
    });
    expect(rig.upstream.calls.length).toBe(1);
  });
});
