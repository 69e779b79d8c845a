import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import {
  hasMoreValues,
  isJsonObject,
  JsonEdit,
  parseExactJson,
  parseJson,
  repeatedKey,
  scanArray,
  scanJson,
  tryParseJson,
} from "../../../src/lib/json.ts";
import { tries } from "../../support/tries.ts";
import { growthOf, isLinear } from "../../support/work.ts";

/** Key and raw value of each outermost member. */
const membersOf = (text: string): [string, string][] =>
  scanJson(text).members.map(({ key, valueStart, valueEnd }) => [key, text.slice(valueStart, valueEnd)]);
const elementsOf = (text: string, start = 0): string[] =>
  scanArray(text, start).map(({ start: from, end }) => text.slice(from, end));

describe("parsing", () => {
  test.each(["", " ", "{", "{}{}", "\ufeff{}", "{'a':1}", "[1,]", "NaN", "01", '"\u0001"'])(
    "%j is not JSON",
    (text) => {
      expect(() => parseJson(text)).toThrow(SyntaxError);
      expect(tryParseJson(text)).toBeUndefined();
    },
  );

  test("a member called __proto__ is only a member", () => {
    const value = parseJson('{"__proto__":{"admin":true}}');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.hasOwn(value as object, "__proto__")).toBe(true);
  });

  test.each([
    { value: {}, is: true },
    { value: [], is: false },
    { value: null, is: false },
    { value: "x", is: false },
    { value: undefined, is: false },
  ])("$value is an object: $is", ({ value, is }) => {
    expect(isJsonObject(value)).toBe(is);
  });
});

describe("scanJson", () => {
  test.each<{ text: string; members: [string, string][]; depth: number; count: number }>([
    { text: "{}", members: [], depth: 1, count: 0 },
    { text: " \n{ \t} ", members: [], depth: 1, count: 0 },
    { text: '{"a":1}', members: [["a", "1"]], depth: 1, count: 1 },
    {
      text: '{ "a" : 1 , "b" : "x" }',
      members: [
        ["a", "1"],
        ["b", '"x"'],
      ],
      depth: 1,
      count: 2,
    },
    {
      text: '{"a":{"b":[{"c":1}]},"d":[]}',
      members: [
        ["a", '{"b":[{"c":1}]}'],
        ["d", "[]"],
      ],
      depth: 4,
      count: 4,
    },
    {
      text: '{"a":"}{][,:\\"","b":"\\\\"}',
      members: [
        ["a", '"}{][,:\\""'],
        ["b", '"\\\\"'],
      ],
      depth: 1,
      count: 2,
    },
    {
      text: '{"a":1,"a":2}',
      members: [
        ["a", "1"],
        ["a", "2"],
      ],
      depth: 1,
      count: 2,
    },
    {
      text: '{"mod\\u0065l":1,"\\"":2,"":3}',
      members: [
        ["model", "1"],
        ['"', "2"],
        ["", "3"],
      ],
      depth: 1,
      count: 3,
    },
    {
      text: '{"a":-0.5e+3,"b":true,"c":null}',
      members: [
        ["a", "-0.5e+3"],
        ["b", "true"],
        ["c", "null"],
      ],
      depth: 1,
      count: 3,
    },
    { text: '{"a":9007199254740993}', members: [["a", "9007199254740993"]], depth: 1, count: 1 },
    { text: '{"__proto__":1}', members: [["__proto__", "1"]], depth: 1, count: 1 },
    { text: '[{"a":1},{"b":2}]', members: [], depth: 2, count: 2 },
    { text: '"{\\"a\\":1}"', members: [], depth: 0, count: 0 },
    { text: "12", members: [], depth: 0, count: 0 },
    { text: '{"é😀":"网"}', members: [["é😀", '"网"']], depth: 1, count: 1 },
  ])("$text", ({ text, members, depth, count }) => {
    expect(membersOf(text)).toEqual(members);
    expect(scanJson(text)).toMatchObject({ depth, memberCount: count });
  });

  test.each([
    "{",
    '{"a',
    '{"a"',
    '{"a":',
    '{"a":"',
    '{"a":"\\',
    "}}}}",
    ",,,",
    ":::",
    '"\\"',
    "]{[}",
    '{"a":1}}{"b":2',
  ])("%j is not JSON, and the scan still ends", (text) => {
    expect(scanJson(text).members.length).toBeLessThan(5);
    expect(scanArray(text, 0).length).toBeLessThan(5);
  });

  test.each<[string, (size: number) => unknown]>([
    ["depth", (size) => expect(scanJson(`${"[".repeat(size)}${"]".repeat(size)}`).depth).toBe(size)],
    [
      "members",
      (size) => {
        const text = `{${Array.from({ length: size }, (_, at) => `"${at}":0`).join(",")}}`;
        expect(scanJson(text).memberCount).toBe(size);
      },
    ],
    ["quotes", (size) => expect(membersOf(`{"a":"${'\\"'.repeat(size)}"}`)).toHaveLength(1)],
    ["backslashes", (size) => expect(membersOf(`{"a":"${"\\\\".repeat(size)}"}`)).toHaveLength(1)],
  ])("long and deep texts take one pass: %s", (_, scan) => {
    expect(isLinear(20_000, scan)).toBe(true);
  });
});

