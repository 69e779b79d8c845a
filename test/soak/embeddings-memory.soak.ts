/**
 * What the largest usual batch holds of the heap: 2,048 texts, vectors of 1,536 dimensions, a route that divides them in
 * four. Measured in workerd, typed arrays included, while parts are read, joined and written to a client that reads slowly.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, startChatRig } from "../support/chat.ts";
import { embed, embeddingRoute, openAiEmbeds } from "../support/embeddings.ts";
import { type HeapGauge, openHeapGauge } from "../support/heap.ts";
import type { Script } from "../support/upstream.ts";

const MIB = 1_048_576;
const MOST_MIB = 60;
const COUNT = 2_048;
const SMALL = "text-embedding-3-small";

let rig: ChatRig;
let heap: HeapGauge;
beforeAll(async () => {
  rig = await startChatRig({}, undefined, true);
  heap = await openHeapGauge(rig.worker);
});
afterAll(async () => {
  heap.close();
  await rig.stop();
});

test.each(["base64", "float"])("as %s it stays under 60 MiB", { timeout: 240_000 }, async (format) => {
  const targets = [{ provider: "openai", model: SMALL }];
  const route = await embeddingRoute(rig, { targets, embedding: { space: SMALL } });
  const answers = openAiEmbeds(1_536, 430) as (call: unknown) => Script;
  rig.upstream.reset();
  rig.upstream.script((call) => ({ ...answers(call), headMs: 300 }));
  await (await embed(rig, route, { input: "warm" })).text();
  // About 430 tokens each: 300,000 of them fit a call.
  const input = Array.from({ length: COUNT }, (_, at) => `${at} ${"word ".repeat(320)}`);
  const before = await heap.usedBytes();
  let held = before;
  let isOver = false;
  const watch = (async () => {
    while (!isOver) {
      held = Math.max(held, await heap.usedBytes());
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  })();
  const response = await embed(rig, route, { input, encoding_format: format });
  expect(response.status).toBe(200);
  let bytes = 0;
  for await (const chunk of response.body!) {
    bytes += chunk.byteLength;
    if (bytes % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  isOver = true;
  await watch;
  expect(rig.upstream.calls.length - 1).toBe(4);
  expect(bytes).toBeGreaterThan(COUNT * 1_536 * 5);
  console.log(
    `SOAK embeddings ${format}: ${((held - before) / MIB).toFixed(1)} MiB held, ${(bytes / MIB).toFixed(1)} MiB answered`,
  );
  expect((held - before) / MIB).toBeLessThan(MOST_MIB);
});
