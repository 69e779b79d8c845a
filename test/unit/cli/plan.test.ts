import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { differencesOf, type LiveRoute, type PolicyFile, planOf, showPlan } from "../../../src/cli/routes/plan.ts";

const file = (env: string, name: string, policy: unknown): PolicyFile => ({
  env,
  name,
  policy,
  text: JSON.stringify(policy),
});
const live = (env: string, name: string, policy: unknown, version = 3): LiveRoute => ({ env, name, version, policy });
const json = fc.jsonValue({ maxDepth: 4 });

describe("differences", () => {
  test.each([
    { name: "a changed member", before: { a: { b: 1 } }, after: { a: { b: 2 } }, paths: ["a.b"] },
    { name: "a new member", before: {}, after: { a: 1 }, paths: ["a"] },
    { name: "a member that is gone", before: { a: 1, b: 2 }, after: { b: 2 }, paths: ["a"] },
    { name: "an element", before: { a: [1, 2] }, after: { a: [1, 3, 4] }, paths: ["a[1]", "a[2]"] },
    { name: "an empty array that is new", before: {}, after: { a: [] }, paths: ["a"] },
    { name: "an array in place of an object", before: { a: {} }, after: { a: [] }, paths: ["a"] },
    { name: "null in place of nothing", before: {}, after: { a: null }, paths: ["a"] },
    { name: "the order of members is none", before: { a: 1, b: 2 }, after: { b: 2, a: 1 }, paths: [] },
  ])("$name", ({ before, after, paths }) => {
    expect(differencesOf(before, after).map(({ path }) => path)).toEqual(paths);
  });

  test("a document does not differ from itself, and from every other one it does", () => {
    fc.assert(
      fc.property(json, json, (one, other) => {
        expect(differencesOf(one, structuredClone(one))).toEqual([]);
        // As JSON: -0 is 0 there.
        const isSame = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
        expect(differencesOf(one, other).length === 0).toBe(isSame);
      }),
    );
  });
});

/** The value with its objects as sorted pairs, and a word that tells them from arrays. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return ["array", ...value.map(sorted)];
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return ["object", ...members.map(([name, member]) => [name, sorted(member)])];
}

describe("the plan", () => {
  const routes = [
    live("staging", "same", { a: 1 }),
    live("staging", "old", { a: 1 }),
    live("staging", "rest", { a: 1 }, 7),
  ];
  const files = [file("staging", "same", { a: 1 }), file("staging", "old", { a: 2 }), file("staging", "new", { a: 3 })];

  test("creates and updates what a file describes, and leaves the rest alone", () => {
    const { changes, unmanaged } = planOf(files, routes, false);
    expect(changes.map(({ action, name, version }) => [action, name, version])).toEqual([
      ["update", "old", 3],
      ["create", "new", 0],
    ]);
    expect(unmanaged).toEqual(["staging/rest"]);
  });

  test("deletes what has no file when it is told to", () => {
    const { changes, unmanaged } = planOf(files, routes, true);
    expect(changes.at(-1)).toMatchObject({ action: "delete", name: "rest", version: 7 });
    expect(unmanaged).toEqual([]);
  });

  test("says which routes take changes by promotion only", () => {
    const guarded = live("production", "r", { promotion: { required: true } });
    const { changes } = planOf([file("production", "r", { promotion: { required: false } })], [guarded], false);
    expect(changes[0]?.needs_promotion).toBe(true);
  });

  test("shows every difference, and no control character of a policy", () => {
    const text = showPlan(planOf([file("staging", "old", { a: "\u001b[31m\u202e" })], routes, false));
    expect(text).toContain('~ staging/old update (active version 3)\n    ~ a: 1 -> "');
    expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(text).toContain("staging/rest has no file and stays");
  });
});

test("a new route shows what its file says, and none of the defaults", () => {
  const said = { targets: [{ provider: "openai", model: "a" }] };
  const file = { env: "staging", name: "r", text: "", policy: { ...said, strategy: "ordered" }, said };
  const [change] = planOf([file], [], false).changes;
  expect(change?.differences.map(({ path }) => path)).toEqual(["targets[0].provider", "targets[0].model"]);
  const live = { env: "staging", name: "r", version: 1, policy: file.policy };
  expect(planOf([file], [live], false).changes).toEqual([]);
});
