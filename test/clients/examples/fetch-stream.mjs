const response = await fetch("http://localhost:8787/v1/chat/completions", {
  method: "POST",
  headers: {
    Authorization: `Bearer ${process.env.FLOW_LAYER_API_KEY}`,
    "Content-Type": "application/json",
    "X-FlowLayer-App": "studio-console",
  },
  body: JSON.stringify({
    model: "flow/best-reasoning",
    stream: true,
    messages: [{ role: "user", content: "Turn this incident into a remediation plan." }],
  }),
});
for await (const bytes of response.body) process.stdout.write(bytes);
