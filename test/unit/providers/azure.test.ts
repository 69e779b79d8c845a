import { describe, expect, test } from "vitest";
import type { AnswerContext, UpstreamRequest } from "../../../src/providers/adapter.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { inChat } from "../../support/asked.ts";
import { allFixtures, bytesOf, named } from "../../support/fixtures.ts";

const azure = findProvider("azure")!;
const CONTEXT: AnswerContext = {
  asked: askedInChat({}),
  model: "my-deployment",
  traceId: "tr_1",
  createdAt: 1_795_000_000,
};
const SECRETS = { AZURE_API_KEY: "key", AZURE_RESOURCE_NAME: "res" };
const FIXTURES = allFixtures().filter(({ provider }) => provider === "azure");

async function send(secrets: Record<string, unknown>, text: string, model = "my-deployment"): Promise<UpstreamRequest> {
  const config = azure.configure(secrets);
  if (config === null) throw new Error("not configured");
  const fields = JSON.parse(text);
  return azure.adapter.toUpstream({
    ...inChat(fields, text),
    stream: fields.stream === true,
    model,
    params: {},
    maxOutputTokens: undefined,
    config,
  });
}

const HELLO = '{"model":"flow/x","messages":[{"role":"developer","content":"hi"}]}';

describe("addresses", () => {
  test.each<{ name: string; secrets: Record<string, unknown>; model?: string; url: string }>([
    {
      name: "the v1 API",
      secrets: SECRETS,
      url: "https://res.openai.azure.com/openai/v1/chat/completions",
    },
    {
      name: "the operator's base, without a resource's name",
      secrets: { AZURE_API_KEY: "key", AZURE_BASE_URL: "https://res.services.ai.azure.com/openai/v1/" },
      url: "https://res.services.ai.azure.com/openai/v1/chat/completions",
    },
    {
      name: "a dated version: the deployment stands in the address",
      secrets: { ...SECRETS, AZURE_API_VERSION: "2024-10-21" },
      url: "https://res.openai.azure.com/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21",
    },
    {
      name: "a deployment's name cannot leave its place",
      secrets: { ...SECRETS, AZURE_API_VERSION: "2024-10-21" },
      model: "../a?b#c",
      url: "https://res.openai.azure.com/openai/deployments/..%2Fa%3Fb%23c/chat/completions?api-version=2024-10-21",
    },
    {
      name: "a dated version at the operator's base",
      secrets: { ...SECRETS, AZURE_API_VERSION: "2024-10-21", AZURE_BASE_URL: "https://gw.vendor.com/openai/v1" },
      url: "https://gw.vendor.com/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21",
    },
    {
      name: "the preview of the v1 API",
      secrets: { ...SECRETS, AZURE_API_VERSION: "preview" },
      url: "https://res.openai.azure.com/openai/v1/chat/completions?api-version=preview",
    },
    {
      name: "the older endpoint for other vendors' models",
      secrets: {
        AZURE_API_KEY: "key",
        AZURE_API_VERSION: "2024-05-01-preview",
        AZURE_BASE_URL: "https://res.services.ai.azure.com/models",
      },
      url: "https://res.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview",
    },
  ])("$name", async ({ secrets, model, url }) => {
    const request = await send(secrets, HELLO, model);
    expect(request.url).toBe(url);
    expect(request.headers["api-key"]).toBe("key");
    expect(request.headers["authorization"]).toBeUndefined();
  });

  test.each<[string, Record<string, unknown>]>([
    ["no key", { AZURE_RESOURCE_NAME: "res" }],
    ["no address", { AZURE_API_KEY: "key" }],
    ["a resource that is no name", { ...SECRETS, AZURE_RESOURCE_NAME: "evil.com/x" }],
    ["a version that is more than one", { ...SECRETS, AZURE_API_VERSION: "2024-10-21&x=y" }],
    ["a key with a line break", { ...SECRETS, AZURE_API_KEY: "key\n" }],
  ])("%s: not configured", (_, secrets) => {
    expect(azure.configure(secrets)).toBeNull();
  });
});

