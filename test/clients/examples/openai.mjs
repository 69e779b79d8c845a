// npm i openai
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://localhost:8787/v1", apiKey: process.env.FLOW_LAYER_API_KEY });
const answer = await client.chat.completions.create({
  model: "flow/best-reasoning",
  messages: [{ role: "user", content: "Hello." }],
  route: { latency_budget_ms: 1800 },
});
console.log(answer.choices[0].message.content, answer._request_id);