describe("scanArray", () => {
  test.each<{ text: string; start?: number; elements: string[] }>([
    { text: "[]", elements: [] },
    { text: " [ \n ] ", elements: [] },
    { text: "[1]", elements: ["1"] },
    { text: '[ 1 , "a,]" , {"b":[2,3]} , [ ] ]', elements: ["1", '"a,]"', '{"b":[2,3]}', "[ ]"] },
    { text: '{"a":[1,2],"b":[3]}', start: 5, elements: ["1", "2"] },
    { text: '{"a":[1,2],"b":[3]}', start: 14, elements: ["3"] },
    { text: '["\\"]",null]', elements: ['"\\"]"', "null"] },
  ])("$text", ({ text, start, elements }) => {
    expect(elementsOf(text, start)).toEqual(elements);
  });

  test("finds the elements of any array, however it is spaced", () => {
    const indent = fc.constantFrom(0, 1, "\t");
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), indent, (values, space) => {
        const found = elementsOf(JSON.stringify(values, null, space));
        expect(found.map((text) => JSON.stringify(parseJson(text)))).toEqual(
          values.map((value) => JSON.stringify(value)),
        );
      }),
    );
  });
});

describe("hasMoreValues", () => {
  test.each([
    { text: "[1,2,3]", count: 3 },
    { text: '{"a":1,"b":[{},[]]}', count: 6 },
    { text: '["[,{",",\\",["]', count: 2 },
    { text: '"[[[[,,,,', count: 0 },
    { text: "[[[", count: 3 },
    { text: "", count: 0 },
  ])("$text has $count and no more, strings aside", ({ text, count }) => {
    expect(hasMoreValues(text, count)).toBe(false);
    expect(hasMoreValues(text, count - 1)).toBe(count > 0);
  });
});

describe("repeatedKey", () => {
  test.each<{ text: string; key: string | null }>([
    { text: '"a"', key: null },
    { text: '{"a":"a","b":["a","a"]}', key: null },
    { text: '[{"a":1},{"a":{"a":2}}]', key: null },
    { text: '{"a":1,"a":2}', key: "a" },
    { text: '{"tools":{"deny":["rm"],"auto":{"deny":1},"deny" : []}}', key: "deny" },
    { text: '{"a":{"b":1},"c":[{}],"a":{}}', key: "a" },
    { text: '{"mod\\u0065l":1,"model":2}', key: "model" },
    { text: '{"a":"}","b":"\\":{","a":1}', key: "a" },
    { text: '{"__proto__":1,"constructor":2}', key: null },
    { text: '{"":1,"":2}', key: "" },
  ])("$text", ({ text, key }) => {
    expect(repeatedKey(text)).toBe(key);
  });

  test("no text that was made from a value repeats a key, and one that was put in twice is found", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), fc.constantFrom(0, 1, "\t"), (value, key, space) => {
        const text = JSON.stringify([value, { other: value }], null, space);
        expect(repeatedKey(text)).toBeNull();
        const name = JSON.stringify(key);
        expect(repeatedKey(`[${text},{${name}:${text} , ${name} : 1}]`)).toBe(key);
      }),
    );
  });
});

