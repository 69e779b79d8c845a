/** wrangler.toml, package.json and what is said of them: the ways to deploy must not drift apart. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";

const ROOT = new URL("../..", import.meta.url).pathname;
const read = (name: string): string => readFileSync(join(ROOT, name), "utf8");
const config = join(ROOT, "wrangler.toml");
const [free, production] = [readConfig({ config }), readConfig({ config, env: "production" })];
const manifest = JSON.parse(read("package.json")) as {
  readonly repository: { readonly url: string };
  readonly cloudflare: { readonly bindings: Readonly<Record<string, { readonly description: string }>> };
  readonly version: string;
};

const HARDENED = ["workers_dev", "limits", "targetEnvironment", "userConfigPath", "definedEnvironments", "previews"];

test("production is the same Worker with the same bindings, and differs in its hardening alone", () => {
  expect(production.name).toBe(free.name);
  for (const [name, value] of Object.entries(free)) {
    if (!HARDENED.includes(name)) expect(Reflect.get(production, name), name).toEqual(value);
  }
  expect(production.durable_objects.bindings.length).toBeGreaterThan(0);
});

test("the free plan takes the top level, and production closes the second address", () => {
  expect([free.workers_dev, free.limits]).toEqual([true, undefined]);
  expect([production.workers_dev, production.limits]).toEqual([false, { cpu_ms: 5_000 }]);
  expect([free.upload_source_maps, free.observability?.head_sampling_rate]).toEqual([true, 1]);
});

test("the deploy button leads to this repository", () => {
  const repository = manifest.repository.url.replace(/^git\+/, "").replace(/\.git$/, "");
  expect(read("README.md")).toContain(`https://deploy.workers.cloudflare.com/?url=${repository})`);
});

test("the button asks for exactly the secrets that a deployment cannot do without, and describes them", () => {
  const asked = [...read(".dev.vars.example").matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]);
  expect(asked).toEqual([
    ["FLOW_KEY_PEPPER", ""],
    ["FLOW_ADMIN_TOKEN", ""],
  ]);
  for (const [name = ""] of asked)
    expect(manifest.cloudflare.bindings[name]?.description, name).toMatch(/^Secret|^Token/);
});

test("workflows name the Node of .nvmrc, and every action by its hash", () => {
  for (const name of ["ci", "deploy", "policies"]) {
    const text = read(`.github/workflows/${name}.yml`);
    for (const [, use = ""] of text.matchAll(/uses: (\S+)/g)) expect(use).toMatch(/@[0-9a-f]{40}$/);
  }
});
