/** Custom tools at a provider that knows functions only: out as functions with one text, back as what they are. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findProvider } from "../../../../src/providers/index.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { FrameReader } from "../../../../src/wires/openai-chat/read-frames.ts";
import { textInChat } from "../../../support/asked.ts";

type Json = Record<string, unknown>;

const GRAMMAR = { type: "grammar", grammar: { syntax: "lark", definition: "start: x" } };
const TOOLS = [
  { type: "custom", custom: { name: "apply.patch", description: "Patches.", format: GRAMMAR } },
  { type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } },
];
const FIELDS: Json = { model: "flow/x", messages: [{ role: "user", content: "hi" }], tools: TOOLS };
const PATCH = '*** Begin\n+"a" \\ b\n';

const groq = findProvider("groq");
if (groq === undefined) throw new Error("groq is missing");

async function sent(more: Json = {}): Promise<{ readonly body: Json; readonly dropped: readonly string[] }> {
  const text = JSON.stringify({ ...FIELDS, ...more });
  const { body, droppedParams } = await groq!.adapter.toUpstream({
    ...{ ...textInChat(text), stream: false, model: "m", params: {} },
    ...{ maxOutputTokens: undefined, config: { baseUrl: "https://api.example/v1", headers: {} } },
  });
  return { body: JSON.parse(body) as Json, dropped: droppedParams };
}

describe("requests", () => {
  test("have a function with one text, which shows the grammar, and say what is lost", async () => {
    const { body, dropped } = await sent({ tool_choice: { type: "custom", custom: { name: "apply.patch" } } });
    expect(body["tools"]).toMatchObject([
      {
        type: "function",
        function: {
          name: "apply_patch",
          description: "Patches.\n\n`input` follows this lark grammar:\nstart: x",
          parameters: { properties: { input: { type: "string" } }, required: ["input"] },
        },
      },
      TOOLS[1],
    ]);
    expect(JSON.stringify(body)).not.toContain('"custom"');
    expect(body["tool_choice"]).toEqual({ type: "function", function: { name: "apply_patch" } });
    expect(dropped).toEqual(["tools[0].custom.format"]);
  });

  test("have earlier calls as calls of that function", async () => {
    const call = { id: "call_1", type: "custom", custom: { name: "apply.patch", input: PATCH } };
    const messages = [
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "done" },
    ];
    const { body } = await sent({ messages });
    expect(body["messages"]).toEqual([
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "call_1",
            type: "function",
            function: { name: "apply_patch", arguments: JSON.stringify({ input: PATCH }) },
          },
        ],
      },
      messages[1],
    ]);
  });

  test("lists of allowed tools name the function", async () => {
    const tools = [
      { type: "custom", custom: { name: "apply.patch" } },
      { type: "function", function: { name: "look" } },
    ];
    const choice = { type: "allowed_tools", allowed_tools: { mode: "auto", tools } };
    const { body } = await sent({ tool_choice: choice });
    expect(body["tool_choice"]).toEqual({
      type: "allowed_tools",
      allowed_tools: { mode: "auto", tools: [{ type: "function", function: { name: "apply_patch" } }, tools[1]] },
    });
  });

  test("go to a provider that has such tools first, where there is one", () => {
    expect(groq?.lacks?.(askedInChat(FIELDS), "m")).toBe("tools[0].custom.format");
    expect(groq?.refuses?.(askedInChat(FIELDS), "m")).toBeNull();
    expect(findProvider("openai")?.lacks?.(askedInChat(FIELDS), "m")).toBeNull();
  });
});

const context = { asked: askedInChat(FIELDS), model: "m", traceId: `tr_${"0".repeat(32)}`, createdAt: 1 };

test("a whole answer calls the custom tool with its text", () => {
  const called = { name: "apply_patch", arguments: JSON.stringify({ input: PATCH }) };
  const body = {
    id: "c",
    choices: [
      {
        index: 0,
        finish_reason: "tool_calls",
        message: { role: "assistant", content: null, tool_calls: [{ id: "a", type: "function", function: called }] },
      },
    ],
  };
  const read = groq?.adapter.translation?.toCompletion?.(body, context, JSON.stringify(body));
  expect(read).toMatchObject({ ok: true });
  expect(JSON.stringify(read)).toContain(
    JSON.stringify({ id: "a", type: "custom", custom: { name: "apply.patch", input: PATCH } }).slice(1, -1),
  );
});

describe("streams", () => {
  const OPTIONS = {
    seed: "tr_abc",
    ownName: (name: string) => (name === "apply_patch" ? "apply.patch" : name),
    textTools: new Set(["apply_patch"]),
  };

  const chunk = (delta: Json, finish: string | null = null): string =>
    `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

  function callsOf(text: string): Json[] {
    const reader = new FrameReader(OPTIONS);
    const frames = [...reader.push(Buffer.from(text)), ...reader.end()];
    const made: Json[] = [];
    for (const { raw } of frames) {
      for (const line of raw.split("\n")) {
        if (!line.startsWith("data: {")) continue;
        const { choices } = JSON.parse(line.slice(6)) as { choices: { delta: { tool_calls?: Json[] } }[] };
        for (const call of choices[0]?.delta.tool_calls ?? []) {
          const {
            index,
            custom,
            function: called,
            ...rest
          } = call as { index: number; custom?: Json; function?: Json };
          const before = made[index] ?? {};
          const input = String(before["input"] ?? "") + String(custom?.["input"] ?? called?.["arguments"] ?? "");
          made[index] = { ...before, ...rest, ...(custom ?? called), input };
        }
      }
    }
    return made.map(({ arguments: _, ...call }) => call);
  }

  test.each([true, false])("have its text however the arguments are cut, also in the last chunk: %s", (inLast) => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.nat(40), { maxLength: 6 }), (input, cuts) => {
        const args = JSON.stringify({ input });
        const places = [...new Set([0, ...cuts.filter((at) => at < args.length), args.length])].sort((a, b) => a - b);
        const pieces = places.slice(1).map((end, at) => args.slice(places[at], end));
        const deltas = pieces.map((piece, at) => ({
          tool_calls: [
            at === 0
              ? { index: 0, id: "a", type: "function", function: { name: "apply_patch", arguments: piece } }
              : { index: 0, function: { arguments: piece } },
          ],
        }));
        const events = deltas.map((delta, at) =>
          chunk(delta, inLast && at === deltas.length - 1 ? "tool_calls" : null),
        );
        const text = `${events.join("")}${inLast ? "" : chunk({}, "tool_calls")}data: [DONE]\n\n`;
        expect(callsOf(text)).toEqual([{ id: "a", type: "custom", name: "apply.patch", input }]);
      }),
    );
  });

  test("other calls next to it stay functions", () => {
    const calls = [
      { index: 0, id: "a", type: "function", function: { name: "look", arguments: "{}" } },
      { index: 1, id: "b", type: "function", function: { name: "apply_patch", arguments: '{"input":"x"}' } },
    ];
    expect(callsOf(`${chunk({ tool_calls: calls }, "tool_calls")}data: [DONE]\n\n`)).toEqual([
      { id: "a", type: "function", name: "look", input: "{}" },
      { id: "b", type: "custom", name: "apply.patch", input: "x" },
    ]);
  });
});
