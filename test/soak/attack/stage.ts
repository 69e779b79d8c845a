/** A Worker, every provider played by one scripted upstream, and the routes and keys that attacks need. */

import { baseUrlName } from "../../../src/providers/provider-settings.ts";
import { cpuMs, residentMiB, workerdChildren } from "../../bench/measure.ts";
import { billedWire, wireAt } from "../../support/billed.ts";
import { type Call, completion, type Script, startUpstream, type Upstream } from "../../support/upstream.ts";
import { type CreatedKey, startWorker, type TestWorker } from "../../support/worker.ts";
import { type AttackTarget, TARGETS } from "./targets.ts";

/** What the upstream does with the request of one try; `null`: it answers as an honest provider. */
export type Act = (call: Call, target: AttackTarget) => Script | null;

/** By how a gate comes about. */
export type Gate = "policy" | "body" | "header" | "record";

export interface Stage {
  readonly worker: TestWorker;
  readonly upstream: Upstream;
  /** By the number of the try, whose token is in its request. */
  readonly acts: Map<number, Act>;
  /** Its calls wait for a decision: one is pending, one is denied. */
  readonly recorded: CreatedKey;
  /** Sends everything but what costs, and has no record. */
  readonly attacker: CreatedKey;
  readonly victim: CreatedKey;
  /** `flow/<name>` of the route of `target` for a purpose. */
  route(target: AttackTarget, purpose: Purpose): string;
  cpuMs(): number;
  residentMiB(): number;
  stop(): Promise<void>;
}

/** `gated` and `open` have models nobody prices, `dear` has the priced one, `shared` is what victims use too. */
export type Purpose = "gated" | "open" | "dear" | "shared";

const PURPOSES: readonly Purpose[] = ["gated", "open", "dear", "shared"];
export const tokenOf = (attempt: number): string => `try-${attempt}-`;
const TOKEN = /try-(\d+)-/;

export const isStreamed = ({ body, path }: Call): boolean => /"stream":true/.test(body) || /stream/i.test(path);

export async function startStage(): Promise<Stage> {
  const upstream = await startUpstream();
  const known = new Set(workerdChildren());
  const vars: Record<string, string> = { GROQ_BASE_URL: `${upstream.url}/p/groq`, GROQ_API_KEY: "sk-spare" };
  for (const target of TARGETS) {
    Object.assign(vars, target.vars, { [baseUrlName(target.provider)]: `${upstream.url}/p/${target.provider}` });
  }
  const worker = await startWorker({ vars });
  const pid = workerdChildren().find((each) => !known.has(each)) ?? null;
  const acts = new Map<number, Act>();
  upstream.script((call) => answerTo(call, acts));

  const nameOf = ({ provider }: AttackTarget, purpose: Purpose): string => `${purpose}-${provider}`;
  for (const target of TARGETS) {
    for (const purpose of PURPOSES)
      await worker.putRoute("production", nameOf(target, purpose), policyOf(target, purpose));
  }
  const [attacker, recorded, victim] = await Promise.all([worker.createKey(), worker.createKey(), worker.createKey()]);
  await recordCalls(worker, upstream, acts, recorded);
  return {
    ...{ worker, upstream, acts, attacker, recorded, victim },
    route: (target, purpose) => `flow/${nameOf(target, purpose)}`,
    cpuMs: () => cpuMs(pid),
    residentMiB: () => residentMiB(pid),
    async stop() {
      await worker.stop();
      await upstream.stop();
    },
  };
}

function policyOf({ provider, model }: AttackTarget, purpose: Purpose): object {
  const own = { provider, model: purpose === "dear" ? model : `${purpose}-model` };
  const spare = purpose === "shared" ? [{ provider: "groq", model: "spare-model" }] : [];
  return {
    targets: [own, ...spare],
    retry: { same_target: 0 },
    timeouts: { first_token_ms: 5_000, idle_ms: 5_000, total_ms: 20_000 },
    tools: { require_approval: purpose === "gated", wait_ms: 0, auto_approve: [], deny: ["deny_*"] },
  };
}

function answerTo(call: Call, acts: ReadonlyMap<number, Act>): Script {
  const provider = call.path.split("/")[2] ?? "";
  const target = TARGETS.find((each) => each.provider === provider);
  if (target === undefined) {
    const wire = billedWire(wireAt(call.path, "groq"));
    return wire[isStreamed(call) ? "stream" : "whole"]("Spare.", { input: 5, output: 2 });
  }
  const number = Number(TOKEN.exec(call.body)?.[1] ?? -1);
  const act = acts.get(number)?.(call, target) ?? null;
  const wire = billedWire(wireAt(call.path, target.provider));
  return act ?? wire[isStreamed(call) ? "stream" : "whole"]("Honest.", { input: 5, output: 2 });
}

/** Puts a pending and a denied call on record for `key`. */
async function recordCalls(
  worker: TestWorker,
  upstream: Upstream,
  acts: Map<number, Act>,
  key: CreatedKey,
): Promise<void> {
  const [target] = TARGETS;
  if (target === undefined) throw new Error("There is no target.");
  const toolCalls = [
    { id: "call_7", name: "wipe", arguments: '{"disk":"sda"}' },
    { id: "call_8", name: "deny_all", arguments: "{}" },
  ];
  acts.set(0, () => ({ json: completion({ toolCalls }) }));
  const response = await worker.fetch("/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key.key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: `flow/gated-${target.provider}`, messages: [{ role: "user", content: tokenOf(0) }] }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`The calls could not be recorded: ${text}`);
  acts.clear();
  upstream.calls.length = 0;
}
