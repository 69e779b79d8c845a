/** Encryption of stored responses: who can open what. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Seal } from "../../../src/conversation-store/seal.ts";

const owner = { keyId: "key-of-12-ch", secret: "a".repeat(32) };

test("what was closed opens again, for the same secret, key and place only", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme", maxLength: 200 }), async (text) => {
      const seal = await Seal.of(owner);
      const closed = await seal.close(text, "resp_1 input");
      expect(await (await Seal.of({ ...owner })).open(closed, "resp_1 input")).toBe(text);
    }),
    { numRuns: 50 },
  );
  const closed = await (await Seal.of(owner)).close("text", "resp_1 input");
  for (const other of [
    { ...owner, secret: "b".repeat(32) },
    { ...owner, keyId: "another-key" },
  ]) {
    await expect((await Seal.of(other)).open(closed, "resp_1 input")).rejects.toThrow();
  }
  const seal = await Seal.of(owner);
  for (const place of ["resp_1 response", "resp_2 input", ""]) await expect(seal.open(closed, place)).rejects.toThrow();
  for (const at of [0, 12, closed.length - 1]) {
    const changed = closed.slice();
    changed[at]! ^= 1;
    await expect(seal.open(changed, "resp_1 input")).rejects.toThrow();
  }
  await expect(seal.open(new Uint8Array(5), "resp_1 input")).rejects.toThrow();
});

test("the same text is never closed to the same bytes", async () => {
  const seal = await Seal.of(owner);
  const [one, other] = await Promise.all([seal.close("text", "resp_1 input"), seal.close("text", "resp_1 input")]);
  expect(Buffer.from(one).equals(Buffer.from(other))).toBe(false);
});

test("a mark is the same for one secret of one key, and no other's", async () => {
  const marks = await Promise.all(
    [owner, { ...owner }, { ...owner, secret: "b".repeat(32) }, { ...owner, keyId: "another-key" }].map(
      async (each) => {
        return Buffer.from((await Seal.of(each)).mark).toString("hex");
      },
    ),
  );
  expect(marks[0]).toBe(marks[1]);
  expect(new Set(marks).size).toBe(3);
});