describe("JsonEdit", () => {
  test.each<{ name: string; text: string; edit: (edit: JsonEdit) => JsonEdit; result: string }>([
    { name: "nothing", text: ' { "a" : 1 } ', edit: (e) => e, result: ' { "a" : 1 } ' },
    {
      name: "a value in the middle",
      text: '{"a":1, "b":2 ,"c":3}',
      edit: (e) => e.set("b", "x"),
      result: '{"a":1, "b":"x" ,"c":3}',
    },
    { name: "the first member away", text: '{ "a":1, "b":2}', edit: (e) => e.remove("a"), result: '{ "b":2}' },
    {
      name: "a middle member away",
      text: '{"a":1, "b":2, "c":3}',
      edit: (e) => e.remove("b"),
      result: '{"a":1, "c":3}',
    },
    { name: "the last member away", text: '{"a":1, "b":2 }', edit: (e) => e.remove("b"), result: '{"a":1 }' },
    { name: "the only member away", text: '{ "a":1 }', edit: (e) => e.remove("a"), result: "{ }" },
    {
      name: "all members away and a new one",
      text: '{"a":1,"b":2}',
      edit: (e) => e.remove("a").remove("b").set("c", 3),
      result: '{"c":3}',
    },
    { name: "a new member in an empty object", text: "{}", edit: (e) => e.set("a", 1), result: '{"a":1}' },
    {
      name: "a new member behind others",
      text: '{"a":1 }',
      edit: (e) => e.setRaw("b", "1e400"),
      result: '{"a":1,"b":1e400 }',
    },
    { name: "another name", text: '{"a" : 1.0,"b":2}', edit: (e) => e.rename("a", "z"), result: '{"z" : 1.0,"b":2}' },
    { name: "another name and value", text: '{"a":1}', edit: (e) => e.rename("a", "z").set("a", 2), result: '{"z":2}' },
    { name: "the name of an absent member", text: '{"a":1}', edit: (e) => e.rename("b", "z"), result: '{"a":1}' },
    { name: "an absent member away", text: '{"a":1}', edit: (e) => e.remove("b"), result: '{"a":1}' },
    {
      name: "a doubled member",
      text: '{"a":1,"b":0,"a":2}',
      edit: (e) => e.set("a", 3),
      result: '{"a":3,"b":0,"a":3}',
    },
    { name: "a doubled member away", text: '{"a":1,"b":0,"a":2}', edit: (e) => e.remove("a"), result: '{"b":0}' },
    { name: "an escaped key", text: '{"r\\u006fute":{},"b":1}', edit: (e) => e.remove("route"), result: '{"b":1}' },
    { name: "the same member twice over", text: '{"a":1}', edit: (e) => e.remove("a").set("a", 2), result: '{"a":2}' },
    {
      name: "a member called __proto__",
      text: '{"a":1}',
      edit: (e) => e.set("__proto__", 1),
      result: '{"a":1,"__proto__":1}',
    },
    {
      name: "a nested member of the same name not",
      text: '{"a":{"b":1},"b":2}',
      edit: (e) => e.remove("b"),
      result: '{"a":{"b":1}}',
    },
  ])("changes $name", ({ text, edit, result }) => {
    expect(edit(new JsonEdit(text)).toString()).toBe(result);
  });

  test("raw and has see the last of two equal members, and earlier edits", () => {
    const edit = new JsonEdit('{"a":1,"a": 2.0 ,"b":null}');
    expect([edit.raw("a"), edit.raw("b"), edit.raw("c")]).toEqual(["2.0", "null", undefined]);
    expect([edit.has("a"), edit.has("c"), edit.has("toString")]).toEqual([true, false, false]);
    edit.set("a", 3).remove("b").set("c", 4);
    expect([edit.raw("a"), edit.raw("b"), edit.raw("c")]).toEqual(["3", undefined, "4"]);
    expect(edit.has("b")).toBe(false);
  });
});

