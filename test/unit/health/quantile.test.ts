import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BUCKET_GROWTH,
  bucketOf,
  LatencySketch,
  LatencyWindow,
  latencyOf,
  quantileMs,
} from "../../../src/health/quantile.ts";
import type { SketchRow } from "../../../src/health/types.ts";

const T0 = 1_800_000_000_000;

interface Call {
  readonly ms: number;
  readonly isAnswered: boolean;
}

const sketchOf = (calls: readonly Call[]): LatencySketch => {
  const sketch = new LatencySketch();
  for (const { ms, isAnswered } of calls) sketch.add(ms, isAnswered);
  return sketch;
};
const answered = (...latencies: number[]): Call[] => latencies.map((ms) => ({ ms, isAnswered: true }));
const ended = (...ages: number[]): Call[] => ages.map((ms) => ({ ms, isAnswered: false }));
const times = (count: number, calls: readonly Call[]): Call[] => Array.from({ length: count }, () => calls).flat();
/** Where latencies are compared, as seen through a bucket. */
const seen = (ms: number): number => latencyOf(bucketOf(ms));

/** Some of them alike, so that answered and ended calls meet in one bucket. */
const latency = fc.oneof(
  fc.double({ min: 1, max: 3_600_000, noNaN: true }),
  fc.constantFrom(30, 100, 900, 905, 20_000),
);
const call = fc.record({ ms: latency, isAnswered: fc.boolean() });
const someQuantile = fc.constantFrom(0.05, 0.25, 0.5, 0.9, 0.95, 0.99, 1);

describe("a bucket", () => {
  test("stands for a latency within its growth of every latency in it", () => {
    fc.assert(
      fc.property(latency, (ms) => {
        const ratio = seen(ms) / ms;
        // Half a millisecond of rounding is more than the growth where latencies are a few milliseconds.
        expect(seen(ms)).toBeGreaterThan(ms / BUCKET_GROWTH - 0.5);
        expect(seen(ms)).toBeLessThan(ms * BUCKET_GROWTH + 0.5);
        if (ms > 20) expect(Math.abs(ratio - 1)).toBeLessThan(BUCKET_GROWTH - 1);
      }),
    );
  });

  test.each([
    { ms: 0, bucket: 0 },
    { ms: -5, bucket: 0 },
    { ms: Number.NaN, bucket: 0 },
    { ms: 1, bucket: 0 },
    { ms: 3_600_000, bucket: 196 },
    { ms: 1e12, bucket: 196 },
    { ms: Number.POSITIVE_INFINITY, bucket: 196 },
  ])("takes $ms ms to an end of its range", ({ ms, bucket }) => {
    expect(bucketOf(ms)).toBe(bucket);
  });
});

describe("a quantile", () => {
  test.each<{ name: string; calls: readonly Call[]; p50: number | null; p95: number | null }>([
    { name: "of nothing is unknown", calls: [], p50: null, p95: null },
    { name: "of one call is that call", calls: answered(700), p50: 700, p95: 700 },
    { name: "of twenty", calls: answered(...times(19, answered(100)).map(({ ms }) => ms), 9_000), p50: 100, p95: 100 },
    {
      name: "of nineteen has the slow one in its tail",
      calls: [...times(18, answered(100)), ...answered(9_000)],
      p50: 100,
      p95: 9_000,
    },
    {
      name: "learns nothing from calls ended at once",
      calls: [...times(10, answered(500)), ...times(1_000, ended(1))],
      p50: 500,
      p95: 500,
    },
    { name: "is at least the age of calls ended", calls: times(1_000, ended(1_000)), p50: 1_000, p95: 1_000 },
    {
      name: "is at least the age of calls ended, whatever few were answered",
      calls: [...answered(10), ...times(1_000, ended(1_000))],
      p50: 1_000,
      p95: 1_000,
    },
    {
      // Of 100 calls 60 are answered at 100 ms. Of the 40 that outlive it 20 are ended, of the others half take 2 s.
      name: "counts an ended call among those that take longer",
      calls: [
        ...times(60, answered(100)),
        ...times(20, ended(200)),
        ...times(10, answered(2_000)),
        ...times(10, answered(5_000)),
      ],
      p50: 100,
      p95: 5_000,
    },
    {
      name: "counts a call ended in the bucket of an answered one as slower",
      calls: [...answered(100), ...ended(100)],
      p50: 100,
      p95: 100,
    },
  ])("$name", ({ calls, p50, p95 }) => {
    const rows = sketchOf(calls).rows();
    expect([quantileMs(rows, 0.5), quantileMs(rows, 0.95)]).toEqual([p50 && seen(p50), p95 && seen(p95)]);
  });

  test("of answered calls is within the bucket's growth of the exact one", () => {
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 200 }), someQuantile, (latencies, quantile) => {
        const sorted = latencies.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(quantile * sorted.length - 1e-9) - 1)]!;
        expect(quantileMs(sketchOf(answered(...latencies)).rows(), quantile)).toBe(seen(exact));
      }),
    );
  });

  test("follows the product-limit estimator where calls were ended", () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 60 }), someQuantile, (calls, quantile) => {
        // Call by call, in the buckets' order, answered before ended: the textbook's form.
        const sorted = calls
          .map(({ ms, isAnswered }) => ({ bucket: bucketOf(ms), isAnswered }))
          .sort((a, b) => a.bucket - b.bucket || Number(b.isAnswered) - Number(a.isAnswered));
        let survival = 1;
        let expected = latencyOf(sorted.at(-1)!.bucket);
        for (const [index, { bucket, isAnswered }] of sorted.entries()) {
          if (isAnswered) survival *= 1 - 1 / (sorted.length - index);
          if (survival <= 1 - quantile + 1e-9) {
            expected = latencyOf(bucket);
            break;
          }
        }
        expect(quantileMs(sketchOf(calls).rows(), quantile)).toBe(expected);
      }),
    );
  });

  test("is never lowered by a call that we ended", () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 60 }), latency, someQuantile, (calls, age, quantile) => {
        const before = quantileMs(sketchOf(calls).rows(), quantile)!;
        const after = quantileMs(sketchOf([...calls, ...ended(age)]).rows(), quantile)!;
        expect(after).toBeGreaterThanOrEqual(before);
      }),
    );
  });

  test("rises with the share it stands for", () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 60 }), (calls) => {
        const { p50Ms, p95Ms } = sketchOf(calls).summary()!;
        expect(p95Ms).toBeGreaterThanOrEqual(p50Ms);
      }),
    );
  });
});

