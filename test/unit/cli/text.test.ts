import fc from "fast-check";
import { expect, test } from "vitest";
import { completionWords } from "../../../src/cli/completion.ts";
import { ROOT } from "../../../src/cli/root.ts";
import type { CommandSpec } from "../../../src/cli/spec.ts";
import { table } from "../../../src/cli/table.ts";
import { clip, displayWidth, relativeTime, safe, timeOf, usdText } from "../../../src/cli/text.ts";
import { fakeHost, listOf, run } from "./harness.ts";

const NOW = Date.parse("2026-11-30T12:00:00Z");

test.each([
  { text: "abc", width: 3 },
  { text: "日本語", width: 6 },
  { text: "👩‍💻", width: 2 },
  { text: "é", width: 1 },
  { text: "ｶ", width: 1 },
])("`$text` takes $width columns", ({ text, width }) => {
  expect(displayWidth(text)).toBe(width);
  expect(safe(text)).toBe(text);
});

test.each([
  { usd: 0, text: "$0" },
  { usd: 12.5, text: "$12.50" },
  { usd: -12.5, text: "-$12.50" },
  { usd: 0.25, text: "$0.2500" },
  { usd: -0.00012, text: "-$0.00012" },
])("$usd USD is $text", ({ usd, text }) => {
  expect(usdText(usd)).toBe(text);
});

test("a joiner that joins no emoji is spelled out", () => {
  expect(safe("a\u200db")).toBe("a\\u200db");
  expect(safe("👩\u200d")).toBe("👩\\u200d");
});

test("what is cut fits, whatever it is made of", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), fc.integer({ min: 2, max: 40 }), (text, columns) => {
      expect(displayWidth(clip(text, columns))).toBeLessThanOrEqual(columns);
    }),
  );
});

test.each([
  ["2026-11-30T11:55:00Z", "5m ago"],
  ["2026-11-28T12:00:00Z", "2d ago"],
  ["2026-11-30T14:00:00Z", "in 2h"],
  ["no time", null],
])("%s is %s", (text, shown) => expect(relativeTime(text, NOW)).toBe(shown));

test.each([
  ["1h", false, "2026-11-30T11:00:00.000Z"],
  ["30d", true, "2026-12-30T12:00:00.000Z"],
  ["2026-12-01", false, "2026-12-01T00:00:00.000Z"],
  ["soon", false, null],
])("the time %s", (text, isAhead, found) => expect(timeOf(text, NOW, isAhead)).toBe(found));

test("a table fits its terminal: spare columns go, long ones are cut, ids stay whole", () => {
  const rows = [{ id: "tr_D73nb1o3TdX40VcUpCcle6HS01kWA1TR", text: "日本語".repeat(40), more: "x".repeat(50) }];
  const columns = [
    { title: "ID", value: ({ id }: (typeof rows)[0]) => id, whole: true },
    { title: "TEXT", value: ({ text }: (typeof rows)[0]) => text },
    { title: "MORE", value: ({ more }: (typeof rows)[0]) => more, spare: 1 },
  ];
  const lines = table(columns, rows, "", { columns: 80, hasColour: false, now: NOW }).trimEnd().split("\n");
  for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(80);
  expect(lines[1]).toContain("tr_D73nb1o3TdX40VcUpCcle6HS01kWA1TR");
  expect(lines[0]).not.toContain("MORE");
  expect(table(columns, rows, "", { columns: null, hasColour: false, now: NOW })).toContain("x".repeat(50));
});

test("an amount is never cut: it would be another amount", () => {
  const rows = [{ id: "openrouter/a-model-with-a-long-name", input: 30, output: 1_150.25 }];
  const columns = [
    { title: "MODEL", value: ({ id }: (typeof rows)[0]) => id, whole: true },
    { title: "INPUT/M", value: ({ input }: (typeof rows)[0]) => input, as: "usd" as const },
    { title: "OUTPUT/M", value: ({ output }: (typeof rows)[0]) => output, as: "usd" as const },
  ];
  const text = table(columns, rows, "", { columns: 50, hasColour: false, now: NOW });
  expect(text).toContain(usdText(1_150.25));
  expect(text).not.toContain("…");
});

