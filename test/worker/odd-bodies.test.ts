/** Bodies that no vendor's words exist for: the client's fault alone, and nobody else notices. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRig, expectError, startChatRig } from "../support/chat.ts";

let rig: ChatRig;
beforeAll(async () => {
  rig = await startChatRig();
});
afterAll(() => rig.stop());

const ODD = { role: "tool", content: "c", name: { toString: 1 }, tool_call_id: { toString: 1 } };

test.each(["anthropic", "google", "bedrock", "cohere"])(
  "%s: a body that cannot be translated is refused, and its target stays in service",
  async (provider) => {
    const route = await rig.route({ providers: [provider, "groq"] });
    for (let call = 0; call < 4; call++) {
      const odd = await rig.ask(route, {
        messages: [{ role: "user", content: "hi" }, ODD],
        route: { only: [provider] },
      });
      await expectError(odd, { status: 400, code: "upstream_invalid_request" });
    }
    // Had it failed three times in a row, it would stand behind the other one.
    const next = await rig.ask(route);
    expect(next.headers.get("x-flowlayer-attempt-log")).toMatch(new RegExp(`^${provider}/`));
  },
);

test("a hundred thousand calls in one message are read in a moment", async () => {
  const route = await rig.route();
  const calls = Array.from({ length: 60_000 }, () => ({ id: "a" }));
  const messages = [
    { role: "assistant", tool_calls: calls },
    { role: "tool", tool_call_id: "a", content: "x" },
  ];
  const startedAt = performance.now();
  await (await rig.ask(route, { messages })).text();
  expect(performance.now() - startedAt).toBeLessThan(4_000);
});

test("more than the members a body may have is refused", async () => {
  const route = await rig.route();
  const messages = [{ role: "assistant", tool_calls: Array.from({ length: 200_000 }, () => ({ id: "a" })) }];
  await expectError(await rig.ask(route, { messages }), { status: 400, code: "invalid_request" });
});
