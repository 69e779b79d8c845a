/** What Google's own tools called and found next to functions: it reaches the client, and goes back where it was. */
import { expect, test } from "vitest";
import { answerOf } from "../../../../src/conversation/fold.ts";
import { findProvider } from "../../../../src/providers/index.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { chatDoorWire } from "../../../../src/wires/openai-chat/door-wire.ts";
import { type Json, send } from "./support.ts";

const SEARCH = {
  toolCall: { id: "s1", toolType: "GOOGLE_SEARCH_WEB", args: { queries: ["q"] } },
  thoughtSignature: "S1",
};
const FOUND = {
  toolResponse: { id: "s1", toolType: "GOOGLE_SEARCH_WEB", response: { found: [1] } },
  thoughtSignature: "S2",
};
const CALL = { functionCall: { id: "f1", name: "f", args: { a: 1 } }, thoughtSignature: "S3" };
const answer = { candidates: [{ content: { role: "model", parts: [SEARCH, FOUND, CALL] }, finishReason: "STOP" }] };

const CONTEXT = { asked: askedInChat({}), model: "gemini-3-flash", traceId: "tr_1", createdAt: 0 };
const DOOR = { provider: "google", model: "m", traceId: "tr_1", createdAt: 0, conversation: null };
const { translation } = findProvider("google")!.adapter;

function messageOf(form: "whole" | "stream"): Json {
  const text = JSON.stringify(answer);
  const reader = translation!.openReader!(CONTEXT);
  const whole = translation!.readAnswer!(text, answer, CONTEXT);
  const streamed = answerOf([...reader.push(Buffer.from(`data: ${text}\n\n`)), ...reader.end()]);
  const read = form === "stream" ? streamed : whole.ok ? whole.answer : null;
  const { choices } = chatDoorWire.writeAnswer(read!, DOOR) as { choices: { message: Json }[] };
  return choices[0]!.message;
}

async function partsSent(message: Json): Promise<readonly Json[]> {
  const messages = [{ role: "user", content: "q" }, message, { role: "tool", tool_call_id: "f1", content: "r" }];
  const { body } = await send({ messages }, { model: "gemini-3-flash" });
  return (body["contents"] as { parts: Json[] }[])[1]!.parts;
}

test.each(["whole", "stream"] as const)("a turn of a %s answer goes back as it came", async (form) => {
  const message = messageOf(form);
  expect(message["google_parts"]).toHaveLength(2);
  expect(await partsSent(message)).toEqual([SEARCH, FOUND, CALL]);
});

test.each<[string, Json[]]>([
  ["a result without its call", [FOUND]],
  ["a tool that is none of Google's", [{ toolCall: { id: "s1", toolType: "WIPE", args: {} } }]],
  ["a result of another call", [SEARCH, { toolResponse: { ...FOUND.toolResponse, id: "s2" } }]],
])("%s is not taken from a client", async (_, google_parts) => {
  const message = { role: "assistant", content: "so", google_parts };
  const sent = JSON.stringify(await partsSent(message));
  expect(sent).not.toMatch(/toolResponse|WIPE/);
});
