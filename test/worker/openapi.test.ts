/** The document of the service against the service: every request it describes, and many that it does not. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Operation } from "../../src/openapi/operations.ts";
import { type Components, faultsOf, type Schema, spoilt, valuesOf } from "../support/json-schema.ts";
import {
  EVERY_SCOPE,
  exampleOf,
  NAMED_OPERATIONS,
  pendingCall,
  prepare,
  send,
  type World,
} from "../support/operations.ts";
import { tries } from "../support/tries.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

const RUNS = tries(30);
const ASKS_MODELS = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"];

interface Response200 {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}
interface Described {
  readonly responses: Readonly<Record<string, Response200>>;
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: Schema } } };
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Components };
}

let worker: TestWorker;
let world: World;
let document: Document;
let key: string;
/** Values for what stands in a path, by what stands before it or by its name. None of them is what the tests need. */
const known: Record<string, readonly string[]> = {
  provider: ["openai", "nowhere"],
  reprice: ["rp_00000000000000000000", "x"],
  model: ["gpt-4.1", "maker/model", "none"],
  env: ["production", "staging", "nowhere"],
  name: ["other", "promote"],
  version: ["1", "2", "0", "x"],
  models: ["flow/deep", "deep"],
  providers: ["openai", "mine"],
  budgets: ["all", "mine"],
  webhooks: ["pager", "mine"],
};

beforeAll(async () => {
  worker = await startWorker();
  document = (await (await worker.fetch("/openapi.json")).json()) as Document;
  world = await prepare(worker);
  const [actor, victim] = await Promise.all([worker.createKey({ scopes: EVERY_SCOPE }), worker.createKey()]);
  key = actor.key;
  const nobody = "0".repeat(12);
  known["keys"] = [victim.id, victim.id, nobody];
  known["traces"] = [world.traceId, `tr_${nobody.repeat(2)}${"0".repeat(8)}`];
  known["responses"] = ["resp_none", "input_tokens"];
  known["approvals"] = [await pendingCall(world), await pendingCall(world), "call_none"];
});
afterAll(() => worker.stop());

describe("GET /openapi.json", () => {
  test("is open, and tells nothing about the deployment", async () => {
    const response = await worker.fetch("/openapi.json");
    const text = await response.text();
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
    for (const secret of [worker.adminToken, "sandbox", "deep", "FLOW_", new URL(worker.url).host]) {
      expect(text).not.toContain(secret);
    }
    expect(JSON.parse(text)).toMatchObject({ openapi: "3.1.0" });
  });

  test("every other method of a path is 405 and names those of the document", async () => {
    const filled = (path: string): string => path.replace(/\{\w+\}/g, "x");
    const paths = Object.keys(document.paths);
    for (const path of paths) {
      // A path may fit two descriptions: a route may be called `promote`.
      const fits = (each: string): boolean => new RegExp(`^${each.replace(/\{\w+\}/g, "[^/]+")}$`).test(filled(path));
      const methods = paths.filter((each) => each === path || (path.endsWith("/promote") && fits(each)));
      const wanted = new Set(methods.flatMap((each) => Object.keys(document.paths[each] ?? {})));
      const token = path.startsWith("/admin") ? worker.adminToken : key;
      const response = await worker.fetch(filled(path), {
        method: "OPTIONS",
        headers: { authorization: `Bearer ${token}` },
      });
      await response.text();
      const allowed = (response.headers.get("allow") ?? "").toLowerCase().split(", ");
      const expected = [...wanted, ...(wanted.has("get") ? ["head"] : [])].sort();
      expect([path, response.status, allowed.sort()]).toEqual([path, 405, expected]);
    }
  });

  // Clients page and pin versions at these in ways of their own.
  const CLIENTS_ADD_THEIRS = /^\/v1\/(?:embeddings|chat|messages|responses|models)(?:\/|$)/;
  const strict = NAMED_OPERATIONS.filter(
    ([, { path }]) => /^\/(?:v1|admin)\//.test(path) && !CLIENTS_ADD_THEIRS.test(path),
  );

  test.each(strict)("%s refuses a query parameter that it does not describe", async (_, operation) => {
    const example = await exampleOf(operation, world);
    const path = `${example.path}${example.path.includes("?") ? "&" : "?"}new-env=true`;
    const token = operation.path.startsWith("/admin")
      ? worker.adminToken
      : (await worker.createKey({ scopes: EVERY_SCOPE })).key;
    const response = await send(world, operation, { ...example, path }, token);
    const body: unknown = await response.json();
    expect([response.status, body]).toMatchObject([400, { error: { code: "invalid_request", param: "new-env" } }]);
  });
});

interface Sent {
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

const MEMBERS = {
  provider: fc.constantFrom("sandbox", "openai", "nowhere"),
  model: fc.constantFrom("flow/deep", "flow/deep", "flow/deep", "sandbox/deep-1", "sandbox/deep-1", "flow/none"),
  env: fc.constantFrom("production", "staging", "nowhere"),
  from: fc.constantFrom("production", "staging"),
  to: fc.constantFrom("production", "staging", "nowhere"),
  role: fc.constantFrom("user", "tool", "assistant", "x"),
  // A raw model has the default policy, which holds a call for 20 s.
  require_tool_approval: fc.constantFrom(false, "yes"),
  base_url: fc.constantFrom("https://vendor.example/v1", "http://127.0.0.1:9", "x"),
};
const anySegment = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !/^\.{1,2}$/.test(text));

