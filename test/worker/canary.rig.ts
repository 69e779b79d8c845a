/** A Worker whose every credential is a canary, and everything it says, sends, logs and stores, noted by place. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { Canaries, filesOf } from "../support/canary.ts";
import { readStream } from "../support/sse.ts";
import { type Script, startUpstream, type Upstream } from "../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../support/worker.ts";

type Json = Readonly<Record<string, unknown>>;

/** While it is told to, every call of KV and of every object breaks inside, with a text that must go nowhere. */
const FRONT = `
import app, * as product from "./index.js";
export * from "./index.js";
let fault = "";
const broken = (Product) => {
  const Broken = class extends Product {};
  for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(Product.prototype))) {
    if (name === "constructor" || name === "alarm" || typeof value !== "function") continue;
    Broken.prototype[name] = function (...parameters) {
      if (fault !== "") throw new TypeError(fault);
      return value.apply(this, parameters);
    };
  }
  return Broken;
};
export const ControlPlane = broken(product.ControlPlane);
export const KeyLedger = broken(product.KeyLedger);
export const ProviderHealth = broken(product.ProviderHealth);
export const ToolApprovals = broken(product.ToolApprovals);
export const TrailIndex = broken(product.TrailIndex);
const flaky = (kv) => new Proxy(kv, {
  get: (target, method) => (...parameters) => {
    if (fault !== "") throw new TypeError(fault);
    return target[method](...parameters);
  },
});
export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== "/fault") {
      return app.fetch(request, { ...env, CONFIG: flaky(env.CONFIG) }, context);
    }
    fault = await request.text();
    return new Response();
  },
};
`;

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text goes as it is. */
  readonly body?: unknown;
}

/** What the status of an answer has to be; a number stands for itself. */
type Status = number | ((status: number) => boolean);

export interface CanaryRig {
  readonly canaries: Canaries;
  readonly upstream: Upstream;
  readonly collector: Upstream;
  readonly worker: TestWorker;
  /** The token of a further operator. */
  readonly secondOperator: string;
  /** What the provider of each family is called with. */
  readonly vendorSecrets: ReadonlyMap<string, string>;
  /** Sends it, checks the status, notes the answer. Gives its body. */
  send(status: Status, path: string, token: string | null, asked?: Asked): Promise<string>;
  admin(path: string, body?: unknown, method?: string, status?: number): Promise<string>;
  newKey(name: string, spec?: Json): Promise<CreatedKey>;
  /** The secret of a key that was shown. */
  watchKey(token: string): void;
  keyOf(name: string): string;
  /** A route over `providers`, whose models answer `scripts`, each its own. Gives what a client calls it. */
  newRoute(providers: readonly string[], scripts: readonly Script[], policy?: Json): Promise<string>;
  /** Breaks all storage with `text`, or with none mends it. */
  fault(text: string): Promise<void>;
  /** Stops the Worker, and looks for every canary in all that is left of it. */
  scan(): Promise<void>;
  stop(): Promise<void>;
}

