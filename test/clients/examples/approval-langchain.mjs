// npm i @langchain/openai @langchain/core zod
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import * as z from "zod";

const schema = z.object({ path: z.string() });
const deleteFile = tool(({ path }) => `deleted ${path}`, {
  name: "delete_file",
  description: "Deletes a file",
  schema,
});
const model = new ChatOpenAI({
  model: "flow/agent-reasoning",
  apiKey: process.env.FLOW_LAYER_API_KEY,
  configuration: { baseURL: "http://localhost:8787/v1" },
  modelKwargs: { route: { require_tool_approval: true } },
}).bindTools([deleteFile]);
const messages = [{ role: "user", content: "Delete the other report." }];
for (let round = 0; round < 5; round++) {
  const answer = await model.invoke(messages);
  messages.push(answer);
  if (!answer.tool_calls?.length) break;
  for (const call of answer.tool_calls) messages.push(await deleteFile.invoke({ ...call, type: "tool_call" }));
}
console.log(messages.map((message) => message.text ?? message.content));
