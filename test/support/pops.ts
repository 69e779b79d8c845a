/**
 * Several points of presence: Workers of the built bundle with isolates and sockets of their own, one KV and one set of
 * Durable Objects for all. The objects live in a Worker that takes no requests; the way to a target's object can be slow.
 *
 * Stands beside `worker.ts` as the only other file that knows Miniflare's options.
 */
import { randomBytes } from "node:crypto";
import { Miniflare, type MiniflareOptions } from "miniflare";
import type { HealthSnapshot } from "../../src/health/types.ts";
import { productManifest, scriptManifest, wranglerFacts } from "./worker.ts";

type WorkerOptions = MiniflareOptions["workers"][number];

const CORE = "core";

/** Of a point of presence: a clock that can be put forward, and slow links to the objects of targets and keys. */
const POP_FRONT = `
import app from "./index.js";

let state = { clockMs: 0, healthLinkMs: 0, ledgerLinkMs: 0 };
const realNow = Date.now.bind(Date);
Date.now = () => realNow() + state.clockMs;

const slow = (stub, link) =>
  new Proxy(stub, {
    get: (target, method) => async (...parameters) => {
      await scheduler.wait(state[link] / 2);
      try {
        return await target[method](...parameters);
      } finally {
        await scheduler.wait(state[link] / 2);
      }
    },
  });
const far = (namespace, link) => ({ getByName: (name) => slow(namespace.getByName(name), link) });

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === "/pop") {
      state = { ...state, ...(await request.json()) };
      return new Response();
    }
    const PROVIDER_HEALTH = far(env.PROVIDER_HEALTH, "healthLinkMs");
    const KEY_LEDGER = far(env.KEY_LEDGER, "ledgerLinkMs");
    return app.fetch(request, { ...env, PROVIDER_HEALTH, KEY_LEDGER }, context);
  },
};
`;

/** Of the Worker with the objects: the same clock, what leases were given, and a reset on demand. */
const CORE_FRONT = `
import app, { ProviderHealth as Product } from "./index.js";
export * from "./index.js";

let clockMs = 0;
let leases = [];
const realNow = Date.now.bind(Date);
Date.now = () => realNow() + clockMs;

export class ProviderHealth extends Product {
  async report(delta) {
    const answer = await super.report(delta);
    if (answer.leaseMs > 0) leases.push({ target: this.ctx.id.name, isolate: delta.isolate, at: answer.at, ms: answer.leaseMs });
    return answer;
  }
  async reset() {
    this.ctx.abort("reset by the test");
  }
}

export default {
  async fetch(request, env, context) {
    const url = new URL(request.url);
    if (url.pathname === "/pop") {
      clockMs = (await request.json()).clockMs ?? clockMs;
      return new Response();
    }
    if (url.pathname === "/leases") return Response.json(leases);
    const target = url.searchParams.get("target");
    if (url.pathname === "/snapshot") return Response.json(await env.PROVIDER_HEALTH.getByName(target).snapshot());
    if (url.pathname === "/published") return Response.json(JSON.parse((await env.CONFIG.get("health")) ?? "null"));
    if (url.pathname === "/reset") {
      await env.PROVIDER_HEALTH.getByName(target).reset().catch(() => {});
      return new Response();
    }
    return app.fetch(request, env, context);
  },
};
`;

export interface Lease {
  readonly target: string;
  readonly isolate: string;
  /** Epoch ms, and how long it lives. */
  readonly at: number;
  readonly ms: number;
}

export interface Pops {
  readonly count: number;
  /** Sends a request to one of them. */
  fetch(pop: number, path: string, init?: RequestInit): Promise<Response>;
  /** Base URL of each, without a slash at the end. */
  readonly urls: readonly string[];
  /** The operator's call, with the operator's token. Throws when it is refused. */
  admin(path: string, method: string, body?: unknown): Promise<Readonly<Record<string, unknown>>>;
  /** Puts the clock of all isolates forward, so that nobody waits for a breaker; or makes the way to the objects slow. */
  set(state: {
    readonly clockMs?: number;
    readonly healthLinkMs?: number;
    readonly ledgerLinkMs?: number;
  }): Promise<void>;
  snapshot(target: string): Promise<HealthSnapshot | null>;
  /** What KV holds for cold isolates. */
  published(): Promise<{ readonly open: Readonly<Record<string, number>> } | null>;
  /** Leases given for `target` so far. */
  leases(target: string): Promise<readonly Lease[]>;
  /** As after an eviction: the object loses what it had only in memory. */
  reset(target: string): Promise<void>;
  logs(): string;
  stop(): Promise<void>;
}

