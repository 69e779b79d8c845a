# pip install langchain-openai
import os
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="flow/best-reasoning",
    base_url="http://localhost:8787/v1",
    api_key=os.environ["FLOW_LAYER_API_KEY"],
    stream_usage=True,
)
print(model.invoke("Hello.").text)
