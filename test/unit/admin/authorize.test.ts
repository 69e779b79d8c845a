import { expect, test } from "vitest";
import { operatorsOf } from "../../../src/admin/authorize.ts";

const main = "m".repeat(32);
const other = "o".repeat(32);

test.each([
  { name: "nothing set: nobody", env: {}, names: [] },
  { name: "an empty token: nobody", env: { FLOW_ADMIN_TOKEN: "" }, names: [] },
  { name: "31 characters: nobody", env: { FLOW_ADMIN_TOKEN: "m".repeat(31) }, names: [] },
  { name: "32 characters: the main operator", env: { FLOW_ADMIN_TOKEN: main }, names: ["admin"] },
  { name: "further operators alone: nobody", env: { FLOW_ADMIN_TOKENS: `ann:${other}` }, names: [] },
  {
    name: "pairs may be separated by commas, spaces and line ends",
    env: { FLOW_ADMIN_TOKEN: main, FLOW_ADMIN_TOKENS: ` ann:${other},, bob:${other}:x\n cy@example.com:${other} ` },
    names: ["admin", "ann", "bob", "cy@example.com"],
  },
  {
    name: "short, nameless and malformed pairs are no operators",
    env: { FLOW_ADMIN_TOKEN: main, FLOW_ADMIN_TOKENS: `ann:short :${other} ${other} -x:${other}` },
    names: ["admin"],
  },
  {
    name: "nobody else can be called admin",
    env: { FLOW_ADMIN_TOKEN: main, FLOW_ADMIN_TOKENS: `admin:${other}` },
    names: ["admin"],
  },
])("$name", ({ env, names }) => {
  expect(operatorsOf(env).map((operator) => operator.name)).toEqual(names);
});

test("a token may contain colons", () => {
  const env = { FLOW_ADMIN_TOKEN: main, FLOW_ADMIN_TOKENS: `ann:${other}:more` };
  expect(operatorsOf(env)[1]?.token).toBe(`${other}:more`);
});
