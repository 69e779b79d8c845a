// npm i openai
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://localhost:8787/v1", apiKey: process.env.FLOW_LAYER_API_KEY });
const { data, usage } = await client.embeddings.create({
  model: "flow/embeddings",
  input: ["A river bends.", "A stream turns."],
});
console.log(data.length, "vectors of", data[0].embedding.length, "numbers for", usage.prompt_tokens, "tokens");
