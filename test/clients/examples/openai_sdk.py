# pip install openai
import os
from openai import OpenAI

client = OpenAI(base_url="http://localhost:8787/v1", api_key=os.environ["FLOW_LAYER_API_KEY"])
answer = client.chat.completions.create(
    model="flow/best-reasoning",
    messages=[{"role": "user", "content": "Hello."}],
    extra_body={"route": {"latency_budget_ms": 1800}},
)
print(answer.choices[0].message.content)
