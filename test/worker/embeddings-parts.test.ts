/** Batches that are larger than one call: how they are divided and joined, what they cost, and what becomes of a broken part. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRig, type ErrorBody, sharedChatRig } from "../support/chat.ts";
import {
  type EmbeddingsBody,
  embed,
  embeddingRoute,
  fromBase64,
  openAiEmbeds,
  valuesOf,
  vectorFor,
} from "../support/embeddings.ts";
import type { Script } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());

const texts = (count: number): string[] => Array.from({ length: count }, (_, at) => `text ${at}`);
const inputsOf = (body: string): string[] => (JSON.parse(body) as { input: string[] }).input;
const answerOf = async (response: Response): Promise<EmbeddingsBody> => {
  const text = await response.text();
  expect(response.status, text.slice(0, 600)).toBe(200);
  return JSON.parse(text) as EmbeddingsBody;
};
const mistral = { targets: [{ provider: "mistral", model: "mistral-embed" }], embedding: { space: "mistral-embed" } };

describe("a batch above the provider's limit", () => {
  test("is divided evenly and joined in the order of its inputs, in both forms", async () => {
    for (const format of ["float", "base64"] as const) {
      rig.upstream.reset();
      // Later parts are answered first.
      rig.upstream.script((call) => {
        const script = openAiEmbeds(1_024, 2) as (each: typeof call) => Script;
        return { ...script(call), headMs: inputsOf(call.body)[0] === "text 0" ? 150 : 0 };
      });
      const route = await embeddingRoute(rig, mistral);
      const input = texts(600);
      const response = await embed(rig, route, { input, encoding_format: format });
      const { data, usage, object } = await answerOf(response);
      expect(object).toBe("list");
      expect(rig.upstream.calls.map(({ body }) => inputsOf(body).length)).toEqual([200, 200, 200]);
      expect(data.map(({ index }) => index)).toEqual(input.map((_, at) => at));
      const wrong = data.filter(({ embedding, index }) => {
        const values = valuesOf(embedding);
        return vectorFor(`text ${index}`, 1_024).some((value, at) => values[at] !== value);
      });
      expect(wrong).toEqual([]);
      expect(usage).toEqual({ prompt_tokens: 1_200, total_tokens: 1_200 });
      expect(response.headers.get("x-flowlayer-cost-usd")).toBe("0.00012");
      expect(response.headers.get("x-flowlayer-attempts")).toBe("1");
    }
  });

  test("is divided by tokens as well", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_024));
    const route = await embeddingRoute(rig, mistral);
    // About 10,000 tokens each, of 16,384 that a call may have.
    const input = ["a", "b", "c"].map((letter) => `${letter} `.repeat(20_000));
    await answerOf(await embed(rig, route, { input }));
    expect(rig.upstream.calls.length).toBe(3);
  });

  test("is divided so that no answer is above 8 MiB, and base64 is asked for", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(3_072));
    const targets = [{ provider: "openai", model: "text-embedding-3-large" }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "text-embedding-3-large" } });
    const input = texts(900);
    const { data } = await answerOf(await embed(rig, route, { input }));
    const calls = rig.upstream.calls.map(
      ({ body }) => JSON.parse(body) as { encoding_format: string; input: unknown[] },
    );
    expect(calls.map(({ encoding_format: format }) => format)).toEqual(["base64", "base64"]);
    expect(calls.every((call) => call.input.length * 3_072 * 5.4 <= 8 * 1_048_576)).toBe(true);
    const off = data.filter(({ embedding, index }) => {
      const values = valuesOf(embedding);
      return vectorFor(`text ${index}`, 3_072).some((value, at) => Math.abs(values[at]! - value) > 1e-6);
    });
    expect(off).toEqual([]);
  });

  test("that one target takes whole is one call, as the client wrote it", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(1_536));
    const targets = [{ provider: "openai", model: "text-embedding-3-small" }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "text-embedding-3-small" } });
    await answerOf(await embed(rig, route, { input: texts(480) }));
    expect(rig.upstream.calls.length).toBe(1);
    expect(JSON.parse(rig.upstream.calls[0]!.body)).toEqual({ model: "text-embedding-3-small", input: texts(480) });
    await answerOf(await embed(rig, route, { input: texts(1_000), encoding_format: "base64" }));
    expect(rig.upstream.calls.length).toBe(2);
  });
});

describe("a part that fails", () => {
  const failingAt = (text: string, script: Script) => (call: { readonly body: string }) =>
    inputsOf(call.body).includes(text) ? script : (openAiEmbeds(1_024, 2) as (each: unknown) => Script)(call);

  test("fails the whole, and only parts that were answered are charged", async () => {
    rig.upstream.reset();
    const error = { error: { message: "Input 300 cannot be embedded.", type: "invalid_request_error", code: null } };
    rig.upstream.script(failingAt("text 300", { status: 400, json: error }));
    const route = await embeddingRoute(rig, { ...mistral, key: { budget: { limit_usd: 1, period: "total" } } });
    const response = await embed(rig, route, { input: texts(600) });
    const body = (await response.json()) as ErrorBody;
    expect([response.status, body.error.code]).toEqual([400, "upstream_invalid_request"]);
    expect(body.error.message).toContain("Input 300");
    expect(rig.upstream.calls.length).toBe(2);
    const trace = await rig.trace(route, response);
    // 200 inputs of 2 tokens, at 0.1 USD a million.
    expect(trace).toMatchObject({ status: "error", cost_usd: 0.00004 });
    expect(trace.attempts).toMatchObject([{ status: 400, cost_usd: 0.00004 }]);
    expect(trace.usage).toMatchObject({ prompt_tokens: 400, source: "upstream" });
    const own = await rig.worker.fetch("/v1/key", { headers: rig.headers(route) });
    expect((await own.json()) as object).toMatchObject({ spend: { spent_usd: 0.00004, reserved_usd: 0 } });
  });

  test("is asked for once more at the same target, and what was answered is not", async () => {
    rig.upstream.reset();
    let failures = 0;
    rig.upstream.script((call) =>
      inputsOf(call.body).includes("text 300") && failures++ === 0
        ? { status: 503, json: { error: { message: "busy" } } }
        : (openAiEmbeds(1_024, 2) as (each: unknown) => Script)(call),
    );
    const route = await embeddingRoute(rig, mistral);
    const response = await embed(rig, route, { input: texts(600) });
    const { data, usage } = await answerOf(response);
    expect(data.length).toBe(600);
    expect(usage.prompt_tokens).toBe(1_200);
    expect(response.headers.get("x-flowlayer-attempts")).toBe("2");
    expect(response.headers.get("x-flowlayer-cost-usd")).toBe("0.00012");
    expect(rig.upstream.calls.length).toBe(4);
  });

  test("leads to the next target of the space, which gets the whole batch", async () => {
    rig.upstream.reset();
    const targets = [
      { provider: "workers-ai", model: "@cf/baai/bge-m3" },
      { provider: "deepinfra", model: "BAAI/bge-m3" },
    ];
    rig.upstream.scriptFor("@cf/baai/bge-m3", failingAt("text 150", { status: 500, json: {} }));
    rig.upstream.scriptFor("BAAI/bge-m3", openAiEmbeds(1_024, 1));
    const policy = { retry: { same_target: 0 } };
    const route = await embeddingRoute(rig, { targets, embedding: { space: "bge-m3" }, policy });
    const response = await embed(rig, route, { input: texts(200), encoding_format: "base64" });
    const { data, model } = await answerOf(response);
    expect(data.map(({ embedding }) => fromBase64(String(embedding))[5])).toEqual(
      texts(200).map((text) => vectorFor(text, 1_024)[5]),
    );
    expect(model).toBe("BAAI/bge-m3");
    expect(response.headers.get("x-flowlayer-fallback-reason")).toBe("server_error");
    const trace = await rig.trace(route, response);
    // 100 inputs of 2 tokens at 0.012 USD a million, then 200 of 1 at 0.01.
    expect(trace.attempts.map(({ cost_usd }) => cost_usd)).toEqual([0.0000024, 0.000002]);
    expect(trace.cost_usd).toBe(0.0000044);
  });

  test("of another length than the others is an invalid answer", async () => {
    rig.upstream.reset();
    rig.upstream.script((call) => {
      const length = inputsOf(call.body).includes("text 90") ? 4 : 5;
      return (openAiEmbeds(length) as (each: unknown) => Script)(call);
    });
    const targets = [{ provider: "together", model: "of-no-list", same_space: true }];
    const policy = { retry: { same_target: 0 } };
    const route = await embeddingRoute(rig, { targets, embedding: { space: "of-no-list" }, policy });
    const response = await embed(rig, route, { input: texts(150) });
    const { error } = (await response.json()) as ErrorBody;
    expect([response.status, error.code]).toEqual([502, "upstream_failed"]);
    expect(error.message).toContain("invalid_response");
  });
});

describe("an answer above 32 MiB", () => {
  test("is refused with the count that fits, before a provider is called", async () => {
    rig.upstream.reset();
    const targets = [{ provider: "openai", model: "text-embedding-3-large" }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "text-embedding-3-large" } });
    for (const [format, most] of [
      ["base64", 2_022],
      ["float", 1_030],
    ] as const) {
      const response = await embed(rig, route, { input: texts(2_048), encoding_format: format });
      const { error } = (await response.json()) as ErrorBody & { error: { max_inputs: number } };
      expect([response.status, error.code, error.param]).toEqual([413, "request_too_large", "input"]);
      expect(error.max_inputs).toBe(most);
      expect(error.message).toContain(String(most));
    }
    expect(rig.upstream.calls).toEqual([]);
  });

  test("is refused as soon as its vectors show their length, where nobody knew it", async () => {
    rig.upstream.reset();
    rig.upstream.script(openAiEmbeds(8_192));
    const targets = [{ provider: "together", model: "of-no-list-either", same_space: true }];
    const route = await embeddingRoute(rig, { targets, embedding: { space: "of-no-list-either" } });
    const response = await embed(rig, route, { input: texts(1_000), encoding_format: "base64" });
    const { error } = (await response.json()) as ErrorBody;
    expect([response.status, error.code]).toEqual([413, "request_too_large"]);
    expect(error.message).toContain("758");
    expect(rig.upstream.calls.length).toBeLessThanOrEqual(4);
  });
});
