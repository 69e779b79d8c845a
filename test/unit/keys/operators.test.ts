/** Who is an operator, in which role, and who is left out and named. */
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { includesRole, ROLES, operatorsOf as read } from "../../../src/keys/operators.ts";

type Tokens = { readonly FLOW_ADMIN_TOKEN?: string; readonly FLOW_ADMIN_TOKENS?: string };
const operatorsOf = (env: Tokens) => read(env.FLOW_ADMIN_TOKEN, env.FLOW_ADMIN_TOKENS).usable;

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

test.each([
  { pair: `ann:${other}`, token: other, role: "admin" },
  ...ROLES.map((role) => ({ pair: `ann:${other}:${role}`, token: other, role })),
  { pair: `ann:${other}:reader`, token: `${other}:reader`, role: "admin" },
  { pair: `ann:${other}:read:approve`, token: `${other}:read`, role: "approve" },
])("$pair has the role $role", ({ pair, token, role }) => {
  expect(operatorsOf({ FLOW_ADMIN_TOKEN: main, FLOW_ADMIN_TOKENS: pair })[1]).toEqual({ name: "ann", token, role });
});

test("whoever is left out is named with the reason, a nameless one by its place, and no token is shown", () => {
  const secret = "s".repeat(20);
  expect(read(main, `bob:${secret} ${other} admin:${other} cy:${secret}:read`).ignored).toEqual([
    { name: "bob", reason: "shorter than 32 characters" },
    { name: "entry 2", reason: "not of the form name:token[:role]" },
    { name: "admin", reason: "the name `admin` belongs to FLOW_ADMIN_TOKEN" },
    { name: "cy", reason: "shorter than 32 characters" },
  ]);
  expect(read(secret, `bob:${other}`)).toEqual({
    usable: [],
    ignored: [
      { name: "FLOW_ADMIN_TOKEN", reason: "shorter than 32 characters" },
      { name: "bob", reason: "FLOW_ADMIN_TOKEN is not usable" },
    ],
  });
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 })), (texts) => {
      const { ignored } = read(main, texts.map((text) => `:${secret}${text}`).join(","));
      expect(JSON.stringify(ignored)).not.toContain(secret);
    }),
  );
});

test("admin includes all, approve and release include read and not each other", () => {
  const table = ROLES.map((held) => ROLES.filter((needed) => includesRole(held, needed)));
  expect(table).toEqual([["read"], ["read", "approve"], ["read", "release"], ["read", "approve", "release", "admin"]]);
});
