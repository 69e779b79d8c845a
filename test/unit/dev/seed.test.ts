import { expect, test } from "vitest";
import { findModel } from "../../../src/catalog/index.ts";
import { seedRoutes } from "../../../src/dev/seed.ts";
import { RoutePolicy } from "../../../src/policy/schema.ts";
import { findProvider } from "../../../src/providers/index.ts";

const none = () => false;
const all = () => true;

test.each([
  { name: "without a single secret", isSet: none },
  { name: "with every secret", isSet: all },
])("$name each route is a valid policy of known models that call tools, the sandbox twice at its end", ({ isSet }) => {
  const routes = seedRoutes(isSet);
  expect(Object.keys(routes)).toEqual(["best-reasoning", "fast-eval", "agent-reasoning"]);
  for (const policy of Object.values(routes)) {
    const { targets } = RoutePolicy.parse(policy);
    for (const { provider, model } of targets) {
      expect(findProvider(provider), provider).toBeDefined();
      expect(findModel(provider, model)?.capabilities, `${provider}/${model}`).toMatchObject({ tools: true });
    }
    expect(targets.slice(-2).map(({ provider }) => provider)).toEqual(["sandbox", "sandbox"]);
  }
});

test("a vendor comes before the sandbox as soon as its secret is set", () => {
  const routes = seedRoutes((secret) => secret === "GROQ_API_KEY");
  for (const { targets } of Object.values(routes)) {
    expect(targets.map(({ provider }) => provider)).toEqual(["groq", "sandbox", "sandbox"]);
  }
});

test("agents may search without approval", () => {
  expect(seedRoutes(none)["agent-reasoning"]?.tools).toEqual({ auto_approve: ["search_*"] });
});
