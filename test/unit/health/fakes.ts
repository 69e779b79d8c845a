/** Stand-ins for a target's object and for KV, and the context a request lends to the health client. */
import type { HealthContext } from "../../../src/health/client.ts";
import type { ProviderHealth } from "../../../src/health/provider-health.ts";
import type { HealthAnswer, HealthDelta, HealthSnapshot } from "../../../src/health/types.ts";

/** What the object answers; its clock is the test's. */
export function calm(changes: Partial<HealthAnswer> = {}): HealthAnswer {
  return {
    at: Date.now(),
    state: "closed",
    openUntil: 0,
    cooldownUntil: 0,
    ejections: 0,
    requests: 0,
    failures: 0,
    rateLimited: 0,
    firstToken: null,
    total: null,
    leaseMs: 0,
    ...changes,
  };
}

type Answer = (delta: HealthDelta) => Promise<HealthAnswer>;

export interface FakeHealth extends HealthContext {
  /** Every delta that was posted. */
  readonly deltas: HealthDelta[];
  /** What was handed to `waitUntil`. */
  readonly work: Promise<unknown>[];
  /** From now on. */
  answer: Answer;
  snapshot: () => Promise<HealthSnapshot | null>;
  readKv: () => Promise<string | null>;
  kvReads: number;
}

export function fakeHealth(answer: Answer = async () => calm()): FakeHealth {
  const work: Promise<unknown>[] = [];
  const stub = {
    report: (delta: HealthDelta) => {
      fake.deltas.push(delta);
      return fake.answer(delta);
    },
    snapshot: () => fake.snapshot(),
    details: () => fake.snapshot(),
  };
  const get = (): Promise<string | null> => {
    fake.kvReads++;
    return fake.readKv();
  };
  const fake: FakeHealth = {
    // The client calls nothing else of a namespace or of KV.
    namespace: { getByName: () => stub } as unknown as DurableObjectNamespace<ProviderHealth>,
    kv: { get } as unknown as KVNamespace,
    waitUntil: (promise) => {
      work.push(promise);
    },
    deltas: [],
    work,
    answer,
    snapshot: async () => null,
    readKv: async () => null,
    kvReads: 0,
  };
  return fake;
}
