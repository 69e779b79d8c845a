/**
 * Agent loops of LangChain and the Vercel AI SDK, unmodified, on a route that holds tool calls: somebody approves or denies
 * while they wait, and they go on.
 */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { type AIMessageChunk, type BaseMessage, HumanMessage, type ToolMessage } from "@langchain/core/messages";
import { tool as langchainTool, type StructuredToolInterface } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, isStepCount, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import * as z from "zod";
import { type OwnRoute, type Rig, startRig } from "../support/rig.ts";
import { chunks, completion } from "../support/upstream.ts";

let rig: Rig;
beforeAll(async () => {
  vi.stubGlobal("AI_SDK_LOG_WARNINGS", false);
  rig = await startRig();
});
afterAll(() => rig.stop());

const prompt = "Pay the bill.";
const POLICY = { tools: { require_approval: true, wait_ms: 15_000 } };
/** As no client would write them again. */
const CALLS = [
  { id: "call_pay", name: "pay", arguments: '{ "to" : "caf\\u00e9",\n "amount": 1.50 }' },
  { id: "call_log", name: "log", arguments: '{"level":1e0}' },
];
const schemas = { pay: z.object({ to: z.string(), amount: z.number() }), log: z.object({ level: z.number() }) };

type Decision = "approve" | "deny";

/** A model that calls both tools, and is done when it gets results. */
const agent = (isStream: boolean): Promise<OwnRoute> =>
  rig.scripted(
    (call) => {
      const isDone = call.body.includes('"role":"tool"');
      if (isStream) return { events: isDone ? chunks("Paid.") : chunks("", { toolCalls: CALLS }) };
      return { json: isDone ? completion({ text: "Paid." }) : completion({ toolCalls: CALLS }) };
    },
    { policy: POLICY },
  );

/** What an operator does: looks at what waits, and decides it. */
async function decideAs(own: OwnRoute, decisions: Readonly<Record<string, Decision>>): Promise<void> {
  const mine = async () => {
    const list = await rig.worker.admin("/admin/approvals?status=pending");
    const { data } = (await list.json()) as { data: { route: string; key_id: string; tool_call_id: string }[] };
    return data.filter(({ route }) => route === own.model);
  };
  await expect.poll(async () => (await mine()).length, { timeout: 4_000, interval: 20 }).toBe(CALLS.length);
  for (const { key_id, tool_call_id } of await mine()) {
    const path = `/admin/approvals/${tool_call_id}?key=${key_id}`;
    const answer = await rig.worker.admin(path, { body: { decision: decisions[tool_call_id] } });
    expect(answer.status).toBe(200);
  }
}

const APPROVED = { call_pay: "approve", call_log: "approve" } as const;
const HALF = { call_pay: "deny", call_log: "approve" } as const;

