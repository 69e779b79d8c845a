"""The `anthropic` package, unmodified."""

import anthropic
from harness import KEY, PDF, PNG, ROOT_URL, check, raises

client = anthropic.Anthropic(base_url=ROOT_URL, api_key=KEY, max_retries=0)
HELLO = [{"role": "user", "content": "Hello."}]
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TARGETS = ["chat", "claude", "openai"]


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def ask(route, **more):
    return client.messages.create(**{"model": f"flow/{route}", "max_tokens": 2000, "messages": HELLO, **more})


@check("text")
def _():
    for target in TARGETS:
        answer = ask(f"weather-{target}")
        assert text_of(answer) == "It is sunny.", answer
        assert answer.stop_reason == "end_turn" and answer.usage.output_tokens > 0
        assert answer._request_id.startswith("tr_"), answer._request_id


@check("stream")
def _():
    for target in TARGETS:
        with client.messages.stream(model=f"flow/weather-{target}", max_tokens=2000, messages=HELLO) as stream:
            assert "".join(stream.text_stream) == "It is sunny."
            assert text_of(stream.get_final_message()) == "It is sunny."


@check("tool loop with parallel calls and the content sent back as it came")
def _():
    for target in TARGETS:
        messages = [{"role": "user", "content": "Weather in Oslo and Rome?"}]
        first = ask(f"weather-{target}", messages=messages, tools=[WEATHER])
        calls = [block for block in first.content if block.type == "tool_use"]
        assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Rome"}], first
        messages.append({"role": "assistant", "content": first.content})
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"} for call in calls]
        messages.append({"role": "user", "content": results})
        assert text_of(ask(f"weather-{target}", messages=messages, tools=[WEATHER])) == "It is sunny."


@check("thinking over turns")
def _():
    for target in TARGETS:
        messages = [{"role": "user", "content": "Weather in Oslo?"}]
        asked = {"tools": [WEATHER], "thinking": {"type": "enabled", "budget_tokens": 1024}}
        with client.messages.stream(
            model=f"flow/thinking-{target}", max_tokens=2000, messages=messages, **asked
        ) as stream:
            first = stream.get_final_message()
        call = next(block for block in first.content if block.type == "tool_use")
        messages.append({"role": "assistant", "content": first.content})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"}
        messages.append({"role": "user", "content": [result]})
        assert text_of(ask(f"thinking-{target}", messages=messages, **asked)) == "It is sunny."


@check("pictures and documents")
def _():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    document = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
    for target in TARGETS:
        answer = ask(f"media-{target}", messages=[{"role": "user", "content": [image]}])
        assert text_of(answer).startswith("images 1"), answer
    answer = ask("media-claude", messages=[{"role": "user", "content": [document]}])
    assert text_of(answer) == "images 0, documents 1", answer


@check("structured output")
def _():
    import json

    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int

    for target in TARGETS:
        answer = client.messages.parse(
            model=f"flow/structured-{target}", max_tokens=2000, messages=HELLO, output_format=Person
        )
        assert json.loads(text_of(answer)) == {"name": "Ada", "age": 36}, answer


@check("a cut stream raises")
def _():
    def read(target):
        with client.messages.stream(model=f"flow/cut-{target}", max_tokens=2000, messages=HELLO) as stream:
            stream.until_done()

    for target in TARGETS:
        assert isinstance(raises(lambda: read(target)), Exception)


@check("errors are the package's own")
def _():
    for target in TARGETS:
        error = raises(lambda: ask(f"down-{target}"))
        assert isinstance(error, anthropic.InternalServerError) and "500" in str(error), error
        error = raises(lambda: ask(f"short-{target}"))
        assert isinstance(error, anthropic.BadRequestError), error
        assert "maximum context length" in str(error) or "prompt is too long" in str(error), error
    wrong = anthropic.Anthropic(base_url=ROOT_URL, api_key="fl_production_wrong", max_retries=0)
    error = raises(lambda: wrong.messages.create(model="flow/weather-chat", max_tokens=9, messages=HELLO))
    assert isinstance(error, anthropic.AuthenticationError), error


@check("counting and models")
def _():
    assert client.messages.count_tokens(model="flow/weather-chat", messages=HELLO).input_tokens > 0
    assert "anthropic/flow-weather-chat" in [model.id for model in client.models.list(limit=5)]
