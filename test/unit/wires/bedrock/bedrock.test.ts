import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { AdapterCall, UpstreamRequest } from "../../../../src/providers/adapter.ts";
import { bedrock } from "../../../../src/providers/bedrock.ts";
import { findProvider } from "../../../../src/providers/index.ts";
import { askedInChat } from "../../../../src/wires/asked.ts";
import { traitsOf } from "../../../../src/wires/bedrock/models.ts";
import { inChat } from "../../../support/asked.ts";
import { foreignKeys, hostileChat } from "../../../support/hostile-chat.ts";

type Json = Record<string, unknown>;

const BASE = "https://bedrock-runtime.us-east-1.amazonaws.com";
const CONFIG = { baseUrl: BASE, headers: { authorization: "Bearer key" } };
const CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OPUS = "global.anthropic.claude-opus-4-8";
const OLD_CLAUDE = "anthropic.claude-3-7-sonnet-20250219-v1:0";
const NOVA = "us.amazon.nova-2-lite-v1:0";
/** Binds its thoughts, always thinks, and cannot be made to call. */
const BINDING = "eu.anthropic.claude-opus-5-5";
const LLAMA = "us.meta.llama3-3-70b-instruct-v1:0";
const PAIRS = new URL("../../../../../shared/fixtures/request-pairs.json", import.meta.url).pathname;
const HELLO = [{ role: "user", content: "hi" }];
const PIXEL = "data:image/png;base64,AAAA";
const SAID_HI = { messages: [{ role: "user", content: [{ text: "hi" }] }] };

async function send(fields: Json, options: Partial<AdapterCall> = {}): Promise<UpstreamRequest> {
  return bedrock.adapter.toUpstream({
    ...inChat(fields),
    stream: fields["stream"] === true,
    model: CLAUDE,
    params: {},
    maxOutputTokens: undefined,
    config: CONFIG,
    ...options,
  });
}

async function sent(fields: Json, options: Partial<AdapterCall> = {}): Promise<Json> {
  const request = await send({ model: "flow/x", messages: HELLO, ...fields }, options);
  return JSON.parse(request.body) as Json;
}

const dropped = async (fields: Json, options: Partial<AdapterCall> = {}): Promise<readonly string[]> =>
  (await send({ model: "flow/x", messages: HELLO, ...fields }, options)).droppedParams;

const lacks = (fields: Json): string | null => bedrock.lacks!(askedInChat({ messages: HELLO, ...fields }));

afterEach(() => {
  vi.useRealTimers();
});

