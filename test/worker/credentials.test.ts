/** Several credentials of one provider: how requests are spread, what a refusal of one does, and who sees which was used. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectRefusal, type Json, okBody } from "../support/admin.ts";
import { type Call, completion, type Script, startUpstream, type Upstream } from "../support/upstream.ts";
import { startWorker, type TestWorker } from "../support/worker.ts";

let upstream: Upstream;
let worker: TestWorker;
let key: string;
let names = 0;

beforeAll(async () => {
  upstream = await startUpstream();
  worker = await startWorker({
    vars: {
      ...{ OPENAI_BASE_URL: `${upstream.url}/v1`, OPENAI_API_KEY: "sk-one", OPENAI_API_KEY_2: "sk-two" },
      // The fourth is alone: a gap ends nothing.
      ...{ OPENAI_API_KEY_4: "sk-four", GROQ_API_KEY: "gsk-only", GROQ_BASE_URL: `${upstream.url}/v1` },
      ...{ MISTRAL_API_KEY_3: "late", MISTRAL_BASE_URL: `${upstream.url}/v1` },
      ...{ UPSTREAM_A: "own-a", UPSTREAM_B: "own-b", FLOW_ALLOW_PRIVATE_UPSTREAMS: "1" },
    },
  });
  key = (await worker.createKey()).key;
});
afterAll(async () => {
  const logs = worker.logs();
  await worker.stop();
  await upstream.stop();
  expect(logs).not.toMatch(/unexpected_error|uncaught|unhandled/i);
  expect(logs).not.toMatch(/sk-one|sk-two|sk-four|own-a/);
});

const secretOf = ({ headers }: Call): string => String(headers["authorization"]).replace("Bearer ", "");

interface Own {
  readonly model: string;
  ask(headers?: Record<string, string>): Promise<Response>;
  /** Secrets of the calls so far, in their order. */
  used(): readonly string[];
}

/** A route whose provider answers by the secret that it is asked with. */
async function own(provider: string, answer: (secret: string) => Script, more: object = {}): Promise<Own> {
  const model = `pooled-${names++}`;
  const policy = { targets: [{ provider, model }], retry: { same_target: 0 }, ...more };
  await worker.putRoute("production", model, policy);
  upstream.scriptFor(model, (call: Call) => answer(secretOf(call)));
  return {
    model,
    ask: (headers = {}) =>
      worker.fetch("/v1/chat/completions", {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...headers },
        body: JSON.stringify({ model: `flow/${model}`, messages: [{ role: "user", content: "hi" }] }),
      }),
    used: () => upstream.callsTo(model).map(secretOf),
  };
}

const GOOD: Script = { json: completion() };
const refused = (status: number, headers: Record<string, string> = {}): Script => ({
  ...{ status, headers, json: { error: { message: "no", type: "x" } } },
});

async function attemptsOf(response: Response): Promise<readonly Json[]> {
  await response.text();
  const id = response.headers.get("x-request-id") ?? "";
  const read = async () => (await worker.admin(`/admin/traces/${id}`)).status;
  await expect.poll(read, { timeout: 5_000 }).toBe(200);
  const seen = await okBody(await worker.fetch(`/v1/traces/${id}`, { headers: { authorization: `Bearer ${key}` } }));
  expect(JSON.stringify(seen)).not.toContain('"credential"');
  return (await okBody(await worker.admin(`/admin/traces/${id}`)))["attempts"] as readonly Json[];
}

async function credentialsOf(id: string): Promise<readonly { number: number; rests_until: string | null }[]> {
  const list = await okBody(await worker.admin("/admin/providers?limit=1000"));
  const found = (list["data"] as readonly Json[]).find((each) => each["id"] === id);
  return found?.["credentials"] as readonly { number: number; rests_until: string | null }[];
}

