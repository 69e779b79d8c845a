/** Which requests go over the Responses API, where to, and how long an endpoint without it is remembered. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import type { Provider, TargetRequest } from "../../../src/providers/adapter.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { inChat } from "../../support/asked.ts";

const openai = findProvider("openai")!;
const azure = findProvider("azure")!;
const TOOLS = [{ type: "function", function: { name: "f" } }];
const MESSAGES = [{ role: "user", content: "Hi" }];

function requestOf(
  provider: Provider,
  secrets: Record<string, string>,
  more: Partial<TargetRequest> = {},
): TargetRequest {
  const config = provider.configure(secrets);
  if (config === null) throw new Error("not configured");
  const model = more.model ?? "gpt-5.6";
  return {
    ...{
      asked: askedInChat({ messages: MESSAGES, tools: TOOLS }),
      model,
      facts: findModel(provider.id, model) ?? {},
      params: {},
      config,
    },
    ...more,
  };
}

const chosen = (provider: Provider, request: TargetRequest): Provider => provider.forRequest?.(request) ?? provider;

async function urlOf(provider: Provider, request: TargetRequest): Promise<string> {
  const { asked, model, params, config } = request;
  const call = { ...inChat(asked.fields), stream: false, model, params, maxOutputTokens: undefined, config };
  return (await chosen(provider, request).adapter.toUpstream(call)).url;
}

const OPENAI = { OPENAI_API_KEY: "key" };
const AZURE = { AZURE_API_KEY: "key", AZURE_RESOURCE_NAME: "res" };

describe("addresses", () => {
  test.each<[string, Provider, Record<string, string>, string]>([
    ["OpenAI", openai, OPENAI, "https://api.openai.com/v1/responses"],
    [
      "the operator's base",
      openai,
      { ...OPENAI, OPENAI_BASE_URL: "https://gw.vendor.com/x/v1/" },
      "https://gw.vendor.com/x/v1/responses",
    ],
    ["Azure's v1 API", azure, AZURE, "https://res.openai.azure.com/openai/v1/responses"],
    [
      "its preview",
      azure,
      { ...AZURE, AZURE_API_VERSION: "preview" },
      "https://res.openai.azure.com/openai/v1/responses?api-version=preview",
    ],
    [
      "a dated version",
      azure,
      { ...AZURE, AZURE_API_VERSION: "2025-04-01-preview" },
      "https://res.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
    ],
  ])("%s", async (_, provider, secrets, url) => {
    expect(await urlOf(provider, requestOf(provider, secrets))).toBe(url);
  });
});

describe("which API serves", () => {
  // Only the answers of the other API have to be translated.
  const over = (more: Partial<TargetRequest>): boolean =>
    chosen(openai, requestOf(openai, OPENAI, more)).adapter.translation?.openReader !== undefined;
  const asking = (fields: object): Partial<TargetRequest> => ({
    asked: askedInChat({ messages: MESSAGES, ...fields }),
  });
  test.each<[string, Partial<TargetRequest>, boolean]>([
    ["tools", asking({ tools: TOOLS }), true],
    ["tools with an effort", asking({ tools: TOOLS, reasoning_effort: "high" }), true],
    ["legacy functions", asking({ functions: [{ name: "f" }] }), true],
    ["tools of the policy", { ...asking({}), params: { tools: TOOLS } }, true],
    ["the policy's effort none", { ...asking({ tools: TOOLS }), params: { reasoning_effort: "none" } }, false],
    [
      "an effort over the policy's none",
      { ...asking({ tools: TOOLS, reasoning_effort: "low" }), params: { reasoning_effort: "none" } },
      true,
    ],
    ["effort none", asking({ tools: TOOLS, reasoning_effort: "none" }), false],
    ["thinking switched off", asking({ tools: TOOLS, thinking: { type: "disabled" } }), false],
    ["reasoning switched off", asking({ tools: TOOLS, reasoning: { enabled: false } }), false],
    [
      "effort none of a model without it",
      { ...asking({ tools: TOOLS, reasoning_effort: "none" }), model: "gpt-6-astra" },
      true,
    ],
    ["no tools", asking({}), false],
    ["an empty list", asking({ tools: [] }), false],
    ["a model of before", { ...asking({ tools: TOOLS }), model: "gpt-5.2" }, false],
    ["a model that is not known", { ...asking({ tools: TOOLS }), model: "my-own" }, false],
    ["a dated name of it", { ...asking({ tools: TOOLS }), model: "gpt-5.4-2026-03-05" }, true],
  ])("%s", (_, more, expected) => {
    expect(over(more)).toBe(expected);
  });
});

describe("an endpoint without the path", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"] }));
  afterEach(() => void vi.useRealTimers());

  test("lacks tools for an hour, at that address and for that model", async () => {
    const here = requestOf(openai, { ...OPENAI, OPENAI_BASE_URL: "https://hour.vendor.com/v1" });
    const target = chosen(openai, here);
    expect(target.lacks?.(here.asked)).toBeNull();
    const error = { status: 404, headers: new Headers(), body: undefined };
    expect(target.adapter.classify(error)).toMatchObject({ class: "capability", tryNext: true, trySame: false });
    const again = chosen(openai, here);
    expect(again.lacks?.(here.asked)).toBe("tools");
    expect(again.refuses?.(here.asked, here.model)).toMatchObject({ param: "tools" });
    await expect(urlOf(openai, here)).rejects.toThrow();
    for (const other of [{ ...here, model: "gpt-5.5" }, requestOf(openai, OPENAI)]) {
      expect(chosen(openai, other).lacks?.(other.asked)).toBeNull();
    }
    vi.setSystemTime(Date.now() + 3_599_000);
    expect(chosen(openai, here).lacks?.(here.asked)).toBe("tools");
    vi.setSystemTime(Date.now() + 2_000);
    expect(chosen(openai, here).lacks?.(here.asked)).toBeNull();
  });
});
