import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AdapterCall, UpstreamRequest } from "../../../src/providers/adapter.ts";
import { findProvider } from "../../../src/providers/index.ts";
import { ROWS } from "../../../src/providers/rows.ts";
import { askedInChat } from "../../../src/wires/asked.ts";
import { missingCapability } from "../../../src/wires/openai-chat/request.ts";
import { inChat } from "../../support/asked.ts";

const CONFIG = { baseUrl: "https://api.vendor.com/v1", headers: { authorization: "Bearer key" } };

async function send(id: string, text: string, options: Partial<AdapterCall> = {}): Promise<UpstreamRequest> {
  const provider = findProvider(id);
  if (provider === undefined) throw new Error(`no provider ${id}`);
  const fields = JSON.parse(text);
  return provider.adapter.toUpstream({
    ...inChat(fields, text),
    stream: fields.stream === true,
    model: "upstream-model",
    params: {},
    maxOutputTokens: undefined,
    config: CONFIG,
    ...options,
  });
}

const text = (members: string): string => `{"model":"flow/x","messages":[{"role":"user","content":"hi"}]${members}}`;
const body = (members: string): string =>
  `{"model":"upstream-model","messages":[{"role":"user","content":"hi"}]${members}}`;

describe("request bodies", () => {
  test.each<{
    name: string;
    id: string;
    sent: string;
    got: string;
    options?: Partial<AdapterCall>;
    dropped?: string[];
  }>([
    { name: "only the model changes", id: "openai", sent: "", got: "" },
    {
      name: "unknown members and big integers stay",
      id: "openai",
      sent: ',"x":9007199254740993 , "y":1e400',
      got: ',"x":9007199254740993 , "y":1e400',
    },
    {
      name: "OpenAI's older token limit is renamed",
      id: "openai",
      sent: ',"max_tokens":5',
      got: ',"max_completion_tokens":5',
    },
    {
      name: "OpenAI's newer token limit stays",
      id: "openai",
      sent: ',"max_completion_tokens":5',
      got: ',"max_completion_tokens":5',
    },
    {
      name: "of both, the vendor's own stands",
      id: "openai",
      sent: ',"max_tokens":5,"max_completion_tokens":7',
      got: ',"max_completion_tokens":7',
    },
    {
      name: "a vendor that reads both gets both",
      id: "groq",
      sent: ',"max_tokens":5,"max_completion_tokens":7',
      got: ',"max_tokens":5,"max_completion_tokens":7',
    },
    {
      name: "the newer limit is renamed for a vendor of the older",
      id: "together",
      sent: ',"max_completion_tokens":7',
      got: ',"max_tokens":7',
    },
    {
      name: "the policy's bound is written",
      id: "openai",
      sent: "",
      got: ',"max_completion_tokens":100',
      options: { maxOutputTokens: 100 },
    },
    {
      name: "the policy's bound cuts the client's",
      id: "mistral",
      sent: ',"max_completion_tokens":500',
      got: ',"max_tokens":100',
      options: { maxOutputTokens: 100 },
    },
    {
      name: "the client's limit below the bound keeps its spelling",
      id: "groq",
      sent: ',"max_tokens":1e1',
      got: ',"max_tokens":1e1',
      options: { maxOutputTokens: 100 },
    },
    {
      name: "both spellings are bounded",
      id: "groq",
      sent: ',"max_tokens":500,"max_completion_tokens":50',
      got: ',"max_tokens":100,"max_completion_tokens":50',
      options: { maxOutputTokens: 100 },
    },
    {
      name: "a limit that is no number is bounded",
      id: "deepseek",
      sent: ',"max_tokens":null',
      got: ',"max_tokens":100',
      options: { maxOutputTokens: 100 },
    },
    {
      name: "params fill what is left out",
      id: "openai",
      sent: ',"temperature":0',
      got: ',"temperature":0,"top_p":0.5',
      options: { params: { temperature: 1, top_p: 0.5 } },
    },
    {
      name: "a member sent as null was not left out",
      id: "openai",
      sent: ',"top_p":null',
      got: ',"top_p":null',
      options: { params: { top_p: 1 } },
    },
    {
      name: "either spelling counts as having sent a limit",
      id: "openai",
      sent: ',"max_completion_tokens":5',
      got: ',"max_completion_tokens":5',
      options: { params: { max_tokens: 4096 } },
    },
    {
      name: "a limit from params is renamed and bounded",
      id: "openai",
      sent: "",
      got: ',"max_completion_tokens":100',
      options: { params: { max_tokens: 4096 }, maxOutputTokens: 100 },
    },
    {
      name: "params do not choose who answers or how",
      id: "openai",
      sent: "",
      got: "",
      options: { params: { stream: true, model: "m", messages: [], route: {} } },
    },
    {
      name: "usage is asked of a stream",
      id: "openai",
      sent: ',"stream":true',
      got: ',"stream":true,"stream_options":{"include_usage":true}',
    },
    {
      name: "usage joins the client's own options",
      id: "openai",
      sent: ',"stream":true,"stream_options":{ "x": 1.0, "include_usage":false}',
      got: ',"stream":true,"stream_options":{ "x": 1.0, "include_usage":true}',
    },
    {
      name: "options that are null are replaced",
      id: "openai",
      sent: ',"stream":true,"stream_options":null',
      got: ',"stream":true,"stream_options":{"include_usage":true}',
    },
    {
      name: "options that ask already stay",
      id: "openai",
      sent: ',"stream":true,"stream_options":{"include_usage" : true}',
      got: ',"stream":true,"stream_options":{"include_usage" : true}',
    },
    {
      name: "a vendor that always sends usage is not asked",
      id: "mistral",
      sent: ',"stream":true,"stream_options":{"include_usage":true}',
      got: ',"stream":true',
    },
    {
      name: "other stream options that are lost are named",
      id: "perplexity",
      sent: ',"stream":true,"stream_options":{"include_obfuscation":false}',
      got: ',"stream":true',
      dropped: ["stream_options"],
    },
    {
      name: "Mistral's names and words",
      id: "mistral",
      sent: ',"seed":9007199254740993,"tool_choice":"required","user":"u"',
      got: ',"random_seed":9007199254740993,"tool_choice":"any"',
      dropped: ["user"],
    },
    {
      name: "a forced tool keeps its shape",
      id: "mistral",
      sent: ',"tool_choice":{"type":"function"}',
      got: ',"tool_choice":{"type":"function"}',
    },
    {
      name: "Fireworks' words",
      id: "fireworks",
      sent: ',"reasoning_effort":"xhigh"',
      got: ',"reasoning_effort":"high"',
    },
    {
      name: "what asks for nothing is dropped",
      id: "cerebras",
      sent: ',"presence_penalty":0,"logit_bias":{},"store":true',
      got: "",
      dropped: ["presence_penalty", "logit_bias", "store"],
    },
    {
      name: "a wish that cannot be had is left out and named",
      id: "cerebras",
      sent: ',"presence_penalty":0.5',
      got: "",
      dropped: ["presence_penalty"],
    },
    {
      name: "the policy's own params are dropped silently",
      id: "mistral",
      sent: "",
      got: "",
      options: { params: { user: "u" } },
    },
    {
      name: "models that nobody approved are not named to the vendor",
      id: "openrouter",
      sent: ',"models":["openai/o1-pro"]',
      got: "",
      dropped: ["models"],
    },
    {
      name: "params are renamed and respelled like members",
      id: "mistral",
      sent: "",
      got: ',"random_seed":7,"tool_choice":"any"',
      options: { params: { seed: 7, tool_choice: "required" } },
    },
  ])("$id: $name", async ({ id, sent, got, options, dropped }) => {
    const request = await send(id, text(sent), options);
    expect(request.body).toBe(body(got));
    expect([...request.droppedParams].sort()).toEqual([...(dropped ?? [])].sort());
  });

  test("the role developer becomes system where it is unknown, and nothing else moves", async () => {
    const messages = (role: string): string =>
      `[ {"role":"user","content":"developer"},\n{ "content" : "\\u00e9\\ud83d" , "role" : "${role}","n":1.0}, {"role":"user","content":[{"text":"]"}]} ]`;
    const sent = (role: string, model: string): string => `{"model":"${model}", "messages":${messages(role)}}`;
    expect((await send("deepseek", sent("developer", "flow/x"))).body).toBe(sent("system", "upstream-model"));
    expect((await send("openai", sent("developer", "flow/x"))).body).toBe(sent("developer", "upstream-model"));
  });

  test("the address and the headers are made from nothing of the client's", async () => {
    const plain = await send("novita", text(""));
    expect(plain.url).toBe("https://api.vendor.com/v1/v1/chat/completions");
    expect(plain.headers).toEqual({
      "content-type": "application/json",
      accept: "application/json",
      "user-agent": "flow-layer/0.1.0",
      authorization: "Bearer key",
    });
    const stream = await send("openai", text(',"stream":true'));
    expect(stream.url).toBe("https://api.vendor.com/v1/chat/completions");
    expect(stream.headers).toMatchObject({ accept: "text/event-stream", "accept-encoding": "identity" });
  });
});

