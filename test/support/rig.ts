/**
 * One Worker and one scripted provider behind it, for tests that are about the client's side.
 *
 * Every route gets a name, an upstream model and a key of its own, so that breaker states and counts of one test never
 * reach another. Nothing is tried twice unless a test's policy says so: a count of calls is then exact.
 */
import { startUpstream, type Upstream } from "./upstream.ts";
import { startWorker, type TestWorker } from "./worker.ts";

type Json = Readonly<Record<string, unknown>>;
type Scripts = Parameters<Upstream["script"]>[0];

export interface OwnRoute {
  /** What a client sends as `model`. */
  readonly model: string;
  /** A key of `production`. */
  readonly key: string;
  /** What the provider receives as `model`. */
  readonly upstreamModel: string;
  /** Calls that reached the scripted provider for this route; always 0 behind the sandbox. */
  upstreamCalls(): number;
}

export interface RouteSpec {
  /** Who is played by the scripted provider. Default `openai`. */
  readonly provider?: string;
  /** Members of the policy besides its targets. */
  readonly policy?: Json;
  /** Members of the key. */
  readonly key?: Json;
}

export interface Rig {
  readonly worker: TestWorker;
  readonly upstream: Upstream;
  /** What a client is given as its base URL. */
  readonly baseURL: string;
  /** A route to the scripted provider, which answers `scripts`. */
  scripted(scripts: Scripts, spec?: RouteSpec): Promise<OwnRoute>;
  /** A route to the sandbox under `params`. */
  sandbox(params?: Json, spec?: RouteSpec): Promise<OwnRoute>;
  stop(): Promise<void>;
}

export async function startRig(): Promise<Rig> {
  const upstream = await startUpstream();
  const url = `${upstream.url}/v1`;
  const vars = {
    ...{ OPENAI_BASE_URL: url, OPENAI_API_KEY: "provider-secret", GROQ_BASE_URL: url, GROQ_API_KEY: "provider-secret" },
    ...{ DEEPINFRA_BASE_URL: url, DEEPINFRA_API_KEY: "provider-secret" },
    ...{ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: "provider-secret" },
  };
  const worker = await startWorker({ vars });
  let count = 0;

  async function route(provider: string, params: Json, { policy = {}, key = {} }: RouteSpec): Promise<OwnRoute> {
    const name = `own-${++count}`;
    const upstreamModel = `model-${count}`;
    const targets = [{ provider, model: upstreamModel, params }];
    await worker.putRoute("production", name, { retry: { same_target: 0 }, ...policy, targets });
    const created = await worker.createKey(key);
    const upstreamCalls = (): number => upstream.callsTo(upstreamModel).length;
    return { model: `flow/${name}`, key: created.key, upstreamModel, upstreamCalls };
  }

  return {
    worker,
    upstream,
    baseURL: `${worker.url}/v1`,
    async scripted(scripts, spec = {}) {
      const own = await route(spec.provider ?? "openai", {}, spec);
      upstream.scriptFor(own.upstreamModel, scripts);
      return own;
    },
    sandbox: (params = {}, spec = {}) => route("sandbox", params, spec),
    async stop() {
      await worker.stop();
      await upstream.stop();
    },
  };
}

/** `fetch` that counts: what a client really sent, retries included. */
export function countingFetch(): { readonly fetch: typeof fetch; count(): number } {
  let requests = 0;
  return {
    fetch: (input: RequestInfo | URL, init?: RequestInit) => {
      requests++;
      return fetch(input, init);
    },
    count: () => requests,
  };
}