function pathsOf(path: string): fc.Arbitrary<string> {
  const places = [...path.matchAll(/(?<=(\w+)\}?\/)\{(\w+)\}/g)].map(
    ([, before = "", name = ""]) => known[name] ?? known[before],
  );
  const segments = places.map((values = []) =>
    fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: anySegment }),
  );
  return fc.tuple(...segments).map((values) => {
    let at = 0;
    return path.replace(/\{\w+\}/g, () => encodeURIComponent(values[at++] ?? ""));
  });
}

const TIMES = ["2026-11-01T00:00:00Z", "2026-12-01"];
const WORDS: Readonly<Record<string, string>> = { cursor: "7", route: "deep", provider: "sandbox", app: "web" };

function queriesOf({ query = {} }: Operation): fc.Arbitrary<string> {
  const parameters = Object.entries(query).map(([name, kind]) => {
    const words = kind.includes("|") ? kind.split("|") : kind === "integer" ? ["1", "7"] : TIMES;
    const right = fc.constantFrom(...(kind === "string" ? [WORDS[name] ?? "production"] : words));
    return [name, fc.oneof({ weight: 12, arbitrary: right }, { weight: 1, arbitrary: fc.string({ maxLength: 9 }) })];
  });
  const requiredKeys = Object.keys(query).filter((name) => name === "group_by");
  const values = fc.record(Object.fromEntries(parameters) as Record<string, fc.Arbitrary<string>>, { requiredKeys });
  return values.map((each) => new URLSearchParams(each as Record<string, string>).toString());
}

function bodiesOf({ path, method }: Operation): fc.Arbitrary<string | undefined> {
  const schema = document.paths[path]?.[method]?.requestBody?.content["application/json"].schema;
  if (schema === undefined) return fc.constant(undefined);
  const values = valuesOf(schema, document.components.schemas, MEMBERS);
  return fc.oneof(
    { weight: 5, arbitrary: values.map((value) => JSON.stringify(value)) },
    { weight: 2, arbitrary: spoilt(values).map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.constantFrom("", "{", "[]", "null", '{"a":1,"a":2}') },
  );
}

function headersOf({ caller }: Operation): fc.Arbitrary<Record<string, string>> {
  const right = {
    authorization: `Bearer ${caller === "operator" ? worker.adminToken : key}`,
    "content-type": "application/json",
  };
  const more = fc.constantFrom<Record<string, string>>(
    ...[{ authorization: "Bearer x" }, { "content-type": "text/plain" }, { "if-match": '"1"' }, { "if-match": "x" }],
    ...[{ "x-flowlayer-app": "web" }, { "x-flowlayer-app": "Not an app" }, { "sec-fetch-site": "none" }],
    ...[{ "x-flowlayer-latency-budget-ms": "500" }, { "x-flowlayer-fallback": "no" }],
  );
  const odd = more.map((each) => ({ ...right, ...each }));
  return fc.oneof({ weight: 3, arbitrary: fc.constant(right) }, { weight: 1, arbitrary: odd });
}

/** Requests of an operation: mostly as described, in part as nobody should send them. */
const requestsOf = (operation: Operation): fc.Arbitrary<Sent> =>
  fc.record({
    path: pathsOf(operation.path),
    query: queriesOf(operation),
    headers: headersOf(operation),
    body: bodiesOf(operation),
  });

function fire({ method }: Operation, { path, query, headers, body }: Sent): Promise<Response> {
  const address = query === "" ? path : `${path}?${query}`;
  return worker.fetch(address, { method: method.toUpperCase(), headers, ...(body === undefined ? {} : { body }) });
}

/** What is wrong with an answer by the document; empty: nothing. */
async function judge({ path, method }: Operation, response: Response): Promise<string[]> {
  const text = await response.text();
  const { status } = response;
  const described = document.paths[path]?.[method]?.responses[String(status)];
  if (described === undefined) return [`${status} is not described: ${text}`];
  if (!response.headers.has("x-request-id")) return ["there is no x-request-id"];
  // Nothing was wrong with a provider where none was called.
  if (status === 502 && !ASKS_MODELS.includes(path)) return [`a fault of the service: ${text}`];
  const type = response.headers.get("content-type")?.split(";")[0];
  if (described.content === undefined) return text === "" ? [] : ["there is a body"];
  const content = described.content[type ?? ""];
  if (content === undefined) return [`${type} is not described`];
  return type === "application/json" ? faultsOf(JSON.parse(text), content.schema, document.components.schemas) : [];
}

/** What only the key sees that made it. */
const OWNED = /^\/v1\/(?:traces|responses)\/\{id\}/;

describe("every answer is one that the document describes", () => {
  test.each(NAMED_OPERATIONS)("%s", async (_, operation) => {
    const own = OWNED.test(operation.path) ? world.owner.key : key;
    const token = operation.caller === "operator" ? worker.adminToken : own;
    const good = await send(world, operation, await exampleOf(operation, world), token);
    // The sandbox has no API of its own for it.
    const status = operation.path === "/v1/responses/compact" ? 404 : operation.success[0];
    expect([good.status, await judge(operation, good)]).toEqual([status, []]);
    await fc.assert(
      fc.asyncProperty(requestsOf(operation), async (sent) => {
        expect(await judge(operation, await fire(operation, sent))).toEqual([]);
      }),
      { numRuns: RUNS },
    );
  });

  test("and nothing went wrong in silence", () => {
    expect(worker.logs()).not.toContain("unexpected_error");
  });
});
