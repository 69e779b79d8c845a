"""LlamaIndex's Responses class, unmodified."""

from harness import BASE_URL, KEY, check, raises
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses
from pydantic import BaseModel

TARGETS = ["chat", "claude", "openai"]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"12 degrees in {city}"


def llm(route):
    # LlamaIndex refuses names that it does not know; what it sends can be set apart from that.
    kwargs = {"model": f"flow/{route}"}
    return OpenAIResponses(model="gpt-4o", api_base=BASE_URL, api_key=KEY, max_retries=0, additional_kwargs=kwargs)


@check("chat")
def _():
    for target in TARGETS:
        assert llm(f"weather-{target}").chat([ChatMessage("Hello.")]).message.content == "It is sunny."


@check("stream")
def _():
    for target in TARGETS:
        deltas = [chunk.delta or "" for chunk in llm(f"weather-{target}").stream_chat([ChatMessage("Hello.")])]
        assert "".join(deltas) == "It is sunny.", deltas


@check("tool loop")
def _():
    tool = FunctionTool.from_defaults(get_weather)
    for target in TARGETS:
        answer = llm(f"weather-{target}").predict_and_call([tool], "Weather?", allow_parallel_tool_calls=True)
        assert "12 degrees in Oslo" in str(answer), answer


@check("structured output")
def _():
    # It sends the name that it knows, which is an alias of the route.
    model = OpenAIResponses(model="gpt-4o", api_base=BASE_URL, api_key=KEY, max_retries=0)
    assert model.as_structured_llm(Person).complete("Who?").raw == Person(name="Ada", age=36)


@check("an outage says what failed")
def _():
    assert "500" in str(raises(lambda: llm("down-chat").chat([ChatMessage("Hello.")])))
