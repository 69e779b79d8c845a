// npm i openai
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://localhost:8787/v1", apiKey: process.env.FLOW_LAYER_API_KEY });
const first = await client.responses.create({ model: "flow/best-reasoning", input: "Name a river." });
const second = await client.responses.create({
  model: "flow/best-reasoning",
  input: "How long is it?",
  previous_response_id: first.id,
});
console.log(second.output_text);
