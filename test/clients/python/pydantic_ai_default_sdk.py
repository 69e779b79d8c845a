"""Pydantic AI at its default, the Responses API, unmodified."""

from harness import BASE_URL, KEY, check, raises
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=BASE_URL, api_key=KEY)
TARGETS = ["chat", "claude", "openai"]


class Person(BaseModel):
    name: str
    age: int


def models(script):
    for target in TARGETS:
        yield OpenAIResponsesModel(f"flow/{script}-{target}", provider=provider)


@check("text")
def _():
    for model in models("weather"):
        assert Agent(model).run_sync("Hello.").output == "It is sunny."


@check("an agent's tool loop")
def _():
    for model in models("weather"):
        agent = Agent(model)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """Weather of a city."""
            return f"12 degrees in {city}"

        assert agent.run_sync("Weather in Oslo and Rome?").output == "It is sunny."


@check("stream")
async def _():
    for model in models("weather"):
        async with Agent(model).run_stream("Hello.") as result:
            assert await result.get_output() == "It is sunny."


@check("structured output by its tool")
def _():
    for model in models("structured"):
        assert Agent(model, output_type=Person).run_sync("Who?").output == Person(name="Ada", age=36)


@check("an outage says what failed")
def _():
    for model in models("down"):
        assert "500" in str(raises(lambda: Agent(model).run_sync("Hello.")))
