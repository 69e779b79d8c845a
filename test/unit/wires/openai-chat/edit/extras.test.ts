/** No member that this router's own wires write reaches a provider that did not write it. */

import { expect, test } from "vitest";
import type { AnswerEvent } from "../../../../../src/conversation/answer.ts";
import type { Bound, Part } from "../../../../../src/conversation/part.ts";
import { findProvider, operatorProvider, providerIds } from "../../../../../src/providers/index.ts";
import { ROWS } from "../../../../../src/providers/rows.ts";
import { writeAnswer } from "../../../../../src/wires/openai-chat/write-answer.ts";
import { ChunkStream } from "../../../../../src/wires/openai-chat/write-stream.ts";
import { textInChat } from "../../../../support/asked.ts";

const CONTEXT = { provider: "p", model: "m", traceId: "tr_1", createdAt: 0, conversation: null };
/** What a message of OpenAI's may have. https://platform.openai.com/docs/api-reference/chat/create */
const KNOWN = ["role", "content", "refusal", "tool_calls", "audio"];
/** Thoughts have rules of their own. */
const THOUGHTS = ["reasoning_content", "reasoning"];

const bound = (wire: Bound["wire"]): Bound => ({
  wire,
  provider: "p",
  signature: "SIGNED",
  encrypted: "SEALED",
  data: { mine: "SIGNED" },
});
const WIRES = ["anthropic-messages", "gemini", "bedrock", "cohere", "openai-responses"] as const;
const media = { kind: "base64", mediaType: "image/png", data: "AAAA" } as const;
const PARTS: readonly Part[] = WIRES.flatMap((wire): Part[] => [
  { kind: "reasoning", text: "t", form: "full", path: "", bound: bound(wire) },
  { kind: "text", text: "a", path: "", bound: bound(wire), citations: [{ url: "https://x.example", title: "t" }] },
  { kind: "block", path: "", bound: bound(wire) },
  { kind: "image", path: "", media, bound: bound(wire) },
  { kind: "call", id: `c${wire}`, name: "f", form: "function", args: "{}", path: "", bound: bound(wire) },
]);
const finish = { reason: "tool_calls", stopSequence: "END", details: { stop_details: { x: 1 } } } as const;
const EXTRA = { tool_plan: "p", content_parts: [{}], extra_content: { google: { x: 1 } } };

/** The message of a whole answer, and the same gathered from the deltas of a stream. */
function messages(): object[] {
  const choices = [{ parts: PARTS, finish, extra: EXTRA }];
  const whole = writeAnswer({ id: "i", model: "m", choices, usage: null, rawUsage: undefined }, CONTEXT);
  const events: AnswerEvent[] = WIRES.flatMap((wire): AnswerEvent[] => [
    { kind: "text", choice: 0, text: "a" },
    { kind: "bound", choice: 0, of: "own", bound: bound(wire) },
    { kind: "citation", choice: 0, citation: { url: "https://x.example" }, url: { type: "url_citation" } },
    { kind: "block", choice: 0, bound: bound(wire) },
    { kind: "media", choice: 0, media: "image", source: { type: "image_url" } },
    { kind: "extra", choice: 0, members: EXTRA },
  ]);
  const stream = new ChunkStream(CONTEXT);
  const deltas = [...events, { kind: "finish", choice: 0, finish } as const].flatMap((event) => [
    ...stream.write(event),
  ]);
  const gathered: Record<string, unknown> = {};
  for (const { choices: list } of deltas as { choices: { delta: Record<string, unknown> }[] }[]) {
    for (const { delta } of list) for (const [name, value] of Object.entries(delta)) gathered[name] ??= value;
  }
  return [(whole["choices"] as { message: object }[])[0]!.message, { ...gathered, role: "assistant" }];
}

const others = providerIds().filter((id) => ROWS.some((row) => row.id === id) || id === "azure");

test.each(others)("%s", async (id) => {
  const sent = messages();
  const text = JSON.stringify({
    model: "m",
    messages: [{ role: "user", content: "hi" }, ...sent, { role: "user", content: "x" }],
  });
  const { body } = await findProvider(id)!.adapter.toUpstream({
    ...{ ...textInChat(text), stream: false, model: "m", params: {} },
    ...{ maxOutputTokens: undefined, config: { baseUrl: "https://x.example", headers: {} } },
  });
  const keeps = ROWS.find((row) => row.id === id)?.history?.keeps ?? [];
  const written = (JSON.parse(body) as { messages: Record<string, unknown>[] }).messages.slice(1, -1);
  for (const message of written) {
    const odd = Object.keys(message).filter((name) => ![...KNOWN, ...THOUGHTS, ...keeps, "prefix"].includes(name));
    expect(odd).toEqual([]);
  }
  const signed = body.replace(/"images":\[.*?\](?=[,}])/g, "");
  expect(signed).not.toContain("SEALED");
  expect(signed).not.toContain("SIGNED");
});

test("an operator's own endpoint gets back what it may have signed itself: the extras of calls", async () => {
  const provider = operatorProvider({ id: "own", base_url: "https://own.example/v1", secret: null });
  const signed = {
    id: "1",
    type: "function",
    function: { name: "f", arguments: "{}" },
    extra_content: { google: { s: 1 } },
  };
  const message = { role: "assistant", content: null, tool_calls: [signed], server_tool_blocks: [{}] };
  const text = JSON.stringify({ model: "m", messages: [message] });
  const { body } = await provider.adapter.toUpstream({
    ...{ ...textInChat(text), stream: false, model: "m", params: {} },
    ...{ maxOutputTokens: undefined, config: { baseUrl: "https://x.example", headers: {} } },
  });
  expect((JSON.parse(body) as { messages: object[] }).messages[0]).toEqual({
    role: "assistant",
    content: null,
    tool_calls: [signed],
  });
});