describe("requests", () => {
  const FIELDS = '"max_tokens":5,"stream":true,"x":9007199254740993';
  const text = (role: string): string => `{"model":"flow/x","messages":[{"role":"${role}","content":"hi"}],${FIELDS}}`;

  test("OpenAI's words, the deployment as model", async () => {
    const { body } = await send(SECRETS, text("developer"));
    expect(body).toBe(
      '{"model":"my-deployment","messages":[{"role":"developer","content":"hi"}],"max_completion_tokens":5,"stream":true,"x":9007199254740993,"stream_options":{"include_usage":true}}',
    );
  });

  test("a version from before the newer fields gets the older ones", async () => {
    const { body } = await send({ ...SECRETS, AZURE_API_VERSION: "2024-02-01" }, text("developer"));
    expect(body).toBe(`{"model":"my-deployment","messages":[{"role":"system","content":"hi"}],${FIELDS}}`);
  });
});

describe("answers", () => {
  const complete = (body: unknown) => azure.adapter.translation?.toCompletion?.(body, CONTEXT);

  test("streams are OpenAI's own", () => {
    expect(azure.adapter.translation?.openReader).toBeUndefined();
  });

  test.each(named(FIXTURES.filter(({ kind }) => kind === "json")))("$name", ({ fixture }) => {
    const body = JSON.parse(bytesOf(fixture).toString());
    const answer = complete(body);
    expect(answer).toMatchObject({
      ok: true,
      completion: {
        choices: [
          {
            message: { role: "assistant", content: fixture.expect.text },
            finish_reason: fixture.expect.finish_reason,
            content_filter_results: body.choices[0].content_filter_results,
          },
        ],
        usage: body.usage,
        prompt_filter_results: body.prompt_filter_results,
      },
    });
  });

  test("an answer that lacks nothing is given back as it is", () => {
    for (const [message, finish] of [
      [{ role: "assistant", content: "a" }, "stop"],
      [{ role: "assistant", content: null, tool_calls: [] }, "stop"],
      [{ role: "assistant", function_call: { name: "f", arguments: "{}" } }, "function_call"],
    ]) {
      const body = { choices: [{ index: 0, message, finish_reason: finish }] };
      const answer = complete(body);
      expect(answer?.ok === true && answer.completion === body).toBe(true);
    }
  });

  test("a choice without a message and without an end stays no answer", () => {
    const body = { choices: [{ index: 0 }] };
    expect(complete(body)).toEqual({ ok: true, completion: body });
  });
});

describe("errors", () => {
  const KINDS: Readonly<Record<string, object>> = {
    "content-filter": { class: "content_filter", param: "prompt" },
    "rate-limit": { class: "rate_limited", retryAfterMs: 6000, trySame: true },
    "429": { class: "rate_limited", retryAfterMs: 1000 },
    "unknown-deployment": { class: "auth", tryNext: true },
    "context-length": { class: "context_length", tryNext: true },
    "invalid-key": { class: "auth" },
  };

  test.each(named(FIXTURES.filter(({ kind }) => kind === "error")))("$name", ({ fixture }) => {
    const { status } = fixture;
    const body: unknown = JSON.parse(bytesOf(fixture).toString());
    const wanted = Object.entries(KINDS).find(([name]) => fixture.file.includes(name))?.[1];
    const failure = azure.adapter.classify({ status, headers: new Headers(fixture.headers), body });
    expect(failure).toMatchObject(wanted ?? { class: "no kind for this fixture" });
  });

  test.each<[number, string, string]>([
    [200, "RateLimitReached", "rate_limited"],
    [200, "content_filter", "content_filter"],
    [200, "server_error", "server_error"],
    [400, "OperationNotSupported", "auth"],
    [400, "unknown_model", "auth"],
    [403, "AccessDenied", "auth"],
    [500, "InternalServerError", "server_error"],
    [503, "ServiceUnavailable", "server_error"],
  ])("%d with %s is %s", (status, code, kind) => {
    const body = { error: { code, message: "m" } };
    expect(azure.adapter.classify({ status, headers: new Headers(), body }).class).toBe(kind);
  });
});
