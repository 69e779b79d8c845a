import { expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import { seedRoutes } from "../../../src/dev/seed.ts";
import { SEED_PROVIDERS } from "../../../src/dev/seed-providers.ts";
import { kindFault } from "../../../src/policy/embedding.ts";
import { RoutePolicy } from "../../../src/policy/schema.ts";
import { findProvider, providerIds } from "../../../src/providers/index.ts";
import { ROWS } from "../../../src/providers/rows.ts";

const none = () => false;
const all = () => true;

test.each([
  { name: "without a single provider", isConfigured: none },
  { name: "with every provider", isConfigured: all },
])("$name each route is a valid policy, the sandbox twice at its end", ({ isConfigured }) => {
  const routes = seedRoutes(isConfigured);
  const { embeddings: _, ...chat } = routes;
  expect(Object.keys(chat)).toEqual(["best-reasoning", "fast-eval", "agent-reasoning"]);
  for (const policy of Object.values(chat)) {
    const { targets } = RoutePolicy.parse(policy);
    for (const { provider } of targets) expect(findProvider(provider), provider).toBeDefined();
    expect(targets.slice(-2).map(({ provider }) => provider)).toEqual(["sandbox", "sandbox"]);
  }
});

/** Which models a server of the user's own has is not known here. */
const known = SEED_PROVIDERS.filter(({ asksServer }) => asksServer !== true);
test.each(known)("the models of $provider are in the catalogue", ({ provider, deep, fast, tools }) => {
  for (const model of [deep, fast]) {
    const facts = findModel(provider, model);
    expect(facts, `${provider}/${model}`).toBeDefined();
    if (tools !== false) expect(facts?.capabilities, `${provider}/${model}`).toMatchObject({ tools: true });
  }
});

test("every provider has a row, with the variables that configure it", () => {
  const sets = (needs: readonly (readonly string[])[]) => needs.map((set) => set.toSorted().join(" ")).toSorted();
  const rows = Object.fromEntries(SEED_PROVIDERS.map(({ provider, needs }) => [provider, sets(needs)]));
  const noChat = ROWS.filter(({ embedsOnly }) => embedsOnly === true).map(({ id }) => id);
  const registered = providerIds().filter((id) => id !== "sandbox" && !noChat.includes(id));
  const wanted = Object.fromEntries(registered.map((id) => [id, sets(findProvider(id)?.requires ?? [])]));
  expect(rows).toEqual(wanted);
});

test.each(SEED_PROVIDERS)("$provider comes before the sandbox as soon as it is configured", ({ provider, tools }) => {
  const { embeddings: _, ...chat } = seedRoutes((id) => id === provider);
  for (const [name, { targets }] of Object.entries(chat)) {
    const expected = name === "agent-reasoning" && tools === false ? [] : [provider];
    expect(targets.map((target) => target.provider)).toEqual([...expected, "sandbox", "sandbox"]);
  }
});

test("a server's own model takes the place of the table's", () => {
  const routes = seedRoutes((id) => id === "ollama", new Map([["ollama", "mine:8b"]]));
  expect(routes["fast-eval"]?.targets[0]).toEqual({ provider: "ollama", model: "mine:8b" });
});

test("the embedding route holds one space: the sandbox answers it only where no provider serves its model", () => {
  const targetsWith = (...ids: string[]) => {
    const { targets, ...policy } = seedRoutes((id) => ids.includes(id))["embeddings"]!;
    const parsed = RoutePolicy.parse({ ...policy, targets });
    const facts = parsed.targets.map(({ provider, model }) => findModel(provider, model) ?? {});
    expect(kindFault(parsed, facts, () => false)).toBeNull();
    return targets.map(({ provider }) => provider);
  };
  expect(targetsWith()).toEqual(["sandbox"]);
  expect(targetsWith("anthropic", "cohere")).toEqual(["sandbox"]);
  expect(targetsWith("azure", "openai")).toEqual(["openai", "azure"]);
});

test("agents may search without approval", () => {
  expect(seedRoutes(none)["agent-reasoning"]?.tools).toEqual({ auto_approve: ["search_*"] });
});
