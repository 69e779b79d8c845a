# pip install openai-agents
import os
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)
client = AsyncOpenAI(base_url="http://localhost:8787/v1", api_key=os.environ["FLOW_LAYER_API_KEY"])
model = OpenAIChatCompletionsModel(model="flow/agent-reasoning", openai_client=client)
agent = Agent(name="Support", instructions="Answer in one sentence.", model=model)
print(Runner.run_sync(agent, "Hello.").final_output)