test("sketches merge in any order and grouping to the same rows, which is their wire form", () => {
  fc.assert(
    fc.property(fc.array(fc.array(call, { maxLength: 20 }), { maxLength: 6 }), (parts) => {
      const whole = sketchOf(parts.flat());
      const forth = new LatencySketch();
      for (const part of parts) forth.merge(sketchOf(part).rows());
      const back = new LatencySketch();
      for (const part of parts.toReversed()) back.merge(JSON.parse(JSON.stringify(sketchOf(part).rows())));
      expect(forth.rows()).toEqual(whole.rows());
      expect(back.rows()).toEqual(whole.rows());
      expect(back.calls).toBe(parts.flat().length);
      const buckets = whole.rows().map(([bucket]) => bucket);
      expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
    }),
  );
});

describe("the window", () => {
  const callsIn = (window: LatencyWindow, atMs: number): number => window.calls(T0 + atMs);

  test("counts what is less than a minute old, slice by slice", () => {
    const window = new LatencyWindow();
    window.add(10, true, T0);
    window.add(10, true, T0 + 5_999);
    window.add(10, true, T0 + 6_000);
    expect([callsIn(window, 6_000), callsIn(window, 59_999), callsIn(window, 60_000), callsIn(window, 66_000)]).toEqual(
      [3, 3, 1, 0],
    );
    expect(window.summary(T0 + 66_000)).toBeNull();
  });

  test("is the sketch of the last ten slices, whatever came when", () => {
    const timed = fc.record({ pauseMs: fc.nat(20_000), ms: latency, isAnswered: fc.boolean() });
    fc.assert(
      fc.property(fc.array(timed, { minLength: 1, maxLength: 80 }), (calls) => {
        const window = new LatencyWindow();
        const all: (Call & { at: number })[] = [];
        let now = T0;
        for (const { pauseMs, ms, isAnswered } of calls) {
          now += pauseMs;
          all.push({ ms, isAnswered, at: now });
          window.add(ms, isAnswered, now);
          const recent = all.filter(({ at }) => at - (at % 6_000) > now - 60_000);
          expect(window.summary(now)).toEqual(sketchOf(recent).summary());
          expect(window.calls(now)).toBe(recent.length);
        }
      }),
    );
  });

  test("survives being stored", () => {
    const window = new LatencyWindow();
    window.add(50, true, T0);
    window.add(900, false, T0 + 7_000);
    const stored = [T0, T0 + 6_000].map((startAt) => ({ startAt, rows: window.rowsAt(startAt) as SketchRow[] }));
    const loaded = new LatencyWindow(stored);
    expect(loaded.summary(T0 + 7_000)).toEqual(window.summary(T0 + 7_000));
    expect(loaded.calls(T0 + 61_000)).toBe(1);
    expect(window.rowsAt(T0 + 12_000)).toEqual([]);
  });

  test.each([
    { name: "a little", jumpMs: -5_000, kept: 1 },
    { name: "by an hour", jumpMs: -3_600_000, kept: 0 },
    { name: "forward by an hour", jumpMs: 3_600_000, kept: 0 },
  ])("a clock that jumps $name neither hides new calls nor keeps old ones for long", ({ jumpMs, kept }) => {
    const window = new LatencyWindow();
    window.add(100, true, T0);
    const now = T0 + jumpMs;
    expect(window.calls(now)).toBe(kept);
    window.add(100, true, now);
    expect(window.calls(now)).toBe(kept + 1);
    expect(window.calls(Math.max(now, kept * T0) + 66_000)).toBe(0);
  });
});
