/** Wrong tokens of an address, counted by the platform or, where it does not, by the isolate. */
import { expect, test } from "vitest";
import { ATTEMPTS_PER_MINUTE, mayTryAgain } from "../../../src/http/attempts.ts";

const T0 = Date.UTC(2026, 10, 22);

test("the platform's limiter decides where it is bound", async () => {
  const asked: string[] = [];
  const limiter = (success: boolean) => ({
    async limit({ key }: { readonly key: string }) {
      asked.push(key);
      return { success };
    },
  });
  expect(await mayTryAgain(limiter(true), "a", T0)).toBe(true);
  expect(await mayTryAgain(limiter(false), "b", T0)).toBe(false);
  expect(asked).toEqual(["a", "b"]);
});

test.each([
  { name: "is not bound", limiter: undefined },
  { name: "fails", limiter: { limit: () => Promise.reject(new Error("overloaded")) } },
])("where it $name an isolate counts ten a minute for each address", async ({ name, limiter }) => {
  const tries = async (address: string, now: number): Promise<number> => {
    let count = 0;
    while (count < 20 && (await mayTryAgain(limiter, `${name} ${address}`, now))) count++;
    return count;
  };
  expect(await tries("a", T0)).toBe(ATTEMPTS_PER_MINUTE);
  expect(await tries("b", T0 + 59_000)).toBe(ATTEMPTS_PER_MINUTE);
  expect(await tries("a", T0 + 59_999)).toBe(0);
  expect(await tries("a", T0 + 60_000)).toBe(ATTEMPTS_PER_MINUTE);
});
