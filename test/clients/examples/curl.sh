curl -i http://localhost:8787/v1/chat/completions \
  -H "Authorization: Bearer $FLOW_LAYER_API_KEY" \
  -H "Content-Type: application/json" \
  -H "X-FlowLayer-App: studio-console" \
  -H "X-FlowLayer-Env: production" \
  -d '{
    "model": "flow/best-reasoning",
    "messages": [
      { "role": "user", "content": "Compare these model routes for a code review agent." }
    ],
    "route": { "fallback": true, "latency_budget_ms": 1800 }
  }'