interface Member {
  readonly key: string;
  readonly rawKey: string;
  readonly rawValue: string;
  /** White space before the key, before the colon, before the value, behind it. */
  readonly spaces: readonly string[];
}

const space = fc.constantFrom("", "", " ", "\n  ", "\t", "\r\n");
const KEYS = ["model", "messages", "route", "stream", "a", "", "é", '"', "\\", "__proto__", "toString"];
const rawKeyOf = (key: string, escaped: boolean): string =>
  escaped
    ? `"${[...key].map((each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`).join("")}"`
    : JSON.stringify(key);
const member: fc.Arbitrary<Member> = fc
  .record({
    key: fc.constantFrom(...KEYS),
    escaped: fc.boolean(),
    rawValue: fc.oneof(
      fc.constantFrom(
        "1e400",
        "-0",
        "9007199254740993",
        "1.0",
        '"\\ud800"',
        '"}"',
        '"\\\\"',
        "[ ]",
        '{ "a" : [1,{"route":2}] }',
      ),
      fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
    ),
    spaces: fc.tuple(space, space, space, space),
  })
  .map(({ key, escaped, rawValue, spaces }) => ({ key, rawKey: rawKeyOf(key, escaped), rawValue, spaces }));
const document = fc.record({
  before: space,
  members: fc.array(member, { maxLength: 6 }),
  inside: space,
  behind: space,
});

function textOf({
  before,
  members,
  inside,
  behind,
}: {
  before: string;
  members: Member[];
  inside: string;
  behind: string;
}) {
  const parts = members.map(
    ({ rawKey, rawValue, spaces: [s0, s1, s2, s3] }) => `${s0}${rawKey}${s1}:${s2}${rawValue}${s3}`,
  );
  return `${before}{${members.length === 0 ? inside : parts.join(",")}}${behind}`;
}

type Change =
  | { readonly kind: "set"; readonly key: string; readonly raw: string }
  | { readonly kind: "remove"; readonly key: string };
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant("set" as const),
    key: fc.constantFrom(...KEYS, "new"),
    raw: fc.constantFrom("7", "1e99", '{"x":[]}'),
  }),
  fc.record({ kind: fc.constant("remove" as const), key: fc.constantFrom(...KEYS, "new") }),
);

describe("JsonEdit, for any object, any changes and any white space", () => {
  /** Raw key and raw value of each member. */
  const rawMembers = (text: string): [string, string][] =>
    scanJson(text).members.map((found) => [
      text.slice(found.keyStart, found.keyEnd),
      text.slice(found.valueStart, found.valueEnd),
    ]);

  test("the scan finds every member where it stands", () => {
    fc.assert(
      fc.property(document, (made) => {
        const text = textOf(made);
        expect(rawMembers(text)).toEqual(made.members.map(({ rawKey, rawValue }) => [rawKey, rawValue]));
        expect(scanJson(text).members.map(({ key }) => key)).toEqual(made.members.map(({ key }) => key));
      }),
      { numRuns: tries(500) },
    );
  });

  test("what was not named keeps its bytes and its order, and the result is JSON", () => {
    fc.assert(
      fc.property(document, fc.array(change, { maxLength: 4 }), (made, changes) => {
        const edit = new JsonEdit(textOf(made));
        const values = new Map<string, string | null>();
        for (const each of changes) {
          if (each.kind === "set") edit.setRaw(each.key, each.raw);
          else edit.remove(each.key);
          values.set(each.key, each.kind === "set" ? each.raw : null);
        }
        const expected: [string, string][] = [];
        for (const { key, rawKey, rawValue } of made.members) {
          const value = values.get(key);
          if (value !== null) expected.push([rawKey, value ?? rawValue]);
        }
        for (const [key, value] of values) {
          if (value !== null && !made.members.some((each) => each.key === key))
            expected.push([JSON.stringify(key), value]);
        }
        const result = edit.toString();
        expect(isJsonObject(parseJson(result))).toBe(true);
        expect(rawMembers(result)).toEqual(expected);
      }),
      { numRuns: tries(1_000) },
    );
  });

  test("a renamed member keeps its place and its value", () => {
    fc.assert(
      fc.property(document, fc.constantFrom(...KEYS), (made, key) => {
        const result = new JsonEdit(textOf(made)).rename(key, 'new "name"').toString();
        expect(rawMembers(result)).toEqual(
          made.members.map((each) => [each.key === key ? '"new \\"name\\""' : each.rawKey, each.rawValue]),
        );
        expect(isJsonObject(parseJson(result))).toBe(true);
      }),
      { numRuns: tries(500) },
    );
  });

  test("a change that is taken back leaves the text as it was", () => {
    fc.assert(
      fc.property(document, (made) => {
        const text = textOf(made);
        const result = new JsonEdit(text).set("never there", 1).remove("never there").toString();
        expect(result).toBe(text);
      }),
    );
  });
});

