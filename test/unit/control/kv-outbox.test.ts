/** The outbox on a real SQLite, against a KV whose answers the test decides. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { migrate } from "../../../src/control/control-schema.sql.ts";
import { KvOutbox } from "../../../src/control/kv-outbox.ts";
import { FakeKv, startSql } from "./fakes.ts";

function startOutbox(): { outbox: KvOutbox; kv: FakeKv } {
  const sql = startSql();
  migrate(sql);
  const kv = new FakeKv();
  return { outbox: new KvOutbox(sql, kv as unknown as KVNamespace), kv };
}

test("the tables may be brought up to date at every start", () => {
  const sql = startSql();
  migrate(sql);
  const steps = sql.exec("SELECT count(*) AS count FROM migration").one();
  migrate(sql);
  expect(sql.exec("SELECT count(*) AS count FROM migration").one()).toEqual(steps);
});

test("what KV takes leaves the outbox", async () => {
  const { outbox, kv } = startOutbox();
  outbox.add("a", "1", 1);
  outbox.add("b", "1", 1);
  await outbox.drain();
  expect(kv.writes).toEqual(["a=1", "b=1"]);
  expect(outbox.waiting()).toBe(0);
});

test("what KV refuses waits for the next drain, and does not hold up the rest", async () => {
  const { outbox, kv } = startOutbox();
  kv.failing = 1;
  outbox.add("a", "1", 1);
  outbox.add("b", "1", 2);
  await outbox.drain();
  expect(kv.writes).toEqual(["b=1"]);
  expect(outbox.waiting()).toBe(1);
  await outbox.drain();
  expect(kv.values.get("a")).toBe("1");
  expect(outbox.waiting()).toBe(0);
});

test("a newer value replaces a waiting one, and an older one does not come back", async () => {
  const { outbox, kv } = startOutbox();
  outbox.add("a", "old", 1);
  outbox.add("a", "new", 2);
  outbox.add("a", "late", 1);
  await outbox.drain();
  expect(kv.writes).toEqual(["a=new"]);
});

test("a value that changes while the old one is on its way is sent after it", async () => {
  const { outbox, kv } = startOutbox();
  outbox.add("a", "old", 1);
  const first = outbox.drain();
  await new Promise((resolve) => process.nextTick(resolve));
  outbox.add("a", "new", 2);
  await first;
  expect(outbox.waiting()).toBe(1);
  await outbox.drain();
  expect(kv.writes).toEqual(["a=old", "a=new"]);
  expect(outbox.waiting()).toBe(0);
});

test("a lane sends its own keys only, and says how many KV refused", async () => {
  const sql = startSql();
  migrate(sql);
  const kv = new FakeKv();
  const operator = new KvOutbox(sql, kv as unknown as KVNamespace);
  const health = new KvOutbox(sql, kv as unknown as KVNamespace, "health", (_, seq) => `at ${seq}`);
  operator.add("a", "1", 1);
  operator.add("b", "1", 2);
  health.add("h", "", 3);
  kv.failing = 1;
  expect(await operator.drain()).toBe(1);
  expect(kv.writes).toEqual(["b=1"]);
  expect([operator.waiting(), health.waiting()]).toEqual([1, 1]);
  expect(await health.drain()).toBe(0);
  expect(kv.writes).toEqual(["b=1", "h=at 3"]);
  expect([operator.waiting(), health.waiting()]).toEqual([1, 0]);
});

test("null deletes the key", async () => {
  const { outbox, kv } = startOutbox();
  outbox.add("a", "1", 1);
  await outbox.drain();
  outbox.add("a", null, 2);
  await outbox.drain();
  expect(kv.values.has("a")).toBe(false);
});

test("however changes, refusals and drains mix, KV never goes backwards and ends at the newest values", async () => {
  const step = fc.oneof(
    fc.record({ key: fc.constantFrom("a", "b", "c"), drain: fc.boolean() }),
    fc.record({ fail: fc.integer({ min: 1, max: 3 }) }),
    fc.constant({ pause: true }),
  );
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
    const { outbox, kv } = startOutbox();
    const newest = new Map<string, string>();
    let seq = 0;
    for (const each of steps) {
      if ("fail" in each) kv.failing += each.fail;
      else if ("pause" in each) await new Promise((resolve) => setImmediate(resolve));
      else {
        seq++;
        outbox.add(each.key, String(seq), seq);
        newest.set(each.key, String(seq));
        if (each.drain) void outbox.drain();
      }
    }
    await outbox.drain();
    kv.failing = 0;
    await outbox.drain();
    expect(outbox.waiting()).toBe(0);
    expect(Object.fromEntries(kv.values)).toEqual(Object.fromEntries(newest));
    expect([...kv.overlapping]).toEqual([]);
    for (const key of newest.keys()) {
      const sent = kv.writes.filter((write) => write.startsWith(`${key}=`)).map((write) => Number(write.slice(2)));
      expect(sent).toEqual([...new Set(sent)].sort((left, right) => left - right));
    }
  });
  await fc.assert(property, { numRuns: 100 });
});
