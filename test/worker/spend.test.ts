/** What finance and on-call ask: months, tags, CSV, figures, with the clock moved to when they ask. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { expectRefusal, type Json, okBody } from "../support/admin.ts";
import { type ChatRig, startChatRig, type TestRoute } from "../support/chat.ts";
import { FAULTS_FRONT, setFaults } from "../support/faults.ts";
import { pricedModel } from "../support/models.ts";
import { completion, usage } from "../support/upstream.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Alarms by hand: the platform's own clock is not moved. */
const FRONT = `${FAULTS_FRONT}
import { KeyLedger as Ledger, TrailIndex as Trail } from "./index.js";
export class KeyLedger extends Ledger { ring() { return this.alarm(); } }
export class TrailIndex extends Trail { ring() { return this.alarm(); } }
`;
interface Ringing {
  ring(): Promise<void>;
}

let rig: ChatRig;
/** Those of the routes so far. */
const models: string[] = [];
/** Epoch ms of the first day of a month that is to come: nothing that other tests do is in it. */
let month = 0;
beforeAll(async () => {
  rig = await startChatRig({}, FRONT);
});
afterAll(() => rig.stop());
afterEach(() => setFaults(rig.worker));

/** The first day of the n-th month from now. */
function monthAfter(n: number): number {
  const now = new Date();
  return Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + n, 1);
}

/** From now on the Worker's clock shows `at`. */
const setClock = (at: number): Promise<void> => setFaults(rig.worker, { clockMs: at - Date.now() });
const iso = (at: number): string => new Date(at).toISOString();
const spend = async (query: string): Promise<Json> => okBody(await rig.worker.admin(`/admin/spend?${query}`));
const rowsOf = (body: Json): Json[] => body["data"] as Json[];

async function routeTo(key: Record<string, unknown> = {}, used = usage(1_000, 100)): Promise<TestRoute> {
  const model = pricedModel();
  models.push(model);
  rig.upstream.scriptFor(model, { json: completion({ usage: used }) });
  return rig.route({ providers: ["openai"], targets: [{ model }], key });
}

async function ask(route: TestRoute, init: RequestInit = {}): Promise<void> {
  const response = await rig.ask(route, {}, init);
  await response.text();
  expect(response.status).toBe(200);
}

/** The alarms of these days' objects. */
async function ring(env: string, ...days: readonly number[]): Promise<void> {
  const { TRAIL_INDEX } = rig.worker.bindings();
  for (const day of days) {
    await (TRAIL_INDEX.getByName(`${env}:${iso(day).slice(0, 10)}`) as unknown as Ringing).ring();
  }
}

/** What is read once the trail has the requests of these keys. */
function shipped<T>(keyIds: readonly string[], read: () => Promise<T>): () => Promise<T> {
  return async () => {
    const { KEY_LEDGER } = rig.worker.bindings();
    for (const id of keyIds) await (KEY_LEDGER.getByName(id) as unknown as Ringing).ring();
    return read();
  };
}

test("December, asked for in January, is whole: by the day, per key, and after its days are archived", async () => {
  month = monthAfter(1);
  const route = await routeTo({ name: "December's key" });
  const days = [0, 1, 14, 30].map((day) => month + day * DAY_MS + HOUR_MS);
  // Only a month of 31 days has all of these.
  for (const at of days) {
    await setClock(at);
    await ask(route);
    // As its alarm does in time: a ledger keeps no trace for longer than 30 days.
    const listed = async () =>
      rowsOf(await okBody(await rig.worker.admin(`/admin/traces?key=${route.keyId}&since=${iso(at)}`)));
    await expect.poll(shipped([route.keyId], listed), { timeout: 8_000 }).toHaveLength(1);
  }
  await setClock(month + 31 * DAY_MS + 2 * HOUR_MS);
  const december = `since=${iso(month)}&until=${iso(month + 31 * DAY_MS)}`;
  const whole = async () =>
    rowsOf(await spend(`group_by=key&${december}`)).find(({ names }) => (names as Json)["key"] === "December's key");
  // 4 x 0.00056.
  await expect
    .poll(shipped([route.keyId], whole), { timeout: 8_000 })
    .toMatchObject({ requests: 4, cost_usd: 0.00224, prompt_tokens: 4_000 });
  await ring("production", ...days);
  expect(await whole()).toMatchObject({ requests: 4, cost_usd: 0.00224, unpriced_requests: 0, adjustment_usd: 0 });
  const byDay = rowsOf(await spend(`group_by=key&bucket=day&${december}`)).filter(
    ({ names }) => (names as Json)["key"] === "December's key",
  );
  expect(byDay.map(({ start, requests }) => [start, requests])).toEqual(days.map((at) => [iso(at - HOUR_MS), 1]));
  // Two years later: the month per key is kept, its days are not.
  await setClock(month + 800 * DAY_MS);
  const old = await spend(`group_by=key&bucket=month&since=${iso(month)}&until=${iso(monthAfter(2))}`);
  expect(rowsOf(old).find(({ names }) => (names as Json)["key"] === "December's key")).toMatchObject({
    start: iso(month),
    cost_usd: 0.00224,
  });
  const refused = await rig.worker.admin(`/admin/spend?group_by=app&${december}`);
  const error = await expectRefusal(refused, { status: 400, code: "range_not_kept", param: "since" });
  expect(error["first_day"]).toBe(iso(month + 800 * DAY_MS - 399 * DAY_MS).slice(0, 10));
});