function variables(
  { canaries, upstream, collector }: Pick<CanaryRig, "canaries" | "upstream" | "collector">,
  vendorSecrets: Map<string, string>,
): Record<string, string> {
  const plant = (kind: string): string => canaries.plant(kind);
  const secret = (family: string, kind: string, prefix = ""): string => {
    const text = prefix + plant(kind);
    vendorSecrets.set(family, `${vendorSecrets.get(family) ?? ""} ${text}`);
    return text;
  };
  const ids = ["openai", "anthropic", "google", "cohere", "bedrock"];
  return {
    ...Object.fromEntries(ids.map((id) => [`${id.toUpperCase()}_BASE_URL`, `${upstream.url}/${id}/v1`])),
    FLOW_ADMIN_TOKEN: `${plant("FLOW_ADMIN_TOKEN")}-of-the-main-operator`,
    FLOW_ADMIN_TOKENS: `ops:${plant("FLOW_ADMIN_TOKENS")}-of-one-more-operator`,
    FLOW_KEY_PEPPER: `${plant("FLOW_KEY_PEPPER")}-under-every-key`,
    FLOW_KEY_PEPPER_PREVIOUS: `${plant("FLOW_KEY_PEPPER_PREVIOUS")}-before-that`,
    FLOW_LOG_REQUESTS: "1",
    OPENAI_API_KEY: secret("openai", "OPENAI_API_KEY", "sk-proj-"),
    ANTHROPIC_API_KEY: secret("anthropic", "ANTHROPIC_API_KEY", "sk-ant-"),
    GEMINI_API_KEY: secret("google", "GEMINI_API_KEY", "AIza"),
    COHERE_API_KEY: secret("cohere", "COHERE_API_KEY"),
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: secret("bedrock", "AWS_ACCESS_KEY_ID", "AKIA"),
    AWS_SECRET_ACCESS_KEY: secret("bedrock", "AWS_SECRET_ACCESS_KEY"),
    AWS_SESSION_TOKEN: secret("bedrock", "AWS_SESSION_TOKEN"),
    UPSTREAM_ACME: secret("acme", "secret of an operator's own provider", "acme."),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${plant("OTEL_EXPORTER_OTLP_HEADERS")}`,
  };
}

function placeOf(path: string, method: string, status: number): string {
  // The refusal of a second decision shows the first.
  if (status >= 400 && status !== 409) return "refusal";
  if (path.startsWith("/v1/chat")) return "answer";
  if (path.includes("/traces")) return path.startsWith("/v1") ? "own traces" : "traces";
  if (path.includes("/approvals")) return "approvals";
  return method === "POST" && /^\/admin\/keys(\/\w+\/rotate)?$/.test(path) ? "new key" : "admin";
}

/** Where a provider of any family looks for the model. */
const pathsOf = (model: string): string[] => [
  model,
  `/google/v1/models/${model}:generateContent`,
  `/bedrock/v1/model/${model}/converse`,
];

/** `disk ControlPlane` of every file of its objects; `kv`. */
function diskPlace(path: string): string {
  const [store = "", name = ""] = path.split("/");
  return store === "do" ? `disk ${name.replace("flow-layer-", "")}` : store;
}

export async function startCanaryRig(): Promise<CanaryRig> {
  const canaries = new Canaries();
  const [upstream, collector] = await Promise.all([startUpstream(), startUpstream()]);
  const directory = await mkdtemp(join(tmpdir(), "canary-"));
  const vendorSecrets = new Map<string, string>();
  const vars = variables({ canaries, upstream, collector }, vendorSecrets);
  const worker = await startWorker({ persist: directory, front: FRONT, vars });
  const keys = new Map<string, CreatedKey>();
  /** Looked at in the end, when every canary is planted. */
  const seen: { readonly place: string; readonly content: string }[] = [];
  let routeCount = 0;

  const vendorHeaders = (): Record<string, string> => {
    const names = ["set-cookie", "x-request-id", "x-debug", "server", "openai-organization"];
    return Object.fromEntries(names.map((name) => [name, canaries.plant("vendor's header")]));
  };

  const rig: CanaryRig = {
    ...{ canaries, upstream, collector, worker, vendorSecrets },
    secondOperator: vars["FLOW_ADMIN_TOKENS"]?.replace("ops:", "") ?? "",
    async send(status, path, token, { body, method = body === undefined ? "GET" : "POST", headers } = {}) {
      const response = await worker.fetch(path, {
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
      });
      const text = (await readStream(response)).text;
      const isExpected = typeof status === "number" ? status === response.status : status(response.status);
      expect(isExpected, `${method} ${path}: ${response.status} ${text}`).toBe(true);
      seen.push({ place: "response head", content: [...response.headers].flat().join("\n") });
      seen.push({ place: placeOf(path, method, response.status), content: text });
      return text;
    },
    admin: (path, body, method = body === undefined ? "GET" : "POST", status = 200) =>
      rig.send(status, `/admin${path}`, worker.adminToken, { method, ...(body === undefined ? {} : { body }) }),
    async newKey(name, spec = {}) {
      const answer = await rig.admin("/keys", { name, env: "production", ...spec }, "POST", 201);
      const key = JSON.parse(answer) as CreatedKey;
      rig.watchKey(key.key);
      keys.set(name, key);
      return key;
    },
    watchKey(token) {
      const secret = token.slice(token.lastIndexOf("_") + 1);
      // In halves: who finds half of it has found too much.
      for (const half of [secret.slice(0, 20), secret.slice(20)]) canaries.watch("API key", half);
    },
    keyOf: (name) => keys.get(name)?.key ?? "",
    async newRoute(providers, scripts, policy = {}) {
      const name = `canary-${++routeCount}`;
      const targets = providers.map((provider) => ({ provider, model: canaries.plant("name of a target's model") }));
      for (const [index, { model }] of targets.entries()) {
        const script = scripts[index] ?? {};
        const headers = { ...vendorHeaders(), ...script.headers };
        for (const path of pathsOf(model)) upstream.scriptFor(path, { ...script, headers });
      }
      await rig.admin(`/routes/production/${name}`, { retry: { same_target: 0 }, ...policy, targets }, "PUT");
      return `flow/${name}`;
    },
    async fault(text) {
      await worker.fetch("/fault", { method: "POST", body: text });
    },
    async scan() {
      await worker.stop();
      for (const { path, headers, body } of upstream.calls) {
        canaries.scan(`${path.split("/")[1]} head`, `${path}\n${JSON.stringify(headers)}`);
        canaries.scan("vendor body", body);
      }
      for (const { headers, body } of collector.calls) {
        canaries.scan("collector head", JSON.stringify(headers));
        canaries.scan("collector body", body);
      }
      for (const { place, content } of seen) canaries.scan(place, content);
      canaries.scan("log", worker.logs());
      for (const { path, bytes } of await filesOf(directory)) canaries.scan(diskPlace(path), bytes);
    },
    async stop() {
      await worker.stop();
      await Promise.all([upstream.stop(), collector.stop(), rm(directory, { recursive: true, force: true })]);
    },
  };
  return rig;
}