describe("a pool of credentials", () => {
  test("is spread over, whatever its numbers, and named by number only", async () => {
    const route = await own("openai", () => GOOD);
    for (let at = 0; at < 30; at++) expect((await route.ask()).status).toBe(200);
    expect(new Set(route.used())).toEqual(new Set(["sk-one", "sk-two", "sk-four"]));
    expect((await credentialsOf("openai")).map(({ number }) => number)).toEqual([1, 2, 4]);
    expect((await credentialsOf("groq")).map(({ number }) => number)).toEqual([1]);
    expect(JSON.stringify(await okBody(await worker.admin("/admin/providers?limit=1000")))).not.toMatch(/sk-|own-a/);
  });

  test("configures a provider whose first secret is missing", async () => {
    const route = await own("mistral", () => GOOD);
    expect((await route.ask()).status).toBe(200);
    expect(route.used()).toEqual(["late"]);
  });

  test("goes where more is left of the limits", async () => {
    const left: Record<string, string> = { "sk-one": "1", "sk-two": "90", "sk-four": "2" };
    const route = await own("openai", (secret) => ({
      ...GOOD,
      headers: { "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": left[secret] ?? "" },
    }));
    for (let at = 0; at < 20; at++) await (await route.ask()).text();
    expect(route.used().slice(-5)).toEqual(["sk-two", "sk-two", "sk-two", "sk-two", "sk-two"]);
  });

  test("keeps a conversation at one of them", async () => {
    const route = await own("openai", () => GOOD);
    for (const session of ["a", "b", "c", "d"]) {
      const before = route.used().length;
      for (let at = 0; at < 4; at++) await (await route.ask({ "x-session-id": `${route.model}-${session}` })).text();
      expect(new Set(route.used().slice(before)).size).toBe(1);
    }
  });

  test.each([401, 402, 403, 429])("asks the next one after %s, before the target is left", async (status) => {
    // Whatever rests from the tests before: an own provider of this test alone.
    const id = `own${names++}`;
    const secrets = ["UPSTREAM_A", "UPSTREAM_B"];
    const body = { protocol: "openai", base_url: `${upstream.url}/v1`, secrets };
    await okBody(await worker.admin(`/admin/providers/${id}`, { method: "PUT", body }));
    const headers =
      status === 429 ? { "x-ratelimit-reset-requests": "40s", "x-ratelimit-remaining-requests": "0" } : {};
    const route = await own(id, (secret) => (secret === "own-a" ? refused(status, headers) : GOOD));
    const responses: Response[] = [];
    for (let at = 0; at < 6; at++) responses.push(await route.ask());
    expect(responses.map((each) => each.status)).toEqual([200, 200, 200, 200, 200, 200]);
    // It rests after its first refusal.
    expect(route.used().filter((secret) => secret === "own-a").length).toBeLessThanOrEqual(1);
    const moved = responses.find((each) => each.headers.get("x-flowlayer-attempts") === "2");
    if (moved !== undefined) {
      expect(moved.headers.get("x-flowlayer-fallback")).toBe("false");
      // Nobody fell back, and yet an operator finds the refused credential in the log.
      const traceId = moved.headers.get("x-request-id") ?? "";
      const told = () =>
        worker
          .logs()
          .split("\n")
          .find((line) => line.includes(traceId) && line.includes("attempt_details"));
      await expect
        .poll(told, { timeout: 5_000 })
        .toMatch(new RegExp(`"status":${status},"duration_ms":\\d+,"credential":1`));
      expect(await attemptsOf(moved)).toMatchObject([
        { credential: 1, status },
        { credential: 2, status: 200, winner: true },
      ]);
      const [first, second] = await credentialsOf(id);
      expect(second).toEqual({ number: 2, rests_until: null });
      const restsMs = Date.parse(first?.rests_until ?? "") - Date.now();
      expect(restsMs).toBeGreaterThan(25_000);
      if (status === 429) expect(restsMs).toBeLessThan(41_000);
    }
  });

  test("counts each call, and leaves the target when all were refused", async () => {
    const id = `own${names++}`;
    const body = { protocol: "openai", base_url: `${upstream.url}/v1`, secrets: ["UPSTREAM_A", "UPSTREAM_B"] };
    await okBody(await worker.admin(`/admin/providers/${id}`, { method: "PUT", body }));
    const all = await own(id, () => refused(401));
    const failed = await all.ask();
    expect([failed.status, failed.headers.get("x-flowlayer-attempts")]).toEqual([502, "2"]);
    expect(all.used().toSorted()).toEqual(["own-a", "own-b"]);
    const other = `own${names++}`;
    await okBody(await worker.admin(`/admin/providers/${other}`, { method: "PUT", body }));
    const one = await own(other, () => refused(401), { fallback: { max_attempts: 1 } });
    expect([(await one.ask()).headers.get("x-flowlayer-attempts"), one.used().length]).toEqual(["1", 1]);
  });

  test("of an own provider is listed, or is one secret, not both", async () => {
    const body = { protocol: "openai", base_url: `${upstream.url}/v1` };
    const put = (more: object) => worker.admin("/admin/providers/both", { method: "PUT", body: { ...body, ...more } });
    const refusals = [
      { more: { secret: "UPSTREAM_A", secrets: ["UPSTREAM_B"] }, param: "secrets" },
      { more: { secrets: [] }, param: "secrets" },
      { more: { secrets: ["OPENAI_API_KEY"] }, param: "secrets[0]" },
      { more: { secrets: Array.from({ length: 10 }, (_, at) => `UPSTREAM_${at}`) }, param: "secrets" },
    ];
    for (const { more, param } of refusals) {
      await expectRefusal(await put(more), { status: 400, code: "invalid_request", param });
    }
    const made = await okBody(await put({ secrets: ["UPSTREAM_NONE", "UPSTREAM_B"] }));
    expect(made).toMatchObject({ secret: "UPSTREAM_NONE", configured: true, credentials: [{ number: 2 }] });
  });
});
