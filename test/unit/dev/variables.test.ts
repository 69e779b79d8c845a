import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { envFile, userVariables } from "../../../src/dev/variables.ts";

const root = mkdtempSync(join(tmpdir(), "flow-settings-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
writeFileSync(join(root, ".dev.vars"), "OPENAI_API_KEY=sk-file\nEMPTY=\n");
writeFileSync(join(root, "mine.env"), 'OPENAI_API_KEY="sk-mine"\n');

test.each([
  { name: "nothing but .dev.vars", args: [], all: { OPENAI_API_KEY: "sk-file", EMPTY: "" } },
  {
    name: "--var over .dev.vars",
    args: ["--var", "OPENAI_API_KEY:sk-var"],
    all: { OPENAI_API_KEY: "sk-var", EMPTY: "" },
  },
  {
    name: "the last --var",
    args: ["--var", "EMPTY:1", "--var=EMPTY:2"],
    all: { OPENAI_API_KEY: "sk-file", EMPTY: "2" },
  },
  {
    name: "several variables behind one --var, split at the first colon",
    args: ["--var", "A:http://127.0.0.1:1/v1", "EMPTY:x", "--port", "9000"],
    all: { OPENAI_API_KEY: "sk-file", EMPTY: "x", A: "http://127.0.0.1:1/v1" },
  },
  { name: "an env file in place of .dev.vars", args: ["--env-file", "mine.env"], all: { OPENAI_API_KEY: "sk-mine" } },
])("wrangler's order holds for $name", ({ args, all }) => {
  expect(userVariables(root, args).all).toEqual(all);
});

test("env files are left to wrangler, .dev.vars is not", () => {
  expect(userVariables(root, ["--env-file", "mine.env"]).devVars).toEqual({});
  expect(userVariables(root, []).devVars).toEqual({ OPENAI_API_KEY: "sk-file", EMPTY: "" });
});

test("values are quoted by what they contain, and no dollar is left to expand", () => {
  expect(envFile({ A: "a$HOME", B: "it's", C: "it's a `b`" })).toBe("A='a\\$HOME'\nB=`it's`\nC=\"it's a `b`\"\n");
  expect(() => envFile({ A: "'`\"" })).toThrow(/^The value of A mixes/);
});
