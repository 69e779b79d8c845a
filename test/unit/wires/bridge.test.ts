/** What the bridge makes of a writer's losses. */

import { expect, test } from "vitest";
import type { Conversation } from "../../../src/conversation/conversation.ts";
import { changesMeaning, harmless, type Loss, unmet } from "../../../src/conversation/loss.ts";
import type { AdapterCall } from "../../../src/providers/adapter.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { bridged, droppedParams, UntranslatableRequest } from "../../../src/wires/bridge.ts";
import type { RequestTarget, UpstreamWire } from "../../../src/wires/wire.ts";
import { asChat } from "../../support/as-chat.ts";
import { inChat } from "../../support/asked.ts";

const FIELDS = { model: "flow/x", messages: [{ role: "user", content: "hi" }], seed: 1, logprobs: true };

function bridgeOf(losses: readonly Loss[], seen: RequestTarget[] = []) {
  const wire: UpstreamWire = {
    id: "cohere",
    writeRequest(_, target) {
      seen.push(target);
      return { path: "/x", body: "{}", losses };
    },
    readAnswer: () => ({ ok: false, failure: { class: "invalid_response", tryNext: true, trySame: false } }),
    openReader: () => ({ push: () => [], end: () => [], isOverlong: false }),
  };
  return bridged(wire, "cohere", (written) => ({
    url: written.path,
    headers: {},
    body: written.body,
    droppedParams: droppedParams(written.losses, askedInChat(FIELDS)),
  }));
}

const call = (params: object = {}): AdapterCall => ({
  ...inChat(FIELDS),
  stream: false,
  model: "m",
  params: params as AdapterCall["params"],
  maxOutputTokens: 5,
  config: { baseUrl: "https://a.example", headers: {} },
});

test("what is harmless is named, and keeps no target from its turn", () => {
  const bridge = bridgeOf([harmless("seed"), harmless("not_sent")]);
  expect(bridge.lacks(askedInChat(FIELDS))).toBeNull();
  expect(bridge.toUpstream(call())).toMatchObject({ droppedParams: ["seed"] });
});

test("a wish that cannot be followed puts the target behind others, and is named where it is the only one", () => {
  const bridge = bridgeOf([unmet("logprobs")]);
  expect(bridge.lacks(askedInChat(FIELDS))).toBe("logprobs");
  expect(bridge.toUpstream(call())).toMatchObject({ droppedParams: ["logprobs"] });
});

test("content that would be missing is refused, with its path and why", () => {
  const bridge = bridgeOf([unmet("logprobs"), changesMeaning("messages[0].content[1]", "part", "No sounds here.")]);
  expect(bridge.lacks(askedInChat(FIELDS))).toBe("messages[0].content[1]");
  expect(() => bridge.toUpstream(call())).toThrow(UntranslatableRequest);
  expect(() => bridge.toUpstream(call())).toThrow("No sounds here.");
});

test("the writer sees the policy's own members", () => {
  const seen: RequestTarget[] = [];
  void bridgeOf([], seen).toUpstream(call({ guardrailConfig: { a: 1 } }));
  expect(seen).toMatchObject([{ model: "m", maxOutputTokens: 5, params: { guardrailConfig: { a: 1 } } }]);
});

test("a conversation is read once, and written once per model, however often the plan asks", () => {
  let reads = 0;
  const fields = {
    get messages() {
      reads++;
      return FIELDS.messages;
    },
  };
  const asked = askedInChat(fields);
  const seen: RequestTarget[] = [];
  const bridge = bridgeOf([], seen);
  bridge.lacks(asked, "a");
  const once = reads;
  for (const model of ["a", "b", "a"]) {
    expect(bridge.lacks(asked, model)).toBeNull();
    expect(bridge.refuses(asked, model)).toBeNull();
  }
  void bridge.toUpstream({ ...call(), asked });
  asChat(bridge.translation).openStream({ asked, model: "a", traceId: "tr_1", createdAt: 1 });
  expect(seen.map(({ model }) => model)).toEqual(["a", "b", "m"]);
  expect(reads).toBe(once);
});

test("a member that the target refused before is left out and named; its word for the limit stays", async () => {
  const conversations: Conversation[] = [];
  const wire: UpstreamWire = {
    id: "cohere",
    writeRequest(conversation) {
      conversations.push(conversation);
      return { path: "/x", body: "{}", losses: [] };
    },
    readAnswer: () => ({ ok: false, failure: { class: "invalid_response", tryNext: true, trySame: false } }),
    openReader: () => ({ push: () => [], end: () => [], isOverlong: false }),
  };
  const { toUpstream } = bridged(wire, "cohere", () => ({ url: "", headers: {}, body: "", droppedParams: [] }));
  const tools = [{ type: "function", function: { name: "f", strict: true } }];
  const fields = { ...FIELDS, temperature: 0.5, max_tokens: 7, tools };
  const sent = await toUpstream({ ...call(), ...inChat(fields), without: ["temperature", "max_tokens", "strict"] });
  expect(conversations[0]?.controls).toMatchObject({ seed: 1, maxOutputTokens: 7 });
  expect(conversations[0]?.controls.temperature).toBeUndefined();
  expect(conversations[0]?.tools).toMatchObject([{ strict: false }]);
  expect(sent.droppedParams).toEqual(["temperature", "strict"]);
});
