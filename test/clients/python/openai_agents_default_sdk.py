"""The OpenAI Agents SDK at its default, the Responses API, unmodified."""

import openai
from agents import Agent, Runner, function_tool, set_default_openai_client, set_tracing_disabled
from harness import BASE_URL, KEY, check, raises
from pydantic import BaseModel

set_tracing_disabled(True)
set_default_openai_client(openai.AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0), use_for_tracing=False)
TARGETS = ["chat", "claude", "openai"]


class Person(BaseModel):
    name: str
    age: int


@function_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"12 degrees in {city}"


def agent(route, **more):
    # The bare name of the route: a slash would be read as a provider's prefix.
    return Agent(**{"name": "Agent", "model": route, **more})


@check("text")
async def _():
    for target in TARGETS:
        assert (await Runner.run(agent(f"weather-{target}"), "Hello.")).final_output == "It is sunny."


@check("an agent's tool loop, streamed")
async def _():
    for target in TARGETS:
        result = Runner.run_streamed(agent(f"weather-{target}", tools=[get_weather]), "Weather?")
        async for _event in result.stream_events():
            pass
        assert result.final_output == "It is sunny."


@check("a handoff")
async def _():
    for target in TARGETS:
        second = agent(f"weather-{target}", name="Second")
        first = agent(f"thinking-{target}", name="First", handoffs=[second])
        result = await Runner.run(first, "Hand it over.")
        assert result.final_output == "It is sunny." and result.last_agent.name == "Second", result


@check("structured output")
async def _():
    for target in TARGETS:
        result = await Runner.run(agent(f"structured-{target}", output_type=Person), "Who?")
        assert result.final_output == Person(name="Ada", age=36)


@check("a cut stream raises")
def _():
    async def read(target):
        result = Runner.run_streamed(agent(f"cut-{target}"), "Hello.")
        async for _event in result.stream_events():
            pass

    for target in TARGETS:
        raises(lambda: read(target))


@check("an outage says what failed")
def _():
    assert "500" in str(raises(lambda: Runner.run(agent("down-chat"), "Hello.")))
