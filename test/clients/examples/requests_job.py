# pip install requests
import os
import requests

response = requests.post(
    "http://localhost:8787/v1/chat/completions",
    headers={
        "Authorization": f"Bearer {os.environ['FLOW_LAYER_API_KEY']}",
        "X-FlowLayer-App": "eval-runner",
    },
    json={
        "model": "flow/fast-eval",
        "messages": [{"role": "user", "content": "Score this support answer for policy fit."}],
        "route": {"latency_budget_ms": 2400},
    },
    timeout=30,
)
response.raise_for_status()
print(response.json()["choices"][0]["message"]["content"])