test("a month per team is a CSV with a header, dot decimals and the last names of keys that were revoked", async () => {
  await okBody(await rig.worker.admin("/admin/settings", { method: "PUT", body: { spend_tags: ["team"] } }));
  // Objects that were asked keep the names of tags for some seconds: these days are new.
  const start = monthAfter(3);
  await setClock(start + HOUR_MS);
  const [one, other] = await Promise.all([routeTo({ name: 'Ann, "ops"' }), routeTo({ name: "Bob" })]);
  const tagged = (team: string): RequestInit => ({ headers: { "x-flowlayer-tags": `team=${team},ticket=4711` } });
  await ask(one, tagged("search"));
  await ask(one, tagged("search"));
  await ask(other, tagged("ads"));
  await ask(other);
  await rig.worker.admin(`/admin/keys/${one.keyId}`, { method: "DELETE" });
  const query = `group_by=tag.team,key&bucket=month&format=csv&since=${iso(start)}&until=${iso(monthAfter(4))}`;
  const csv = async (): Promise<string> => (await rig.worker.admin(`/admin/spend?${query}`)).text();
  const month = iso(start);
  await expect
    .poll(shipped([one.keyId, other.keyId], csv), { timeout: 8_000 })
    .toBe(
      [
        "start,tag.team,key,key_name,requests,unpriced_requests,prompt_tokens,cached_tokens,completion_tokens,cost_usd,adjustment_usd",
        `${month},search,${one.keyId},"Ann, ""ops""",2,0,2000,0,200,0.00112,0`,
        ...[
          `${month},,${other.keyId},Bob,1,0,1000,0,100,0.00056,0`,
          `${month},ads,${other.keyId},Bob,1,0,1000,0,100,0.00056,0`,
        ].toSorted((a, b) => (a.includes(",,") ? 1 : 0) - (b.includes(",,") ? 1 : 0)),
        "",
      ].join("\r\n"),
    );
  // Figures can be narrowed to a summed tag.
  const figures = await okBody(await rig.worker.admin(`/admin/stats?bucket=day&tag=team:search&since=${iso(start)}`));
  expect(rowsOf(figures).map(({ requests }) => requests)).toEqual([2]);
  const answer = await rig.worker.admin(`/admin/spend?${query}`);
  expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
});

test("what has no known price is null and counted, never 0", async () => {
  await setClock(monthAfter(5) + HOUR_MS);
  const route = await rig.route({ providers: ["openai"], targets: [{ model: "no-such-price" }] });
  rig.upstream.scriptFor("no-such-price", { json: completion({ usage: usage(5, 5) }) });
  await ask(route);
  const since = `since=${iso(monthAfter(5))}`;
  const of = async (group: string) => rowsOf(await spend(`group_by=${group}&${since}`))[0];
  await expect
    .poll(
      shipped([route.keyId], () => of("model")),
      { timeout: 8_000 },
    )
    .toMatchObject({
      ...{ group: { model: "no-such-price" }, requests: 1, unpriced_requests: 1, cost_usd: null },
    });
  expect(await spend(`group_by=provider&${since}`)).toMatchObject({ total_usd: 0, unpriced_requests: 1 });
});

