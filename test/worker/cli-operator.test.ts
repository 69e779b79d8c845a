/** The operator's commands against the endpoints that they call: each once for people and once as JSON. */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chat } from "../support/operations.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";
import { folderOf, type Run, run } from "../unit/cli/harness.ts";

/** Has no price in the catalogue. */
const UNPRICED = "openai/in-house-9";

/** Before the first request. */
const PAST = new Date(Date.now() - 3_600_000).toISOString();

let worker: TestWorker;
let receiver: Server;
let address: string;
let key: CreatedKey;
let folder: Awaited<ReturnType<typeof folderOf>>;

beforeAll(async () => {
  receiver = createServer((request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(204).end());
  });
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/notices`;
  worker = await startWorker({ vars: { OPENAI_API_KEY: "sk-canary-operator" } });
  folder = await folderOf({ "broken.ndjson": "{}\n", "draft.json": { targets: [{ provider: "groq", model: "x" }] } });
  await worker.putRoute("production", "deep", { targets: [{ provider: "sandbox", model: "deep-1" }] });
  const space = { targets: [{ provider: "sandbox", model: "vectors" }], embedding: { space: "vectors" } };
  await worker.putRoute("production", "vectors", space);
  const [provider, model] = UNPRICED.split("/");
  await worker.putRoute("production", "house", { targets: [{ provider, model }] });
  key = await worker.createKey({ name: "counted" });
  const answer = await chat(worker, key.key);
  expect([answer.status, (await answer.text()).length > 0]).toEqual([200, true]);
});
afterAll(async () => {
  await worker.stop();
  await folder.remove();
  receiver.close();
});

async function flowAt({ url, adminToken }: TestWorker, argv: readonly string[]): Promise<Run> {
  const variables = { FLOW_LAYER_URL: url, FLOW_ADMIN_TOKEN: adminToken, COLUMNS: "200" };
  const ended = await run(argv, { variables, directory: folder.directory });
  expect(ended.out + ended.err).not.toContain(adminToken);
  return ended;
}

interface Step {
  readonly argv: string;
  /** Parts of what people read, in their order on the standard output. */
  readonly shows: readonly string[];
  /** What the JSON holds at least. */
  readonly json: unknown;
}

/** In this order: later ones look at what earlier ones did. What removes runs once, in `REMOVALS`. */
const STEPS: readonly Step[] = [
  {
    argv: "budgets set team --limit 500/month --app web --time-zone Europe/Berlin",
    shows: ["limit_usd", "500", "scope", "app web", "spent_usd", "0", "remaining_usd", "500"],
    json: { id: "team", scope: { app: "web" }, limit_usd: 500, time_zone: "Europe/Berlin", on_exceeded: "deny" },
  },
  {
    argv: "budgets set all --limit 900.5/week --notify",
    shows: ["scope", "everything"],
    json: { id: "all", scope: {}, period: "week", on_exceeded: "notify", status: { remaining_usd: 900.5 } },
  },
  // What is not named stays: a budget that forgot its scope would be everybody's.
  {
    argv: "budgets set team --limit 600/month",
    shows: ["limit_usd", "600", "scope", "app web"],
    json: { id: "team", scope: { app: "web" }, limit_usd: 600, time_zone: "Europe/Berlin", on_exceeded: "deny" },
  },
  {
    argv: "budgets set team --notify --env production",
    shows: ["limit_usd", "600", "notify", "scope", "env production"],
    json: { scope: { app: "web", env: "production" }, limit_usd: 600, period: "month", on_exceeded: "notify" },
  },
  {
    argv: "budgets set team --replace --limit 500/month --app web",
    shows: ["limit_usd", "500"],
    json: { scope: { app: "web" }, limit_usd: 500, on_exceeded: "deny" },
  },
  {
    argv: "budgets",
    shows: ["ID", "SCOPE", "LIMIT", "SPENT", "LEFT", "RESETS", "everything", "$900.50/week"],
    json: { object: "list", data: expect.arrayContaining([expect.objectContaining({ id: "team" })]) },
  },
  { argv: "budgets get team", shows: ["team", "resets_at"], json: { id: "team", status: { leased_usd: 0 } } },
  {
    argv: `prices set ${UNPRICED} --input 2 --output 8.5 --cache-read 0.5 --valid-until 130h`,
    shows: ["operator", "ROW", "INPUT/M", "UNTIL", "$2.00", "$8.50", "in 5d"],
    json: { source: "operator", input: 2, output: 8.5, cache_read: 0.5, set: { input: 2 } },
  },
  { argv: `prices get ${UNPRICED}`, shows: ["source", "operator", "ROW"], json: { provider: "openai", output: 8.5 } },
  {
    argv: "prices get openai/gpt-4.1-mini",
    shows: ["source", "catalogue", "input", "0.4"],
    json: { source: "catalogue", input: 0.4, rows: [] },
  },
  { argv: "prices", shows: ["MODEL", "INPUT/M", UNPRICED, "$2.00", "operator"], json: { data: [{ output: 8.5 }] } },
  {
    argv: "prices --watch",
    shows: ["REASON", "UNTIL", "ROUTES", UNPRICED, "ending", "in 5d", "production/house"],
    json: { data: expect.arrayContaining([expect.objectContaining({ model: "in-house-9", reason: "ending" })]) },
  },
  {
    argv: "webhooks",
    shows: ["URL", "EVENTS", "STATUS", "ops", "/notices", "route.published,key.expiring", "active"],
    json: { data: [{ id: "ops", disabled_at: null }] },
  },
  { argv: "webhooks test ops", shows: ["status", "delivered"], json: { status: "delivered", last_status: 204 } },
  {
    argv: "webhooks deliveries ops",
    shows: ["ID", "EVENT", "STATUS", "HTTP", "delivered", "204"],
    json: { data: expect.arrayContaining([expect.objectContaining({ status: "delivered", tries: 1 })]) },
  },
  { argv: "webhooks rotate ops", shows: ["secret", "whsec_"], json: { id: "ops", secret: expect.any(String) } },
  {
    argv: "routes explain production/deep --message hi",
    shows: ["ORDER", "TARGET", "STATE", "1 ", "sandbox/deep-1", "first", "admission", "ok true"],
    json: { route_version: 1, targets: [{ order: 1, state: "first" }], admission: { ok: true } },
  },
  {
    argv: "routes explain production/deep --api messages",
    shows: ["sandbox/deep-1"],
    json: { targets: [{ order: 1 }] },
  },
  {
    argv: "routes explain production/deep --api responses",
    shows: ["sandbox/deep-1"],
    json: { targets: [{ order: 1 }] },
  },
  { argv: "routes explain production/vectors --api embeddings", shows: ["first"], json: { targets: [{ order: 1 }] } },
  {
    argv: "routes explain production/deep --policy draft.json --at 2026-11-30",
    shows: ["groq/x", "out", "not_configured"],
    json: { targets: [{ order: null, state: "out" }] },
  },
  {
    argv: "providers disable groq --reason dispute --until 2h -y",
    shows: ["target", "groq", "disabled", "dispute", "until"],
    json: { id: "groq", disabled: { reason: "dispute", until: expect.any(String) } },
  },
  {
    argv: "providers disable sandbox/deep-1 --reason drill -y",
    shows: ["sandbox/deep-1", "disabled", "drill"],
    json: { id: "sandbox", model: "deep-1", disabled: { reason: "drill", until: null } },
  },
  {
    argv: "providers --all",
    shows: ["PROVIDER", "DISABLED", "dispute (until ", "TARGET", "BREAKER", "TOTAL P95", "sandbox/deep-1", "drill"],
    json: { data: expect.arrayContaining([expect.objectContaining({ id: "groq", configured: false })]) },
  },
  {
    argv: "providers enable sandbox/deep-1 --reason over",
    shows: ["sandbox/deep-1", "state", "enabled"],
    json: { id: "sandbox", model: "deep-1", disabled: null },
  },
  { argv: "providers enable groq", shows: ["groq", "enabled"], json: { id: "groq", disabled: null } },
  {
    argv: "status",
    shows: ["version", "catalogue", "CHECK", "OK", "kv", "yes", "control", "ledgers", "secrets:sandbox"],
    json: { ok: true, checks: expect.arrayContaining([expect.objectContaining({ name: "kv", ok: true })]) },
  },
];

async function both(argv: readonly string[]): Promise<{ readonly shown: Run; readonly value: unknown }> {
  const shown = await flowAt(worker, argv);
  const asJson = await flowAt(worker, [...argv, "--json"]);
  expect([shown.code, asJson.code], shown.err + asJson.err).toEqual([0, 0]);
  return { shown, value: JSON.parse(asJson.out) };
}

/** That `parts` stand in `text` in this order. */
function expectInOrder(text: string, parts: readonly string[]): void {
  let at = 0;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    expect(found, `${part} in ${text}`).toBeGreaterThanOrEqual(0);
    at = found + part.length;
  }
}

describe("for people and as JSON", () => {
  test("webhooks set: the secret is shown the first time and not again", async () => {
    const set = ["webhooks", "set", "ops", "--target", address, "--event", "route.published,key.expiring"];
    const first = await flowAt(worker, set);
    expect(first).toMatchObject({
      code: 0,
      out: expect.stringContaining("whsec_"),
      err: expect.stringContaining("once"),
    });
    const { value } = await both(set);
    expect(value).toMatchObject({ id: "ops", events: ["route.published", "key.expiring"] });
    expect(JSON.stringify(value)).not.toContain("whsec_");
  });

  test.each(STEPS)("$argv", async ({ argv, shows, json }) => {
    const { shown, value } = await both(argv.split(" "));
    expectInOrder(shown.out, shows);
    expect(value).toMatchObject(json as object);
  });

  test("keys pause, and back", async () => {
    const paused = await both(["keys", "pause", key.id]);
    expectInOrder(paused.shown.out, ["status", "paused"]);
    expect(paused.value).toMatchObject({ id: key.id, status: "paused" });
    expect((await both(["keys", "pause", key.id, "--resume"])).value).toMatchObject({ status: "active" });
  });

  test("spend, by one group, by two and a day, and as CSV", async () => {
    const rows = async (): Promise<string> => (await flowAt(worker, ["spend", "--json"])).out;
    await expect.poll(rows, { timeout: 10_000 }).toContain('"flow/deep"');
    const byRoute = await both(["spend"]);
    expectInOrder(byRoute.shown.out, ["GROUP", "REQUESTS", "COST", "flow/deep", "1", "total $", "as of"]);
    expect(byRoute.value).toMatchObject({ object: "spend", group_by: ["route"], data: [{ requests: 1 }] });
    const byDay = await both(["spend", "--group-by", "key,model", "--bucket", "day", "--since", "2d"]);
    expectInOrder(byDay.shown.out, ["START", new Date().toISOString().slice(0, 7), "counted,", "deep-1"]);
    expect(byDay.value).toMatchObject({ data: [{ names: { key: "counted" }, group: { model: "deep-1" } }] });
    const csv = await flowAt(worker, ["spend", "--group-by", "key", "--csv"]);
    expect(csv).toMatchObject({ code: 0, out: expect.stringMatching(/^key,key_name,requests,.*\r?\n.*,counted,1,/) });
  });
});

test("prices set changes what it names, and keeps tiers that were set over HTTP", async () => {
  const path = "/admin/prices/openai/tiered-1";
  const tiers = [{ above_input_tokens: 200_000, input: 4, output: 16 }];
  const body = {
    input: 2,
    output: 8,
    cache_read: 0.2,
    audio_in: 9,
    tiers,
    service_tiers: { priority: 2 },
    per_request: 0.01,
  };
  expect((await worker.admin(path, { method: "PUT", body })).status).toBe(200);
  const set = await flowAt(worker, ["prices", "set", "openai/tiered-1", "--output", "10", "--audio-out", "20"]);
  expect(set).toMatchObject({ code: 0, err: expect.stringContaining("Kept as they were: input, cache_read") });
  const price = await (await worker.admin(path)).json();
  expect(price).toMatchObject({ ...body, output: 10, audio_out: 20 });
  const replaced = ["prices", "set", "openai/tiered-1", "--input", "1", "--output", "2", "--replace"];
  expect(await flowAt(worker, replaced)).toMatchObject({ code: 0, err: expect.not.stringContaining("Kept") });
  const after = (await (await worker.admin(path)).json()) as Record<string, unknown>;
  expect(after).toMatchObject({ input: 1, output: 2 });
  for (const name of ["cache_read", "tiers", "service_tiers", "per_request"]) expect(after).not.toHaveProperty(name);
  expect(await flowAt(worker, ["prices", "set", "openai/tiered-2", "--input", "1"])).toMatchObject({ code: 1 });
});

test("spend reprice says what would change, changes it after a yes, and finds nothing the second time", async () => {
  const set = ["prices", "set", "sandbox/deep-1", "--input", "100", "--output", "100", "--valid-from", PAST];
  expect((await flowAt(worker, set)).code).toBe(0);
  const words = ["spend", "reprice", "sandbox/deep-1", "--since", "1h"];
  const tried = await both([...words, "--dry-run"]);
  expectInOrder(tried.shown.out, ["status", "done", "dry_run", "true", "charges", "1", "difference_usd"]);
  const { before_usd, after_usd } = tried.value as Record<string, number>;
  expect([before_usd, after_usd]).toEqual([0, expect.any(Number)]);
  expect(after_usd).toBeGreaterThan(0);
  expect((await flowAt(worker, words)).code).toBe(2);
  const corrected = JSON.parse((await flowAt(worker, [...words, "-y", "--json"])).out);
  expect(corrected).toMatchObject({ status: "done", dry_run: false, difference_usd: after_usd });
  expect(JSON.parse((await flowAt(worker, [...words, "-y", "--json"])).out)).toMatchObject({ difference_usd: 0 });
  expect((await flowAt(worker, ["prices", "delete", "sandbox/deep-1", "-y"])).code).toBe(0);
});

const REMOVALS = [
  { argv: "budgets delete team", path: "/admin/budgets/team" },
  { argv: `prices delete ${UNPRICED}`, path: `/admin/prices/${UNPRICED}` },
  { argv: "webhooks delete ops", path: "/admin/webhooks/ops" },
];

test.each(REMOVALS)("$argv removes, after a yes and once", async ({ argv, path }) => {
  const words = argv.split(" ");
  expect((await flowAt(worker, words)).code).toBe(2);
  expect(await flowAt(worker, [...words, "--yes"])).toMatchObject({
    code: 0,
    out: expect.stringContaining("Deleted: "),
  });
  expect((await worker.admin(path)).status).toBe(404);
  expect(await flowAt(worker, [...words, "--yes"])).toMatchObject({ code: 1, err: expect.stringContaining("404") });
});

const REFUSALS = [
  { argv: "budgets get none", err: "404 not_found" },
  { argv: "budgets set none --notify", err: "Say --limit" },
  { argv: "budgets set none --limit 5/month --notify --deny", err: "exclude each other" },
  { argv: "budgets set b --limit 5/month --tag team:web", err: "spend_tags" },
  { argv: "budgets set b --limit 5/month --key 000000000000", err: "scope.keys[0]" },
  { argv: "prices get openai/none-at-all", err: "404 not_found" },
  { argv: "prices set nobody/x --input 1 --output 1", err: "No provider has the id" },
  { argv: "spend --group-by planet", err: "group_by" },
  { argv: "spend --group-by planet --csv", err: "group_by" },
  { argv: "webhooks set w --target http://example.com/x --event key.expiring", err: "https" },
  { argv: "webhooks set w --target https://example.com/x --event key.lost", err: "events" },
  { argv: "webhooks deliveries none", err: "404 not_found" },
  { argv: "webhooks test none", err: "404 not_found" },
  { argv: "routes explain production/none", err: "404" },
  { argv: "routes explain production/deep --key 000000000000", err: "404 not_found" },
  { argv: "providers disable nobody --reason x -y", err: "404 not_found" },
  { argv: "providers disable groq --reason x --until 2020-01-01 -y", err: "until" },
  { argv: "keys pause 000000000000", err: "404" },
  { argv: "spend reprice sandbox/deep-1 --since 500d --dry-run", err: "400 range_not_kept" },
  { argv: "spend reprice sandbox --since 1h --dry-run", err: "<provider>/<model>" },
  { argv: "spend reprice sandbox/deep-1 --dry-run", err: "--since" },
  { argv: "import broken.ndjson -y", err: "Line 1" },
];

test.each(REFUSALS)("$argv is refused with the reason", async ({ argv, err }) => {
  const refused = await flowAt(worker, argv.split(" "));
  expect([refused.code, refused.out, refused.err]).toEqual([1, "", expect.stringContaining(err)]);
});

test("an export goes to a file, once, and a fresh host is made from it", async () => {
  const out = await flowAt(worker, ["export"]);
  expect(out.out).toMatch(/^\{"kind":"flow-layer-export","schema":1,/);
  expect(await flowAt(worker, ["export", "all.ndjson"])).toMatchObject({ code: 0, out: "" });
  const lines = (await readFile(join(folder.directory, "all.ndjson"), "utf8")).trim().split("\n");
  expect(lines.length).toBeGreaterThan(4);
  expect(await flowAt(worker, ["export", "all.ndjson"])).toMatchObject({
    code: 1,
    err: expect.stringContaining("exists"),
  });
  expect(await flowAt(worker, ["import", "all.ndjson", "-y"])).toMatchObject({
    code: 1,
    err: expect.stringContaining("409 not_empty"),
  });
  const fresh = await startWorker();
  try {
    expect((await flowAt(fresh, ["import", "all.ndjson"])).code).toBe(2);
    const imported = await flowAt(fresh, ["import", "all.ndjson", "-y"]);
    expect(imported.code, imported.err).toBe(0);
    expectInOrder(imported.out, ["imported", "key 1", "route 3"]);
    expect((await flowAt(fresh, ["keys", "list"])).out).toContain(key.id);
  } finally {
    await fresh.stop();
  }
});

test("a host that misses a provider's secret fails its status, and names the secret", async () => {
  const bare = await startWorker();
  try {
    await bare.putRoute("production", "far", { targets: [{ provider: "openai", model: "gpt-4.1-mini" }] });
    const shown = await flowAt(bare, ["status"]);
    expect(shown.code).toBe(1);
    expectInOrder(shown.out, ["secrets:openai", "NO", "OPENAI_API_KEY"]);
    const asJson = await flowAt(bare, ["status", "--json"]);
    expect([asJson.code, JSON.parse(asJson.out)]).toMatchObject([1, { ok: false }]);
  } finally {
    await bare.stop();
  }
});
