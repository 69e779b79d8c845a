import { afterEach, expect, test } from "vitest";
import { findHost, keepProfile } from "../../../src/cli/hosts.ts";
import { refusedCredentials } from "../../../src/cli/requests.ts";
import { fakeHost, folderOf, listOf, run } from "./harness.ts";

const DEV = {
  base_url: "http://localhost:8787",
  admin_token: "local-token",
  keys: { production: "fl_p", staging: "fl_s" },
};
const PROD = { url: "https://flow.example.com", token: "prod-token", apiKey: "fl_prod" };

let remove: (() => Promise<void>) | undefined;
afterEach(async () => {
  await remove?.();
  remove = undefined;
});

interface Case {
  readonly name: string;
  readonly variables?: Readonly<Record<string, string>>;
  readonly url?: string;
  readonly profile?: string;
  readonly env?: string;
  readonly host: string;
  readonly token: string;
  readonly key: string;
}

const LOCAL = { host: "http://localhost:8787", token: "local-token" };
const OWN = { FLOW_LAYER_URL: "https://other.example.com", FLOW_ADMIN_TOKEN: "own-token" };

test.each<Case>([
  { name: "the local instance", ...LOCAL, key: "fl_p" },
  { name: "the local instance's other key", env: "staging", ...LOCAL, key: "fl_s" },
  {
    name: "a token without an address belongs to no host",
    variables: { FLOW_ADMIN_TOKEN: "t" },
    ...LOCAL,
    key: "fl_p",
  },
  { name: "the environment", variables: OWN, host: "https://other.example.com", token: "own-token", key: "" },
  { name: "a profile", variables: OWN, profile: "prod", host: PROD.url, token: PROD.token, key: PROD.apiKey },
  {
    name: "a profile without a key takes the environment's",
    variables: { FLOW_LAYER_API_KEY: "fl_mine" },
    profile: "keyless",
    host: PROD.url,
    token: PROD.token,
    key: "fl_mine",
  },
  {
    name: "the environment's key stays with the environment's address",
    variables: { ...OWN, FLOW_LAYER_API_KEY: "fl_mine" },
    profile: "keyless",
    host: PROD.url,
    token: PROD.token,
    key: "",
  },
  { name: "the address of a profile", url: PROD.url, host: PROD.url, token: PROD.token, key: PROD.apiKey },
  { name: "the local address", url: "http://localhost:8787/v1", ...LOCAL, key: "fl_p" },
  {
    name: "another address gets no token",
    url: "https://evil.example.com",
    host: "https://evil.example.com",
    token: "",
    key: "",
  },
  {
    name: "FLOW_LAYER_PROFILE",
    variables: { FLOW_LAYER_PROFILE: "prod" },
    host: PROD.url,
    token: PROD.token,
    key: PROD.apiKey,
  },
])("address and token come from one place: $name", async ({ variables = {}, url, profile, env, host, token, key }) => {
  const folder = await folderOf({ "checkout/.flowlayer/dev.json": DEV, "checkout/deep/er/x.txt": "" });
  remove = folder.remove;
  const terminal = {
    variables: { HOME: folder.directory, ...variables },
    directory: `${folder.directory}/checkout/deep/er`,
    isInteractive: false,
    write: () => {},
    writeError: () => {},
    ask: async () => "",
    fetch,
  };
  keepProfile(terminal, "prod", PROD);
  keepProfile(terminal, "keyless", { url: PROD.url, token: PROD.token });
  const found = findHost(terminal, { url, profile, env });
  expect([found.base.origin, found.token, found.apiKey]).toEqual([host, token, key]);
});

test("login keeps what the host has taken, and the default profile serves from anywhere", async () => {
  const folder = await folderOf({});
  remove = folder.remove;
  const host = fakeHost({ "GET /admin/routes": { body: listOf() }, "GET /admin/keys": { body: listOf() } });
  const variables = { HOME: folder.directory, FLOW_LAYER_URL: undefined, FLOW_ADMIN_TOKEN: undefined };
  const spec = { variables, directory: folder.directory, fetch: host.fetch };
  expect((await run(["keys", "list"], spec)).err).toContain("flow-layer login");
  const login = ["login", "--profile", "prod", "--url", "https://flow.example.com"];
  const ended = await run(login, { ...spec, answer: "the-token" });
  expect(ended).toMatchObject({ code: 0, out: expect.stringContaining("profile prod") });
  expect(ended.out + ended.err).not.toContain("the-token");
  expect((await run(["keys", "list"], spec)).code).toBe(0);
  expect(host.calls.at(-1)?.headers["authorization"]).toBe("Bearer the-token");
  expect((await run(["profiles"], spec)).out).toContain("https://flow.example.com");
  expect((await run(["keys", "list", "--profile", "nope"], spec)).err).toContain("There are: prod");
  expect((await run(["logout"], spec)).code).toBe(0);
  expect((await run(["keys", "list"], spec)).code).toBe(1);
});

