/** Headers that the page of a trace makes again: as the router wrote them. */
import { expect, test } from "vitest";
import { answerHeaders } from "../../../src/site/console/parts/answer-headers.ts";
import type { Attempt, Trace } from "../../../src/site/console/types.ts";

const attempt: Attempt = {
  ...{ provider: "alpha", model: "large", outcome: "ok", status: 200, started_ms: 0, first_token_ms: 10 },
  ...{ duration_ms: 20, hedged: false, winner: true, cost_usd: 0 },
};
const trace: Trace = {
  ...{ id: "tr_1", created_at: "2026-01-01T00:00:00Z", key_id: "k", env: "staging", app: "shop" },
  ...{ route: "flow/a", route_version: 2, stream: false, status: "ok", http_status: 200 },
  ...{ provider: "alpha", model: "large", fallback: true, attempts: [attempt] },
  latency: { first_token_ms: 10, total_ms: 20 },
  ...{ usage: {}, cost_usd: 0.5 },
};

test("an attempt that had no status has a dash in the attempt log, as in the header that the client got", () => {
  const cancelled = { ...attempt, outcome: "cancelled", status: null, winner: false };
  const headers = new Map(answerHeaders({ ...trace, attempts: [cancelled, attempt] }));
  expect(headers.get("x-flowlayer-attempt-log")).toBe("alpha/large;cancelled;-;20ms, alpha/large;ok;200;20ms");
});

test("what a trace does not know is no header", () => {
  const names = answerHeaders(trace).map(([name]) => name);
  expect(names).toContain("x-flowlayer-cost-usd");
  expect(names).not.toContain("x-flowlayer-hedge");
  expect(names).not.toContain("x-flowlayer-affinity");
});
