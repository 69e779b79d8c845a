"""LiteLLM's `anthropic/` route and its Responses, unmodified."""

import litellm
from harness import BASE_URL, KEY, PNG, ROOT_URL, WEATHER, check, raises

litellm.telemetry = False
HELLO = [{"role": "user", "content": "Hello."}]
TARGETS = ["chat", "claude", "openai"]


def ask(route, **more):
    return litellm.completion(
        **{"model": f"anthropic/{route}", "api_base": ROOT_URL, "api_key": KEY, "messages": HELLO, **more}
    )


@check("text")
def _():
    for target in TARGETS:
        answer = ask(f"weather-{target}")
        assert answer.choices[0].message.content == "It is sunny.", answer
        assert answer.usage.completion_tokens > 0


@check("stream")
def _():
    for target in TARGETS:
        chunks = ask(f"weather-{target}", stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "It is sunny."


@check("tool loop")
def _():
    for target in TARGETS:
        messages = [{"role": "user", "content": "Weather in Oslo and Rome?"}]
        message = ask(f"weather-{target}", messages=messages, tools=[WEATHER]).choices[0].message
        assert len(message.tool_calls) == 2, message
        messages.append(message.model_dump())
        for call in message.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "12 degrees"})
        answer = ask(f"weather-{target}", messages=messages, tools=[WEATHER])
        assert answer.choices[0].message.content == "It is sunny."


@check("pictures")
def _():
    url = {"url": f"data:image/png;base64,{PNG}"}
    for target in TARGETS:
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
        answer = ask(f"media-{target}", messages=messages)
        assert answer.choices[0].message.content.startswith("images 1"), answer


@check("errors have LiteLLM's classes")
def _():
    for target in TARGETS:
        error = raises(lambda: ask(f"down-{target}", num_retries=0))
        assert "500" in str(error), error
        assert isinstance(raises(lambda: ask(f"short-{target}")), litellm.ContextWindowExceededError)
    wrong = raises(lambda: ask("weather-chat", api_key="fl_production_wrong"))
    assert isinstance(wrong, litellm.AuthenticationError), wrong


@check("responses")
def _():
    for target in TARGETS:
        answer = litellm.responses(
            model=f"openai/weather-{target}", api_base=BASE_URL, api_key=KEY, input="Hello.", num_retries=0
        )
        assert answer.output[-1].content[0].text == "It is sunny.", answer
