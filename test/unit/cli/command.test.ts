import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { jsonText, safe } from "../../../src/cli/text.ts";
import { fakeHost, folderOf, listOf, refusal, run, TOKEN } from "./harness.ts";

const POLICY = { targets: [{ provider: "sandbox", model: "deep-1" }] };
const CONTROL = /[\p{Cc}\p{Cf}]/u;
/** The one character of these kinds that is let through, and only where it joins two emoji. */
const JOINED_EMOJI =
  /(?<=\p{Extended_Pictographic}[\ufe0f\u{1f3fb}-\u{1f3ff}]{0,2})\u200d(?=\p{Extended_Pictographic})/gu;

let remove: (() => Promise<void>) | undefined;
afterEach(async () => {
  await remove?.();
  remove = undefined;
});

async function policies(files: Readonly<Record<string, unknown>>): Promise<string> {
  const folder = await folderOf(files);
  remove = folder.remove;
  return folder.directory;
}

test.each([
  { name: "no command", argv: [], code: 1 },
  { name: "help", argv: ["--help"], code: 0 },
  { name: "the version", argv: ["--version"], code: 0 },
  { name: "a group without a command", argv: ["routes"], code: 1 },
  { name: "global options in front", argv: ["--json", "keys", "lst"], code: 1 },
  { name: "help of a command", argv: ["routes", "apply", "-h"], code: 0 },
  { name: "an unknown command", argv: ["routes", "drop"], code: 1 },
  { name: "a command that is a member of every object", argv: ["constructor"], code: 1 },
  { name: "an unknown option", argv: ["traces", "--envv", "x"], code: 1 },
  { name: "an option of another command", argv: ["keys", "list", "--prune"], code: 1 },
  { name: "a word too many", argv: ["keys", "list", "x"], code: 1 },
  { name: "a word too few", argv: ["keys", "revoke"], code: 1 },
  { name: "an empty value", argv: ["traces", "--env", ""], code: 1 },
  { name: "a key without a name", argv: ["keys", "create", "--env", "staging"], code: 1 },
  {
    name: "a budget without a period",
    argv: ["keys", "create", "--name", "n", "--env", "e", "--budget", "10"],
    code: 1,
  },
  { name: "a limit of zero", argv: ["keys", "create", "--name", "n", "--env", "e", "--rpm", "0"], code: 1 },
  { name: "a promotion from nowhere", argv: ["routes", "promote", "r", "--to", "production"], code: 1 },
  { name: "a rollback of no environment", argv: ["routes", "rollback", "r", "1"], code: 1 },
  { name: "one trace with filters", argv: ["traces", "tr_1", "--env", "staging"], code: 1 },
  { name: "a name that is a dot segment", argv: ["keys", "rotate", ".."], code: 1 },
])("$name ends with $code and calls nobody", async ({ argv, code }) => {
  const host = fakeHost({});
  const ended = await run(argv, { fetch: host.fetch });
  expect([ended.code, host.calls]).toEqual([code, []]);
});

describe("the host and the token", () => {
  test.each([
    { name: "no address", variables: { FLOW_LAYER_URL: undefined } },
    { name: "no token", variables: { FLOW_ADMIN_TOKEN: undefined } },
    { name: "an address that is none", variables: { FLOW_LAYER_URL: "flow.example.com" } },
    { name: "http to another machine", variables: { FLOW_LAYER_URL: "http://flow.example.com" } },
    { name: "another protocol", variables: { FLOW_LAYER_URL: "ftp://localhost" } },
    { name: "a password in the address", variables: { FLOW_LAYER_URL: "https://a:b@flow.example.com" } },
    { name: "a token with a line break", variables: { FLOW_ADMIN_TOKEN: "a\nb" } },
  ])("$name: nothing is sent", async ({ variables }) => {
    const host = fakeHost({});
    const { code } = await run(["keys", "list"], { fetch: host.fetch, variables });
    expect([code, host.calls]).toEqual([1, []]);
  });

  test("--url wins over the variable, and the token goes there in one header", async () => {
    const host = fakeHost({ "GET /base/admin/keys": { body: listOf() } });
    const ended = await run(["keys", "list", "--url", "https://flow.example.com/base/"], { fetch: host.fetch });
    expect(ended.code).toBe(0);
    expect(host.calls[0]?.url).toBe("https://flow.example.com/base/admin/keys?limit=1000");
    expect(host.calls[0]?.headers["authorization"]).toBe(`Bearer ${TOKEN}`);
  });

  test.each([
    { name: "a host that repeats it", answer: { status: 401, body: refusal("invalid_api_key", `no: ${TOKEN}`) } },
    { name: "a redirect", answer: { status: 302 } },
    { name: "a page", answer: { status: 200, body: [TOKEN] } },
    { name: "a fault without a message", answer: { status: 500, body: { error: TOKEN } } },
  ])("the token is not printed: $name", async ({ answer }) => {
    const host = fakeHost({ "GET /admin/keys": answer });
    const { code, out, err } = await run(["keys", "list"], { fetch: host.fetch });
    expect([code, out]).toEqual([1, ""]);
    expect(err).not.toContain(TOKEN);
    expect(err.trim()).not.toBe("flow:");
  });

  test("a host that does not answer is an error that says so", async () => {
    const broken: typeof fetch = async () => {
      throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
    };
    const { code, err } = await run(["keys", "list"], { fetch: broken });
    expect([code, err]).toEqual([1, expect.stringContaining("does not answer: connect ECONNREFUSED")]);
  });
});

