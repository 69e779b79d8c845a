// npm i ai @ai-sdk/openai-compatible zod
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, tool } from "ai";
import * as z from "zod";

const apiKey = process.env.FLOW_LAYER_API_KEY;
const flow = createOpenAICompatible({ name: "flowlayer", baseURL: "http://localhost:8787/v1", apiKey });
const deleteFile = tool({ inputSchema: z.object({ path: z.string() }), execute: ({ path }) => `deleted ${path}` });
const { steps } = await generateText({
  model: flow("flow/agent-reasoning"),
  prompt: "Delete the old report.",
  tools: { delete_file: deleteFile },
  stopWhen: isStepCount(5),
  providerOptions: { flowlayer: { route: { require_tool_approval: true } } },
});
console.log(steps.flatMap((step) => step.toolResults.map(({ output }) => output)));