describe.each([
  {
    provider: "@ai-sdk/openai-compatible",
    modelOf: (own: OwnRoute) =>
      createOpenAICompatible({ name: "flowlayer", baseURL: rig.baseURL, apiKey: own.key, includeUsage: true })(
        own.model,
      ),
  },
  {
    provider: "createOpenAI().chat()",
    modelOf: (own: OwnRoute) => createOpenAI({ baseURL: rig.baseURL, apiKey: own.key }).chat(own.model),
  },
])("the AI SDK by $provider", ({ modelOf }) => {
  function sdkTools() {
    const ran: unknown[] = [];
    const note = async (input: unknown) => {
      ran.push(input);
      return "done";
    };
    const tools = {
      pay: tool({ inputSchema: schemas.pay, execute: note }),
      log: tool({ inputSchema: schemas.log, execute: note }),
    };
    return { tools, ran };
  }

  test("generateText waits, runs what was approved, and its results are admitted", async () => {
    const own = await agent(false);
    const { tools, ran } = sdkTools();
    const running = generateText({ model: modelOf(own), prompt, tools, stopWhen: isStepCount(4) });
    await decideAs(own, APPROVED);
    expect((await running).text).toBe("Paid.");
    expect(ran).toEqual([{ to: "café", amount: 1.5 }, { level: 1 }]);
    expect(own.upstreamCalls()).toBe(2);
  });

  test("streamText waits, runs what was approved, and its results are admitted", async () => {
    const own = await agent(true);
    const { tools, ran } = sdkTools();
    const running = streamText({ model: modelOf(own), prompt, tools, stopWhen: isStepCount(4) });
    const text = (async () => {
      let all = "";
      for await (const piece of running.textStream) all += piece;
      return all;
    })();
    await decideAs(own, APPROVED);
    expect(await text).toBe("Paid.");
    expect(ran).toEqual([{ to: "café", amount: 1.5 }, { level: 1 }]);
    expect(own.upstreamCalls()).toBe(2);
  });

  test("a denied call never runs, the other one does", async () => {
    const own = await agent(true);
    const { tools, ran } = sdkTools();
    const running = streamText({ model: modelOf(own), prompt, tools, stopWhen: isStepCount(4) });
    const steps = Promise.resolve(running.steps);
    const reading = running.consumeStream();
    await decideAs(own, HALF);
    await reading;
    expect((await steps)[0]?.text).toContain("denied: `pay`");
    expect(await running.text).toBe("Paid.");
    expect(ran).toEqual([{ level: 1 }]);
  });
});

describe("LangChain", () => {
  function langchainTools() {
    const ran: unknown[] = [];
    const note = (input: unknown): string => {
      ran.push(input);
      return "done";
    };
    const pay = langchainTool(note, { name: "pay", description: "Pays", schema: schemas.pay });
    const log = langchainTool(note, { name: "log", description: "Logs", schema: schemas.log });
    const tools: StructuredToolInterface[] = [pay, log];
    return { tools, ran };
  }

  test.each([
    { how: "invoke", isStream: false, decisions: APPROVED, ran: [{ to: "café", amount: 1.5 }, { level: 1 }] },
    { how: "stream", isStream: true, decisions: APPROVED, ran: [{ to: "café", amount: 1.5 }, { level: 1 }] },
    { how: "stream, one call denied", isStream: true, decisions: HALF, ran: [{ level: 1 }] },
  ])("an agent loop by $how waits for the decision and ends in text", async ({ isStream, decisions, ran: wanted }) => {
    const own = await agent(isStream);
    const { tools, ran } = langchainTools();
    const chat = new ChatOpenAI({
      ...{ model: own.model, apiKey: own.key, maxRetries: 0, configuration: { baseURL: rig.baseURL } },
    }).bindTools(tools);
    const step = async (messages: BaseMessage[]): Promise<AIMessageChunk> => {
      if (!isStream) return (await chat.invoke(messages)) as AIMessageChunk;
      let whole: AIMessageChunk | undefined;
      for await (const chunk of await chat.stream(messages)) whole = whole === undefined ? chunk : whole.concat(chunk);
      if (whole === undefined) throw new Error("The stream was empty.");
      return whole;
    };
    const loop = async (): Promise<BaseMessage[]> => {
      const messages: BaseMessage[] = [new HumanMessage(prompt)];
      for (let round = 0; round < 4; round++) {
        const message = await step(messages);
        messages.push(message);
        if ((message.tool_calls ?? []).length === 0) break;
        for (const call of message.tool_calls ?? []) {
          const found = tools.find(({ name }) => name === call.name);
          const result: unknown = await found?.invoke({ ...call, type: "tool_call" });
          messages.push(result as ToolMessage);
        }
      }
      return messages;
    };
    const running = loop();
    await decideAs(own, decisions);
    const messages = await running;
    expect(messages.at(-1)?.text).toBe("Paid.");
    expect(ran).toEqual(wanted);
    expect(own.upstreamCalls()).toBe(2);
  });
});
