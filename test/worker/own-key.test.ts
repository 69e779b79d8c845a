/** `GET /v1/key`: a key's holder sees what it may do, what it has spent, and what is left. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, expectError, sharedChatRig } from "../support/chat.ts";
import { completion, usage } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(() => rig.stop());

interface OwnKey extends Readonly<Record<string, unknown>> {
  readonly spend: Readonly<Record<string, unknown>>;
  readonly limits_remaining: Readonly<Record<string, number>> | null;
}

const ask = (key: string, method = "GET"): Promise<Response> =>
  rig.worker.fetch("/v1/key", { method, headers: { authorization: `Bearer ${key}` } });

test("the object of the key, with its spend and what is left of its limits", async () => {
  const budget = { limit_usd: 5, period: "total" };
  const limits = { requests_per_minute: 10, tokens_per_minute: 100_000, concurrency: 3 };
  const route = await rig.route({
    providers: ["openai"],
    targets: [{ model: "gpt-4o-mini" }],
    key: { budget, limits },
  });
  rig.upstream.scriptFor("gpt-4o-mini", { json: completion({ usage: usage(1_000, 100) }) });
  const fresh = (await (await ask(route.key)).json()) as OwnKey;
  expect(fresh).toMatchObject({
    ...{ id: route.keyId, env: "production", status: "active", budget, limits, limits_remaining: limits },
    spend: { period: "total", limit_usd: 5, spent_usd: 0, reserved_usd: 0, remaining_usd: 5 },
  });
  expect(JSON.stringify(fresh)).not.toContain("hash");

  const response = await rig.ask(route);
  await response.text();
  // 1,000 tokens at 0.15 and 100 at 0.6 USD per million.
  await expect
    .poll(async () => ((await (await ask(route.key)).json()) as OwnKey).spend)
    .toEqual({ period: "total", limit_usd: 5, spent_usd: 0.00021, reserved_usd: 0, remaining_usd: 4.99979 });
  const used = (await (await ask(route.key)).json()) as OwnKey;
  expect(used.limits_remaining).toEqual({ requests_per_minute: 9, tokens_per_minute: 98_900, concurrency: 3 });
});

test("any scope will do, and a key without limits has none left to show", async () => {
  const { key } = await rig.worker.createKey({ scopes: ["approvals:decide"] });
  const own = (await (await ask(key)).json()) as OwnKey;
  expect(own).toMatchObject({ scopes: ["approvals:decide"], limits: null, limits_remaining: null });
  expect(own.spend).toMatchObject({ period: "total", limit_usd: null, remaining_usd: null });
});

test("without a key 401, and nothing but reading", async () => {
  await expectError(await rig.worker.fetch("/v1/key"), { status: 401, code: "missing_api_key" });
  const { key } = await rig.worker.createKey({});
  const refused = await ask(key, "POST");
  expect(refused.headers.get("allow")).toBe("GET, HEAD");
  expect(refused.status).toBe(405);
  expect((await ask(key, "HEAD")).status).toBe(200);
});
