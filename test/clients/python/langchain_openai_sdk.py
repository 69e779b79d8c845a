"""LangChain's `ChatOpenAI` and an agent of LangChain's, unmodified."""

from harness import BASE_URL, KEY, check, raises
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


def chat(model="flow/answers", **more):
    return ChatOpenAI(model=model, base_url=BASE_URL, api_key=KEY, max_retries=0, **more)


class Person(BaseModel):
    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return "12 degrees"


@check("text")
def _():
    message = chat().invoke("Hello.")
    assert message.text == "It is sunny.", message
    assert message.usage_metadata["total_tokens"] > 0


@check("stream")
def _():
    text = "".join(chunk.text for chunk in chat(stream_usage=True).stream("Hello."))
    assert text == "It is sunny.", text


@check("an agent's tool loop")
def _():
    agent = create_agent(model=chat(), tools=[get_weather])
    result = agent.invoke({"messages": [{"role": "user", "content": "Weather in Oslo and Rome?"}]})
    kinds = [message.type for message in result["messages"]]
    assert kinds == ["human", "ai", "tool", "tool", "ai"], kinds
    assert result["messages"][-1].text == "It is sunny."


@check("an agent without tools")
def _():
    agent = create_agent(model=chat(), tools=[])
    result = agent.invoke({"messages": [{"role": "user", "content": "Hello."}]})
    assert result["messages"][-1].text == "It is sunny."


@check("structured output")
def _():
    person = chat("flow/structured").with_structured_output(Person, method="json_schema").invoke("Who?")
    assert person == Person(name="Ada", age=36)


@check("a cut stream raises")
def _():
    raises(lambda: [chunk for chunk in chat("flow/cut").stream("Hello.")])


@check("an outage names its targets")
def _():
    assert "openai/" in str(raises(lambda: chat("flow/down").invoke("Hello.")))
