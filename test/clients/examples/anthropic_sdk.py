# pip install anthropic
import os
from anthropic import Anthropic

client = Anthropic(base_url="http://localhost:8787", api_key=os.environ["FLOW_LAYER_API_KEY"])
message = client.messages.create(
    model="flow/best-reasoning",
    max_tokens=1024,
    messages=[{"role": "user", "content": "Hello."}],
)
print(message.content[0].text)
