"""LiteLLM as a client, unmodified: `openai/<route>` as its users write it."""

import litellm
from harness import BASE_URL, KEY, WEATHER, check, raises

litellm.suppress_debug_info = True
HELLO = [{"role": "user", "content": "Hello."}]


def complete(model="openai/flow/answers", messages=HELLO, **more):
    return litellm.completion(model=model, messages=messages, api_base=BASE_URL, api_key=KEY, max_retries=0, **more)


@check("text")
def _():
    assert complete().choices[0].message.content == "It is sunny."


@check("stream")
def _():
    text = "".join(chunk.choices[0].delta.content or "" for chunk in complete(stream=True))
    assert text == "It is sunny.", text


@check("tool calls")
def _():
    calls = complete(messages=[{"role": "user", "content": "Weather in Oslo and Rome?"}], tools=[WEATHER])
    assert [call.function.name for call in calls.choices[0].message.tool_calls] == ["get_weather", "get_weather"]


@check("a conversation too long is a ContextWindowExceededError")
def _():
    error = raises(lambda: complete(model="openai/flow/short"))
    assert isinstance(error, litellm.ContextWindowExceededError), repr(error)


@check("a cut stream raises")
def _():
    raises(lambda: list(complete(model="openai/flow/cut", stream=True)))


@check("an outage names its targets")
def _():
    assert "openai/" in str(raises(lambda: complete(model="openai/flow/down")))
