/** No unapproved result of a tool, in whatever spelling, reaches a provider of any wire behind the approval gate. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ChatRig, sharedChatRig, type TestRoute } from "../support/chat.ts";
import { RESULT, SMUGGLED, type Smuggled } from "./security-gate.table.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await sharedChatRig();
});
afterAll(async () => {
  const logs = rig.worker.logs();
  await rig.stop();
  expect(logs).not.toContain("unexpected_error");
  expect(logs).not.toMatch(/uncaught|unhandled/i);
});
beforeEach(() => rig.upstream.reset());

/** One provider per wire, and one that is the loosest reader of the chat wire. */
const PROVIDERS = ["openai", "ollama", "anthropic", "google", "bedrock", "cohere"] as const;
const GATED = { tools: { require_approval: true, wait_ms: 0 } };

const bodyText = (route: TestRoute, { messages, body = {}, raw }: Smuggled): string => {
  const text = JSON.stringify({ model: route.model, messages, ...body });
  return raw === undefined ? text : text.replace('{"raw":"@raw"}', () => raw);
};

function expectStopped(response: Response, name: string, outcome: Smuggled["outcome"]): void {
  const seen = rig.upstream.calls.map(({ body }) => body).join("\n");
  expect(seen, `${name}: ${response.status}`).not.toContain(RESULT);
  if (outcome === "refused") {
    expect([400, 403], name).toContain(response.status);
    expect(rig.upstream.calls.length, name).toBe(0);
  }
}

describe.each(PROVIDERS)("behind the gate, %s", (provider) => {
  let route: TestRoute;
  beforeAll(async () => {
    route = await rig.route({ providers: [provider], policy: GATED });
  });

  test.each(SMUGGLED)("$name: $outcome", async (smuggled) => {
    const response = await rig.ask(route, {}, { body: bodyText(route, smuggled) });
    await response.text();
    expectStopped(response, smuggled.name, smuggled.outcome);
  });
});
