/** A client's own latency budget says nothing about a target: nobody can talk a shared target out of service. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, expectError, startChatRig } from "../support/chat.ts";
import { completion } from "../support/upstream.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(() => rig.stop());

test.each([{ stream: false }, { stream: true }])(
  "requests that passed a hard budget leave their target in service for others (stream: $stream)",
  async ({ stream }) => {
    const route = await rig.route({ policy: { latency: { mode: "hard" }, retry: { same_target: 0 } } });
    rig.upstream.scriptFor(route.models[0]!, { json: completion(), headMs: 100 });
    for (let round = 0; round < 25; round++) {
      const response = await rig.ask(route, { stream, route: { latency_budget_ms: 20, fallback: false } });
      await expectError(response, { status: 504, code: "latency_budget_exceeded" });
    }
    const patient = await rig.ask(route);
    expect(patient.headers.get("x-flowlayer-attempt-log")).toMatch(new RegExp(`^openai/${route.models[0]};ok;200`));
    expect(rig.calls(route)[1]).toBe(0);
  },
);