type Vars = Readonly<Record<string, string>>;

/** Sources of whole releases in one module: of the objects, and of single points of presence. This one where none is named. */
export interface Releases {
  readonly core?: string;
  readonly pops?: readonly (string | undefined)[];
}

const manifestOf = (release: string | undefined, front: string) =>
  release === undefined ? productManifest(front) : scriptManifest(release);

async function workers(count: number, vars: Vars, own: readonly Vars[], releases: Releases): Promise<WorkerOptions[]> {
  const { compatibilityDate, compatibilityFlags, classes: all } = await wranglerFacts();
  const classes = all.filter(({ className }) => releases.core?.includes(`as ${className}`) ?? true);
  const env: NonNullable<WorkerOptions["config"]["env"]> = { CONFIG: { type: "kv", id: "config" } };
  for (const { binding, className } of classes) {
    env[binding] = { type: "durable-object", worker: CORE, exportName: className };
  }
  for (const [name, value] of Object.entries(vars)) env[name] = { type: "text", value };
  const storage = { type: "durable-object", storage: "sqlite" } as const;
  const dev = { unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }] };
  const core: WorkerOptions = {
    config: {
      ...{
        name: CORE,
        compatibilityDate,
        compatibilityFlags,
        env,
        manifest: await manifestOf(releases.core, CORE_FRONT),
      },
      exports: Object.fromEntries(classes.map(({ className }) => [className, storage])),
    },
    dev,
  };
  const manifests = await Promise.all(
    Array.from({ length: count }, (_, pop) => manifestOf(releases.pops?.[pop], POP_FRONT)),
  );
  const pops = Array.from({ length: count }, (_, pop): WorkerOptions => {
    const texts = Object.entries(own[pop] ?? {}).map(([name, value]) => [name, { type: "text", value }] as const);
    const bound = { ...env, ...Object.fromEntries(texts) };
    const manifest = manifests[pop]!;
    const config = { name: `pop-${pop}`, compatibilityDate, compatibilityFlags, env: bound, manifest, exports: {} };
    return { config, dev };
  });
  return [core, ...pops];
}

/**
 * `vars`: variables and secrets of all of them, besides those that make admin calls and keys work. `own`: of single ones,
 * as while a deployment is under way.
 */
export async function startPops(
  count: number,
  vars: Vars,
  own: readonly Vars[] = [],
  releases: Releases = {},
): Promise<Pops> {
  const lines: string[] = [];
  const adminToken = randomBytes(24).toString("hex");
  const all = {
    FLOW_ADMIN_TOKEN: adminToken,
    FLOW_KEY_PEPPER: "test-pepper-test-pepper-test-pepper",
    FLOW_ALLOW_PRIVATE_UPSTREAMS: "1",
    ...vars,
  };
  const miniflare = new Miniflare({
    ...{
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      workers: await workers(count, all, own, releases),
    },
    handleStructuredLogs: ({ message }) => lines.push(message),
    handleUncaughtError: (error) => lines.push(error.stack ?? error.message),
  });
  const urlOf = async (name: string): Promise<string> => (await miniflare.unsafeGetDirectURL(name)).origin;
  const core = await urlOf(CORE);
  const urls = await Promise.all(Array.from({ length: count }, (_, pop) => urlOf(`pop-${pop}`)));
  const about = (path: string, target: string): string => `${core}${path}?target=${encodeURIComponent(target)}`;

  return {
    ...{ count, urls },
    fetch: (pop, path, init) => fetch(urls[pop] + path, init),
    async admin(path, method, body) {
      const headers = { authorization: `Bearer ${adminToken}`, "content-type": "application/json" };
      const response = await fetch(core + path, {
        ...{ method, headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as Readonly<Record<string, unknown>>;
    },
    async set(state) {
      const init = { method: "PUT", body: JSON.stringify(state) };
      await Promise.all([core, ...urls].map((url) => fetch(`${url}/pop`, init)));
    },
    snapshot: async (target) => (await (await fetch(about("/snapshot", target))).json()) as HealthSnapshot | null,
    published: async () => (await (await fetch(`${core}/published`)).json()) as { open: Record<string, number> } | null,
    async leases(target) {
      const leases = (await (await fetch(`${core}/leases`)).json()) as Lease[];
      return leases.filter((lease) => lease.target === target);
    },
    async reset(target) {
      await fetch(about("/reset", target), { method: "POST" });
    },
    logs: () => lines.join("\n"),
    stop: () => miniflare.dispose(),
  };
}
