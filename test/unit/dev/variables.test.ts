import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { envFile, privateAddresses, userVariables } from "../../../src/dev/variables.ts";

const root = mkdtempSync(join(tmpdir(), "flow-settings-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
writeFileSync(join(root, ".dev.vars"), "OPENAI_API_KEY=sk-file\nEMPTY=\n");
writeFileSync(join(root, "mine.env"), 'OPENAI_API_KEY="sk-mine"\n');

test.each([
  { name: "nothing but .dev.vars", args: [], all: { OPENAI_API_KEY: "sk-file" } },
  {
    name: "--var over .dev.vars",
    args: ["--var", "OPENAI_API_KEY:sk-var"],
    all: { OPENAI_API_KEY: "sk-var" },
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
  expect(userVariables(root, args, {}).all).toEqual(all);
});

test("env files are left to wrangler, .dev.vars is not", () => {
  expect(userVariables(root, ["--env-file", "mine.env"], {}).own).toEqual({});
  expect(userVariables(root, [], {}).own).toEqual({ OPENAI_API_KEY: "sk-file" });
});

test("the process environment brings provider variables, over files and under --var", () => {
  const environment = { OPENAI_API_KEY: "sk-shell", GROQ_API_KEY_2: "gsk", OLLAMA_BASE_URL: "http://127.0.0.1:1/v1" };
  const { own, all } = userVariables(root, ["--var", "GROQ_API_KEY_2:last"], {
    ...environment,
    HOME: "/",
    XAI_API_KEY: "",
  });
  expect(own).toEqual(environment);
  expect(all).toEqual({ ...environment, GROQ_API_KEY_2: "last" });
  expect(privateAddresses(all)).toEqual(["OLLAMA_BASE_URL"]);
});

test("credentials that other tools use are taken from files only, and named", () => {
  const environment = { CLOUDFLARE_API_TOKEN: "t", AWS_ACCESS_KEY_ID: "a" };
  expect(userVariables(root, [], environment)).toMatchObject({
    own: { OPENAI_API_KEY: "sk-file" },
    ignored: ["AWS_ACCESS_KEY_ID", "CLOUDFLARE_API_TOKEN"],
  });
  expect(userVariables(root, ["--var", "CLOUDFLARE_API_TOKEN:x"], environment).ignored).toEqual(["AWS_ACCESS_KEY_ID"]);
});

test("values are quoted by what they contain, and no dollar is left to expand", () => {
  expect(envFile({ A: "a$HOME", B: "it's", C: "it's a `b`" })).toBe("A='a\\$HOME'\nB=`it's`\nC=\"it's a `b`\"\n");
  expect(() => envFile({ A: "'`\"" })).toThrow(/^The value of A mixes/);
});
