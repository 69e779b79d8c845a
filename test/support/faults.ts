/**
 * A front before the product, in the same isolate, that makes what the product depends on fail on demand: KV, the
 * Durable Objects, the clock. Real bindings stand behind it, and work again as soon as a fault is taken away.
 */
import type { TestWorker } from "./worker.ts";

/** `hang`: never answers. `corrupt`: KV answers with half a JSON document. */
export interface Faults {
  readonly kv?: { readonly prefix: string; readonly how: "fail" | "hang" | "corrupt" };
  readonly ledger?: "reset" | "overloaded" | "hang";
  /** How much longer every call to a ledger takes. */
  readonly ledgerMs?: number;
  readonly health?: "reset" | "hang";
  /** `garble`: what stored responses are encrypted to comes back with other bytes. */
  readonly store?: "reset" | "overloaded" | "hang" | "garble";
  /** How much longer every call to a store of responses takes. */
  readonly storeMs?: number;
  /** How far the isolate's clock is ahead. */
  readonly clockMs?: number;
  /** Calls to this upstream model: `queued` for 10 s behind six others, or over the `limit` of one request. */
  readonly calls?: { readonly model: string; readonly how: "queued" | "limit" };
}

/** Pass as `front` to `startWorker`. */
export const FAULTS_FRONT = `
import app from "./index.js";
export * from "./index.js";

let faults = {};
let kvReads = 0;
const realNow = Date.now.bind(Date);
Date.now = () => realNow() + (faults.clockMs ?? 0);

const realFetch = globalThis.fetch.bind(globalThis);
globalThis.fetch = async (input, init) => {
  if (faults.calls !== undefined && String(init?.body).includes('"model":' + JSON.stringify(faults.calls.model))) {
    if (faults.calls.how === "limit") throw new Error("Too many subrequests by single Worker invocation.");
    await scheduler.wait(10_000, { signal: init.signal });
  }
  return realFetch(input, init);
};

const never = () => new Promise((resolve) => setTimeout(resolve, 2_000_000_000));

function faultyKv(kv) {
  return new Proxy(kv, {
    get(target, member) {
      if (member !== "get") return typeof target[member] === "function" ? target[member].bind(target) : target[member];
      return async (key, options) => {
        kvReads++;
        if (faults.kv === undefined || !key.startsWith(faults.kv.prefix)) return target.get(key, options);
        if (faults.kv.how === "hang") await never();
        if (faults.kv.how === "fail") throw new Error("KV GET failed: 500 Internal Server Error");
        return '{"half":';
      };
    },
  });
}

async function broken(how) {
  if (how === "hang") await never();
  throw how === "reset"
    ? Object.assign(new Error("Durable Object reset."), { durableObjectReset: true, retryable: true })
    : Object.assign(new Error("Durable Object is overloaded."), { overloaded: true });
}

function garbled(answer) {
  for (const { response } of answer.responses ?? []) response[response.length - 1] ^= 1;
  return answer;
}

function faultyObjects(namespace, faultOf, delayOf = () => 0) {
  return new Proxy(namespace, {
    get(target, member) {
      if (member !== "getByName") return target[member];
      return (name) => {
        const stub = target.getByName(name);
        return new Proxy(stub, {
          get: (_, method) => async (...rest) => {
            if (delayOf() > 0) await scheduler.wait(delayOf());
            if (faultOf() === "garble") return garbled(await stub[method](...rest));
            return faultOf() === undefined ? stub[method](...rest) : broken(faultOf());
          },
        });
      };
    },
  });
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === "/faults") {
      if (request.method === "PUT") faults = await request.json();
      return Response.json({ kvReads });
    }
    const CONFIG = faultyKv(env.CONFIG);
    const KEY_LEDGER = faultyObjects(env.KEY_LEDGER, () => faults.ledger, () => faults.ledgerMs ?? 0);
    const PROVIDER_HEALTH = faultyObjects(env.PROVIDER_HEALTH, () => faults.health);
    const CONVERSATION_STORE = faultyObjects(env.CONVERSATION_STORE, () => faults.store, () => faults.storeMs ?? 0);
    return app.fetch(request, { ...env, CONFIG, KEY_LEDGER, PROVIDER_HEALTH, CONVERSATION_STORE }, context);
  },
};
`;

/** From now on exactly these faults; none takes all away. */
export async function setFaults(worker: TestWorker, faults: Faults = {}): Promise<void> {
  await worker.fetch("/faults", { method: "PUT", body: JSON.stringify(faults) });
}

/** Reads of KV by the request path so far. */
export async function kvReads(worker: TestWorker): Promise<number> {
  const body = (await (await worker.fetch("/faults")).json()) as { kvReads: number };
  return body.kvReads;
}
