const response = await fetch("http://localhost:8787/v1/chat/completions", {
  method: "POST",
  headers: {
    Authorization: `Bearer ${process.env.FLOW_LAYER_API_KEY}`,
    "Content-Type": "application/json",
  },
  body: JSON.stringify({
    model: "flow/best-reasoning",
    messages: [{ role: "user", content: "Turn this incident into a remediation plan." }],
    route: { latency_budget_ms: 1800 },
  }),
});
const answer = await response.json();
console.log(answer.choices[0].message.content, answer.flow.cost_usd);
