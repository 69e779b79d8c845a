/** What of the conversation so far reaches a provider of OpenAI's protocol. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { UpstreamRequest } from "../../../../../src/providers/adapter.ts";
import { findProvider } from "../../../../../src/providers/index.ts";
import { nineOf } from "../../../../../src/wires/openai-chat/edit/call-ids.ts";
import { textInChat } from "../../../../support/asked.ts";
import { tries } from "../../../../support/tries.ts";

async function requestTo(id: string, text: string): Promise<UpstreamRequest> {
  const provider = findProvider(id);
  if (provider === undefined) throw new Error(`no provider ${id}`);
  return provider.adapter.toUpstream({
    ...textInChat(text),
    stream: false,
    model: "m",
    params: {},
    maxOutputTokens: undefined,
    config: { baseUrl: "https://api.vendor.com/v1", headers: {} },
  });
}

async function sent(id: string, messages: string): Promise<string> {
  const { body } = await requestTo(id, `{"model":"m","messages":${messages}}`);
  return body.slice('{"model":"m","messages":'.length, -1);
}

const ASK = '{"role":"user","content":"\\u00e9 1.0"}';
const OURS = '{"type":"reasoning.text","format":"anthropic","text":"hm","signature":"s"}';
const GOOGLE = '{"type":"reasoning.encrypted","format":"google","data":"d"}';
const ROUTER = '{"type":"reasoning.text" , "format":"anthropic-claude-v1","text":"1.0"}';
const MINIMAX = '{"type":"reasoning.text","format":"MiniMax-response-v1","text":"x"}';
const call = (id: string, more = ""): string =>
  `{"id":"${id}","type":"function","function":{"name":"a","arguments":"{ }"}${more}}`;
const answer = (more: string): string => `{"role":"assistant","content":"so"${more}}`;
const NINE = nineOf("call_abc");

test.each<{ name: string; id: string; message: string; got: string }>([
  { name: "plain answers stay", id: "openai", message: answer(',"n":1.0'), got: answer(',"n":1.0') },
  {
    name: "another vendor's signed reasoning goes",
    id: "together",
    message: answer(`,"reasoning_details":[${OURS},${GOOGLE},${ROUTER}],"n":1.0`),
    got: answer(',"n":1.0'),
  },
  {
    name: "its own stays, ours goes",
    id: "openrouter",
    message: answer(`,"reasoning_details":[ ${OURS}, ${ROUTER},${GOOGLE}]`),
    got: answer(`,"reasoning_details":[${ROUTER}]`),
  },
  {
    name: "only its own: untouched",
    id: "openrouter",
    message: answer(`,"reasoning_details":[ ${ROUTER} ],"reasoning":"x"`),
    got: answer(`,"reasoning_details":[ ${ROUTER} ],"reasoning":"x"`),
  },
  {
    name: "its own format stays",
    id: "minimax",
    message: answer(`,"reasoning_details":[${MINIMAX},${ROUTER}]`),
    got: answer(`,"reasoning_details":[${MINIMAX}]`),
  },
  {
    name: "details that are no list go",
    id: "openrouter",
    message: answer(',"reasoning_details":"x"'),
    got: answer(""),
  },
  {
    name: "signatures on calls go",
    id: "openai",
    message: answer(
      `,"tool_calls":[ ${call("1", ',"extra_content":{"google":{"thought_signature":"s"}}')} ,${call("2")}]`,
    ),
    got: answer(`,"tool_calls":[ ${call("1")} ,${call("2")}]`),
  },
  {
    name: "what our translations added goes",
    id: "vllm",
    message: answer(',"tool_plan":"p","citations":[{}]'),
    got: answer(""),
  },
  {
    name: "thoughts are not OpenAI's",
    id: "openai",
    message: answer(',"reasoning_content":"hm","reasoning":"hm"'),
    got: answer(""),
  },
  {
    name: "DeepSeek gets its thoughts back",
    id: "deepseek",
    message: answer(`,"reasoning_content":"h\\u006d","tool_calls":[${call("1")}]`),
    got: answer(`,"reasoning_content":"h\\u006d","tool_calls":[${call("1")}]`),
  },
  {
    name: "DeepSeek gets others' thoughts under its name",
    id: "deepseek",
    message: answer(',"reasoning":"hm"'),
    got: answer(',"reasoning_content":"hm"'),
  },
  {
    name: "Cerebras' name",
    id: "cerebras",
    message: answer(',"reasoning_content":"h\\u006d","refusal":null,"annotations":[]'),
    got: answer(',"reasoning":"h\\u006d"'),
  },
  {
    name: "of both names the vendor's stands",
    id: "groq",
    message: answer(',"reasoning_content":"a","reasoning":"b"'),
    got: answer(',"reasoning":"b"'),
  },
  {
    name: "thoughts that are no text are not renamed",
    id: "cerebras",
    message: answer(',"reasoning_content":{"a":1}'),
    got: answer(""),
  },
  {
    name: "unknown vendors get thoughts as they were sent",
    id: "vllm",
    message: answer(',"reasoning_content":"hm","reasoning":"hm"'),
    got: answer(',"reasoning_content":"hm","reasoning":"hm"'),
  },
  {
    name: "Mistral's thoughts stay with Mistral",
    id: "mistral",
    message:
      '{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}, {"type":"text","text":"so"}],"refusal":null}',
    got: '{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}, {"type":"text","text":"so"}]}',
  },
  {
    name: "a refusal is content where the member is unknown",
    id: "mistral",
    message: '{"role":"assistant","content":null,"refusal":"no"}',
    got: '{"role":"assistant","content":"no"}',
  },
  {
    name: "others' thoughts do not go to Mistral",
    id: "mistral",
    message: answer(',"reasoning_content":"hm"'),
    got: answer(""),
  },
  {
    name: "Mistral's thoughts do not go to others",
    id: "openai",
    message: '{"role":"assistant","content":[{"type":"thinking","thinking":[]}, {"type":"text" , "text":"so"}],"x":1}',
    got: '{"role":"assistant","content":[{"type":"text" , "text":"so"}],"x":1}',
  },
  {
    name: "nothing but thoughts leaves an empty text",
    id: "xai",
    message: '{"role":"assistant","content":[{"type":"thinking","thinking":[]}]}',
    got: '{"role":"assistant","content":""}',
  },
  {
    name: "ids are made to fit",
    id: "mistral",
    message: answer(`,"tool_calls":[${call("call_abc")},${call("abcDEF123")}]`),
    got: answer(`,"tool_calls":[${call(NINE)},${call("abcDEF123")}]`),
  },
  {
    name: "and so are those of results",
    id: "mistral",
    message: '{"role":"tool","tool_call_id":"call_abc","content":"ok"}',
    got: `{"role":"tool","tool_call_id":"${NINE}","content":"ok"}`,
  },
  {
    name: "ids of results stay elsewhere",
    id: "openai",
    message: '{"role":"tool","tool_call_id":"call_abc","content":"ok"}',
    got: '{"role":"tool","tool_call_id":"call_abc","content":"ok"}',
  },
  {
    name: "what a user's message holds is the client's",
    id: "openai",
    message: '{"role":"user","content":"x","reasoning_content":"y","citations":[]}',
    got: '{"role":"user","content":"x","reasoning_content":"y","citations":[]}',
  },
])("$id: $name", async ({ id, message, got }) => {
  expect(await sent(id, `[${ASK} ,\n ${message}, ${ASK} ]`)).toBe(`[${ASK} ,\n ${got}, ${ASK} ]`);
});

describe("ids of nine", () => {
  test("fit, stay the same, and differ", () => {
    const seen = new Set<string>();
    for (let at = 0; at < 20_000; at++) {
      const id = nineOf(`call_${at}`);
      expect(id).toMatch(/^[A-Za-z0-9]{9}$/);
      seen.add(id);
    }
    expect(seen.size).toBe(20_000);
    fc.assert(
      fc.property(fc.string(), (id) => {
        expect(nineOf(id)).toMatch(/^[A-Za-z0-9]{9}$/);
        expect(nineOf(nineOf(id))).toBe(nineOf(id));
        expect(nineOf(id)).toBe(nineOf(id));
      }),
    );
  });
});

test.each(["openai", "deepseek", "moonshot", "openrouter", "azure"])(
  "%s: any messages give JSON, and ordinary ones stay byte for byte",
  async (id) => {
    const names = ["content", "reasoning", "reasoning_details", "tool_calls", "tool_call_id", "refusal", "x"];
    const message = fc.record({
      role: fc.constantFrom("user", "assistant", "tool", "system"),
      more: fc.dictionary(fc.constantFrom(...names), fc.jsonValue()),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 5 }), async (messages) => {
        const text = JSON.stringify(messages.map(({ role, more }) => ({ role, ...more })));
        const body = await sent(id, text);
        const got = JSON.parse(body) as unknown[];
        expect(got).toHaveLength(messages.length);
        for (const [at, { role, more }] of messages.entries()) {
          if (role === "user" || role === "system")
            expect(got[at]).toEqual(JSON.parse(JSON.stringify({ role, ...more })));
        }
        if (messages.every(({ role }) => role === "user" || role === "system")) expect(body).toBe(text);
      }),
      { numRuns: tries(150) },
    );
  },
);

describe("what an answer has that a request may not", () => {
  const turn = (members: string): string => `{"role":"assistant",${members}}`;
  const long = "c".repeat(41);
  const short = `call_${nineOf(long)}`;
  test.each<[string, string, string, string]>([
    ["an empty list of calls", "openai", turn('"content":"so","tool_calls":[]'), turn('"content":"so"')],
    ["no content at all", "vllm", turn('"content":null'), turn('"content":""')],
    ["a list of nothing", "xai", turn('"content":[]'), turn('"content":""')],
    ["empty texts", "mistral", turn('"content":[{"type":"text","text":""}]'), turn('"content":""')],
    [
      "empty texts beside calls",
      "groq",
      turn(`"content":[{"type":"text","text":""}],"tool_calls":[${call("1")}]`),
      turn(`"content":null,"tool_calls":[${call("1")}]`),
    ],
    [
      "the index of a call, where the schema is closed",
      "groq",
      turn(`"content":null,"tool_calls":[${call("1", ',"index":0')}]`),
      turn(`"content":null,"tool_calls":[${call("1")}]`),
    ],
    [
      "an id of more than 40 characters",
      "openai",
      turn(`"content":null,"tool_calls":[${call(long)}]`),
      turn(`"content":null,"tool_calls":[${call(short)}]`),
    ],
    ["tools that Groq ran", "openai", turn('"content":"so","executed_tools":[1]'), turn('"content":"so"')],
    [
      "thoughts under their other name",
      "fireworks",
      turn('"content":"so","reasoning":"hm"'),
      turn('"content":"so","reasoning_content":"hm"'),
    ],
  ])("%s", async (_, id, message, got) => {
    expect(await sent(id, `[${ASK},${message},${ASK}]`)).toBe(`[${ASK},${got},${ASK}]`);
  });

  test.each([
    turn('"content":null,"refusal":"no"'),
    turn('"content":null,"audio":{"id":"a"}'),
    turn('"content":null,"function_call":{"name":"a","arguments":"{}"}'),
    turn(`"content":null,"tool_calls":[${call("1", ',"index":0')}]`),
    turn('"content":[{"type":"text","text":"so"},{"type":"text","text":""}]'),
  ])("%s stays", async (message) => {
    expect(await sent("openai", `[${ASK},${message},${ASK}]`)).toBe(`[${ASK},${message},${ASK}]`);
  });

  test("a result keeps to the short id of its call", async () => {
    const result = `{"role":"tool","tool_call_id":"${long}","content":"r"}`;
    expect(await sent("azure", `[${ASK},${result}]`)).toContain(`"tool_call_id":"${short}"`);
  });
});

test("Fireworks is sent the members of its own documentation", async () => {
  const { body, droppedParams } = await requestTo(
    "fireworks",
    '{"model":"m","messages":[],"store":true,"verbosity":"low","prompt_cache_key":"k","top_k":3}',
  );
  expect(JSON.parse(body)).toEqual({ model: "m", messages: [], prompt_cache_key: "k", top_k: 3 });
  expect(droppedParams).toEqual(["store", "verbosity"]);
});
