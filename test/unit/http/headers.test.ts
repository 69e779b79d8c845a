import fc from "fast-check";
import { expect, test } from "vitest";
import { headerList, headerText } from "../../../src/http/headers.ts";

const anyText = fc.string({ unit: "binary", maxLength: 400 });

test("no text makes a header throw, and none is long", () => {
  fc.assert(
    fc.property(anyText, fc.array(anyText, { maxLength: 200 }), (text, names) => {
      const headers = new Headers({ one: headerText(text), many: headerList(names, 500) });
      expect(headers.get("one")?.length).toBeLessThanOrEqual(256);
      expect(headers.get("many")?.length).toBeLessThanOrEqual(520);
    }),
  );
});

test.each([
  { names: ["top_k", "messages[0].content[1].cache_control"], list: "top_k, messages[0].content[1].cache_control" },
  { names: ["a\nb", "é", "x,y", 'say "x"', "top_k"], list: "other, top_k" },
  { names: ["top_k", "top_k"], list: "top_k" },
  { names: ["n".repeat(101)], list: "other" },
  { names: [], list: "" },
])("$names are listed as $list", ({ names, list }) => {
  expect(headerList(names, 500)).toBe(list);
});

test("names without room are counted", () => {
  const names = Array.from({ length: 3_000 }, (_, at) => `member_${at}`);
  const list = headerList(names, 200).split(", ");
  expect(list.at(-1)).toBe(`+${3_000 - list.length + 1} more`);
});
