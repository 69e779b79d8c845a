/** `npm start -- --demo`: made-up requests are booked like any other, once, and only where the sandbox is. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startWorker, type TestWorker } from "../support/worker.ts";

let worker: TestWorker;
beforeAll(async () => {
  worker = await startWorker();
});
afterAll(() => worker.stop());

interface Listed {
  readonly data: readonly {
    readonly cost_usd: number;
    readonly created_at: string;
    readonly attempts: readonly object[];
  }[];
  readonly next_cursor: string | null;
}

const fill = async (key: string): Promise<number> => {
  const response = await worker.admin("/admin/demo", { body: { key } });
  expect(response.status).toBe(200);
  return ((await response.json()) as { added: number }).added;
};

test("the ledger's sum is that of the traces, all of the last hour, and a second filling adds nothing", async () => {
  const { id } = await worker.createKey();
  expect(await fill(id)).toBe(400);
  expect(await fill(id)).toBe(0);
  const traces = await vi.waitFor(
    async () => {
      const list = (await (await worker.admin(`/admin/traces?key=${id}&limit=1000`)).json()) as Listed;
      expect(list.data).toHaveLength(400);
      return list.data;
    },
    { timeout: 30_000, interval: 300 },
  );
  const nano = traces.reduce((sum, { cost_usd }) => sum + Math.round(cost_usd * 1e9), 0);
  const key = (await (await worker.admin(`/admin/keys/${id}`)).json()) as { spend: { spent_usd: number } };
  expect(Math.round(key.spend.spent_usd * 1e9)).toBe(nano);
  expect(nano).toBeGreaterThan(0);
  const hourAgo = Date.now() - 3_660_000;
  expect(traces.every(({ created_at }) => Date.parse(created_at) > hourAgo)).toBe(true);
  expect(traces.some(({ attempts }) => attempts.length > 1)).toBe(true);
});

test("an unknown key is named; without the sandbox there is no such endpoint", async () => {
  expect((await worker.admin("/admin/demo", { body: { key: "AAAAAAAAAAAA" } })).status).toBe(404);
  const deployed = await startWorker({ vars: { FLOW_SANDBOX: "0" } });
  const response = await deployed.admin("/admin/demo", { body: { key: "AAAAAAAAAAAA" } });
  expect(await response.json()).toMatchObject({
    error: { message: "No such admin endpoint. GET /openapi.json lists them." },
  });
  await deployed.stop();
});