describe("what is asked first", () => {
  const HOST = {
    "GET /admin/routes": { body: listOf({ env: "staging", name: "old", version: 4, policy: POLICY }) },
    "PUT /admin/routes/staging/r": { body: { version: 1 } },
    "DELETE /admin/routes/staging/old": { status: 204 },
    "GET /admin/keys/k": { body: { name: "n", env: "staging", status: "active" } },
    "DELETE /admin/keys/k": { status: 204 },
  };
  const APPLY = ["routes", "apply", "--prune", "1"];
  const REVOKE = ["keys", "revoke", "k"];

  test.each([
    { name: "apply without a terminal", argv: APPLY, code: 2, changes: [] },
    { name: "apply with --yes", argv: [...APPLY, "--yes"], code: 0, changes: ["PUT", "DELETE"] },
    { name: "apply and a yes", argv: APPLY, answer: "y", code: 0, changes: ["PUT", "DELETE"] },
    { name: "apply and a no", argv: APPLY, answer: "n", code: 2, changes: [] },
    { name: "apply and no answer", argv: APPLY, answer: "", code: 2, changes: [] },
    { name: "a revocation without a terminal", argv: REVOKE, code: 2, changes: [] },
    { name: "a revocation and a yes", argv: REVOKE, answer: "yes", code: 0, changes: ["DELETE"] },
  ])("$name ends with $code", async ({ argv, answer, code, changes }) => {
    const host = fakeHost(HOST);
    const directory = await policies({ "policies/staging/r.json": POLICY });
    const spec = { fetch: host.fetch, directory, ...(answer === undefined ? {} : { answer }) };
    const ended = await run(argv, spec);
    expect([ended.code, host.changes().map(({ method }) => method)]).toEqual([code, changes]);
    expect(ended.asked.length).toBe(answer === undefined ? 0 : 1);
  });

  test("a rollback shows what comes back, and asks for no promotion that it does not need", async () => {
    const path = "/admin/routes/production/r";
    const guarded = { ...POLICY, description: "new", promotion: { required: true } };
    const repeated = { version: 4, origin: { kind: "rollback", from: { env: "production", version: 2 } } };
    const host = fakeHost({
      [`GET ${path}`]: { body: { env: "production", name: "r", version: 4, policy: guarded } },
      // The fourth repeats the second, and the third was left.
      [`GET ${path}/versions`]: { body: listOf(repeated, { version: 3 }, { version: 2 }, { version: 1 }) },
      [`GET ${path}/versions/1`]: { body: { env: "production", name: "r", version: 1, policy: POLICY } },
      [`POST ${path}/rollback`]: { body: { version: 5 } },
    });
    const ended = await run(["routes", "rollback", "production/r"], { fetch: host.fetch, answer: "y" });
    expect([ended.code, host.changes().map(({ body }) => body)]).toEqual([0, [{ version: 1 }]]);
    expect(ended.err).toContain('description: "new"');
    expect(ended.err).not.toContain("by promotion only");
  });

  test("every change holds only for the version the plan was made on", async () => {
    const host = fakeHost(HOST);
    const directory = await policies({ "policies/staging/r.json": POLICY });
    await run([...APPLY, "-y"], { fetch: host.fetch, directory });
    expect(host.changes().map(({ headers }) => headers["if-match"])).toEqual(['"0"', '"4"']);
  });
});

describe("policy files", () => {
  test.each([
    { name: "no folder", files: {} },
    {
      name: "an environment without a folder",
      files: { "policies/staging/r.json": POLICY },
      argv: ["--env", "production"],
    },
    { name: "text that is no JSON", files: { "policies/staging/r.json": "// no\n{}" }, says: "not valid JSON" },
    { name: "a typo in a policy", files: { "policies/staging/r.json": { ...POLICY, latencyy: {} } }, says: "latencyy" },
    { name: "a member twice", files: { "policies/staging/r.json": '{"targets":[],"targets":[]}' }, says: "twice" },
    {
      name: "a member twice further in",
      files: { "policies/staging/r.json": '{"targets":[{"provider":"openai","model":"a","model":"b"}]}' },
      says: "`model` is given twice",
    },
    {
      name: "a file that is no policy",
      files: { "policies/staging/support.yaml": "a: 1" },
      says: "staging/support.yaml: is no policy",
    },
    { name: "an ending in capitals", files: { "policies/staging/Support.JSON": POLICY }, says: "is no policy" },
    {
      name: "a policy beside the folders",
      files: { "policies/r.json": POLICY, "policies/staging/r.json": POLICY },
      says: "belongs into the folder",
    },
    { name: "a name that is none", files: { "policies/staging/R R.json": POLICY }, says: "must match" },
    { name: "an environment that is none", files: { "policies/Staging/r.json": POLICY }, says: "must match" },
  ])("$name: nothing is asked of the host", async ({ files, argv = [], says = "folder" }) => {
    const host = fakeHost({});
    const directory = await policies(files);
    const ended = await run(["routes", "apply", "--yes", ...argv], { fetch: host.fetch, directory });
    expect([ended.code, host.calls]).toEqual([1, []]);
    expect(ended.err).toContain(says);
  });
});

