import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { hashSecret, hasValidTail, newKeyId, newSecret, parseKey } from "../../../src/keys/format.ts";
import { tries } from "../../support/tries.ts";
import { isLinear } from "../../support/work.ts";
import { provideWorkerdCrypto } from "../../support/workerd-crypto.ts";

const PEPPER = "pepper-for-this-test";
const ID = "Ab3dEf6hIj9k";
const SECRET = "s".repeat(32);
const TAIL = "t".repeat(8);
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

beforeAll(provideWorkerdCrypto);

/** What the router does with a token before it reads anything. */
async function isAccepted(token: string, pepper = PEPPER): Promise<boolean> {
  const key = parseKey(token);
  return key !== null && (await hasValidTail(pepper, key));
}

describe("parseKey", () => {
  test.each([
    { name: "a key of production", env: "production" },
    { name: "an environment with digits and hyphens", env: "eu-west-1" },
    { name: "an environment of one letter", env: "a" },
    { name: "an environment of 31 characters", env: "e".repeat(31) },
  ])("reads $name", ({ env }) => {
    const parsed = parseKey(`fl_${env}_${ID}_${SECRET}${TAIL}`);
    expect(parsed).toEqual({ env, id: ID, secret: SECRET, tail: TAIL });
  });

  test.each([
    "",
    "fl_",
    `fl__${ID}_${SECRET}${TAIL}`,
    `FL_production_${ID}_${SECRET}${TAIL}`,
    `sk_production_${ID}_${SECRET}${TAIL}`,
    `fl_Production_${ID}_${SECRET}${TAIL}`,
    `fl_1a_${ID}_${SECRET}${TAIL}`,
    `fl_${"e".repeat(32)}_${ID}_${SECRET}${TAIL}`,
    `fl_pro_duction_${ID}_${SECRET}${TAIL}`,
    `fl_production_${ID.slice(1)}_${SECRET}${TAIL}`,
    `fl_production_${ID}x_${SECRET}${TAIL}`,
    `fl_production_${ID}_${SECRET}${TAIL.slice(1)}`,
    `fl_production_${ID}_${SECRET}${TAIL}x`,
    `fl_production_${ID}_${SECRET}${TAIL}\n`,
    ` fl_production_${ID}_${SECRET}${TAIL}`,
    `fl_production_${ID}_${SECRET.replace("s", "ѕ")}${TAIL}`,
    `fl_production_${ID}_${SECRET.replace("s", "-")}${TAIL}`,
  ])("refuses %j", (token) => {
    expect(parseKey(token)).toBeNull();
  });

  test.each(["fl_a", "a-", "_", "fl_a_"])("hostile text costs what its length does: %j", (piece) => {
    expect(isLinear(1_000, (size) => parseKey(piece.repeat(size)))).toBe(true);
  });
});

describe("the tail", () => {
  test("a new key has the form of a key, and its own tail and no other's", async () => {
    const { token, hash } = await newSecret(PEPPER, "production", ID);
    expect(parseKey(token)).toMatchObject({ env: "production", id: ID });
    expect(await isAccepted(token)).toBe(true);
    expect(await isAccepted(token, `${PEPPER}x`)).toBe(false);
    expect(hash).toBe(await hashSecret(PEPPER, parseKey(token)?.secret ?? ""));
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(token).not.toContain(hash.slice(0, 8));
  });

  test("a key with any one character changed is refused, whatever the place", async () => {
    const { token } = await newSecret(PEPPER, "production", ID);
    const accepted: number[] = [];
    for (let at = 0; at < token.length; at++) {
      const next = ALPHABET[(ALPHABET.indexOf(token[at] ?? "") + 1) % ALPHABET.length];
      if (await isAccepted(token.slice(0, at) + next + token.slice(at + 1))) accepted.push(at);
    }
    expect(accepted).toEqual([]);
  });

  test("a key with characters changed, swapped, dropped or doubled is refused", async () => {
    const { token } = await newSecret(PEPPER, "production", ID);
    const place = fc.nat({ max: token.length - 2 });
    const edits = fc.oneof(
      fc.tuple(place, fc.constantFrom(...ALPHABET)).map(([at, to]) => token.slice(0, at) + to + token.slice(at + 1)),
      place.map((at) => token.slice(0, at) + token[at + 1] + token[at] + token.slice(at + 2)),
      place.map((at) => token.slice(0, at) + token.slice(at + 1)),
      place.map((at) => token.slice(0, at + 1) + token.slice(at)),
    );
    await fc.assert(
      fc.asyncProperty(
        edits.filter((edited) => edited !== token),
        async (edited) => {
          expect(await isAccepted(edited)).toBe(false);
        },
      ),
      { numRuns: tries(300) },
    );
  });

  test("the parts of two keys cannot be put together", async () => {
    const [mine, other] = await Promise.all([
      newSecret(PEPPER, "production", ID),
      newSecret(PEPPER, "production", "Zz3dEf6hIj9k"),
    ]);
    expect(await isAccepted(mine.token.replace(ID, "Zz3dEf6hIj9k"))).toBe(false);
    expect(await isAccepted(mine.token.replace("production", "staging"))).toBe(false);
    expect(await isAccepted(mine.token.slice(0, -8) + other.token.slice(-8))).toBe(false);
  });

  test("without a pepper no key can be made or checked", async () => {
    await expect(newSecret("", "production", ID)).rejects.toThrow();
    await expect(isAccepted(`fl_production_${ID}_${SECRET}${TAIL}`, "")).rejects.toThrow();
  });
});

test("1,000 keys share neither id, secret, tail nor hash", async () => {
  const ids = Array.from({ length: 1_000 }, newKeyId);
  const made = await Promise.all(ids.map((id) => newSecret(PEPPER, "production", id)));
  const parsed = made.map(({ token }) => parseKey(token));
  for (const values of [
    ids,
    parsed.map((key) => key?.secret),
    parsed.map((key) => key?.tail),
    made.map((m) => m.hash),
  ]) {
    expect(new Set(values).size).toBe(1_000);
  }
});
