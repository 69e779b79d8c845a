/** What a provider says it needs, against what it can be configured with. */
import { expect, test } from "vitest";
import { findProvider, missingNames, providerIds } from "../../../src/providers/index.ts";
import { baseUrlName } from "../../../src/providers/provider-settings.ts";

const usableValue = (name: string): string => (name.endsWith("_BASE_URL") ? "https://api.vendor.com/v1" : "1");

/** Every choice of `names`, as variables. */
function choices(names: readonly string[]): Record<string, string>[] {
  return Array.from({ length: 2 ** names.length }, (_, bits) =>
    Object.fromEntries(names.filter((_name, at) => (bits >> at) & 1).map((name) => [name, usableValue(name)])),
  );
}

test.each(providerIds())("%s lacks no name exactly when it can be called", (id) => {
  const provider = findProvider(id);
  if (provider === undefined) throw new Error("The registry does not know its own id.");
  const names = [...new Set([...provider.requires.flat(), baseUrlName(id)])];
  for (const secrets of choices(names)) {
    const missing = missingNames(provider, secrets);
    expect({ secrets, can: missing.length === 0 }).toEqual({ secrets, can: provider.configure(secrets) !== null });
    // Setting them is what it takes, and none of them is there already.
    const mended = { ...secrets, ...Object.fromEntries(missing.map((name) => [name, usableValue(name)])) };
    expect(provider.configure(mended)).not.toBeNull();
    expect(missing.filter((name) => name in secrets)).toEqual([]);
  }
});

test.each([
  { id: "openai", set: [], missing: ["OPENAI_API_KEY"] },
  { id: "google", set: [], missing: ["GEMINI_API_KEY"] },
  { id: "zai", set: [], missing: ["ZAI_API_KEY"] },
  { id: "zai", set: ["ZHIPU_API_KEY"], missing: [] },
  { id: "ollama", set: [], missing: ["OLLAMA_BASE_URL"] },
  { id: "workers-ai", set: [], missing: ["CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID"] },
  { id: "workers-ai", set: ["WORKERS_AI_BASE_URL"], missing: ["CLOUDFLARE_API_TOKEN"] },
  { id: "azure", set: ["AZURE_API_KEY"], missing: ["AZURE_RESOURCE_NAME"] },
  { id: "bedrock", set: [], missing: ["AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION"] },
  { id: "bedrock", set: ["AWS_REGION", "AWS_ACCESS_KEY_ID"], missing: ["AWS_SECRET_ACCESS_KEY"] },
  { id: "sandbox", set: [], missing: ["FLOW_SANDBOX"] },
])("$id with $set set names $missing", ({ id, set, missing }) => {
  const provider = findProvider(id);
  const secrets = Object.fromEntries(set.map((name) => [name, usableValue(name)]));
  expect(provider && missingNames(provider, secrets)).toEqual(missing);
});

test("an empty variable is a missing one, and one that cannot be used is not", () => {
  const provider = findProvider("openai");
  expect(provider && missingNames(provider, { OPENAI_API_KEY: "" })).toEqual(["OPENAI_API_KEY"]);
  const broken = { OPENAI_API_KEY: "two\nlines" };
  expect(provider && missingNames(provider, broken)).toEqual([]);
  expect(provider?.configure(broken)).toBeNull();
});
