import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { upstreamUrl } from "../../../src/lib/upstream-url.ts";
import { findProvider, isKnownProvider, providerIds } from "../../../src/providers/index.ts";
import { USER_AGENT } from "../../../src/providers/provider-settings.ts";
import { ROWS } from "../../../src/providers/rows.ts";

describe.each(ROWS.map((row) => [row.id, row] as const))("row %s", (id, row) => {
  test("is spelled as the contract wants it and names its source", () => {
    expect(id).toMatch(/^[a-z][a-z0-9-]*$/);
    expect(new URL(row.source).protocol).toBe("https:");
    for (const name of row.secrets) expect(name).toMatch(/^[A-Z][A-Z0-9_]+$/);
    expect(row.chatPath ?? "/chat/completions").toMatch(/^\/[a-z0-9/]+$/);
  });

  test("has a public https address, or none", () => {
    if (row.baseUrl === undefined) return;
    const filled = row.baseUrl.replace(/\{\w+\}/g, "account");
    expect(upstreamUrl(filled, "public")).toBe(filled);
  });

  test("is a provider, off without its secret and on with any one of its names", () => {
    const provider = findProvider(id);
    const variables = { CLOUDFLARE_ACCOUNT_ID: "account", ...(row.baseUrl === undefined ? address(id) : {}) };
    expect(provider?.id).toBe(id);
    expect(provider?.configure({})).toBeNull();
    expect(provider?.send).toBeUndefined();
    if (row.keyless !== true) {
      expect(row.secrets.length).toBeGreaterThan(0);
      expect(provider?.configure(variables)).toBeNull();
    }
    for (const name of row.secrets) {
      expect(provider?.configure({ ...variables, [name]: "key-1" })?.headers).toEqual({
        authorization: "Bearer key-1",
      });
      expect(provider?.configure({ ...variables, [name]: "key 1\r\nx: y" })).toBeNull();
    }
  });

  test("renames, drops and refuses nothing that it must forward", () => {
    const touched = [...Object.keys(row.rename ?? {}), ...(row.drop ?? []), ...(row.cannot ?? [])];
    for (const name of ["model", "messages", "stream", "max_tokens", "max_completion_tokens"]) {
      expect(touched).not.toContain(name);
    }
  });
});

function address(id: string): Record<string, string> {
  return { [`${id.toUpperCase()}_BASE_URL`]: "https://models.example-vendor.com/v1" };
}

test("ids are unique, and what is no id is unknown", () => {
  expect(new Set(providerIds()).size).toBe(providerIds().length);
  expect(providerIds()).toContain("sandbox");
  for (const id of ["__proto__", "constructor", "toString", "", "OpenAI"]) {
    expect(isKnownProvider(id)).toBe(false);
    expect(findProvider(id)).toBeUndefined();
  }
});

test("the user agent carries the version of the package", () => {
  const text = readFileSync(new URL("../../../package.json", import.meta.url).pathname, "utf8");
  expect(USER_AGENT).toBe(`flow-layer/${JSON.parse(text).version}`);
});

describe("configuration", () => {
  const openai = findProvider("openai");
  const key = { OPENAI_API_KEY: "key" };

  test.each<[string, Record<string, unknown>, string | undefined]>([
    ["the row's address", key, "https://api.openai.com/v1"],
    [
      "the operator's address",
      { ...key, OPENAI_BASE_URL: "https://proxy.vendor.com/v1/" },
      "https://proxy.vendor.com/v1",
    ],
    ["an empty override", { ...key, OPENAI_BASE_URL: "" }, "https://api.openai.com/v1"],
    ["a private override", { ...key, OPENAI_BASE_URL: "http://127.0.0.1:9/v1" }, undefined],
    [
      "a private override, allowed",
      { ...key, OPENAI_BASE_URL: "http://127.0.0.1:9/v1", FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" },
      "http://127.0.0.1:9/v1",
    ],
    [
      "a private override, allowed by another word",
      { ...key, OPENAI_BASE_URL: "http://127.0.0.1:9/v1", FLOW_ALLOW_PRIVATE_UPSTREAMS: "true" },
      undefined,
    ],
    ["an override that is no text", { ...key, OPENAI_BASE_URL: 7 }, undefined],
    ["an empty secret", { OPENAI_API_KEY: "" }, undefined],
    ["a secret that is no text", { OPENAI_API_KEY: {} }, undefined],
  ])("%s", (_, secrets, baseUrl) => {
    expect(openai?.configure(secrets)?.baseUrl).toBe(baseUrl);
  });

  test("an empty first name does not hide the second one", () => {
    const config = findProvider("zai")?.configure({ ZAI_API_KEY: "", ZHIPU_API_KEY: "second" });
    expect(config?.headers).toEqual({ authorization: "Bearer second" });
  });

  test("an account id is part of the path and cannot change the address", () => {
    const workersAi = findProvider("workers-ai");
    const token = { CLOUDFLARE_API_TOKEN: "token" };
    expect(workersAi?.configure({ ...token, CLOUDFLARE_ACCOUNT_ID: "abc123" })?.baseUrl).toBe(
      "https://api.cloudflare.com/client/v4/accounts/abc123/ai/v1",
    );
    for (const id of ["", "../../x", "a?b", "a/b", undefined]) {
      expect(workersAi?.configure({ ...token, CLOUDFLARE_ACCOUNT_ID: id })).toBeNull();
    }
    const override = { ...token, WORKERS_AI_BASE_URL: "https://gateway.vendor.com/v1" };
    expect(workersAi?.configure(override)?.baseUrl).toBe("https://gateway.vendor.com/v1");
  });

  test("a local server needs an address and no key", () => {
    const ollama = findProvider("ollama");
    const local = { OLLAMA_BASE_URL: "http://localhost:11434/v1", FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" };
    expect(ollama?.configure(local)).toEqual({ baseUrl: "http://localhost:11434/v1", headers: {} });
    expect(ollama?.configure({ ...local, OLLAMA_API_KEY: "k" })?.headers).toEqual({ authorization: "Bearer k" });
  });
});