test("the trail fits 80 columns", async () => {
  const trace = {
    ...{
      id: "tr_D73nb1o3TdX40VcUpCcle6HS01kWA1TR",
      created_at: new Date().toISOString(),
      env: "production",
      app: "studio",
    },
    ...{
      route: "flow/best-reasoning",
      status: "error",
      http_status: 502,
      error_code: "upstream_failed",
      fallback: true,
    },
    ...{
      provider: "fireworks",
      model: "accounts/fireworks/models/glm-5p2",
      latency: { total_ms: 1234 },
      cost_usd: 0.0123,
    },
  };
  const { out } = await run(["traces"], { fetch: fakeHost({ "GET /admin/traces": { body: listOf(trace) } }).fetch });
  for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  expect(out).toContain(trace.id);
});

const words = (...given: string[]): string[] => completionWords(ROOT, given);

test("completions know the commands and the options", () => {
  expect(words("rou")).toEqual(["routes"]);
  expect(words("routes", "pro")).toEqual(["promote"]);
  expect(words("keys", "create", "--bud")).toEqual(["--budget"]);
  expect(words("traces", "--js")).toEqual(["--json"]);
  expect(words("--json", "keys", "res")).toEqual(["resume"]);
});

/** Every command, and every group of them. */
function paths(spec: CommandSpec, path: readonly string[] = []): string[][] {
  return [[...path], ...(spec.commands ?? []).flatMap((each) => paths(each, [...path, each.name.split(" ")[0] ?? ""]))];
}

test.each(paths(ROOT).map((path) => ({ path })))("`$path` has help of its own, which fits", async ({ path }) => {
  const { code, out } = await run([...path, "--help"]);
  expect([code, out]).toEqual([0, expect.stringContaining(["Usage: flow-layer", ...path].join(" "))]);
  for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
});

test.each(["prices", "budgets", "webhooks", "approvals", "providers"])("`%s list` is `%s`", async (group) => {
  const [path, body] = [`GET /admin/${group}`, listOf()];
  const [short, long] = await Promise.all(
    [[group], [group, "list"]].map((argv) => run(argv, { fetch: fakeHost({ [path]: { body } }).fetch })),
  );
  expect(short?.code).toBe(0);
  expect(long).toEqual(short);
});

test("a version says where it comes from in one short line", async () => {
  const gates = [{ name: "min_requests", wanted: 20, measured: 20, passed: true }];
  const origin = { kind: "promotion", from: { env: "staging", version: 4 }, gates, evidence: { requests: 20 } };
  const body = { env: "production", name: "support", version: 2, active: true, actor: "ann", origin, policy: {} };
  const { out } = await run(["routes", "get", "production/support"], {
    fetch: fakeHost({ "GET /admin/routes/production/support": { body } }).fetch,
  });
  expect(out).toMatch(/^origin +promotion of staging@4$/m);
});

test("a route that is not there leads to the list", async () => {
  const message = "No such route or version. GET /admin/routes lists the routes.";
  const body = { error: { message, code: "not_found" } };
  const { err } = await run(["routes", "get", "production/supprt"], {
    fetch: fakeHost({ "GET /admin/routes/production/supprt": { status: 404, body } }).fetch,
  });
  expect(err).toContain("In this command: routes list");
});

test.each([
  { command: "pause", status: "paused" },
  { command: "resume", status: "active" },
])("`keys $command` makes a key $status", async ({ command, status }) => {
  const host = fakeHost({ "PATCH /admin/keys/k1": { body: { id: "k1", status } } });
  expect((await run(["keys", command, "k1"], { fetch: host.fetch })).code).toBe(0);
  expect(host.calls).toMatchObject([{ method: "PATCH", body: { status } }]);
});

test("a decision says how a request that gave up waiting goes on", async () => {
  const body = { tool_call_id: "call_1", name: "send", status: "approved", trace_id: "tr_7" };
  const { err } = await run(["approvals", "approve", "call_1"], {
    fetch: fakeHost({ "POST /admin/approvals/call_1": { body } }).fetch,
  });
  expect(err).toContain('"route": {"resume": "tr_7"}');
});
