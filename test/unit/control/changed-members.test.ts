import * as fc from "fast-check";
import { expect, test } from "vitest";
import { changedMembers } from "../../../src/control/changed-members.ts";

const ANY = fc.dictionary(fc.constantFrom("a", "b", "c"), fc.oneof(fc.integer(), fc.constant(null), fc.object()));

test("both sides hold exactly the members in which the documents differ", () => {
  fc.assert(
    fc.property(ANY, ANY, (before, after) => {
      const changed = changedMembers(before, after);
      const names = ["a", "b", "c"].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
      const only = (members: object) =>
        Object.fromEntries(Object.entries(members).filter(([name]) => names.includes(name)));
      expect(changed).toEqual({ before: only(before), after: only(after) });
    }),
  );
});

test("what is new or gone is shown whole", () => {
  expect(changedMembers(null, { a: 1 })).toEqual({ before: null, after: { a: 1 } });
  expect(changedMembers({ a: 1 }, null)).toEqual({ before: { a: 1 }, after: null });
});
