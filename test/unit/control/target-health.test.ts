/** The table of open breakers: what it keeps of announcements that come twice, late and in any order. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { migrate } from "../../../src/control/control-schema.sql.ts";
import { TargetHealthTable } from "../../../src/control/target-health.ts";
import type { TargetHealthChange } from "../../../src/control/types.ts";
import { tries } from "../../support/tries.ts";
import { startSql } from "./fakes.ts";

const NOW = 1_700_000_000_000;
const DAY_MS = 86_400_000;

function startTable(): TargetHealthTable {
  const sql = startSql();
  migrate(sql);
  return new TargetHealthTable(sql);
}

const opened = (target: string, at: number, openMs = 5_000): TargetHealthChange => {
  return { target, isOpen: true, openUntil: at + openMs, at };
};
const closed = (target: string, at: number): TargetHealthChange => ({ target, isOpen: false, openUntil: 0, at });

/** So many targets a/0, a/1 and on, heard of one millisecond after the other. */
const ADD_OPEN = `
  WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers LIMIT ?)
  INSERT INTO target_health (target, is_open, open_until_ms, changed_at_ms, noted_at_ms)
  SELECT 'a/' || number, 1, ?, ?, ? + number FROM numbers`;

const listOf = (table: TargetHealthTable): unknown => JSON.parse(table.document(0)).open;

interface Case {
  readonly name: string;
  readonly changes: readonly TargetHealthChange[];
  readonly open: Readonly<Record<string, number>>;
  /** Whether each change alters the list. */
  readonly alters: readonly boolean[];
}

test.each<Case>([
  {
    name: "an open breaker is listed with its end",
    changes: [opened("a/x", NOW)],
    open: { "a/x": NOW + 5_000 },
    alters: [true],
  },
  {
    name: "a closed breaker is not listed, and news of one that never was open alter nothing",
    changes: [closed("a/x", NOW)],
    open: {},
    alters: [false],
  },
  {
    name: "a breaker that closes leaves the list",
    changes: [opened("a/x", NOW - 9), closed("a/x", NOW)],
    open: {},
    alters: [true, true],
  },
  {
    name: "the same announcement again alters nothing",
    changes: [opened("a/x", NOW), opened("a/x", NOW)],
    open: { "a/x": NOW + 5_000 },
    alters: [true, false],
  },
  {
    name: "an older announcement alters nothing, also when the newer one has left the list",
    changes: [opened("a/x", NOW - 9), closed("a/x", NOW - 1), opened("a/x", NOW - 5), opened("a/x", NOW - 9)],
    open: {},
    alters: [true, true, false, false],
  },
  {
    name: "an older closing does not close",
    changes: [opened("a/x", NOW), closed("a/x", NOW - 1)],
    open: { "a/x": NOW + 5_000 },
    alters: [true, false],
  },
  {
    name: "a breaker that opens again is listed with its new end",
    changes: [opened("a/x", NOW - 6_000), opened("a/x", NOW, 10_000)],
    open: { "a/x": NOW + 10_000 },
    alters: [true, true],
  },
  {
    name: "targets do not touch each other",
    changes: [opened("a/x", NOW), opened("a/y", NOW - 5), closed("a/x", NOW + 1)],
    open: { "a/y": NOW + 4_995 },
    alters: [true, true, true],
  },
])("$name", ({ changes, open, alters }) => {
  const table = startTable();
  expect(changes.map((change) => table.note(change, NOW) !== null)).toEqual(alters);
  expect(listOf(table)).toEqual(open);
});

test("in whatever order and however often announcements come, the newest of each target counts", () => {
  const change = fc.record({
    target: fc.constantFrom("a/x", "a/y", "b/z/w"),
    isOpen: fc.boolean(),
    at: fc.integer({ min: NOW - 1_000, max: NOW + 1_000 }),
  });
  // Two changes of one target never carry the same time: its object sees to that.
  const changes = fc.uniqueArray(change, { maxLength: 12, selector: ({ target, at }) => `${target} ${at}` });
  const deliveries = changes.chain((sent) =>
    fc.tuple(fc.constant(sent), fc.shuffledSubarray([...sent, ...sent], { minLength: sent.length * 2 })),
  );
  fc.assert(
    fc.property(deliveries, ([sent, delivered]) => {
      const table = startTable();
      for (const each of delivered) table.note({ ...each, openUntil: each.isOpen ? each.at + 5_000 : 0 }, NOW);
      const newest = new Map<string, (typeof sent)[number]>();
      for (const each of [...sent].sort((left, right) => left.at - right.at)) newest.set(each.target, each);
      const open = [...newest.values()].filter(({ isOpen }) => isOpen).map(({ target, at }) => [target, at + 5_000]);
      expect(listOf(table)).toEqual(Object.fromEntries(open));
    }),
    { numRuns: tries(200) },
  );
});

