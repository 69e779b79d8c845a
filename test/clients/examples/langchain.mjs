// npm i @langchain/openai @langchain/core
import { ChatOpenAI } from "@langchain/openai";

const model = new ChatOpenAI({
  model: "flow/best-reasoning",
  apiKey: process.env.FLOW_LAYER_API_KEY,
  configuration: { baseURL: "http://localhost:8787/v1" },
  modelKwargs: { route: { latency_budget_ms: 1800 } },
});
console.log((await model.invoke("Hello.")).text);
