"""The OpenAI Agents SDK in chat mode, unmodified."""

import openai
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool, set_tracing_disabled
from harness import BASE_URL, KEY, check, raises
from pydantic import BaseModel

set_tracing_disabled(True)
client = openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)


class Person(BaseModel):
    name: str
    age: int


def model(name="flow/answers"):
    return OpenAIChatCompletionsModel(model=name, openai_client=client)


@function_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "12 degrees"


@check("text")
async def _():
    result = await Runner.run(Agent(name="a", model=model()), "Hello.")
    assert result.final_output == "It is sunny."


@check("an agent's tool loop")
async def _():
    result = await Runner.run(Agent(name="a", model=model(), tools=[get_weather]), "Weather in Oslo and Rome?")
    assert result.final_output == "It is sunny."


@check("a streamed tool loop")
async def _():
    agent = Agent(name="a", model=model(), tools=[get_weather])
    result = Runner.run_streamed(agent, "Weather in Oslo and Rome?")
    async for _event in result.stream_events():
        pass
    assert result.final_output == "It is sunny."


@check("structured output")
async def _():
    agent = Agent(name="a", model=model("flow/structured"), output_type=Person)
    assert (await Runner.run(agent, "Who?")).final_output == Person(name="Ada", age=36)


@check("a cut stream raises")
def _():
    async def read():
        result = Runner.run_streamed(Agent(name="a", model=model("flow/cut")), "Hello.")
        async for _event in result.stream_events():
            pass

    raises(read)


@check("an outage names its targets")
def _():
    assert "openai/" in str(raises(lambda: Runner.run(Agent(name="a", model=model("flow/down")), "Hello.")))
