// npm i ai @ai-sdk/openai-compatible
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText } from "ai";

const flow = createOpenAICompatible({
  name: "flowlayer",
  baseURL: "http://localhost:8787/v1",
  apiKey: process.env.FLOW_LAYER_API_KEY,
});
const { text } = await generateText({
  model: flow("flow/best-reasoning"),
  prompt: "Hello.",
  providerOptions: { flowlayer: { route: { latency_budget_ms: 1800 } } },
});
console.log(text);