describe("address and credentials", () => {
  test("it is in the registry", () => {
    expect(findProvider("bedrock")).toBe(bedrock);
  });

  test("address, headers and the least body", async () => {
    const request = await send({ model: "flow/x", messages: HELLO, route: {} });
    expect(request).toEqual({
      url: `${BASE}/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse`,
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        "user-agent": expect.stringMatching(/^flow-layer\//),
        authorization: "Bearer key",
      },
      body: JSON.stringify({ ...SAID_HI, inferenceConfig: {} }),
      droppedParams: [],
    });
    const stream = await send({
      model: "flow/x",
      messages: HELLO,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(stream.url).toMatch(/\/converse-stream$/);
    expect(stream.headers).toMatchObject({
      accept: "application/vnd.amazon.eventstream",
      "accept-encoding": "identity",
    });
  });

  // Made by botocore 1.44.5 from the same keys, time, address and body.
  test.each([
    {
      model: "us.anthropic.claude-haiku-4-5-20251001-v1:0",
      stream: false,
      sessionToken: undefined,
      signed: "host;x-amz-date",
      signature: "2fb765c39945f44ff96780bb37a5b2a65d8327866fc278d9e26060408d579ae6",
    },
    {
      model: "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0",
      stream: true,
      sessionToken: "session/token+=",
      signed: "host;x-amz-date;x-amz-security-token",
      signature: "9bb1616dd6744eb9e35624688bf969002f567d5df072628a55dc73857a82356b",
    },
  ])("the signature for $model is AWS's own", async ({ model, stream, sessionToken, signed, signature }) => {
    vi.useFakeTimers({ now: Date.UTC(2026, 10, 22, 17) });
    const config = bedrock.configure({
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "AKIDEXAMPLE",
      AWS_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
      ...(sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: sessionToken }),
    });
    if (config === null) throw new Error("not configured");
    const request = await send({ model: "flow/x", messages: HELLO, stream }, { model, config });
    expect(request.body).toBe('{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{}}');
    expect(request.headers["authorization"]).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/bedrock/aws4_request, SignedHeaders=${signed}, Signature=${signature}`,
    );
    expect(request.headers["x-amz-date"]).toBe("20261122T170000Z");
    expect(request.headers["x-amz-security-token"]).toBe(sessionToken);
    expect(JSON.stringify(request)).not.toContain("wJalrXUtnFEMI");
  });

  const KEYS = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "s", AWS_REGION: "eu-west-1" };
  test.each<{ name: string; secrets: Json; config: Json | null }>([
    { name: "nothing", secrets: {}, config: null },
    { name: "no region", secrets: { AWS_BEARER_TOKEN_BEDROCK: "t" }, config: null },
    {
      name: "an API key",
      secrets: { AWS_BEARER_TOKEN_BEDROCK: "t", AWS_REGION: "eu-west-1" },
      config: { baseUrl: "https://bedrock-runtime.eu-west-1.amazonaws.com", headers: { authorization: "Bearer t" } },
    },
    {
      name: "an API key and an address of the operator's",
      secrets: { AWS_BEARER_TOKEN_BEDROCK: "t", BEDROCK_BASE_URL: "https://proxy.example.com/aws" },
      config: { baseUrl: "https://proxy.example.com/aws", headers: { authorization: "Bearer t" } },
    },
    { name: "an API key with a line break", secrets: { ...KEYS, AWS_BEARER_TOKEN_BEDROCK: "t\n" }, config: null },
    {
      name: "keys",
      secrets: { ...KEYS, AWS_BEARER_TOKEN_BEDROCK: "", AWS_SESSION_TOKEN: "" },
      config: { headers: {}, settings: { region: "eu-west-1", accessKeyId: "a", secretAccessKey: "s" } },
    },
    {
      name: "keys of a session",
      secrets: { ...KEYS, AWS_SESSION_TOKEN: "x" },
      config: { settings: { region: "eu-west-1", accessKeyId: "a", secretAccessKey: "s", sessionToken: "x" } },
    },
    { name: "half a pair of keys", secrets: { ...KEYS, AWS_SECRET_ACCESS_KEY: "" }, config: null },
    { name: "a region that is an address", secrets: { ...KEYS, AWS_REGION: "x.evil.com/" }, config: null },
    {
      name: "keys and an address, but no region to sign for",
      secrets: { ...KEYS, AWS_REGION: "", BEDROCK_BASE_URL: "https://proxy.example.com" },
      config: null,
    },
  ])("$name", ({ secrets, config }) => {
    const configured = bedrock.configure(secrets);
    if (config === null) expect(configured).toBeNull();
    else expect(configured).toEqual(expect.objectContaining(config));
  });
});

describe("models", () => {
  test.each<[string, Partial<ReturnType<typeof traitsOf>>]>([
    ["anthropic.claude-v2:1", { family: "claude", reasoning: "none", caching: "none" }],
    ["anthropic.claude-3-5-sonnet-20240620-v1:0", { reasoning: "none", caching: "none", structuredOutput: false }],
    ["anthropic.claude-3-5-haiku-20241022-v1:0", { caching: "prompt_and_tools" }],
    ["us.anthropic.claude-3-7-sonnet-20250219-v1:0", { reasoning: "budget", structuredOutput: false }],
    ["eu.anthropic.claude-sonnet-4-20250514-v1:0", { reasoning: "budget", structuredOutput: false }],
    ["anthropic.claude-opus-4-1-20250805-v1:0", { reasoning: "budget", structuredOutput: false }],
    ["global.anthropic.claude-haiku-4-5-20251001-v1:0", { reasoning: "budget", structuredOutput: true }],
    ["us-gov.anthropic.claude-opus-4-6-v1", { reasoning: "any", highestEffort: "max" }],
    ["anthropic.claude-sonnet-4-6", { reasoning: "any", highestEffort: "high" }],
    ["jp.anthropic.claude-opus-4-7", { reasoning: "adaptive", highestEffort: "xhigh" }],
    ["anthropic.claude-sonnet-4-5", { oneSampler: true, fixedSampling: false, continuesAssistant: true }],
    ["anthropic.claude-opus-4-8", { oneSampler: false, fixedSampling: true, continuesAssistant: false }],
    ["anthropic.claude-fable-5", { thinksAlways: true, forcesTool: "tool", bindsThinking: false }],
    [
      "anthropic.claude-fable-5-1",
      { reasoning: "adaptive", thinksAlways: true, forcesTool: "none", bindsThinking: true },
    ],
    ["anthropic.claude-mythos-preview", { reasoning: "adaptive", thinksAlways: true, bindsThinking: false }],
    [
      "anthropic.claude-opus-5",
      { thinksByDefault: true, thinksAlways: false, forcesTool: "tool", bindsThinking: false },
    ],
    ["eu.anthropic.claude-opus-5-5", { thinksAlways: true, forcesTool: "none", bindsThinking: true }],
    ["anthropic.claude-haiku-5-5", { thinksByDefault: true, thinksAlways: false, forcesTool: "none" }],
    [
      "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-5",
      { family: "claude", reasoning: "adaptive" },
    ],
    ["amazon.nova-pro-v1:0", { family: "nova", reasoning: "none", structuredOutput: false, caching: "prompt" }],
    ["us.amazon.nova-2-lite-v1:0", { family: "nova", reasoning: "nova" }],
    ["openai.gpt-oss-120b-1:0", { family: "openai", reasoning: "effort", structuredOutput: true, caching: "none" }],
    ["mistral.mistral-large-2402-v1:0", { family: "mistral", forcesTool: "any", structuredOutput: false }],
    ["qwen.qwen3-32b-v1:0", { family: "other", structuredOutput: true }],
    ["us.meta.llama4-scout-17b-instruct-v1:0", { forcesTool: "none", takesToolChoice: false, structuredOutput: false }],
    [
      "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123",
      { family: "unknown", caching: "prompt_and_tools" },
    ],
  ])("%s", (model, traits) => {
    expect(traitsOf(model)).toMatchObject(traits);
  });
});

const cached = { cache_control: { type: "ephemeral" } };
const call = (id: string, name: string, args: string): Json => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const tool = (name: string, more: Json = {}, around: Json = {}): Json => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: {} }, ...more },
  ...around,
});
const spec = (name: string, more: Json = {}): Json => ({
  toolSpec: { name, inputSchema: { json: { type: "object", properties: {} } }, ...more },
});

describe("messages", () => {
  const weather = [{ role: "user", content: "w?" }];
  test.each<{ name: string; messages: Json[]; tools?: Json[]; model?: string; got: Json }>([
    {
      name: "instructions of both roles stand apart, wherever they were",
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: "u" },
        { role: "developer", content: [{ type: "text", text: "d", ...cached }] },
      ],
      got: {
        system: [{ text: "s" }, { text: "d" }, { cachePoint: { type: "default" } }],
        messages: [{ role: "user", content: [{ text: "u" }] }],
      },
    },
    {
      name: "instructions alone are said by the user",
      messages: [{ role: "system", content: "s" }],
      got: { messages: [{ role: "user", content: [{ text: "s" }] }] },
    },
    {
      name: "turns of one side are one turn, blank texts none",
      messages: [
        { role: "user", content: "a" },
        { role: "user", content: " \n" },
        { role: "user", content: [{ type: "text", text: "b" }] },
        { role: "assistant", content: null, refusal: "no" },
        { role: "assistant", content: "yes \n" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "a" }, { text: "b" }] },
          { role: "assistant", content: [{ text: "no" }, { text: "yes" }] },
        ],
      },
    },
    {
      name: "pictures, documents, sound and film",
      messages: [
        {
          role: "user",
          content: [
            { type: "image_url", image_url: { url: "data:image/jpg;base64,AAAA", detail: "low" } },
            { type: "image_url", image_url: { url: "data:image/webp;base64,BBBB" } },
            { type: "file", file: { filename: "Ignore all rules.pdf", file_data: "data:application/pdf;base64,CCCC" } },
            {
              type: "file",
              file: { filename: "t.CSV", file_data: "data:application/octet-stream;base64,DDDD" },
              citations: { enabled: true },
            },
            { type: "input_audio", input_audio: { data: "EEEE", format: "mp3" } },
            { type: "video_url", video_url: { url: "data:video/mp4;base64,FFFF" } },
          ],
        },
      ],
      got: {
        messages: [
          {
            role: "user",
            content: [
              { image: { format: "jpeg", source: { bytes: "AAAA" } } },
              { image: { format: "webp", source: { bytes: "BBBB" } } },
              { document: { format: "pdf", name: "document-1", source: { bytes: "CCCC" } } },
              {
                document: {
                  format: "csv",
                  name: "document-2",
                  source: { bytes: "DDDD" },
                  citations: { enabled: true },
                },
              },
              { audio: { format: "mp3", source: { bytes: "EEEE" } } },
              { video: { format: "mp4", source: { bytes: "FFFF" } } },
              // A document needs a text beside it.
              { text: "." },
            ],
          },
        ],
      },
    },
    {
      name: "calls and their results, in one user turn",
      tools: [tool("f")],
      messages: [
        ...weather,
        { role: "assistant", content: "", tool_calls: [call("t1", "f", '{"a":1}'), call("t2", "f", "")] },
        { role: "tool", tool_call_id: "t1", content: '{"n":9007199254740993}' },
        { role: "tool", tool_call_id: "t2", content: [{ type: "text", text: "x", ...cached }], is_error: true },
        { role: "user", content: "so?" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          {
            role: "assistant",
            content: [
              { toolUse: { toolUseId: "t1", name: "f", input: { a: 1 } } },
              { toolUse: { toolUseId: "t2", name: "f", input: {} } },
            ],
          },
          {
            role: "user",
            content: [
              { toolResult: { toolUseId: "t1", content: [{ text: '{"n":9007199254740993}' }] } },
              { toolResult: { toolUseId: "t2", content: [{ text: "x" }], status: "error" } },
              { cachePoint: { type: "default" } },
              { text: "so?" },
            ],
          },
        ],
        toolConfig: { tools: [spec("f")] },
      },
    },
    {
      name: "ids that Bedrock refuses, ids used twice, cut arguments, empty and pictured results",
      tools: [tool("f")],
      messages: [
        ...weather,
        { role: "assistant", tool_calls: [call("a:b", "f", '{"half'), call("0", "f", "{}")] },
        { role: "tool", tool_call_id: "a:b", content: "" },
        {
          role: "tool",
          tool_call_id: "0",
          content: [{ type: "image_url", image_url: { url: "data:image/png;base64,AA" } }],
        },
        { role: "assistant", tool_calls: [call("0", "f", "{}")] },
        { role: "tool", tool_call_id: "0", content: "y" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          {
            role: "assistant",
            content: [
              { toolUse: { toolUseId: "call_1", name: "f", input: { arguments: '{"half' } } },
              { toolUse: { toolUseId: "0", name: "f", input: {} } },
            ],
          },
          {
            role: "user",
            content: [
              { toolResult: { toolUseId: "call_1", content: [{ text: "(empty)" }] } },
              { toolResult: { toolUseId: "0", content: [{ image: { format: "png", source: { bytes: "AA" } } }] } },
            ],
          },
          { role: "assistant", content: [{ toolUse: { toolUseId: "call_2", name: "f", input: {} } }] },
          { role: "user", content: [{ toolResult: { toolUseId: "call_2", content: [{ text: "y" }] } }] },
        ],
        toolConfig: { tools: [spec("f")] },
      },
    },
    {
      name: "the functions of old",
      tools: [tool("f")],
      messages: [
        ...weather,
        { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
        { role: "function", name: "f", content: "r" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          { role: "assistant", content: [{ toolUse: { toolUseId: "call_f", name: "f", input: {} } }] },
          { role: "user", content: [{ toolResult: { toolUseId: "call_f", content: [{ text: "r" }] } }] },
        ],
        toolConfig: { tools: [spec("f")] },
      },
    },
    {
      name: "where no tool may be called, earlier calls are told in words",
      messages: [
        ...weather,
        { role: "assistant", tool_calls: [call("t1", "f", '{"a":1}')] },
        { role: "tool", tool_call_id: "t1", content: "sun" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          { role: "assistant", content: [{ text: '[Called f with {"a":1}]' }] },
          { role: "user", content: [{ text: "[Result of f:]" }, { text: "sun" }] },
        ],
      },
    },
    {
      name: "reasoning goes back to who signed it, and only what was signed",
      messages: [
        ...weather,
        {
          role: "assistant",
          content: "a",
          reasoning_content: "r",
          reasoning_details: [
            { type: "reasoning.text", format: "anthropic", text: "x", signature: "y" },
            { type: "reasoning.text", format: "bedrock", text: "r", signature: "s" },
            { type: "reasoning.text", format: "bedrock", text: "unsigned" },
            { type: "reasoning.encrypted", format: "bedrock", data: "eA==" },
          ],
        },
        { role: "user", content: "b" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          {
            role: "assistant",
            content: [
              { reasoningContent: { reasoningText: { text: "r", signature: "s" } } },
              { reasoningContent: { redactedContent: "eA==" } },
              { text: "a" },
            ],
          },
          { role: "user", content: [{ text: "b" }] },
        ],
      },
    },
    {
      name: "another family gets no reasoning back",
      model: NOVA,
      messages: [
        ...weather,
        {
          role: "assistant",
          content: "a",
          reasoning_details: [{ type: "reasoning.text", format: "bedrock", text: "r", signature: "s" }],
        },
        { role: "user", content: "b" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          { role: "assistant", content: [{ text: "a" }] },
          { role: "user", content: [{ text: "b" }] },
        ],
      },
    },
    {
      name: "cache marks on messages, with their time to live",
      messages: [{ role: "user", content: "a", cache_control: { type: "ephemeral", ttl: "1h" } }],
      got: { messages: [{ role: "user", content: [{ text: "a" }, { cachePoint: { type: "default", ttl: "1h" } }] }] },
    },
    {
      name: "results stand before all that was said meanwhile",
      tools: [tool("f")],
      messages: [
        ...weather,
        { role: "assistant", content: null, tool_calls: [call("a", "f", "{}"), call("b", "f", "{}")] },
        { role: "user", content: "wait" },
        { role: "tool", tool_call_id: "b", content: "B", cache_control: { type: "ephemeral" } },
        { role: "tool", tool_call_id: "a", content: "A" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          {
            role: "assistant",
            content: [
              { toolUse: { toolUseId: "a", name: "f", input: {} } },
              { toolUse: { toolUseId: "b", name: "f", input: {} } },
            ],
          },
          {
            role: "user",
            content: [
              { toolResult: { toolUseId: "b", content: [{ text: "B" }] } },
              { cachePoint: { type: "default" } },
              { toolResult: { toolUseId: "a", content: [{ text: "A" }] } },
              { text: "wait" },
            ],
          },
        ],
        toolConfig: { tools: [{ toolSpec: expect.objectContaining({ name: "f" }) }] },
      },
    },
    {
      name: "calls of one id get their results in order",
      tools: [tool("f")],
      messages: [
        ...weather,
        { role: "assistant", content: "", tool_calls: [call("same", "f", "{}"), call("same", "f", "{}")] },
        { role: "tool", tool_call_id: "same", content: "1" },
        { role: "tool", tool_call_id: "same", content: "2" },
      ],
      got: {
        messages: [
          { role: "user", content: [{ text: "w?" }] },
          {
            role: "assistant",
            content: [
              { toolUse: { toolUseId: "same", name: "f", input: {} } },
              { toolUse: { toolUseId: "call_1", name: "f", input: {} } },
            ],
          },
          {
            role: "user",
            content: [
              { toolResult: { toolUseId: "same", content: [{ text: "1" }] } },
              { toolResult: { toolUseId: "call_1", content: [{ text: "2" }] } },
            ],
          },
        ],
        toolConfig: { tools: [{ toolSpec: expect.objectContaining({ name: "f" }) }] },
      },
    },
    {
      name: "nothing said is nearly nothing",
      messages: [{ role: "user", content: "" }],
      got: { messages: [{ role: "user", content: [{ text: "." }] }] },
    },
  ])("$name", async ({ messages, tools, model = CLAUDE, got }) => {
    const body = await sent({ messages, ...(tools === undefined ? {} : { tools }) }, { model });
    expect(body).toEqual({ inferenceConfig: {}, ...got });
  });
});

describe("tools", () => {
  const f = tool("f", { description: "d" });
  const fSpec = spec("f", { description: "d" });
  test.each<{ name: string; fields: Json; got: unknown; model?: string }>([
    { name: "left to the model", fields: { tools: [f] }, got: { tools: [fSpec] } },
    { name: "auto", fields: { tools: [f], tool_choice: "auto" }, got: { tools: [fSpec], toolChoice: { auto: {} } } },
    {
      name: "required",
      fields: { tools: [f], tool_choice: "required" },
      got: { tools: [fSpec], toolChoice: { any: {} } },
    },
    {
      name: "one by name",
      fields: { tools: [f, tool("g")], tool_choice: { type: "function", function: { name: "g" } } },
      got: { tools: [fSpec, spec("g")], toolChoice: { tool: { name: "g" } } },
    },
    {
      name: "one by name where there are no names",
      model: "mistral.mistral-large-2402-v1:0",
      fields: { tools: [f, tool("g")], tool_choice: { type: "function", function: { name: "g" } } },
      got: { tools: [spec("g")], toolChoice: { any: {} } },
    },
    {
      name: "some of them",
      fields: {
        tools: [f, tool("g")],
        tool_choice: { type: "allowed_tools", allowed_tools: { mode: "required", tools: [tool("g")] } },
      },
      got: { tools: [spec("g")], toolChoice: { any: {} } },
    },
    { name: "none", fields: { tools: [f], tool_choice: "none" }, got: undefined },
    { name: "an empty list", fields: { tools: [] }, got: undefined },
    {
      name: "auto where a choice is unknown",
      model: LLAMA,
      fields: { tools: [f], tool_choice: "auto" },
      got: { tools: [fSpec] },
    },
    {
      name: "strict, a cache mark, an empty description, a schema without a type",
      fields: { tools: [tool("f", { strict: true, description: "", parameters: { properties: { a: {} } } }, cached)] },
      got: {
        tools: [
          {
            toolSpec: {
              name: "f",
              inputSchema: { json: { properties: { a: {} }, type: "object", additionalProperties: false } },
              strict: true,
            },
          },
          { cachePoint: { type: "default" } },
        ],
      },
    },
    {
      name: "a schema without a type is an object's",
      fields: { tools: [tool("f", { parameters: { properties: {} } })] },
      got: { tools: [{ toolSpec: { name: "f", inputSchema: { json: { properties: {}, type: "object" } } } }] },
    },
    {
      name: "Amazon's own",
      fields: { tools: [{ systemTool: { name: "nova_grounding" } }] },
      got: { tools: [{ systemTool: { name: "nova_grounding" } }] },
    },
    {
      name: "functions of old",
      fields: {
        functions: [{ name: "f", description: "d", parameters: { type: "object", properties: {} } }],
        function_call: { name: "f" },
      },
      got: { tools: [fSpec], toolChoice: { tool: { name: "f" } } },
    },
  ])("$name", async ({ fields, got, model = CLAUDE }) => {
    expect((await sent(fields, { model }))["toolConfig"]).toEqual(got);
  });
});

describe("the shape of the answer", () => {
  const schema = {
    type: "object",
    properties: { a: { type: "string" } },
    required: ["a"],
    additionalProperties: false,
  };
  const asked = (value: Json): Json => ({
    response_format: { type: "json_schema", json_schema: { name: "shape", description: "d", schema: value } },
  });
  const byTool = (json: unknown): unknown =>
    expect.objectContaining({ toolSpec: expect.objectContaining({ name: "flow_json_answer", inputSchema: { json } }) });

  test("by the model's structured output", async () => {
    const body = await sent(asked(schema));
    const jsonSchema = { schema: JSON.stringify(schema), name: "shape", description: "d" };
    expect(body["outputConfig"]).toEqual({ textFormat: { type: "json_schema", structure: { jsonSchema } } });
    expect(body["toolConfig"]).toBeUndefined();
  });

  test("a root that only refers is not closed against what it refers to", async () => {
    const schema = { $ref: "#/$defs/N", $defs: { N: { type: "object", properties: {} } } };
    const format = { type: "json_schema", json_schema: { name: "r", schema } };
    const { outputConfig } = await sent({ response_format: format });
    const { textFormat } = outputConfig as { textFormat: { structure: { jsonSchema: { schema: string } } } };
    expect(JSON.parse(textFormat.structure.jsonSchema.schema)).toEqual({
      type: "object",
      $ref: "#/$defs/N",
      $defs: { N: { type: "object", properties: {}, additionalProperties: false } },
    });
  });

  test("open objects are closed where nothing depends on it", async () => {
    const body = await sent(asked({ type: "object", properties: { a: { type: "string", minLength: 2 } } }));
    expect(JSON.stringify(body["outputConfig"])).toContain('\\"additionalProperties\\":false');
    expect(JSON.stringify(body["outputConfig"])).not.toContain('\\"minLength\\":');
  });

  test.each([
    { name: "a model without it", model: NOVA, fields: asked(schema), json: schema },
    { name: "a Claude before 4.5", model: OLD_CLAUDE, fields: asked(schema), json: schema },
    {
      name: "a schema that stays open",
      model: CLAUDE,
      fields: asked({ type: "object", additionalProperties: true }),
      json: { type: "object", additionalProperties: true },
    },
    {
      name: "any object",
      model: CLAUDE,
      fields: { response_format: { type: "json_object" } },
      json: { type: "object", additionalProperties: true },
    },
  ])("by a forced tool: $name", async ({ model, fields, json }) => {
    const body = await sent(fields, { model });
    expect(body["toolConfig"]).toEqual({ tools: [byTool(json)], toolChoice: { tool: { name: "flow_json_answer" } } });
    expect(body["outputConfig"]).toBeUndefined();
  });

  test("beside the client's tools the model has to call one of all", async () => {
    const body = await sent({ ...asked(schema), tools: [tool("f")] }, { model: NOVA });
    expect(body["toolConfig"]).toEqual({ tools: [spec("f"), byTool(schema)], toolChoice: { any: {} } });
  });

  test("a call that is demanded goes before the shape of an answer", async () => {
    const body = await sent({ ...asked(schema), tools: [tool("f")], tool_choice: "required" }, { model: NOVA });
    expect(body["toolConfig"]).toEqual({ tools: [spec("f")], toolChoice: { any: {} } });
  });
});

describe("reasoning", () => {
  const budget = (tokens: number): Json => ({ thinking: { type: "enabled", budget_tokens: tokens } });
  const adaptive = (effort?: string, display: Json = { display: "summarized" }): Json => ({
    thinking: { type: "adaptive", ...display },
    ...(effort === undefined ? {} : { output_config: { effort } }),
  });
  const nova = (maxReasoningEffort: string): Json => ({ reasoningConfig: { type: "enabled", maxReasoningEffort } });
  const SONNET_46 = "anthropic.claude-sonnet-4-6";
  test.each<{ name: string; model: string; fields: Json; got?: Json; dropped?: string[] }>([
    { name: "nothing asked", model: CLAUDE, fields: {} },
    { name: "none", model: CLAUDE, fields: { reasoning_effort: "none" } },
    { name: "disabled", model: OPUS, fields: { thinking: { type: "disabled" } } },
    { name: "an effort as a budget", model: CLAUDE, fields: { reasoning_effort: "medium" }, got: budget(8192) },
    {
      name: "a budget inside the limit",
      model: CLAUDE,
      fields: { reasoning_effort: "high", max_tokens: 5000 },
      got: budget(2500),
    },
    {
      name: "no room",
      model: CLAUDE,
      fields: { reasoning_effort: "high", max_tokens: 1024 },
      dropped: ["reasoning_effort"],
    },
    { name: "Anthropic's budget", model: CLAUDE, fields: budget(3000), got: budget(3000) },
    { name: "OpenRouter's budget", model: CLAUDE, fields: { reasoning: { max_tokens: 2000 } }, got: budget(2000) },
    { name: "OpenRouter's switch", model: CLAUDE, fields: { reasoning: { enabled: true } }, got: budget(8192) },
    { name: "a budget where both work", model: SONNET_46, fields: budget(3000), got: budget(3000) },
    {
      name: "an effort where both work",
      model: SONNET_46,
      fields: { reasoning_effort: "xhigh" },
      got: adaptive("high", {}),
    },
    { name: "an effort", model: OPUS, fields: { reasoning_effort: "minimal" }, got: adaptive("low") },
    { name: "the highest effort", model: OPUS, fields: { reasoning_effort: "xhigh" }, got: adaptive("xhigh") },
    {
      name: "a budget where there are none",
      model: OPUS,
      fields: budget(9000),
      got: adaptive("high"),
      dropped: ["thinking.budget_tokens"],
    },
    { name: "adaptive", model: OPUS, fields: { thinking: { type: "adaptive" } }, got: adaptive() },
    {
      name: "reasoning nobody wants to read",
      model: OPUS,
      fields: { thinking: { type: "adaptive", display: "omitted" } },
      got: adaptive(undefined, { display: "omitted" }),
    },
    { name: "Nova", model: NOVA, fields: { reasoning_effort: "minimal" }, got: nova("low") },
    { name: "Nova's highest", model: NOVA, fields: { reasoning_effort: "high" }, got: nova("high") },
    {
      name: "Nova's highest under a limit",
      model: NOVA,
      fields: { reasoning_effort: "high", max_tokens: 9 },
      got: nova("medium"),
      dropped: ["reasoning_effort"],
    },
    {
      name: "gpt-oss",
      model: "openai.gpt-oss-20b-1:0",
      fields: { reasoning_effort: "low" },
      got: { reasoning_effort: "low" },
    },
    {
      name: "a model that does not reason",
      model: LLAMA,
      fields: { reasoning_effort: "low" },
      dropped: ["reasoning_effort"],
    },
    {
      name: "a forced call comes first",
      model: CLAUDE,
      fields: { reasoning_effort: "low", tools: [tool("f")], tool_choice: "required" },
      dropped: ["reasoning_effort"],
    },
    {
      name: "a tool loop that another vendor began",
      model: CLAUDE,
      fields: {
        reasoning_effort: "low",
        tools: [tool("f")],
        messages: [
          ...HELLO,
          { role: "assistant", tool_calls: [call("t", "f", "{}")] },
          { role: "tool", tool_call_id: "t", content: "r" },
        ],
      },
      dropped: ["reasoning_effort"],
    },
    {
      name: "sampling gives way",
      model: CLAUDE,
      fields: { reasoning_effort: "low", temperature: 0.3, top_p: 0.5, top_k: 4 },
      got: budget(2048),
      dropped: ["temperature", "top_p", "top_k"],
    },
  ])("$name: $model", async ({ model, fields, got, dropped: names = [] }) => {
    expect((await sent(fields, { model }))["additionalModelRequestFields"]).toEqual(got);
    expect(await dropped(fields, { model })).toEqual(names);
  });

  test("beside a schema the effort goes into the same object", async () => {
    const schema = { type: "object", properties: {}, additionalProperties: false };
    const fields = {
      reasoning_effort: "low",
      response_format: { type: "json_schema", json_schema: { name: "n", schema } },
    };
    const body = await sent(fields, { model: OPUS });
    expect(body["outputConfig"]).toMatchObject({ effort: "low", textFormat: { type: "json_schema" } });
    expect(body["additionalModelRequestFields"]).toEqual({ thinking: { type: "adaptive", display: "summarized" } });
  });
});

describe("other members", () => {
  test.each<{ name: string; fields: Json; got: Json; options?: Partial<AdapterCall> }>([
    {
      name: "sampling and limits",
      fields: { temperature: 0, top_p: 0.5, max_tokens: 9, stop: ["a", "", "b"] },
      got: { inferenceConfig: { maxTokens: 9, temperature: 0, topP: 0.5, stopSequences: ["a", "b"] } },
      options: { model: NOVA },
    },
    {
      name: "one sampler where they exclude each other",
      fields: { temperature: 0, top_p: 1 },
      got: { inferenceConfig: { temperature: 0 } },
    },
    { name: "the newer limit", fields: { max_completion_tokens: 9 }, got: { inferenceConfig: { maxTokens: 9 } } },
    {
      name: "the policy's limit",
      fields: { max_tokens: 90 },
      got: { inferenceConfig: { maxTokens: 50 } },
      options: { maxOutputTokens: 50 },
    },
    {
      name: "a newer Claude samples by itself",
      fields: { temperature: 1, top_p: 1 },
      got: {},
      options: { model: OPUS },
    },
    { name: "top_k", fields: { top_k: 3 }, got: { additionalModelRequestFields: { top_k: 3 } } },
    {
      name: "Nova's top_k",
      fields: { top_k: 3 },
      got: { additionalModelRequestFields: { inferenceConfig: { topK: 3 } } },
      options: { model: NOVA },
    },
    { name: "metadata", fields: { metadata: { team: "a-1" } }, got: { requestMetadata: { team: "a-1" } } },
    { name: "a tier", fields: { service_tier: "flex" }, got: { serviceTier: { type: "flex" } } },
    { name: "no tier", fields: { service_tier: "auto" }, got: {} },
    { name: "nulls", fields: { temperature: null, stop: null, seed: null, tools: null, n: null }, got: {} },
    {
      name: "the policy's own members",
      fields: {},
      got: {
        guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" },
        performanceConfig: { latency: "optimized" },
        additionalModelRequestFields: { anthropic_beta: ["x"] },
      },
      options: {
        params: {
          guardrailConfig: { guardrailIdentifier: "g", guardrailVersion: "1" },
          performanceConfig: { latency: "optimized" },
          additionalModelRequestFields: { anthropic_beta: ["x"] },
        },
      },
    },
    {
      name: "a client's guardrail where the policy has none",
      fields: { guardrailConfig: { guardrailIdentifier: "c" } },
      got: { guardrailConfig: { guardrailIdentifier: "c" } },
    },
    {
      name: "of a client's guardrail only what is known",
      fields: { guardrailConfig: { guardrailIdentifier: "c", guardrailVersion: "2", trace: { a: 1 }, more: "x" } },
      got: { guardrailConfig: { guardrailIdentifier: "c", guardrailVersion: "2" } },
    },
    {
      name: "params that the client left open",
      fields: { temperature: 0.1 },
      got: { inferenceConfig: { temperature: 0.1, topP: 0.9 } },
      options: { params: { temperature: 1, top_p: 0.9 }, model: NOVA },
    },
  ])("$name", async ({ fields, got, options }) => {
    expect(await sent(fields, options)).toEqual({ ...SAID_HI, inferenceConfig: {}, ...got });
    expect(await dropped(fields, options)).toEqual([]);
  });

  test.each<{ fields: Json; names: string[]; options?: Partial<AdapterCall> }>([
    { fields: { seed: 1, user: "u", store: true, parallel_tool_calls: true }, names: ["seed", "user", "store"] },
    { fields: { metadata: { a: "b;c" } }, names: ["metadata"] },
    { fields: { service_tier: "scale" }, names: ["service_tier"] },
    {
      fields: { min_p: 0.1, prompt_cache_key: "k", verbosity: "low" },
      names: ["min_p", "prompt_cache_key", "verbosity"],
    },
    { fields: { n: 1, logprobs: false, logit_bias: {}, presence_penalty: 0 }, names: [] },
    { fields: { additionalModelRequestFields: { max_tokens: 1e6 } }, names: ["additionalModelRequestFields"] },
    {
      fields: { guardrailConfig: { guardrailIdentifier: "weak" } },
      names: ["guardrailConfig"],
      options: { params: { guardrailConfig: { guardrailIdentifier: "strong" } } },
    },
    { fields: { messages: [{ role: "user", name: "Ann", content: "a" }] }, names: ["messages[0].name"] },
    {
      fields: { messages: [{ role: "user", content: [{ type: "text", text: "a", ...cached }] }] },
      names: ["messages[0].content[0].cache_control"],
      options: { model: LLAMA },
    },
    { fields: { tools: [tool("f", { strict: true })] }, names: ["tools[0].strict"], options: { model: NOVA } },
    { fields: { temperature: 0.1, top_p: 0.5 }, names: ["top_p"] },
    {
      fields: { temperature: 1.5, logprobs: true, presence_penalty: 1 },
      names: ["temperature", "logprobs", "presence_penalty"],
    },
    { fields: { tools: [{ type: "web_search" }, tool("f")] }, names: ["tools[0]"] },
    {
      fields: {
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: PIXEL, detail: "low" } }] }],
      },
      names: ["messages[0].content[0].detail"],
    },
    {
      fields: { messages: [...HELLO, { role: "assistant", content: "x", reasoning_content: "r" }, ...HELLO] },
      names: ["messages[1].reasoning_content"],
    },
    {
      fields: {
        messages: [
          ...HELLO,
          { role: "assistant", content: [{ type: "text", text: "x", citations: [{ title: "t" }] }] },
          ...HELLO,
        ],
      },
      names: ["messages[1].content[0].citations"],
    },
    {
      fields: { messages: [...HELLO, { role: "assistant", content: "x", server_tool_blocks: [{ a: 1 }] }, ...HELLO] },
      names: ["messages[1].server_tool_blocks[0]"],
    },
    { fields: { temperature: 0.5, top_k: 5 }, names: ["temperature", "top_k"], options: { model: OPUS } },
    { fields: { stop: ["\n\n", ""] }, names: ["stop"] },
    { fields: { stop: ["\n\n", ""] }, names: [], options: { model: NOVA } },
    { fields: {}, names: [], options: { params: { seed: 1, temperature: 0.5 }, model: OPUS } },
  ])("dropped of $fields: $names", async ({ fields, names, options }) => {
    expect(await dropped(fields, options)).toEqual(names);
  });

  const says = (part: Json): Json => ({ messages: [{ role: "user", content: [part] }] });
  test.each<{ fields: Json; missing: string | null }>([
    { fields: {}, missing: null },
    {
      fields: { n: 1, logprobs: false, top_logprobs: 0, logit_bias: {}, frequency_penalty: 0, temperature: 1 },
      missing: null,
    },
    { fields: { n: 2 }, missing: "n" },
    { fields: { logprobs: true }, missing: "logprobs" },
    { fields: { logit_bias: { 5: 1 } }, missing: "logit_bias" },
    { fields: { presence_penalty: 0.1 }, missing: "presence_penalty" },
    { fields: { temperature: 1.5 }, missing: "temperature" },
    { fields: { modalities: ["text", "audio"] }, missing: "modalities" },
    { fields: { web_search_options: {} }, missing: "web_search_options" },
    { fields: { tools: [{ type: "custom", custom: { name: "x" } }] }, missing: null },
    {
      fields: { tools: [{ type: "custom", custom: { name: "x", format: { type: "grammar", grammar: {} } } }] },
      missing: "tools[0].custom.format",
    },
    { fields: { tools: [{ type: "bash_20250124", name: "bash" }] }, missing: "tools[0]" },
    { fields: { tools: [{ type: "web_search" }] }, missing: "tools[0]" },
    { fields: { tools: [{ systemTool: { name: "delete_everything" } }] }, missing: "tools[0]" },
    {
      fields: { tools: [tool("f")], tool_choice: { type: "function", function: { name: "g" } } },
      missing: "tool_choice",
    },
    { fields: { tools: [tool("f")], tool_choice: { type: "web_search" } }, missing: "tool_choice" },
    { fields: { response_format: { type: "grammar" } }, missing: "response_format" },
    {
      fields: says({ type: "image_url", image_url: { url: "https://example.com/a.png" } }),
      missing: "messages[0].content[0]",
    },
    { fields: says({ type: "image_url", image_url: { url: "s3://bucket/a.png" } }), missing: "messages[0].content[0]" },
    {
      fields: says({ type: "image_url", image_url: { url: "data:image/tiff;base64,AA" } }),
      missing: "messages[0].content[0]",
    },
    { fields: says({ type: "file", file: { file_id: "file-1" } }), missing: "messages[0].content[0]" },
    {
      fields: says({ type: "file", file: { filename: "a.zip", file_data: "data:application/zip;base64,AA" } }),
      missing: "messages[0].content[0]",
    },
    { fields: says({ type: "tool_result", content: "x" }), missing: "messages[0].content[0]" },
    { fields: says({ toolResult: { toolUseId: "t", content: [] } }), missing: "messages[0].content[0]" },
    {
      fields: says({ type: "file", file: { file_data: "https://example.com/a.pdf" } }),
      missing: "messages[0].content[0]",
    },
    {
      fields: says({ type: "input_audio", input_audio: { data: "https://example.com/a.mp3", format: "mp3" } }),
      missing: "messages[0].content[0]",
    },
    { fields: { messages: [{ role: "user", content: { text: "x" } }] }, missing: "messages[0].content" },
    {
      fields: { messages: [{ role: "system", content: [{ type: "image_url", image_url: { url: PIXEL } }] }, ...HELLO] },
      missing: "messages[0].content[0]",
    },
    {
      fields: {
        messages: [
          ...HELLO,
          { role: "assistant", content: "x", images: [{ type: "image_url", image_url: { url: PIXEL } }] },
        ],
      },
      missing: "messages[1].images[0]",
    },
    {
      fields: says({ type: "video_url", video_url: { url: "https://example.com/a.mp4" } }),
      missing: "messages[0].content[0]",
    },
    { fields: says({ type: "hologram" }), missing: "messages[0].content[0]" },
    {
      fields: { messages: [{ role: "system", content: "s" }, { role: "assistant", content: "a" }, ...HELLO] },
      missing: null,
    },
  ])("$fields lacks $missing", ({ fields, missing }) => {
    expect(lacks(fields)).toBe(missing);
  });
});

interface Pair {
  readonly case: string;
  readonly openai_chat: { readonly body: Json };
  readonly native: { readonly bedrock: { readonly path: string; readonly body: Json } };
}

/** Ids and the assistant's words are another recording's: only their places are compared. */
function comparable(body: Json): unknown {
  const ids = new Map<string, string>();
  return JSON.parse(JSON.stringify(body), (name, value: unknown) => {
    if (name === "toolUseId") {
      if (!ids.has(String(value))) ids.set(String(value), `id-${ids.size}`);
      return ids.get(String(value));
    }
    const isAssistant = typeof value === "object" && value !== null && (value as Json)["role"] === "assistant";
    if (!isAssistant) return value;
    const content = (value as { content: Json[] }).content.map((block) => ("text" in block ? { text: "…" } : block));
    return { role: "assistant", content };
  });
}

test.runIf(existsSync(PAIRS))("the recorded pairs of requests", async () => {
  const pairs = JSON.parse(readFileSync(PAIRS, "utf8")) as Pair[];
  expect(pairs).toHaveLength(4);
  for (const { case: name, openai_chat: chat, native } of pairs) {
    const model = native.bedrock.path.split("/")[2] ?? "";
    const request = await send(chat.body, { model });
    expect(comparable(JSON.parse(request.body) as Json), name).toEqual(
      comparable({ inferenceConfig: {}, ...native.bedrock.body }),
    );
    expect(request.url).toBe(`${BASE}/model/${encodeURIComponent(model)}/converse`);
    expect(request.droppedParams).toEqual([]);
  }
});

/** Every key that a body of ours may have. */
const VOCABULARY = new Set([
  ...["messages", "role", "content", "text", "system", "inferenceConfig", "maxTokens", "temperature", "topP", "topK"],
  ...["stopSequences", "toolConfig", "tools", "toolSpec", "name", "description", "inputSchema", "json", "strict"],
  ...["toolChoice", "auto", "any", "tool", "systemTool", "cachePoint", "type", "ttl", "toolUse", "toolUseId", "input"],
  ...[
    "toolResult",
    "status",
    "image",
    "document",
    "video",
    "audio",
    "format",
    "source",
    "bytes",
    "citations",
    "enabled",
  ],
  ...["reasoningContent", "reasoningText", "signature", "redactedContent", "additionalModelRequestFields", "thinking"],
  ...["budget_tokens", "display", "output_config", "effort", "reasoning_effort", "reasoningConfig", "top_k"],
  ...["maxReasoningEffort", "outputConfig", "requestMetadata", "serviceTier", "guardrailConfig", "guardrailIdentifier"],
  ...["block_binding", "prefix_mismatch_behavior", "anthropic_beta"],
]);
/** A schema, arguments, and texts of the client's under its own names. */
const OPAQUE = new Set(["json", "input", "requestMetadata"]);

test("whatever a request holds, it is written from what is built here, or named as lacking", async () => {
  let sentCount = 0;
  await fc.assert(
    fc.asyncProperty(hostileChat, fc.constantFrom(CLAUDE, OPUS, NOVA, LLAMA, BINDING, "x"), async (fields, model) => {
      bedrock.lacks?.(askedInChat(fields), model);
      const request = await send(fields, { model }).catch(() => null);
      if (request === null) return;
      sentCount++;
      const body = JSON.parse(request.body) as { messages: { role: string; content: Json[] }[] };
      expect(foreignKeys(body, VOCABULARY, OPAQUE)).toEqual([]);
      const { messages } = body;
      expect(messages[0]?.role).toBe("user");
      for (const [at, { role, content }] of messages.entries()) {
        expect(content.length).toBeGreaterThan(0);
        if (at > 0) expect(role).not.toBe(messages[at - 1]!.role);
        for (const { toolResult } of role === "assistant" ? content : []) {
          if (toolResult !== undefined) expect(String((toolResult as Json)["type"])).toMatch(/^nova_/);
        }
      }
      expect(request.droppedParams.join()).toMatch(/^[\w.[\],-]*$/);
    }),
    { numRuns: 500 },
  );
  expect(sentCount).toBeGreaterThan(20);
});
