/**
 * The Worker under test, in workerd, with real KV and Durable Objects. Only this file and `pops.ts` know Miniflare's options.
 *
 * Requests go to a direct socket: the development proxy in front of it hides disconnects and distorts timing. Date,
 * flags and Durable Object classes are read from `wrangler.toml`, so that tests run what a deployment runs. The flag
 * `global_fetch_strictly_public` stays on: workerd on its own still reaches 127.0.0.1 under it.
 */
import { randomBytes } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative } from "node:path";
import { Miniflare, type MiniflareOptions } from "miniflare";
import type { Env } from "../../src/config.ts";
import { bindingsModule, bindingsOf } from "./bindings.ts";
import { BUNDLE_ERROR_VARIABLE, BUNDLE_VARIABLE } from "./build.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const NAME = "flow-layer";

type WorkerOptions = MiniflareOptions["workers"][number];
type Manifest = NonNullable<WorkerOptions["config"]["manifest"]>;
type Bindings = NonNullable<WorkerOptions["config"]["env"]>;

export interface WorkerSpec {
  /** Further variables and secrets; `undefined` removes one of the defaults. */
  readonly vars?: Readonly<Record<string, string | undefined>>;
  /** Directory that keeps KV and Durable Objects when the Worker stops. Without it nothing is kept. */
  readonly persist?: string;
  /** Source of a module to run in place of the product, for comparisons. */
  readonly script?: string;
  /** Source of a whole release in one module: it runs on the state that `persist` keeps, with the objects that it knows. */
  readonly release?: string;
  /** Its heap can be measured (`TestWorker.inspector`). */
  readonly inspect?: true;
  /** Source of a module that stands before the product, which it imports as `./index.js`: a place for faults. */
  readonly front?: string;
}

export interface AdminInit {
  /** Default: `GET`, or `POST` when there is a body. */
  readonly method?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The answer to a key's creation: the key object, and the key itself this one time. */
export interface CreatedKey {
  readonly id: string;
  readonly key: string;
  readonly [field: string]: unknown;
}

export interface PublishedRoute {
  readonly env: string;
  readonly name: string;
  readonly version: number;
  readonly [field: string]: unknown;
}

export interface TestWorker {
  /** Base URL, without a slash at the end. */
  readonly url: string;
  readonly adminToken: string;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** A call of the control plane with the operator's token. `path` starts with `/admin`. */
  admin(path: string, init?: AdminInit): Promise<Response>;
  /** A new key, by default of `production` and with a name of its own. Throws when it is refused. */
  createKey(spec?: Readonly<Record<string, unknown>>): Promise<CreatedKey>;
  /** Publishes a policy. Throws when it is refused. */
  putRoute(env: string, name: string, policy: unknown): Promise<PublishedRoute>;
  /** KV and Durable Object stubs, as the Worker itself sees them. */
  bindings(): Env;
  /** All that the Worker wrote to its console so far, errors nobody caught included, one line each. */
  logs(): string;
  /** `logs` says nothing of what was before. */
  forgetLogs(): void;
  /** Where a debugger connects. Needs `WorkerSpec.inspect`. */
  inspector(): Promise<URL>;
  stop(): Promise<void>;
}

interface WranglerFacts {
  readonly compatibilityDate: string;
  readonly compatibilityFlags: string[];
  readonly classes: readonly { readonly binding: string; readonly className: string }[];
  readonly limiters: readonly { readonly binding: string; readonly namespace: string; readonly limit: number }[];
}

export async function wranglerFacts(): Promise<WranglerFacts> {
  const text = await readFile(join(ROOT, "wrangler.toml"), "utf8");
  const compatibilityDate = /^compatibility_date = "([^"]+)"/m.exec(text)?.[1];
  const flags = /^compatibility_flags = \[([^\]]*)\]/m.exec(text)?.[1];
  if (compatibilityDate === undefined || flags === undefined) {
    throw new Error("wrangler.toml has no compatibility_date or compatibility_flags in the expected spelling.");
  }
  // The environment behind the top level has the same bindings once more.
  const [topLevel = ""] = text.split("\n[env.");
  const classes = [...topLevel.matchAll(/\{ name = "([^"]+)", class_name = "([^"]+)" \}/g)];
  const limiters = text.matchAll(
    /^\[\[ratelimits\]\]\nname = "(\w+)"\nnamespace_id = "(\d+)"\nsimple = \{ limit = (\d+), period = 60 \}/gm,
  );
  return {
    compatibilityDate,
    compatibilityFlags: [...flags.matchAll(/"([^"]+)"/g)].map(([, flag = ""]) => flag),
    classes: classes.map(([, binding = "", className = ""]) => ({ binding, className })),
    limiters: [...limiters].map(([, binding = "", namespace = "", limit]) => {
      return { binding, namespace, limit: Number(limit) };
    }),
  };
}

