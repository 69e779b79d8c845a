/** What an operator does at night: looks at a provider, takes it out, puts it back, asks whether the service is well. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type ChatRig, expectError, startChatRig, vendorError } from "../support/chat.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { completion } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig({ MISTRAL_API_KEY: "" }, FAULTS_FRONT);
});
afterAll(() => rig.stop());
beforeEach(async () => {
  rig.upstream.reset();
  await setFaults(rig.worker);
});

const OK = { json: completion({ text: "fine" }) };
const patch = (path: string, body: object) => rig.worker.admin(`/admin/providers/${path}`, { method: "PATCH", body });

interface Target {
  readonly model: string;
  readonly [member: string]: unknown;
}

async function providers(
  query = "",
): Promise<{ id: string; configured: boolean; disabled: unknown; targets: Target[] }[]> {
  const response = await rig.worker.admin(`/admin/providers?limit=1000${query}`);
  return ((await response.json()) as { data: never }).data;
}

describe("a provider or target that an operator disables", () => {
  test("is out of every plan, with its reason on the trace, until it is enabled", async () => {
    const route = await rig.route();
    for (const model of route.models) rig.upstream.scriptFor(model, OK);
    const name = `openai/${route.models[0]}`;
    const off = await patch(name, { disabled: true, reason: "price dispute" });
    expect(await off.json()).toMatchObject({
      id: "openai",
      model: route.models[0],
      disabled: { reason: "price dispute" },
    });
    const answer = await rig.ask(route);
    expect(answer.headers.get("x-flowlayer-provider")).toBe("groq");
    expect((await rig.trace(route, answer)).skipped).toEqual([
      { provider: "openai", model: route.models[0], reason: "disabled" },
    ]);
    const listed = (await providers()).find(({ id }) => id === "openai");
    expect(listed?.disabled).toBeNull();
    expect(listed?.targets.find(({ model }) => model === route.models[0])?.["disabled"]).toMatchObject({ by: "admin" });
    await patch(name, { disabled: false, reason: "settled" });
    expect((await rig.ask(route)).headers.get("x-flowlayer-provider")).toBe("openai");
    const audit = await rig.worker.admin(`/admin/audit?object=${encodeURIComponent(`target ${name}`)}`);
    expect(await audit.json()).toMatchObject({
      data: [
        { action: "provider.enable", reason: "settled", before: { disabled: true }, after: { disabled: false } },
        { action: "provider.disable", reason: "price dispute", after: { disabled: true } },
      ],
    });
  });

  test("is out also where it is the only one: 503 says so", async () => {
    const route = await rig.route({ providers: ["cerebras"] });
    await patch("cerebras", { disabled: true, reason: "outage" });
    const { error } = await expectError(await rig.ask(route), { status: 503, code: "no_target_configured" });
    expect(error.message).toContain(`\`cerebras/${route.models[0]}\` is disabled by an operator`);
    expect(error.message).not.toContain("outage");
    await patch("cerebras", { disabled: false });
  });

  test("is back by itself when its time is over", async () => {
    const route = await rig.route({ providers: ["deepinfra"] });
    rig.upstream.scriptFor(route.models[0]!, OK);
    await patch("deepinfra", { disabled: true, reason: "short", until: new Date(Date.now() + 1_500).toISOString() });
    expect((await rig.ask(route)).status).toBe(503);
    await vi.waitFor(async () => expect((await rig.ask(route)).status).toBe(200), { timeout: 6_000 });
    expect((await providers()).find(({ id }) => id === "deepinfra")?.disabled).toBeNull();
  });

  test.each([
    ["openai", { disabled: true }, 400, "reason"],
    ["openai", { disabled: true, reason: " " }, 400, "reason"],
    ["openai", { disabled: true, reason: "x", until: "2020-01-01T00:00:00Z" }, 400, "until"],
    ["openai", { disabled: false, until: "2990-01-01T00:00:00Z" }, 400, "until"],
    ["openai", { disabled: "yes", reason: "x" }, 400, "disabled"],
    ["openai/%FF", { disabled: true, reason: "x" }, 400, "model"],
    ["nobody", { disabled: true, reason: "x" }, 404, null],
  ])("%s %o is refused", async (path, body, status, param) => {
    const response = await patch(path, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});

describe("GET /admin/providers", () => {
  test("shows the last failure in the provider's words, and what isolates hold against a target", async () => {
    const route = await rig.route({ providers: ["openai"], policy: { retry: { same_target: 0 } } });
    const fail = vendorError(503, { message: "The engine is down", code: "engine_down" }, { "x-request-id": "req_7" });
    rig.upstream.scriptFor(route.models[0]!, fail);
    for (let at = 0; at < 4; at++) await (await rig.ask(route)).text();
    const target = async (): Promise<Target | undefined> =>
      (await providers()).flatMap(({ targets }) => targets).find(({ model }) => model === route.models[0]);
    await vi.waitFor(
      async () =>
        expect(await target()).toMatchObject({
          last_failure: {
            ...{ class: "server_error", status: 503, provider_code: "engine_down", provider_request_id: "req_7" },
            provider_message: "The engine is down",
          },
          resting_isolates: 1,
        }),
      { timeout: 5_000 },
    );
  });

  test("lists the openings of a breaker", async () => {
    const route = await rig.route({ providers: ["groq"], policy: { retry: { same_target: 0 } } });
    rig.upstream.scriptFor(route.models[0]!, vendorError(500));
    const target = async (): Promise<Target | undefined> =>
      (await providers()).flatMap(({ targets }) => targets).find(({ model }) => model === route.models[0]);
    for (let at = 0; at < 25; at++) await (await rig.ask(route)).text();
    await vi.waitFor(
      async () =>
        expect(await target()).toMatchObject({ openings: [{ class: "server_error", at: expect.any(String) }] }),
      { timeout: 5_000 },
    );
  });

  test("?configured= shows those that can be called, or the others", async () => {
    const can = await providers("&configured=true");
    expect(can.every(({ configured }) => configured)).toBe(true);
    expect(can.map(({ id }) => id)).toContain("openai");
    const cannot = await providers("&configured=false");
    expect(cannot.every(({ configured }) => !configured)).toBe(true);
    expect(cannot.map(({ id }) => id)).toContain("mistral");
  });
});

describe("GET /admin/status", () => {
  const status = async () => {
    const response = await rig.worker.admin("/admin/status");
    const body = (await response.json()) as { checks: { name: string; ok: boolean; detail: string | null }[] };
    return { status: response.status, body, failing: body.checks.filter(({ ok }) => !ok) };
  };

  test("200 where all is well, with a line for each provider that a route names", async () => {
    const found = await status();
    expect(found.failing).toEqual([]);
    expect(found.status).toBe(200);
    expect(found.body).toMatchObject({
      version: expect.any(String),
      catalogue: expect.stringMatching(/^\d+@\d{4}-\d\d-\d\d$/),
    });
    const names = found.body.checks.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["kv", "control", "health", "trail", "ledgers", "secrets:openai"]));
  });

  test("503 where a route names a provider without its secret", async () => {
    await rig.route({ providers: ["mistral", "openai"] });
    const found = await status();
    expect(found.status).toBe(503);
    expect(found.failing).toMatchObject([{ name: "secrets:mistral", detail: "Set MISTRAL_API_KEY." }]);
  });
});
