/** Clients that embed, unmodified: base URL, key and model name are all that changes for their users. */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { APICallError, cosineSimilarity, embed, embedMany } from "ai";
import OpenAI, { AzureOpenAI } from "openai";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Rig } from "../support/rig.ts";
import { DIMENSIONS, expectedFor, startEmbeddings, TOKENS_EACH } from "./embedding-routes.ts";

let rig: Rig;
let key: string;
beforeAll(async () => {
  vi.stubGlobal("AI_SDK_LOG_WARNINGS", false);
  ({ rig, key } = await startEmbeddings());
});
afterAll(() => rig.stop());

const TEXTS = ["A river bends.", "A stream turns.", "Bread rises."];
const VECTORS = "flow/vectors";

const lastAsked = (): Record<string, unknown> => JSON.parse(rig.upstream.calls.at(-1)?.body ?? "{}");

/** The largest difference of two vectors in any place. */
const distance = (left: readonly number[], right: readonly number[]): number =>
  Math.max(...left.map((value, at) => Math.abs(value - right[at]!)));

async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It did not reject.");
}

describe("openai", () => {
  const clientOf = () => new OpenAI({ apiKey: key, baseURL: rig.baseURL, maxRetries: 0 });

  test("it asks for base64 and hands out numbers", async () => {
    const { data, model, usage } = await clientOf().embeddings.create({ model: VECTORS, input: TEXTS });
    expect(lastAsked()).toMatchObject({ encoding_format: "base64" });
    expect(data.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(data.map(({ embedding }) => embedding)).toEqual(TEXTS.map(expectedFor));
    expect(model).toBe("vectors-1");
    const tokens = TEXTS.length * TOKENS_EACH;
    expect(usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
  });

  test("floats when they are asked for, of one text", async () => {
    const { data } = await clientOf().embeddings.create({
      ...{ model: VECTORS, input: TEXTS[0]!, encoding_format: "float", dimensions: DIMENSIONS, user: "ada" },
    });
    expect(data).toEqual([{ object: "embedding", index: 0, embedding: expectedFor(TEXTS[0]!) }]);
  });

  test("token arrays", async () => {
    const { data } = await clientOf().embeddings.create({ model: VECTORS, input: [[1, 2, 3], [4]] });
    expect(data.map(({ embedding }) => embedding)).toEqual([expectedFor("[1,2,3]"), expectedFor("[4]")]);
  });

  test("a provider without base64 gives the same numbers either way", async () => {
    const client = clientOf();
    const body = { model: "flow/sandbox-vectors", input: TEXTS };
    const packed = await client.embeddings.create(body);
    const plain = await client.embeddings.create({ ...body, encoding_format: "float" });
    packed.data.forEach(({ embedding }, at) => {
      expect(embedding).toHaveLength(DIMENSIONS);
      expect(distance(embedding, plain.data[at]!.embedding)).toBeLessThan(1e-6);
      expect(Math.hypot(...embedding)).toBeCloseTo(1, 5);
    });
  });

  test("the route says in the list of models what it embeds", async () => {
    const models = await clientOf().models.list();
    expect(models.data.find(({ id }) => id === VECTORS)).toMatchObject({ kind: "embedding" });
  });

  test("errors are of its classes and name the parameter", async () => {
    const embeddings = clientOf().embeddings;
    const refused = await rejection(embeddings.create({ model: VECTORS, input: "" }));
    expect(refused).toBeInstanceOf(OpenAI.BadRequestError);
    expect(refused).toMatchObject({ status: 400, param: "input" });
    const lost = await rejection(embeddings.create({ model: "flow/lost", input: "A river bends." }));
    expect(lost).toBeInstanceOf(OpenAI.InternalServerError);
    const unknown = new OpenAI({ apiKey: "fl_live_no", baseURL: rig.baseURL, maxRetries: 0 });
    const unlocked = await rejection(unknown.embeddings.create({ model: VECTORS, input: "A river bends." }));
    expect(unlocked).toBeInstanceOf(OpenAI.AuthenticationError);
  });

  test("Azure's client, whose deployment is the route", async () => {
    const client = new AzureOpenAI({
      ...{ apiKey: key, apiVersion: "2024-10-21", maxRetries: 0 },
      ...{ endpoint: rig.baseURL.replace(/\/v1$/, ""), deployment: VECTORS },
    });
    const { data } = await client.embeddings.create({ model: VECTORS, input: TEXTS });
    expect(data.map(({ embedding }) => embedding)).toEqual(TEXTS.map(expectedFor));
  });
});

describe("LangChain", () => {
  const embeddingsOf = (fields: object = {}) =>
    new OpenAIEmbeddings({
      ...{ model: VECTORS, apiKey: key, maxRetries: 0, configuration: { baseURL: rig.baseURL } },
      ...fields,
    });

  test("a query and documents", async () => {
    expect(await embeddingsOf().embedQuery(TEXTS[0]!)).toEqual(expectedFor(TEXTS[0]!));
    expect(await embeddingsOf().embedDocuments(TEXTS)).toEqual(TEXTS.map(expectedFor));
  });

  test("documents in batches of its own keep their order", async () => {
    const before = rig.upstream.calls.length;
    const texts = Array.from({ length: 9 }, (_, at) => `Text ${at}.`);
    expect(await embeddingsOf({ batchSize: 4, dimensions: DIMENSIONS }).embedDocuments(texts)).toEqual(
      texts.map(expectedFor),
    );
    expect(rig.upstream.calls.length - before).toBe(3);
  });

  test("the nearest of some texts is the text itself", async () => {
    const embeddings = embeddingsOf({ model: "flow/sandbox-vectors" });
    const stored = await embeddings.embedDocuments(TEXTS);
    const query = await embeddings.embedQuery(TEXTS[1]!);
    const scores = stored.map((vector) => cosineSimilarity(vector, query));
    expect(scores.indexOf(Math.max(...scores))).toBe(1);
    expect(scores[1]).toBeCloseTo(1, 5);
  });

  test("an outage rejects with its status", async () => {
    const error = await rejection(embeddingsOf({ model: "flow/lost" }).embedQuery("A river bends."));
    expect(error).toMatchObject({ status: expect.any(Number) });
    expect((error as { status: number }).status).toBeGreaterThanOrEqual(500);
  });
});

const PROVIDERS = [
  {
    provider: "@ai-sdk/openai",
    modelOf: (name: string) => createOpenAI({ baseURL: rig.baseURL, apiKey: key }).embedding(name),
  },
  {
    provider: "@ai-sdk/openai-compatible",
    modelOf: (name: string) =>
      createOpenAICompatible({ name: "flowlayer", baseURL: rig.baseURL, apiKey: key }).embeddingModel(name),
  },
];

describe.each(PROVIDERS)("the AI SDK through $provider", ({ modelOf }) => {
  test("embed", async () => {
    const { embedding, usage } = await embed({ model: modelOf(VECTORS), value: TEXTS[0]! });
    expect(embedding).toEqual(expectedFor(TEXTS[0]!));
    expect(usage).toEqual({ tokens: TOKENS_EACH });
  });

  test("embedMany", async () => {
    const { embeddings, usage } = await embedMany({ model: modelOf(VECTORS), values: TEXTS });
    expect(embeddings).toEqual(TEXTS.map(expectedFor));
    expect(usage).toEqual({ tokens: TEXTS.length * TOKENS_EACH });
  });

  test("an error has its status", async () => {
    const failed = embed({ model: modelOf("flow/nowhere"), value: "A river bends.", maxRetries: 0 });
    const error = await rejection(failed);
    expect(APICallError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ statusCode: 400 });
  });
});