/** Every module of the bundle, behind `front` where there is one. What is not JavaScript was imported as text. */
export async function productManifest(front: string | undefined): Promise<Manifest> {
  const directory = process.env[BUNDLE_VARIABLE];
  if (directory === undefined) {
    throw new Error(`The Worker could not be bundled: ${process.env[BUNDLE_ERROR_VARIABLE] ?? "nobody tried"}`);
  }
  const modules: Manifest["modules"] = {};
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const extension = extname(entry.name);
    if (!entry.isFile() || extension === ".map" || entry.name === "README.md") continue;
    const type = extension === ".js" ? "esm" : "text";
    modules[relative(directory, path)] = { type, contents: await readFile(path, "utf8") };
  }
  if (front !== undefined) modules["front.js"] = { type: "esm", contents: front };
  modules["bindings.js"] = { type: "esm", contents: bindingsModule(front === undefined ? "index.js" : "front.js") };
  return { mainModule: "bindings.js", modulesRoot: directory, modules };
}

/** One module that is all of a Worker. */
export function scriptManifest(script: string): Manifest {
  return { mainModule: "index.js", modulesRoot: ROOT, modules: { "index.js": { type: "esm", contents: script } } };
}

function manifestOf({ script, release, front }: WorkerSpec): Promise<Manifest> | Manifest {
  const whole = script ?? release;
  return whole === undefined ? productManifest(front) : scriptManifest(whole);
}

async function miniflareOptions(spec: WorkerSpec, vars: Readonly<Record<string, string | undefined>>) {
  const { compatibilityDate, compatibilityFlags, classes, limiters } = await wranglerFacts();
  const isKnown = (name: string): boolean => spec.release === undefined || spec.release.includes(`as ${name}`);
  const owned = spec.script === undefined ? classes.filter(({ className }) => isKnown(className)) : [];
  const env: Bindings = { CONFIG: { type: "kv", id: "config" } };
  for (const { binding, className } of owned) {
    env[binding] = { type: "durable-object", worker: NAME, exportName: className };
  }
  for (const { binding, namespace, limit } of spec.script === undefined ? limiters : []) {
    env[binding] = { type: "rate-limit", namespace, simple: { limit, period: 60 } };
  }
  for (const [name, value] of Object.entries(vars)) {
    if (value !== undefined) env[name] = { type: "text", value };
  }
  const storage = { type: "durable-object", storage: "sqlite" } as const;
  const worker: WorkerOptions = {
    config: {
      name: NAME,
      compatibilityDate,
      compatibilityFlags,
      manifest: await manifestOf(spec),
      env,
      exports: Object.fromEntries(owned.map(({ className }) => [className, storage])),
    },
    dev: { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] },
  };
  return {
    host: "127.0.0.1",
    port: 0,
    cf: false,
    telemetry: { enabled: false },
    ...(spec.persist === undefined ? {} : { resourcePersistencePath: spec.persist }),
    ...(spec.inspect === undefined ? {} : { inspectorPort: 0 }),
    workers: [worker],
  } satisfies MiniflareOptions;
}

async function expectStatus(response: Response, status: number, what: string): Promise<unknown> {
  const text = await response.text();
  if (response.status !== status) throw new Error(`${what}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** Starts one Worker. It takes about half a second; a test file starts one and stops it in `afterAll`. */
export async function startWorker(spec: WorkerSpec = {}): Promise<TestWorker> {
  const lines: string[] = [];
  const adminToken = spec.vars?.["FLOW_ADMIN_TOKEN"] ?? randomBytes(24).toString("hex");
  const vars = {
    FLOW_ADMIN_TOKEN: adminToken,
    FLOW_KEY_PEPPER: "test-pepper-test-pepper-test-pepper",
    FLOW_SANDBOX: "1",
    FLOW_ALLOW_PRIVATE_UPSTREAMS: "1",
    ...spec.vars,
  };
  const miniflare = new Miniflare({
    ...(await miniflareOptions(spec, vars)),
    handleStructuredLogs: ({ message }) => lines.push(message),
    handleUncaughtError: (error) => lines.push(error.stack ?? error.message),
  });
  const url = (await miniflare.unsafeGetDirectURL(NAME)).origin;

  function admin(path: string, init: AdminInit = {}): Promise<Response> {
    const { body, method = body === undefined ? "GET" : "POST", headers } = init;
    return fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${adminToken}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  return {
    url,
    adminToken,
    fetch: (path, init) => fetch(url + path, init),
    admin,
    async createKey(key = {}) {
      const body = { name: `test ${randomBytes(6).toString("hex")}`, env: "production", ...key };
      // The control plane's answer is the contract's; a test that doubts it reads the answer itself.
      return (await expectStatus(await admin("/admin/keys?new_env=true", { body }), 201, "createKey")) as CreatedKey;
    },
    async putRoute(env, name, policy) {
      // Tests make environments of their own; that a misspelt one is refused has a test of its own.
      const path = `/admin/routes/${env}/${name}?new_env=true`;
      return (await expectStatus(await admin(path, { method: "PUT", body: policy }), 200, path)) as PublishedRoute;
    },
    bindings: () => bindingsOf(url),
    logs: () => lines.join("\n"),
    forgetLogs: () => lines.splice(0),
    inspector: () => miniflare.getInspectorURL(),
    stop: () => miniflare.dispose(),
  };
}
