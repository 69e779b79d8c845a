"""LangChain's `ChatAnthropic`, and `ChatOpenAI` on the Responses API, unmodified."""

from harness import BASE_URL, KEY, PNG, ROOT_URL, check, raises
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"12 degrees in {city}"


def models(script, **more):
    for target in ["chat", "claude", "openai"]:
        name = f"flow/{script}-{target}"
        yield ChatAnthropic(model=name, api_key=KEY, base_url=ROOT_URL, max_retries=0, max_tokens=2000, **more)
        yield ChatOpenAI(model=name, api_key=KEY, base_url=BASE_URL, max_retries=0, use_responses_api=True)


@check("text")
def _():
    for model in models("weather"):
        answer = model.invoke("Hello.")
        assert answer.text == "It is sunny.", answer
        assert answer.usage_metadata["output_tokens"] > 0


@check("stream")
def _():
    for model in models("weather"):
        assert "".join(chunk.text for chunk in model.stream("Hello.")) == "It is sunny."


@check("tool loop, streamed")
def _():
    for model in models("weather"):
        bound = model.bind_tools([get_weather])
        messages = [HumanMessage("Weather in Oslo and Rome?")]
        whole = None
        for chunk in bound.stream(messages):
            whole = chunk if whole is None else whole + chunk
        assert [call["args"]["city"] for call in whole.tool_calls] == ["Oslo", "Rome"], whole
        messages.append(whole)
        messages += [get_weather.invoke(call) for call in whole.tool_calls]
        assert bound.invoke(messages).text == "It is sunny."


@check("structured output")
def _():
    for model in models("structured"):
        assert model.with_structured_output(Person).invoke("Who?") == Person(name="Ada", age=36)


@check("pictures")
def _():
    content = [{"type": "image", "base64": PNG, "mime_type": "image/png"}, {"type": "text", "text": "What is it?"}]
    for model in models("media"):
        assert model.invoke([HumanMessage(content)]).text.startswith("images 1")


@check("thinking over turns")
def _():
    thinking = {"type": "enabled", "budget_tokens": 1024}
    model = ChatAnthropic(
        model="flow/thinking-claude", api_key=KEY, base_url=ROOT_URL, max_retries=0, max_tokens=2000, thinking=thinking
    ).bind_tools([get_weather])
    messages = [HumanMessage("Weather in Oslo?")]
    first = model.invoke(messages)
    messages.append(first)
    messages += [get_weather.invoke(call) for call in first.tool_calls]
    assert model.invoke(messages).text == "It is sunny."


@check("a cut stream raises in ChatAnthropic")
def _():
    for model in models("cut"):
        if isinstance(model, ChatAnthropic):
            raises(lambda: list(model.stream("Hello.")))


@check("an outage says what failed")
def _():
    for model in models("down"):
        assert "500" in str(raises(lambda: model.invoke("Hello.")))
