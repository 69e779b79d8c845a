/** Which calls a policy decides by name, and which spellings of arguments are the same arguments. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, matchesGlob, sameArguments, verdictOf } from "../../../src/approvals/match.ts";
import { tries } from "../../support/tries.ts";
import { isLinear } from "../../support/work.ts";

describe("globs", () => {
  test.each([
    { glob: "search", yes: ["search"], no: ["Search", "searches", ""] },
    { glob: "search_*", yes: ["search_", "search_web"], no: ["search", "research_web"] },
    { glob: "*", yes: ["", "a", "a.b"], no: [] },
    { glob: "*_money", yes: ["send_money", "_money"], no: ["money", "send_money2"] },
    { glob: "a*b*c", yes: ["abc", "aXbYc", "abbcc"], no: ["ab", "acb", "abcd"] },
    { glob: "get_?", yes: ["get_a"], no: ["get_", "get_ab"] },
    { glob: "a.b", yes: ["a.b"], no: ["axb"] },
    { glob: "", yes: [""], no: ["a"] },
  ])("`$glob` matches what it says", ({ glob, yes, no }) => {
    for (const name of yes) expect(matchesGlob(name, glob), name).toBe(true);
    for (const name of no) expect(matchesGlob(name, glob), name).toBe(false);
  });

  test("agree with the regular expression of the same meaning", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "*", "?", "."), maxLength: 8 });
    fc.assert(
      fc.property(text, text, (name, glob) => {
        const source = glob.replace(/[.]/g, "\\.").replaceAll("*", ".*").replaceAll("?", ".");
        expect(matchesGlob(name, glob)).toBe(new RegExp(`^${source}$`, "s").test(name));
      }),
      { numRuns: tries(2_000) },
    );
  });

  test("a hostile glob ends at once", () => {
    expect(matchesGlob("a".repeat(1_000), `${"*a".repeat(60)}b`)).toBe(false);
  });

  test.each([
    { name: "search", verdict: "approved" },
    { name: "search_secret", verdict: "denied" },
    { name: "send", verdict: "pending" },
    { name: "", verdict: "pending" },
  ])("`$name` is $verdict", ({ name, verdict }) => {
    expect(verdictOf(name, { auto_approve: ["search*"], deny: ["*secret"] })).toBe(verdict);
    expect(verdictOf("", { auto_approve: ["*"], deny: [] })).toBe("pending");
    expect(verdictOf("", { auto_approve: [], deny: ["*"] })).toBe("denied");
  });
});

describe("arguments", () => {
  test.each([
    { name: "white space", left: '{ "a" :\n1 , "b":[ 1,2 ] }', right: '{"a":1,"b":[1,2]}' },
    { name: "key order", left: '{"a":{"x":1,"y":2},"b":2}', right: '{"b":2,"a":{"y":2,"x":1}}' },
    { name: "escapes", left: '{"a":"caf\\u00e9 \\/ \\ud83c\\udf0d"}', right: '{"a":"café / 🌍"}' },
    { name: "escaped keys", left: '{"\\u0061":1}', right: '{"a":1}' },
    { name: "number spelling", left: "[1.0,1e0,10E-1,100e-2,-0,0.0]", right: "[1,1,1,1,0,0]" },
    { name: "large numbers", left: '{"a":1e21}', right: '{"a":1000000000000000000000}' },
    { name: "digits that no double has", left: "[3.14159265358979323846]", right: "[3.141592653589793]" },
    {
      name: "spelling beyond 2^53",
      left: "[9007199254740993.0,1e23]",
      right: "[9007199254740993,100000000000000000000000]",
    },
    { name: "spelling of what no double reaches", left: "[1e400,-1e-400]", right: "[10e399,-0.1e-399]" },
    { name: "the order of odd keys", left: '{"__proto__":1,"1":2,"":3}', right: '{"":3,"1":2,"__proto__":1}' },
    { name: "half a character, however escaped", left: '["\\ud800"]', right: '["\\uD800"]' },
    { name: "no text for no arguments", left: "", right: "{}" },
    { name: "white space for no arguments", left: " \n", right: "{ }" },
    { name: "words", left: "[true, false, null]", right: "[true,false,null]" },
  ])("$name does not count", ({ left, right }) => {
    expect(sameArguments(left, right)).toBe(true);
    expect(sameArguments(right, left)).toBe(true);
  });

  test.each([
    { name: "a value", left: '{"a":1}', right: '{"a":2}' },
    { name: "a type", left: '{"a":1}', right: '{"a":"1"}' },
    { name: "a whole number beyond the doubles", left: "[9007199254740993]", right: "[9007199254740992]" },
    { name: "the sign", left: "[-1]", right: "[1]" },
    { name: "an exponent no double reaches", left: "[1e400]", right: "[1e401]" },
    {
      name: "an exponent beyond 2^53",
      left: "[1e99999999999999999999]",
      right: "[1e99999999999999999998]",
    },
    { name: "a number too small for a double", left: "[1e-400]", right: "[0]" },
    { name: "the sign of a large number", left: "[-1e400]", right: "[1e400]" },
    { name: "half a character", left: '["\\ud800"]', right: '["\\ud801"]' },
    { name: "half a character and what stands for none", left: '["\\ud800"]', right: '["\ufffd"]' },
    { name: "a key `__proto__`", left: '{"__proto__":{"to":"mallory"}}', right: "{}" },
    { name: "what is in a key `__proto__`", left: '{"__proto__":{"a":1}}', right: '{"__proto__":{"a":2}}' },
    { name: "a key `__proto__` given twice", left: '{"__proto__":1,"__proto__":1}', right: '{"__proto__":1}' },
    { name: "a key spelt in another case", left: '{"To":1}', right: '{"to":1}' },
    { name: "white space in a text", left: '{"to":"bob "}', right: '{"to":"bob"}' },
    { name: "NaN, which is no JSON", left: "[NaN]", right: "[ NaN]" },
    { name: "a missing key", left: '{"a":1,"b":null}', right: '{"a":1}' },
    { name: "array order", left: "[1,2]", right: "[2,1]" },
    { name: "a key given twice", left: '{"a":1,"a":2}', right: '{"a":2}' },
    { name: "a key given twice, white space apart", left: '{"a":1,"a":2}', right: '{"a":1, "a":2}' },
    { name: "a twin deep inside", left: '[{"a":1,"\\u0061":1}]', right: '[{"a":1}]' },
    { name: "no JSON, white space apart", left: "{a:1}", right: "{a: 1}" },
    { name: "Unicode forms", left: '["\\u00e9"]', right: '["e\\u0301"]' },
    { name: "null and no arguments", left: "null", right: "" },
  ])("$name counts", ({ left, right }) => {
    expect(sameArguments(left, right)).toBe(false);
    expect(sameArguments(right, left)).toBe(false);
  });

  test("the same bytes are the same, JSON or not", () => {
    fc.assert(fc.property(fc.string(), (text) => sameArguments(text, text)));
  });

  test("any value is the same however it is written, and no other value is", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (value, other) => {
        const text = JSON.stringify(value);
        expect(sameArguments(text, JSON.stringify(value, null, 2))).toBe(true);
        expect(sameArguments(text, escaped(text))).toBe(true);
        // -0 is written as 0.
        const isSame = canonicalJson(text) === canonicalJson(JSON.stringify(other));
        expect(isSame).toBe(JSON.stringify(sorted(value)) === JSON.stringify(sorted(other)));
      }),
    );
  });

  test.each<[string, (size: number) => string]>([
    ["quotes in a string", (size) => `["${'\\\\\\"x'.repeat(size)}"]`],
    ["zeros in a whole number", (size) => `[1${"0".repeat(size)}1]`],
    ["zeros in a fraction", (size) => `[0.${"0".repeat(size)}1${"0".repeat(size)}1]`],
  ])("long strings and long runs of zeros cost what their length does: %s", (_, textOf) => {
    expect(isLinear(20_000, (size) => expect(canonicalJson(textOf(size))).not.toBeNull())).toBe(true);
  });

  test("a long text is written whole", () => {
    expect(canonicalJson(`["${"a".repeat(1_500_000)}"]`)).toHaveLength(1_500_004);
  });

  test("arguments deeper than any tool's do not break it", () => {
    expect(canonicalJson("[".repeat(100_000) + "]".repeat(100_000))).toBeNull();
    expect(sameArguments("[".repeat(100_000), "[".repeat(99_999))).toBe(false);
  });
});

/** Every character of every string as an escape. */
const escaped = (text: string): string =>
  text.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => {
    const units = [...Array((JSON.parse(quoted) as string).length).keys()];
    const plain = JSON.parse(quoted) as string;
    return `"${units.map((at) => `\\u${plain.charCodeAt(at).toString(16).padStart(4, "0")}`).join("")}"`;
  });

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return ["list", ...value.map(sorted)];
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, each]) => [`key ${key}`, sorted(each)]);
}

test("arguments that only open lists are no JSON, and are not parsed to find out", () => {
  const startedAt = performance.now();
  for (let at = 0; at < 40; at++) expect(canonicalJson("[".repeat(150_000))).toBeNull();
  // Parsed, each of them takes some 15 ms.
  expect(performance.now() - startedAt).toBeLessThan(300);
  expect(canonicalJson(`${"[".repeat(400)}1${"]".repeat(400)}`)).not.toBeNull();
});
