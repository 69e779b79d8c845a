/** Where a rollback without a version goes: further back each time, and never to what was left. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { previousVersion, type VersionStep } from "../../../src/policy/previous-version.ts";

/** `null`: published. A number: a rollback to that version. */
const history = (...repeats: readonly (number | null)[]): VersionStep[] =>
  repeats.map((each, index) => ({ version: index + 1, repeats: each }));

test.each<[string, VersionStep[], number | null, number | null]>([
  ["the first has none before it", history(null), 1, null],
  ["the one before", history(null, null), 2, 1],
  ["after a rollback the one before that", history(null, null, null, 2), 4, 1],
  ["at the end there is none", history(null, null, null, 2, 1), 5, null],
  ["what was left is passed over", history(null, null, 1, null), 4, 3],
  ["in a row too", history(null, null, null, 2, null, 4), 6, 1],
  ["a deleted route comes back as it was", history(null, null), null, 2],
  ["a route that never was has none", [], null, null],
])("%s", (_, steps, active, version) => expect(previousVersion(steps, active)).toBe(version));

test("rolling back again and again ends, and shows no policy twice", () => {
  const steps = fc
    .array(fc.option(fc.nat()), { minLength: 1, maxLength: 12 })
    .map((picks) => history(...picks.map((pick, index) => (pick === null || index === 0 ? null : (pick % index) + 1))));
  fc.assert(
    fc.property(steps, (before) => {
      const versions = [...before];
      const policyOf = (version: number): number => {
        const repeats = versions[version - 1]?.repeats ?? null;
        return repeats === null ? version : policyOf(repeats);
      };
      const seen = new Set([policyOf(versions.length)]);
      for (let back = previousVersion(versions, versions.length); back !== null; ) {
        versions.push({ version: versions.length + 1, repeats: back });
        expect(seen.has(policyOf(back))).toBe(false);
        seen.add(policyOf(back));
        back = previousVersion(versions, versions.length);
      }
    }),
  );
});