describe("losslessness", () => {
  /** Names that some row acts on: the property is about all others. */
  const known = new Set([
    ..."model messages stream stream_options route max_tokens max_completion_tokens tool_choice reasoning_effort".split(
      " ",
    ),
    ...ROWS.flatMap((row) => [
      ...Object.keys(row.rename ?? {}),
      ...Object.values(row.rename ?? {}),
      ...(row.drop ?? []),
      ...(row.cannot ?? []),
    ]),
  ]);
  const space = fc.constantFrom("", " ", "\n\t", "  ");
  const raw = fc.oneof(
    fc.json(),
    fc.bigInt().map(String),
    fc.constantFrom("1e400", "-0", "0.10", "1E+2", '"\\u0061\\/\\ud800"', '"é😀"', '{"b":1,"a":2,"b":3}', "[1 , 2]"),
  );
  const key = fc
    .oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "é", "temperature", '"'))
    .filter((name) => !known.has(name));
  const member = fc.record({ key, raw, before: space, after: space });

  test.each(["openai", "deepseek", "vllm", "perplexity"])(
    "%s: members no row names keep their text and order",
    async (id) => {
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(member, { selector: (each) => each.key }),
          fc.nat(),
          fc.boolean(),
          async (members, at, stream) => {
            const written = members.map(
              (each) => `${each.before}${JSON.stringify(each.key)}${each.after}:${each.before}${each.raw}`,
            );
            const place = at % (members.length + 1);
            const own = '"model":"flow/x","messages":[{"role":"user","content":"hi"}],"max_tokens":9';
            written.splice(place, 0, stream ? `${own},"stream":true` : own);
            const request = await send(id, `{${written.join(",")}}`, { maxOutputTokens: 5 });
            let behind = 0;
            for (const [index, each] of written.entries()) {
              if (index === place) continue;
              const found = request.body.indexOf(each, behind);
              expect(found).toBeGreaterThanOrEqual(behind);
              behind = found + each.length;
            }
            expect(JSON.parse(request.body).model).toBe("upstream-model");
          },
        ),
        { numRuns: 100 },
      );
    },
  );
});

describe("what a provider cannot do", () => {
  const row = (id: string) => ROWS.find((each) => each.id === id) ?? ROWS[0]!;
  test.each<[string, Record<string, unknown>, string | null]>([
    ["perplexity", { tools: [{}] }, "tools"],
    ["perplexity", { tools: [] }, null],
    ["perplexity", { n: 1 }, null],
    ["groq", { n: 2 }, "n"],
    ["groq", { logprobs: true }, "logprobs"],
    ["groq", { logprobs: false, top_logprobs: 0, logit_bias: {} }, null],
    ["groq", { logit_bias: { "50256": -100 } }, "logit_bias"],
    ["deepseek", { response_format: { type: "json_schema" } }, "json_schema"],
    ["deepseek", { response_format: { type: "json_object" } }, null],
    ["xai", { frequency_penalty: 0.2 }, "frequency_penalty"],
    ["openai", { tools: [{}], n: 5, logprobs: true }, null],
  ])("%s with %j lacks %s", (id, fields, name) => {
    expect(missingCapability(row(id), fields)).toBe(name);
    expect(findProvider(id)?.lacks?.(askedInChat(fields))).toBe(name);
  });
});
