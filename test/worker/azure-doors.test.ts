/** The addresses and the credential of Azure OpenAI's clients, in front of the same routes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { type EmbeddingsBody, embeddingRoute, openAiEmbeds, vectorFor } from "../support/embeddings.ts";
import { completion } from "../support/upstream.ts";

let rig: ChatRig;
let route: TestRoute;
beforeAll(async () => {
  rig = await sharedChatRig();
  route = await rig.route({ providers: ["groq"] });
});
afterAll(() => rig.stop());
beforeEach(() => {
  rig.upstream.reset();
  rig.upstream.script({ json: completion({ text: "By Azure's path." }) });
});

const MESSAGES = [{ role: "user", content: "Hello." }];

const post = (path: string, body: object, headers: Record<string, string> = { "api-key": route.key }) =>
  rig.worker.fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

describe("chat completions by deployment", () => {
  test("the deployment is the model, as it is or encoded once, and wins over the body's", async () => {
    const name = route.model.slice("flow/".length);
    for (const deployment of [route.model, encodeURIComponent(route.model), name]) {
      const path = `/openai/deployments/${deployment}/chat/completions?api-version=2031-01-01-preview`;
      const response = await post(path, { model: "gpt-4o", messages: MESSAGES, x_kept: 1 });
      expect(response.status, await response.clone().text()).toBe(200);
      expect(await response.json()).toMatchObject({ flow: { route: route.model } });
      expect(JSON.parse(rig.upstream.calls.at(-1)?.body ?? "{}")).toMatchObject({ model: route.models[0] });
    }
  });

  test("a bearer token will do, a body without a model too", async () => {
    const headers = { authorization: `Bearer ${route.key}` };
    const path = `/openai/deployments/${encodeURIComponent(route.model)}/chat/completions`;
    const response = await post(path, { messages: MESSAGES }, headers);
    expect(response.status).toBe(200);
    expect(await rig.trace(route, response)).toMatchObject({ api: "chat", status: "ok" });
  });

  test.each([
    ["flow%252Fx", 400, "unknown_route"],
    ["%E0%A4%A", 400, "invalid_request"],
    ["nowhere", 400, "unknown_route"],
  ])("the name %s is refused", async (deployment, status, code) => {
    const response = await post(`/openai/deployments/${deployment}/chat/completions`, { messages: MESSAGES });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code } });
    expect(rig.upstream.calls).toHaveLength(0);
  });

  test.each(["", "[]", '"text"', "{"])("a body that is no request is refused as on /v1: %s", async (body) => {
    const ask = (path: string, headers: object) =>
      rig.worker.fetch(path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
    const [here, there] = await Promise.all([
      ask("/openai/deployments/x/chat/completions", { "api-key": route.key }),
      ask("/v1/chat/completions", { authorization: `Bearer ${route.key}` }),
    ]);
    expect(here.status).toBe(there.status);
  });
});

describe("embeddings by deployment, and below /openai/v1", () => {
  let vectors: TestRoute;
  beforeAll(async () => {
    const targets = [{ provider: "openai", model: "text-embedding-3-small" }];
    vectors = await embeddingRoute(rig, { targets, embedding: { space: "text-embedding-3-small", dimensions: 8 } });
  });
  beforeEach(() => rig.upstream.script(openAiEmbeds(8)));

  test("the deployment is the route, the key an Azure key or a token", async () => {
    const encoded = `/openai/deployments/${encodeURIComponent(vectors.model)}/embeddings`;
    for (const [path, body, headers] of [
      [`${encoded}?api-version=2024-10-21`, {}, { "api-key": vectors.key }],
      [`/openai/deployments/${vectors.model}/embeddings`, { model: "x" }, { authorization: `Bearer ${vectors.key}` }],
      ["/openai/v1/embeddings", { model: vectors.model }, { "api-key": vectors.key }],
    ] as const) {
      const response = await post(path, { input: ["By Azure's path."], ...body }, headers);
      expect(response.status, await response.clone().text()).toBe(200);
      const { data } = (await response.clone().json()) as EmbeddingsBody;
      expect(data).toEqual([{ object: "embedding", index: 0, embedding: vectorFor("By Azure's path.", 8) }]);
      expect(await rig.trace(vectors, response)).toMatchObject({ api: "embeddings", status: "ok" });
    }
  });

  test("a chat route and a name that is none are refused", async () => {
    for (const [deployment, code] of [
      [route.model, "wrong_route_kind"],
      ["flow%252Fx", "unknown_route"],
    ] as const) {
      const response = await post(`/openai/deployments/${deployment}/embeddings`, { input: "a" });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code } });
    }
    expect(rig.upstream.calls).toHaveLength(0);
  });
});

test("responses, and everything of /v1 below /openai/v1", async () => {
  const asked = { model: route.model, input: "Hello." };
  for (const path of ["/openai/responses?api-version=2025-04-01-preview", "/openai/v1/responses?api-version=preview"]) {
    const response = await post(path, asked);
    expect(response.status, await response.clone().text()).toBe(200);
    const { id } = (await response.json()) as { id: string };
    const read = await rig.worker.fetch(`/openai/v1/responses/${id}`, { headers: { "api-key": route.key } });
    expect(await read.json()).toMatchObject({ id, status: "completed" });
  }
  const chat = await post("/openai/v1/chat/completions", { model: route.model, messages: MESSAGES });
  expect(chat.status).toBe(200);
  for (const path of ["/openai/v1/models", `/openai/v1/models/${encodeURIComponent(route.model)}`]) {
    const response = await rig.worker.fetch(path, { headers: { "api-key": route.key } });
    expect([path, response.status]).toEqual([path, 200]);
    await response.text();
  }
});

describe("a key is needed first", () => {
  test.each(["/openai/x", "/openai/deployments/x/images/generations", "/openai/v1/nowhere"])("at %s", async (path) => {
    expect((await post(path, {}, {})).status).toBe(401);
    expect((await post(path, {}, { "api-key": "not-ours" })).status).toBe(401);
    expect((await post(path, {})).status).toBe(404);
  });

  test("a foreign bearer token next to our key is ignored, and methods need none", async () => {
    const path = `/openai/deployments/${encodeURIComponent(route.model)}/chat/completions`;
    const headers = { "api-key": route.key, authorization: "Bearer eyJhbGciOi" };
    expect((await post(path, { messages: MESSAGES }, headers)).status).toBe(200);
    for (const each of [path, "/openai/responses", "/openai/v1/chat/completions"]) {
      const response = await rig.worker.fetch(each);
      expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
      await response.text();
    }
  });
});