describe("figures", () => {
  test("by the minute, the hour and the day, with filters, percentiles and groups", async () => {
    const start = monthAfter(7);
    await setClock(start + 10 * HOUR_MS);
    const route = await routeTo();
    await ask(route);
    await ask(route);
    rig.upstream.scriptFor(models.at(-1) ?? "", { status: 500, json: {} });
    await (await rig.ask(route)).text();
    await (await rig.ask(route, { model: "flow/none" })).text();
    const stats = async (query: string): Promise<Json> => okBody(await rig.worker.admin(`/admin/stats?${query}`));
    const hour = async () => rowsOf(await stats(`group_by=provider&bucket=hour&since=${iso(start)}`))[0];
    await expect
      .poll(shipped([route.keyId], hour), { timeout: 8_000 })
      .toMatchObject({ start: iso(start + 10 * HOUR_MS), requests: 3 });
    expect(await hour()).toMatchObject({
      errors: 1,
      cost_usd: 0.00112,
      completion_tokens: 200,
      total_ms: { p50: expect.any(Number) },
      // Whole answers have no first token: the figures are there, and unknown.
      first_token_ms: { p50: null, p95: null },
    });
    const ofKey = rowsOf(await stats(`group_by=key&bucket=day&since=${iso(start)}`)).find(
      ({ group }) => (group as Json)["key"] === route.keyId,
    );
    expect(ofKey).toMatchObject({ start: iso(start), requests: 3, errors: 1, refused: 1, fallbacks: 0, hedges: 0 });
    const minute = rowsOf(await stats(`bucket=minute&since=${iso(start + 10 * HOUR_MS)}&status=ok&key=${route.keyId}`));
    expect(minute.reduce((sum, { requests }) => sum + Number(requests), 0)).toBe(2);
    expect(rowsOf(await stats(`bucket=minute&api=messages&key=${route.keyId}`))).toEqual([]);
    // Filters of the trace lists that no sum knows: counted from the traces themselves.
    const since = `&key=${route.keyId}&since=${iso(start)}`;
    const failed = rowsOf(await stats(`error_code=upstream_failed&group_by=route${since}`));
    expect(failed).toMatchObject([{ start: iso(start + 10 * HOUR_MS), group: { route: route.model } }]);
    expect(failed).toMatchObject([{ requests: 1, errors: 1, refused: 0 }]);
    const requests = async (filter: string) => {
      return rowsOf(await stats(filter + since)).map((row) => [row["requests"], row["refused"]]);
    };
    expect(await requests("fallback=false&bucket=day")).toEqual([[3, 1]]);
    expect(await requests("fallback=true&bucket=day")).toEqual([]);
    expect(await requests("min_cost_usd=0.0001&bucket=minute")).toEqual([[2, 0]]);
    expect(await requests("error_code=unknown_route&bucket=hour")).toEqual([[0, 1]]);
    expect(await requests("session=none")).toEqual([]);
    expect((await rig.worker.admin(`/admin/stats?fallback=maybe`)).status).toBe(400);
  });

  test.each([
    ["bucket=minute", 2 * DAY_MS],
    ["bucket=hour", 32 * DAY_MS],
    ["bucket=day", 401 * DAY_MS],
  ])("%s that is not kept is refused", async (query, ageMs) => {
    const answer = await rig.worker.admin(`/admin/stats?${query}&since=${iso(Date.now() - ageMs)}`);
    await expectRefusal(answer, { status: 400, code: "range_not_kept", param: "since" });
  });
});

test.each([
  ["/admin/spend?group_by=key,app,env", "group_by"],
  ["/admin/spend?group_by=key,key", "group_by"],
  ["/admin/spend?group_by=tag.", "group_by"],
  ["/admin/spend?group_by=key,tag.nobody-sums-this", "group_by"],
  ["/admin/spend?group_by=key&bucket=hour", "bucket"],
  ["/admin/spend?group_by=key&format=xml", "format"],
  ["/admin/stats?bucket=week", "bucket"],
  ["/admin/stats?group_by=tag.team", "group_by"],
  ["/admin/stats?colour=red", "colour"],
  ["/admin/stats?tag=team", "tag"],
  ["/admin/stats?tag=nobody-sums-this:x", "tag"],
  ["/admin/stats?status=fine", "status"],
])("%s is refused, naming %s", async (path, param) => {
  await expectRefusal(await rig.worker.admin(path), { status: 400, code: "invalid_request", param });
});

test.each([
  { spend_tags: ["a", "b", "c", "d", "e"] },
  { spend_tags: ["a", "a"] },
  { spend_tags: ["with space"] },
  { spend_tags: "team" },
  { tags: [] },
])("PUT /admin/settings refuses %j", async (body) => {
  const answer = await rig.worker.admin("/admin/settings", { method: "PUT", body });
  await expectRefusal(answer, { status: 400, code: "invalid_request" });
});
