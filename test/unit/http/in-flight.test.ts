import * as fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { BodyClaim, bytesInFlight, MAX_BYTES_IN_FLIGHT } from "../../../src/http/in-flight.ts";

const MIB = 1024 * 1024;
const made: BodyClaim[] = [];
const claim = (now = 0): BodyClaim => {
  const each = new BodyClaim(now);
  made.push(each);
  return each;
};
afterEach(() => {
  for (const each of made.splice(0)) each.release();
  expect(bytesInFlight()).toBe(0);
});

describe("bytes in flight", () => {
  test("have room for 24 MiB and not for one byte more", () => {
    const first = claim();
    expect(first.grow(10 * MIB, 0)).toBe(true);
    expect(claim().grow(14 * MIB, 0)).toBe(true);
    expect(claim().grow(1, 0)).toBe(false);
    first.release();
    first.release();
    expect(bytesInFlight()).toBe(14 * MIB);
    expect(first.grow(1, 0)).toBe(false);
    expect(claim().grow(10 * MIB, 0)).toBe(true);
  });

  test("of a request that died without a word come free when they must be over", () => {
    const lost = claim(0);
    lost.grow(20 * MIB, 0);
    lost.keepUntil(600_000);
    expect(claim().grow(10 * MIB, 599_999)).toBe(false);
    expect(claim().grow(10 * MIB, 600_000)).toBe(true);
    expect(bytesInFlight()).toBe(10 * MIB);
    lost.release();
    expect(bytesInFlight()).toBe(10 * MIB);
  });

  test("are never more than the limit, and the sum of what is claimed", () => {
    const step = fc.record({ of: fc.nat(4), bytes: fc.nat(9 * MIB), ends: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const claims = Array.from({ length: 5 }, () => ({ claim: new BodyClaim(0), bytes: 0 }));
        for (const { of, bytes, ends } of steps) {
          const each = claims[of]!;
          if (ends) {
            each.claim.release();
            claims[of] = { claim: new BodyClaim(0), bytes: 0 };
          } else if (each.claim.grow(bytes, 0)) each.bytes += bytes;
          const sum = claims.reduce((total, { bytes: held }) => total + held, 0);
          expect(bytesInFlight()).toBe(sum);
          expect(sum).toBeLessThanOrEqual(MAX_BYTES_IN_FLIGHT);
        }
        for (const each of claims) each.claim.release();
      }),
    );
  });
});
