/** Whole answers that a provider wrote loosely: what clients rely on is put right, and nothing else changes. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isJsonObject } from "../../../../../src/lib/json.ts";
import { mendAnswer } from "../../../../../src/wires/openai-chat/mend/answer.ts";
import { readCompletion } from "../../../../../src/wires/openai-chat/read-completion.ts";
import { tries } from "../../../../support/tries.ts";

const OPTIONS = { seed: "tr_abc", finishWords: { gave_up: "error", cut_short: "length" } };

function mend(text: string): string {
  const body: unknown = JSON.parse(text);
  if (!isJsonObject(body)) throw new Error("no object");
  return mendAnswer(text, body, OPTIONS).text;
}

const answer = (message: string, finish = '"stop"', index = '"index":0,'): string =>
  `{"id":"c","choices":[{${index}"message":${message},"finish_reason":${finish}}],"n":9007199254740993}`;
const said = (members: string): string => `{"role":"assistant",${members}}`;
const called = (call: string): string => said(`"content":null,"tool_calls":[${call}]`);
const CALL = '{"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}';

describe("what is as it should be stays, to the byte", () => {
  test.each([
    answer(said('"content":"a"')),
    answer(said('"content" : null , "refusal":"no"')),
    answer(called(CALL), '"tool_calls"'),
    answer(called(CALL), '"length"'),
    answer(said('"content":"a","tool_calls":[],"annotations":[]')),
    answer(said('"content":"a"'), '"a_word_of_its_own"'),
    answer(
      said('"content":null,"tool_calls":[{"id":"a","type":"custom","custom":{"name":"f","input":""}}]'),
      '"tool_calls"',
    ),
    '{"choices":[]}',
    '{"object":"list"}',
  ])("%s", (text) => {
    expect(mend(text)).toBe(text);
  });
});

const args = (written: string): string => called(`{"id":"a","type":"function","function":{"name":"f"${written}}}`);

describe("what is not is mended, and every other byte stays", () => {
  test.each<{ name: string; sent: string; got: string }>([
    {
      name: "Mistral's thoughts and text",
      sent: answer(
        said(
          '"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"So"},{"type":"text","text":" 4"}]',
        ),
      ),
      got: answer(said('"content":"So 4","reasoning_content":"hm"')),
    },
    {
      name: "Databricks' summaries",
      sent: answer(
        said(
          '"content":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm","signature":"s"}]},{"type":"text","text":"4"}]',
        ),
      ),
      got: answer(said('"content":"4","reasoning_content":"hm"')),
    },
    {
      name: "thoughts behind those that stand in their place",
      sent: answer(said('"content":[{"type":"thinking","thinking":"b"},"c"],"reasoning_content":"a"')),
      got: answer(said('"content":"c","reasoning_content":"ab"')),
    },
    {
      name: "a refusal and a picture among the parts",
      sent: answer(
        said(
          '"content":[{"type":"refusal","refusal":"no"},{"type":"image_url","image_url":{"url":"u"}}],"refusal":null',
        ),
      ),
      got: answer(said('"content":"","refusal":"no","images":[{"type":"image_url","image_url":{"url":"u"}}]')),
    },
    {
      name: "parts of a kind that nobody knows are kept exactly",
      sent: answer(
        said('"content":[{"type":"text","text":"a"},{"type":"reference","reference_ids":[9007199254740993]}]'),
      ),
      got: answer(said('"content":"a","content_parts":[{"type":"reference","reference_ids":[9007199254740993]}]')),
    },
    {
      name: "content that was parsed",
      sent: answer(said('"content":{ "id": 9007199254740993, "x" : 1.0 }')),
      got: answer(said('"content":"{\\"id\\":9007199254740993,\\"x\\":1.0}"')),
    },
    {
      name: "a message without role",
      sent: answer('{"content":"a"}'),
      got: answer('{"content":"a","role":"assistant"}'),
    },
    {
      name: "no content at all",
      sent: answer(said('"reasoning_content":"hm"')),
      got: answer(said('"reasoning_content":"hm","content":""')),
    },
    {
      name: "a message that a filter took away",
      sent: answer("null", '"content_filter"').replace('"message":null,', ""),
      got: '{"id":"c","choices":[{"index":0,"finish_reason":"content_filter","message":{"role":"assistant","content":"","refusal":null}}],"n":9007199254740993}',
    },
    {
      name: "no choice index",
      sent: answer(said('"content":"a"'), '"stop"', ""),
      got: `${answer(said('"content":"a"'), '"stop"', "").slice(0, -24)},"index":0}],"n":9007199254740993}`
        .replace("},,", "},")
        .replace('"stop"}],"index"', '"stop","index"'),
    },
    {
      name: "an object for arguments",
      sent: answer(args(',"arguments":{"b": 1.0,"10":9007199254740993}'), '"tool_calls"'),
      got: answer(args(',"arguments":"{\\"b\\": 1.0,\\"10\\":9007199254740993}"'), '"tool_calls"'),
    },
    ...['""', '" "', "null", '"null"', '" null\\n"', "[]"].map((written) => ({
      name: `${written} for arguments`,
      sent: answer(args(`,"arguments":${written}`), '"tool_calls"'),
      got: answer(args(',"arguments":"{}"'), '"tool_calls"'),
    })),
    {
      name: "no arguments",
      sent: answer(args(""), '"tool_calls"'),
      got: answer(args(',"arguments":"{}"'), '"tool_calls"'),
    },
    {
      name: "a call without type",
      sent: answer(called('{"id":"a","function":{"name":"f","arguments":"{}"}}'), '"tool_calls"'),
      got: answer(called('{"id":"a","function":{"name":"f","arguments":"{}"},"type":"function"}'), '"tool_calls"'),
    },
    {
      name: "name and arguments in the call itself",
      sent: answer(called('{"id":"a","type":"function","name":"f","arguments":{"x":1}}'), '"tool_calls"'),
      got: answer(
        called('{"id":"a","type":"function","function":{"name":"f","arguments":"{\\"x\\":1}"}}'),
        '"tool_calls"',
      ),
    },
    {
      name: "one call in place of a list",
      sent: answer(said(`"content":null,"tool_calls":${CALL}`), '"tool_calls"'),
      got: answer(called(CALL), '"tool_calls"'),
    },
    {
      name: "an end for calls that are none",
      sent: answer(said('"content":"a","tool_calls":[]'), '"tool_calls"'),
      got: answer(said('"content":"a","tool_calls":[]'), '"stop"'),
    },
    {
      name: "one part of text without its list",
      sent: answer(said('"content":{"type":"text","text":"a"}')),
      got: answer(said('"content":"a"')),
    },
    {
      name: "an entry that is no call",
      sent: answer(called(`null,${CALL}`), '"tool_calls"'),
      got: answer(called(CALL), '"tool_calls"'),
    },
    ...['"stop"', "null", '""', '"function_call"', '"tool_use"', '"a_word_of_its_own"'].map((finish) => ({
      name: `calls that end with ${finish}`,
      sent: answer(called(CALL), finish),
      got: answer(called(CALL), '"tool_calls"'),
    })),
    {
      name: "an older call that ends with stop",
      sent: answer(said('"content":null,"function_call":{"name":"f","arguments":"{}"}')),
      got: answer(said('"content":null,"function_call":{"name":"f","arguments":"{}"}'), '"function_call"'),
    },
    {
      name: "an older call without arguments",
      sent: answer(said('"content":null,"function_call":{"name":"f","arguments":""}'), '"function_call"'),
      got: answer(said('"content":null,"function_call":{"name":"f","arguments":"{}"}'), '"function_call"'),
    },
    { name: "no finish reason", sent: answer(said('"content":"a"'), "null"), got: answer(said('"content":"a"')) },
    {
      name: "another word for the end of text",
      sent: answer(said('"content":"a"'), '"eos"'),
      got: answer(said('"content":"a"')),
    },
    {
      name: "another word for too long",
      sent: answer(said('"content":"a"'), '"MAX_TOKENS"'),
      got: answer(said('"content":"a"'), '"length"'),
    },
    {
      name: "a word that only this provider has",
      sent: answer(said('"content":"a"'), '"cut_short"'),
      got: answer(said('"content":"a"'), '"length"'),
    },
  ])("$name", ({ sent, got }) => {
    expect(JSON.parse(mend(sent))).toEqual(JSON.parse(got));
    expect(mend(sent)).toBe(got);
  });
});

test.each([
  ['"id":""', '"id":""'],
  ['"id":null', '"x":1'],
  ['"id":"a"', '"id":"a"'],
  ['"id":7', '"id":7'],
])("two calls with %s and %s get two ids, the same each time", (first, second) => {
  const detail = '"type":"function","function":{"name":"f","arguments":"{}"}';
  const sent = answer(called(`{${first},${detail}},{${second},${detail}}`), '"tool_calls"');
  const ids = [...mend(sent).matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id).filter((id) => id !== "c");
  expect(new Set(ids).size).toBe(2);
  expect(mend(sent)).toBe(mend(sent));
  for (const id of ids) expect(id!.length).toBeLessThanOrEqual(40);
});

test("an answer that its provider calls broken is a failure", () => {
  const text = answer(said('"content":"a"'), '"gave_up"');
  expect(readCompletion(text, JSON.parse(text), OPTIONS)).toMatchObject({
    ok: false,
    failure: { class: "invalid_response", tryNext: true },
  });
});

test("no JSON makes it throw, and mending twice is mending once", () => {
  const member = fc.constantFrom(
    "index",
    "message",
    "finish_reason",
    "content",
    "tool_calls",
    "function",
    "function_call",
    "arguments",
    "id",
    "type",
    "name",
    "text",
    "thinking",
    "role",
    "choices",
  );
  const leaf = fc.oneof(
    fc.constantFrom(null, "", "null", "stop", "text", "thinking", 0, true),
    fc.string({ maxLength: 3 }),
  );
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 6 },
      leaf,
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(member, tie("value"), { maxKeys: 5 }),
    ),
  }));
  fc.assert(
    fc.property(fc.array(fc.dictionary(member, value, { maxKeys: 5 }), { maxLength: 3 }), (choices) => {
      const once = mend(JSON.stringify({ choices }));
      expect(mend(once)).toBe(once);
    }),
    { numRuns: tries(2_000) },
  );
});
