/**
 * What an operator does while there is traffic, in two isolates: a provider's secret is revoked, keys are rotated, the
 * pepper moves, a provider is down for an hour. No request that could be answered fails, and the log says what happened.
 */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Pops, startPops } from "../support/pops.ts";
import { completion, startUpstream, type Upstream } from "../support/upstream.ts";

const MODEL = "gpt-4.1-mini";
const OTHER = "llama-3.3-70b-versatile";
const POPS = 2;
const HOUR_MS = 3_600_000;
/** Of the clock, between two requests of an isolate. */
const STEP_MS = 2_500;
const CLIENTS = 8;
const TRAFFIC_MS = Number(process.env["FLOW_SOAK_SECONDS"] ?? "6") * 1_000;
const [FIRST_PEPPER, SECOND_PEPPER] = ["first-pepper-first-pepper", "second-pepper-second-pepper"];

let upstream: Upstream;
beforeAll(async () => {
  upstream = await startUpstream();
});
afterAll(() => upstream.stop());

const varsOf = (): Record<string, string> => ({
  ...{ OPENAI_API_KEY: "sk-old", OPENAI_API_KEY_2: "sk-new", OPENAI_BASE_URL: `${upstream.url}/v1` },
  ...{ GROQ_API_KEY: "sk-groq", GROQ_BASE_URL: `${upstream.url}/v1` },
});
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Made {
  readonly id: string;
  readonly key: string;
}

async function makeKey(pops: Pops, name: string, spec: object = {}): Promise<Made> {
  return (await pops.admin("/admin/keys", "POST", { name, env: "production", ...spec })) as unknown as Made;
}

const publish = (pops: Pops, name: string, policy: object): Promise<object> =>
  pops.admin(`/admin/routes/production/${name}`, "PUT", policy);

async function chat(pops: Pops, pop: number, key: string, route: string, body: object = {}): Promise<Response> {
  const messages = [{ role: "user", content: "hi" }];
  const response = await pops.fetch(pop, "/v1/chat/completions", {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ model: `flow/${route}`, messages, max_tokens: 20, ...body }),
  });
  await response.clone().text();
  return response;
}

/** Clients of both isolates ask on and on until `done` is settled. Answers what became of their requests. */
async function under(ask: (client: number) => Promise<Response>, done: Promise<unknown>): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  let isOver = false;
  const client = async (number: number): Promise<void> => {
    while (!isOver) {
      const response = await ask(number);
      const name = response.status === 200 ? "200" : `${response.status} ${(await response.text()).slice(0, 200)}`;
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
      await pause(10);
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, number) => client(number));
  await done;
  isOver = true;
  await Promise.all(clients);
  console.info(`SOAK operator ${JSON.stringify([...outcomes])}`);
  return outcomes;
}

