import fc from "fast-check";
import { expect, test } from "vitest";
import { elementTexts, memberText, textAt } from "../../../src/lib/json-text.ts";

test.each<[string, string, string | undefined]>([
  ['{"a":2512292042121000001}', "a", "2512292042121000001"],
  ['{ "a" : { "10": 1, "2": 1.0 } , "b":[] }', "a", '{ "10": 1, "2": 1.0 }'],
  ['{"a":1,"a":2}', "a", "2"],
  ['{"\\u0061":"x\\"}"}', "a", '"x\\"}"'],
  ['{"b":{"a":1}}', "a", undefined],
  ["[1]", "a", undefined],
  ["null", "a", undefined],
])("%s holds under %s: %s", (text, name, found) => {
  expect(memberText(text, name)).toBe(found);
});

test("a path of names", () => {
  expect(textAt('{"a":{"b":{"c":1e2}}}', "a", "b", "c")).toBe("1e2");
  expect(textAt('{"a":[{"b":1}]}', "a", "b")).toBeUndefined();
  expect(textAt("[]")).toBe("[]");
});

test.each<[string, readonly string[]]>([
  ["[]", []],
  [' [ 1.0 , {"a":[1,2]},"]" ] ', ["1.0", '{"a":[1,2]}', '"]"']],
  ['{"a":[1]}', []],
  ["7", []],
])("elements of %s", (text, elements) => {
  expect(elementTexts(text)).toEqual(elements);
});

test("whatever is cut out parses to what stands there", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue()), (object, list) => {
      for (const name of Object.keys(object)) {
        const text = memberText(JSON.stringify(object, null, 1), name);
        expect(JSON.stringify(JSON.parse(text ?? ""))).toBe(JSON.stringify(object[name]));
      }
      expect(elementTexts(JSON.stringify(list))).toEqual(list.map((each) => JSON.stringify(each)));
    }),
  );
});
