import { expect, test } from "vitest";
import { indexEntry, matches, newRecord, toPage, toTargetUses } from "../../../src/control/rows.ts";
import { KeyRecord } from "../../../src/keys/record.ts";
import { RouteIndex, RoutePolicy, type RouteRecord } from "../../../src/policy/schema.ts";

test.each([
  { name: "no If-Match accepts any state", ifMatch: undefined, activeVersion: 0, wanted: true },
  { name: "the version seen is the active one", ifMatch: "3", activeVersion: 3, wanted: true },
  { name: "an older version is refused", ifMatch: "2", activeVersion: 3, wanted: false },
  { name: "a route that is gone is refused", ifMatch: "3", activeVersion: 0, wanted: false },
  { name: "0 means that the route must not exist", ifMatch: "0", activeVersion: 0, wanted: true },
  { name: "* means that it must exist", ifMatch: "*", activeVersion: 0, wanted: false },
  { name: "* accepts any version", ifMatch: "*", activeVersion: 9, wanted: true },
  { name: "another spelling of the number is another tag", ifMatch: "03", activeVersion: 3, wanted: false },
])("$name", ({ ifMatch, activeVersion, wanted }) => {
  expect(matches(ifMatch, activeVersion)).toBe(wanted);
});

const rows = [9, 7, 4].map((seq) => ({ seq, record: "x".repeat(10) }));

test.each([
  { name: "a full last page has no cursor", rows, limit: 3, seqs: [9, 7, 4], nextCursor: null },
  { name: "one row more than the limit gives a cursor", rows, limit: 2, seqs: [9, 7], nextCursor: 7 },
  { name: "an empty page has no cursor", rows: [], limit: 2, seqs: [], nextCursor: null },
  {
    name: "large rows end a page early",
    rows: rows.map(({ seq }) => ({ seq, record: "x".repeat(3_000_000) })),
    limit: 3,
    seqs: [9],
    nextCursor: 9,
  },
])("$name", ({ rows, limit, seqs, nextCursor }) => {
  expect(toPage(rows, limit, ({ seq }) => seq)).toEqual({ data: seqs, nextCursor });
});

test("a key record with nothing but a name has the defaults and passes its own schema", () => {
  const record = newRecord("0123456789AB", { name: "web", env: "production" }, { hash: "ff", pepperId: "0" }, 0);
  expect(KeyRecord.parse(record)).toEqual(record);
  expect(record).toMatchObject({ apps: null, scopes: ["chat", "models", "traces:read"], status: "active", version: 1 });
});

test("the index entry of a route pairs each target with its facts and passes its own schema", () => {
  const policy = RoutePolicy.parse({
    targets: [
      { provider: "openai", model: "known" },
      { provider: "groq", model: "unknown" },
    ],
  });
  const facts = [{ context_window: 1000 }, {}];
  const record: RouteRecord = {
    env: "production",
    name: "fast",
    version: 2,
    created_at: "t",
    actor: "admin",
    policy,
    facts,
  };
  const entry = indexEntry(record);
  expect(RouteIndex.parse([entry])).toEqual([entry]);
  expect(entry.targets).toEqual([
    { provider: "openai", model: "known", facts: { context_window: 1000 } },
    { provider: "groq", model: "unknown", facts: {} },
  ]);
  expect("description" in entry).toBe(false);
});

const route = (env: string, name: string, ...targets: readonly (readonly [string, string])[]) => {
  const listed = targets.map(([provider, model]) => ({ provider, model, facts: {} }));
  return { env, name, index_entry: JSON.stringify({ name, version: 1, created_at: "t", targets: listed }) };
};

test("each target stands once, with every route that names it", () => {
  const routes = [
    route("production", "fast", ["openai", "a"], ["groq", "x/y"], ["openai", "a"]),
    route("staging", "fast", ["openai", "a"]),
  ];
  expect(toTargetUses(routes, [])).toEqual([
    { provider: "openai", model: "a", routes: ["production/fast", "staging/fast"] },
    { provider: "groq", model: "x/y", routes: ["production/fast"] },
  ]);
});

test("an open breaker adds a target that no route names any more, and no other", () => {
  const routes = [route("production", "fast", ["groq", "x/y"])];
  const open = [
    { target: "groq/x/y", openUntil: 1, openFor: null },
    { target: "openai/gone/1", openUntil: 1, openFor: null },
  ];
  expect(toTargetUses(routes, open)).toEqual([
    { provider: "groq", model: "x/y", routes: ["production/fast"] },
    { provider: "openai", model: "gone/1", routes: [] },
  ]);
});