test.each([
  { name: "without a count", prune: ["--prune"], code: 2 },
  { name: "with another count", prune: ["--prune", "2"], code: 2 },
  { name: "with the count", prune: ["--prune", "1"], code: 0 },
])("a deletion $name ends with $code", async ({ prune, code }) => {
  const host = fakeHost({
    "GET /admin/routes": { body: listOf({ env: "staging", name: "old", version: 4, policy: POLICY }) },
    "PUT /admin/routes/staging/r": { body: { version: 1 } },
    "DELETE /admin/routes/staging/old": { status: 204 },
  });
  const directory = await policies({
    "policies/staging/r.json": { $schema: "x", ...POLICY },
    "policies/staging/README.md": "",
  });
  const ended = await run(["routes", "apply", ...prune, "--yes"], { fetch: host.fetch, directory });
  expect([ended.code, host.changes().length]).toEqual([code, code === 0 ? 2 : 0]);
  if (code !== 0) expect(ended.err).toContain("--prune 1");
  else expect(host.changes()[0]?.body).toEqual(POLICY);
});

test("a refusal ends an apply where it stands and says what is left", async () => {
  const host = fakeHost({
    "GET /admin/routes": { body: listOf() },
    "PUT /admin/routes/staging/a": { body: { version: 1 } },
    "PUT /admin/routes/staging/b": { status: 412, body: refusal("version_mismatch", "The route is at version 2.") },
  });
  const files = Object.fromEntries(["a", "b", "c"].map((name) => [`policies/staging/${name}.json`, POLICY]));
  const directory = await policies(files);
  const ended = await run(["routes", "apply", "--yes", "--json"], { fetch: host.fetch, directory });
  expect(ended.code).toBe(1);
  expect(JSON.parse(ended.out)).toMatchObject({ applied: [{ name: "a" }], not_applied: ["staging/b", "staging/c"] });
  expect(ended.err).toContain("run this again");
});

test("a list is read to its last page", async () => {
  const first = { ...listOf({ id: "one", env: "staging" }), has_more: true, next_cursor: "7" };
  const pages: typeof fetch = async (input) =>
    Response.json(String(input).includes("cursor=7") ? listOf({ id: "two", env: "staging" }) : first);
  const { out } = await run(["keys", "list", "--json"], { fetch: pages });
  expect(JSON.parse(out)).toEqual(listOf({ id: "one", env: "staging" }, { id: "two", env: "staging" }));
});

describe("what reaches the terminal", () => {
  test("text of others cannot act on it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(safe(text).replaceAll(JOINED_EMOJI, "")).not.toMatch(CONTROL);
        const json = jsonText({ text });
        expect(json.replaceAll("\n", "").replaceAll(JOINED_EMOJI, "")).not.toMatch(CONTROL);
        expect(JSON.parse(json)).toEqual({ text });
      }),
    );
  });

  test("the arguments of a waiting tool call are shown without their control characters", async () => {
    const approval = { tool_call_id: "call_1", name: "pay\u001b[2K", arguments: '{"a":"\u202eb"}', status: "pending" };
    const host = fakeHost({ "GET /admin/approvals": { body: listOf(approval) } });
    const { out } = await run(["approvals"], { fetch: host.fetch });
    expect(out).toContain("call_1");
    expect(out.replaceAll("\n", "")).not.toMatch(CONTROL);
    expect(host.calls[0]?.url).toContain("status=pending");
  });
});

test("the package's command runs on the Node that is here", async () => {
  const command = new URL("../../../.dist/cli.js", import.meta.url).pathname;
  const env = { ...process.env, NODE_OPTIONS: "", FLOW_LAYER_URL: "http://localhost:1", FLOW_ADMIN_TOKEN: "t" };
  const { stdout } = await promisify(execFile)(process.execPath, [command, "--help"], { env });
  expect(stdout).toContain("Exit codes");
  const failed = promisify(execFile)(process.execPath, [command, "keys", "list"], { env });
  await expect(failed).rejects.toMatchObject({ code: 1, stdout: "" });
});