describe("parseExactJson", () => {
  test.each([
    '{"a":9007199254740993,"b":[-2512292042121000001]}',
    '{"a":0.12345678901234567890123,"b":1e400,"c":-1e400}',
    '{"a":"9007199254740993","b":1.50,"c":1e2}',
    "[1234567890123456789012345678901234567890]",
  ])("keeps every digit that matters of %s", (text) => {
    const again = JSON.stringify(parseExactJson(text));
    const inexact = [...text.matchAll(/(?<!["\d.])-?\d[\d.]{15,}|-?1e400/g)].map(([number]) => number);
    for (const number of inexact) expect(again).toContain(number);
    expect(JSON.parse(again)).toEqual(JSON.parse(text));
  });

  test("leaves every other value as it is", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        expect(JSON.stringify(parseExactJson(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });
});

describe("a text that would take memory out of all proportion to its length", () => {
  const MIB = 1024 * 1024;
  test.each([
    { name: "9 MiB of open arrays", text: "[".repeat(9 * MIB) },
    { name: "open objects", text: '{"a":'.repeat(MIB) },
    { name: "arrays that close again", text: "[".repeat(300_000) + "]".repeat(300_000) },
    { name: "a million empty objects", text: `[${"{},".repeat(MIB)}{}]` },
    { name: "a million empty arrays behind a text with brackets", text: `["]]]]\\"[",${"[],".repeat(MIB)}[]]` },
  ])("is no JSON: $name", ({ text }) => {
    // Parsed, the first takes a second and 650 MB.
    const parse = vi.spyOn(JSON, "parse");
    expect(tryParseJson(text)).toBeUndefined();
    expect(() => parseJson(text)).toThrow(SyntaxError);
    const { calls } = parse.mock;
    parse.mockRestore();
    expect(calls).toEqual([]);
  });

  test.each([
    { name: "brackets inside of a text", value: ["[{".repeat(MIB), `\\"${"[".repeat(30_000)}`] },
    { name: "many numbers", value: Array.from({ length: 600_000 }, (_, at) => at % 10) },
    { name: "many small objects", value: Array.from({ length: 100_000 }, () => ({ a: 1 })) },
  ])("is not one with $name", ({ value }) => {
    expect(tryParseJson(JSON.stringify(value))).toEqual(value);
  });
});

test("an object whose every member is looked up and removed takes work by its length", () => {
  const growth = growthOf(500, (size) => {
    const names = Array.from({ length: size }, (_, at) => `k${at}`);
    const text = JSON.stringify(Object.fromEntries(names.map((name) => [name, 1])));
    return () => {
      const edit = new JsonEdit(text);
      for (const name of names) if (edit.has(name)) edit.remove(name);
      expect(edit.toString()).toBe("{}");
    };
  });
  expect(growth).toBeLessThan(2.5);
});