describe("two isolates under traffic", () => {
  test("a provider's secret that is revoked costs no answer, and the log says which one within a minute", async () => {
    const pops = await startPops(POPS, varsOf());
    try {
      let revoked = "";
      const refusal = {
        error: { message: "Incorrect API key provided: sk-old.", code: "invalid_api_key", type: "auth" },
      };
      upstream.scriptFor(MODEL, ({ headers }) => {
        const isRevoked = headers["authorization"] === `Bearer ${revoked}`;
        return isRevoked
          ? { status: 401, json: refusal, headers: { "x-request-id": "req_401" } }
          : { json: completion() };
      });
      await publish(pops, "real", { targets: [{ provider: "openai", model: MODEL }] });
      const { key } = await makeKey(pops, "a");
      const revoke = async (): Promise<void> => {
        await pause(TRAFFIC_MS / 3);
        revoked = "sk-old";
        await pause((TRAFFIC_MS * 2) / 3);
      };
      const outcomes = await under((client) => chat(pops, client % POPS, key, "real"), revoke());
      expect([...outcomes.keys()]).toEqual(["200"]);
      const lines = pops.logs().split("\n");
      const line =
        lines.find((each) => each.startsWith('{"event":"request"') && each.includes('"outcome":"auth"')) ?? "{}";
      const { attempt_details: attempts } = JSON.parse(line) as { attempt_details?: unknown[] };
      expect(attempts).toContainEqual(
        expect.objectContaining({
          ...{ provider: "openai", model: MODEL, outcome: "auth", status: 401, credential: 1 },
          ...{ provider_code: "invalid_api_key", provider_request_id: "req_401" },
          provider_message: expect.stringContaining("Incorrect API key"),
        }),
      );
      expect(pops.logs()).not.toContain("sk-old");
    } finally {
      await pops.stop();
    }
  });

  test("a key that is rotated works with its new secret at once, and with the old one as long as they overlap", async () => {
    const pops = await startPops(POPS, varsOf());
    try {
      upstream.scriptFor(MODEL, { json: completion() });
      await publish(pops, "real", { targets: [{ provider: "openai", model: MODEL }] });
      const kinds = [{}, { budget: { limit_usd: 100, period: "day" } }];
      const made = await Promise.all(kinds.map((spec, at) => makeKey(pops, `key-${at}`, spec)));
      const current = made.map(({ key }) => key);
      let rotations = 0;
      const rotate = async (): Promise<void> => {
        for (const endsAt = Date.now() + TRAFFIC_MS; Date.now() < endsAt; rotations++) {
          const at = rotations % made.length;
          // Requests that were sent with the secret before are on their way for less than a second.
          const path = `/admin/keys/${made[at]?.id}/rotate`;
          const rotated = await pops.admin(path, "POST", { overlap_seconds: 2 });
          current[at] = String(rotated["key"]);
          await pause(150);
        }
      };
      const ask = (client: number) => chat(pops, client % POPS, current[(client >> 1) % made.length] ?? "", "real");
      const outcomes = await under(ask, rotate());
      expect([...outcomes.keys()]).toEqual(["200"]);
      expect(rotations).toBeGreaterThan(10);
    } finally {
      await pops.stop();
    }
  });

  test("the pepper moves while one isolate has the old one in front and the other the new one: no key is refused", async () => {
    const moving = [
      { FLOW_KEY_PEPPER: FIRST_PEPPER, FLOW_KEY_PEPPER_PREVIOUS: SECOND_PEPPER },
      { FLOW_KEY_PEPPER: SECOND_PEPPER, FLOW_KEY_PEPPER_PREVIOUS: FIRST_PEPPER },
    ];
    // The control plane is among those that have the new one: what it makes is hashed under it.
    const pops = await startPops(POPS, { ...varsOf(), ...moving[1] }, moving);
    try {
      upstream.scriptFor(MODEL, { json: completion() });
      await publish(pops, "real", { targets: [{ provider: "openai", model: MODEL }] });
      const keys = [(await makeKey(pops, "a")).key];
      const create = async (): Promise<void> => {
        for (const endsAt = Date.now() + TRAFFIC_MS; Date.now() < endsAt; await pause(200)) {
          keys.push((await makeKey(pops, `key-${keys.length}`)).key);
        }
      };
      let asked = 0;
      const outcomes = await under(
        (client) => chat(pops, client % POPS, keys[asked++ % keys.length] ?? "", "real"),
        create(),
      );
      expect([...outcomes.keys()]).toEqual(["200"]);
    } finally {
      await pops.stop();
    }
  });
});

test("an hour of outage: every answer comes from elsewhere, the provider is asked seldom, and is back within a minute", async () => {
  const pops = await startPops(POPS, varsOf());
  try {
    upstream.reset();
    upstream.scriptFor(MODEL, { status: 503, json: { error: { message: "down", code: null } } });
    upstream.scriptFor(OTHER, { json: completion() });
    const targets = [
      { provider: "openai", model: MODEL },
      { provider: "groq", model: OTHER },
    ];
    await publish(pops, "pair", { targets, retry: { same_target: 0 } });
    const { key } = await makeKey(pops, "a");
    const requests = (HOUR_MS / STEP_MS) * POPS;
    for (let passedMs = 0; passedMs < HOUR_MS; passedMs += STEP_MS) {
      const all = await Promise.all([0, 1].map((pop) => chat(pops, pop, key, "pair")));
      expect(all.map(({ status }) => status)).toEqual([200, 200]);
      await pops.set({ clockMs: passedMs + STEP_MS });
    }
    const calls = upstream.callsTo(MODEL).length;
    console.info(`SOAK operator outage: ${calls} calls of the provider in an hour of ${requests} requests`);
    // Probes, which come when the breaker may close.
    expect(calls).toBeLessThan(requests / 3);
    upstream.scriptFor(MODEL, { json: completion() });
    let isBack = false;
    for (let second = 0; second < 60 && !isBack; second += 5) {
      await pops.set({ clockMs: HOUR_MS + second * 1_000 });
      await vi.waitFor(async () => expect((await chat(pops, 0, key, "pair")).status).toBe(200));
      await pause(300);
      const providers = await Promise.all([0, 1].map(async (pop) => (await chat(pops, pop, key, "pair")).headers));
      isBack = providers.every((headers) => headers.get("x-flowlayer-provider") === "openai");
    }
    expect(isBack).toBe(true);
  } finally {
    await pops.stop();
  }
});
