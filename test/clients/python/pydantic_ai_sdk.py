"""Pydantic AI in chat mode, unmodified."""

from harness import BASE_URL, KEY, check, raises
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Person(BaseModel):
    name: str
    age: int


def model(name="flow/answers"):
    return OpenAIChatModel(name, provider=OpenAIProvider(base_url=BASE_URL, api_key=KEY))


@check("text")
def _():
    assert Agent(model()).run_sync("Hello.").output == "It is sunny."


@check("stream")
async def _():
    async with Agent(model()).run_stream("Hello.") as result:
        assert [text async for text in result.stream_text()][-1] == "It is sunny."


@check("an agent's tool loop")
def _():
    agent = Agent(model())
    cities = []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """Weather of a city."""
        cities.append(city)
        return "12 degrees"

    assert agent.run_sync("Weather in Oslo and Rome?").output == "It is sunny."
    assert sorted(cities) == ["Oslo", "Rome"], cities


@check("structured output by a tool")
def _():
    agent = Agent(model("flow/structured"), output_type=Person)
    assert agent.run_sync("Who?").output == Person(name="Ada", age=36)


@check("a cut stream raises")
def _():
    async def read():
        async with Agent(model("flow/cut")).run_stream("Hello.") as result:
            return [text async for text in result.stream_text()]

    raises(read)


@check("an outage names its targets")
def _():
    assert "openai/" in str(raises(lambda: Agent(model("flow/down")).run_sync("Hello.")))
