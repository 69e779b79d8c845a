async function runAgentStep(messages, tools) {
  return fetch("http://localhost:8787/v1/chat/completions", {
    method: "POST",
    headers: {
      Authorization: `Bearer ${process.env.FLOW_LAYER_API_KEY}`,
      "Content-Type": "application/json",
      "X-FlowLayer-App": "developer-agent",
    },
    body: JSON.stringify({
      model: "flow/agent-reasoning",
      messages,
      tools,
      route: { fallback: true, require_tool_approval: true },
    }),
  });
}

const search = { type: "function", function: { name: "search_docs", parameters: { type: "object" } } };
const response = await runAgentStep([{ role: "user", content: "Find the report." }], [search]);
const { choices } = await response.json();
console.log(choices[0].message.tool_calls[0].function.name);
