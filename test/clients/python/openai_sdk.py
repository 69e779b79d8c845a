"""The `openai` package, unmodified."""

import openai
from harness import BASE_URL, KEY, WEATHER, check, raises
from pydantic import BaseModel

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
HELLO = [{"role": "user", "content": "Hello."}]


class Person(BaseModel):
    name: str
    age: int


@check("text")
def _():
    answer = client.chat.completions.create(model="flow/answers", messages=HELLO)
    assert answer.choices[0].message.content == "It is sunny.", answer
    assert answer.usage.total_tokens > 0
    assert answer._request_id.startswith("tr_")


@check("a bare route name")
def _():
    answer = client.chat.completions.create(model="answers", messages=HELLO)
    assert answer.choices[0].message.content == "It is sunny."


@check("stream")
def _():
    stream = client.chat.completions.create(model="flow/answers", messages=HELLO, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == "It is sunny.", text


@check("stream helper with usage")
def _():
    with client.chat.completions.stream(
        model="flow/answers", messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        for _event in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "It is sunny."
    assert final.usage.completion_tokens > 0


@check("tool loop with the message sent back as it came")
def _():
    messages = [{"role": "user", "content": "Weather in Oslo and Rome?"}]
    first = client.chat.completions.create(model="flow/answers", messages=messages, tools=[WEATHER])
    calls = first.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_weather"], first
    messages.append(first.choices[0].message.model_dump())
    for call in calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "12 degrees"})
    second = client.chat.completions.create(model="flow/answers", messages=messages, tools=[WEATHER])
    assert second.choices[0].message.content == "It is sunny."


@check("parse")
def _():
    answer = client.chat.completions.parse(model="flow/structured", messages=HELLO, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


@check("nulls mean absent")
def _():
    answer = client.chat.completions.create(
        model="flow/answers",
        messages=HELLO,
        max_tokens=None,
        max_completion_tokens=None,
        n=None,
        stream=None,
        tools=None,
        temperature=None,
    )
    assert answer.choices[0].message.content == "It is sunny."


@check("empty tools are left out")
def _():
    answer = client.chat.completions.create(model="flow/answers", messages=HELLO, tools=[], tool_choice="auto")
    assert answer.choices[0].message.content == "It is sunny."


@check("route controls in extra_body")
def _():
    raw = client.chat.completions.with_raw_response.create(
        model="flow/answers", messages=HELLO, extra_body={"route": {"latency_budget_ms": 5000}}
    )
    assert raw.headers["x-flowlayer-latency-budget-ms"] == "5000"


@check("a cut stream raises")
def _():
    def read():
        stream = client.chat.completions.create(model="flow/cut", messages=HELLO, stream=True)
        return [chunk for chunk in stream]

    error = raises(read)
    assert isinstance(error, Exception), error


@check("an outage names its targets")
def _():
    error = raises(lambda: client.chat.completions.create(model="flow/down", messages=HELLO))
    assert isinstance(error, openai.InternalServerError), error
    assert "openai/" in str(error) and "500" in str(error), error


@check("a wrong key is an AuthenticationError")
def _():
    bad = openai.OpenAI(base_url=BASE_URL, api_key="fl_production_wrong", max_retries=0)
    assert isinstance(raises(lambda: bad.chat.completions.create(model="flow/answers", messages=HELLO)), openai.AuthenticationError)


@check("a rate limit with a delay is waited for")
def _():
    patient = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=2)
    answer = patient.chat.completions.create(model="flow/busy", messages=HELLO)
    assert answer.choices[0].message.content == "It is sunny."


@check("models")
def _():
    assert "flow/answers" in [model.id for model in client.models.list()]