test.each([
  { piped: "the-token\nfl_key\n", code: 0, says: "profile prod", key: "Bearer fl_key" },
  { piped: "the-token\n", code: 1, says: "No API key was given", key: null },
  { piped: "", code: 1, says: "No token was given", key: null },
])("login takes token and key as two lines of the standard input: $says", async ({ piped, code, says, key }) => {
  const folder = await folderOf({});
  remove = folder.remove;
  const host = fakeHost({
    "GET /admin/routes": { body: listOf() },
    "POST /v1/chat/completions": { body: { choices: [{ message: { content: "yes" } }] } },
  });
  const spec = {
    variables: { HOME: folder.directory, FLOW_LAYER_URL: undefined, FLOW_ADMIN_TOKEN: undefined },
    directory: folder.directory,
    fetch: host.fetch,
    piped,
  };
  const ended = await run(["login", "--profile", "prod", "--url", PROD.url, "--api-key"], spec);
  expect([ended.code, ended.out + ended.err]).toEqual([code, expect.stringContaining(says)]);
  if (key === null) return;
  const chat = ["chat", "support", "hi", "--no-stream", "--env", "staging", "--app", "studio"];
  expect(await run(chat, spec)).toMatchObject({ code: 0, out: "yes\n" });
  // The host decides whether the key is one of that environment.
  const { headers } = host.calls.at(-1) ?? {};
  expect(headers).toMatchObject({ authorization: key, "x-flowlayer-env": "staging", "x-flowlayer-app": "studio" });
});

test.each([
  { code: "unknown_environment", option: "--new-env" },
  { code: "promotion_blocked", option: "--force <reason>" },
])("$code is answered with the option of the command", async ({ code, option }) => {
  const host = fakeHost({ "GET /admin/keys": { status: 400, body: { error: { code, message: "No." } } } });
  expect((await run(["keys", "list"], { fetch: host.fetch })).err).toContain(option);
});

test.each([
  { name: "an SDK's base URL", url: "https://flow.example.com/v1", says: null },
  { name: "no scheme", url: "localhost:9300", says: "http://" },
  {
    name: "another server",
    url: "https://flow.example.com",
    body: { hello: 1 },
    says: "Is the Flow Layer at this address?",
  },
])("$name is told apart", async ({ url, body = listOf(), says }) => {
  const host = fakeHost({ "GET /admin/keys": { body } });
  const { code, err } = await run(["keys", "list", "--url", url], { fetch: host.fetch });
  expect([code, err]).toEqual(says === null ? [0, ""] : [1, expect.stringContaining(says)]);
  if (says === null) expect(host.calls[0]?.url).toBe("https://flow.example.com/admin/keys?limit=1000");
});

test("a reading command that gets no answer says nothing of changes", async () => {
  const broken: typeof fetch = async () => {
    throw new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED") });
  };
  expect((await run(["keys", "list"], { fetch: broken })).err).not.toContain("change");
  expect((await run(["keys", "rotate", "k"], { fetch: broken })).err).toContain("may or may not be made");
});

test("chat and doctor name a provider that refused its key", () => {
  const log = "openai/gpt-5.2;auth;401;12ms, openai/gpt-5;auth;401;9ms, sandbox/deep-1;ok;200;40ms";
  expect(refusedCredentials(new Headers({ "x-flowlayer-attempt-log": log }))).toEqual(["openai"]);
  expect(refusedCredentials(new Headers())).toEqual([]);
});

test("an option that takes something away is taken as it is written", async () => {
  const host = fakeHost({ "PATCH /admin/keys/k": { body: { id: "k" } } });
  expect((await run(["keys", "update", "k", "--no-limits"], { fetch: host.fetch })).code).toBe(0);
  expect(host.calls[0]?.body).toEqual({ limits: null });
});