test("the time of the list rises with every change, whatever the clock does", () => {
  const table = startTable();
  const times = [NOW, NOW, NOW + 3_600_000, NOW - 3_600_000, NOW].map((now, index) =>
    table.note(opened("a/x", NOW + index), now),
  );
  for (const [index, at] of times.entries()) expect(at).toBeGreaterThan(times[index - 1] ?? 0);
});

test("when our own clock goes back an hour, what comes next still counts", () => {
  const table = startTable();
  table.note(opened("a/x", NOW), NOW);
  expect(table.note(closed("a/x", NOW + 1_000), NOW - 3_600_000)).not.toBeNull();
  expect(listOf(table)).toEqual({});
});

test("an object whose clock is an hour ahead does not shut out what comes when it is right again", () => {
  const table = startTable();
  table.note(opened("a/x", NOW + 3_600_000), NOW);
  expect(listOf(table)).toEqual({ "a/x": NOW + 5_000 });
  expect(table.note(closed("a/x", NOW + 1_000), NOW + 1_000)).not.toBeNull();
  expect(listOf(table)).toEqual({});
});

test("an open breaker of which nothing was heard for a day leaves the list with the next change", () => {
  const table = startTable();
  table.note(opened("a/x", NOW), NOW);
  table.note(opened("a/y", NOW + DAY_MS - 1), NOW + DAY_MS - 1);
  expect(listOf(table)).toHaveProperty(["a/x"]);
  expect(table.note(closed("a/z", NOW + DAY_MS), NOW + DAY_MS)).not.toBeNull();
  expect(Object.keys(listOf(table) as object)).toEqual(["a/y"]);
});

test("a closed breaker is remembered for ten minutes, longer than a call can be on its way", () => {
  const table = startTable();
  const late = opened("a/x", NOW - 1);
  table.note(closed("a/x", NOW), NOW);
  expect(table.note(late, NOW + 599_000)).toBeNull();
  table.note(closed("a/y", NOW), NOW + 600_000);
  expect(table.note(late, NOW + 600_001)).not.toBeNull();
});

test("at most 2,000 targets are kept: closed ones go first, then those heard of least recently", () => {
  const sql = startSql();
  migrate(sql);
  const table = new TargetHealthTable(sql);
  // Most of them at once: each announcement looks at all targets there are.
  sql.exec(ADD_OPEN, 1_990, NOW + 5_000, NOW, NOW);
  for (let index = 1_990; index < 2_000; index++) table.note(opened(`a/${index}`, NOW), NOW + index);
  table.note(closed("a/closed", NOW), NOW + 2_000);
  expect(table.open()).toHaveLength(2_000);
  // Forgotten: its older announcement would count again.
  expect(table.note(opened("a/closed", NOW - 1), NOW + 2_001)).not.toBeNull();
  const names = table.open().map(({ target }) => target);
  expect(names).toHaveLength(2_000);
  expect(names[0]).toBe("a/closed");
  expect(names).not.toContain("a/0");
  expect(names).toContain("a/1");
});

test("the list stays below what KV takes, however long the names are, and keeps the newest", () => {
  const table = startTable();
  const long = "\u0001".repeat(20_000);
  for (let index = 0; index < 10; index++) table.note(opened(`a/${index}${long}`, NOW), NOW + index);
  const document = table.document(NOW);
  expect(new TextEncoder().encode(document).length).toBeLessThan(1_900_000);
  expect(document).toContain(`a/9`);
  expect(document).not.toContain(`a/0`);
});

test("a breaker that is open for one key is published with that key, until it is open for all", () => {
  const table = startTable();
  expect(table.note({ ...opened("a/x", NOW - 2), openFor: "key_1" }, NOW)).not.toBeNull();
  expect(JSON.parse(table.document(0))).toEqual({
    at: 0,
    open: { "a/x": NOW + 4_998 },
    open_for: { "a/x": "key_1" },
  });
  expect(table.note({ ...opened("a/x", NOW - 2), openFor: "key_1" }, NOW)).toBeNull();
  expect(table.note({ ...opened("a/x", NOW - 1, 4_999), openFor: null }, NOW)).not.toBeNull();
  expect(JSON.parse(table.document(0))).toEqual({ at: 0, open: { "a/x": NOW + 4_998 } });
});
