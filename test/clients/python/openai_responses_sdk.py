"""The `openai` package on the Responses API, unmodified: create, stream, parse, raw."""

import openai
from harness import BASE_URL, KEY, PDF, PNG, check, raises
from pydantic import BaseModel

client = openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
TARGETS = ["chat", "claude", "openai"]
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Person(BaseModel):
    name: str
    age: int


@check("create, and what was kept goes on")
def _():
    for target in TARGETS:
        asked = {"model": f"flow/weather-{target}", "tools": [WEATHER]}
        first = client.responses.create(**asked, input="Weather in Oslo and Rome?")
        calls = [item for item in first.output if item.type == "function_call"]
        assert len(calls) == 2, first
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"} for call in calls]
        second = client.responses.create(**asked, input=outputs, previous_response_id=first.id)
        assert second.output_text == "It is sunny.", second
        assert client.responses.retrieve(second.id).output_text == "It is sunny."
        client.responses.delete(second.id)


@check("stateless, with items sent back as they came")
def _():
    for target in TARGETS:
        asked = {"model": f"flow/thinking-{target}", "tools": [WEATHER], "store": False}
        asked |= {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}
        items = [{"role": "user", "content": "Weather in Oslo?"}]
        first = client.responses.create(**asked, input=items)
        items += [item.model_dump() for item in first.output]
        for item in first.output:
            if item.type == "function_call":
                items.append({"type": "function_call_output", "call_id": item.call_id, "output": "12 degrees"})
        assert client.responses.create(**asked, input=items).output_text == "It is sunny."


@check("stream")
def _():
    for target in TARGETS:
        with client.responses.stream(model=f"flow/weather-{target}", input="Hello.") as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert text == "It is sunny.", text
            assert stream.get_final_response().output_text == text


@check("parse")
def _():
    for target in TARGETS:
        answer = client.responses.parse(model=f"flow/structured-{target}", input="Who?", text_format=Person)
        assert answer.output_parsed == Person(name="Ada", age=36), answer


@check("raw")
def _():
    raw = client.responses.with_raw_response.create(model="flow/weather-chat", input="Hello.")
    assert raw.headers["x-request-id"].startswith("tr_")
    assert raw.parse().output_text == "It is sunny."


@check("pictures and documents")
def _():
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    file = {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    for target in TARGETS:
        answer = client.responses.create(model=f"flow/media-{target}", input=[{"role": "user", "content": [image]}])
        assert answer.output_text.startswith("images 1"), answer
    answer = client.responses.create(model="flow/media-claude", input=[{"role": "user", "content": [file]}])
    assert answer.output_text == "images 0, documents 1", answer


@check("nulls and empties")
def _():
    answer = client.responses.create(
        model="flow/weather-chat",
        input="Hello.",
        include=None,
        previous_response_id=None,
        truncation=None,
        instructions="",
        tools=[],
        user="",
        metadata=None,
    )
    assert answer.output_text == "It is sunny."


@check("a cut stream is no success")
def _():
    for target in TARGETS:
        types = []
        try:
            for event in client.responses.create(model=f"flow/cut-{target}", input="Hello.", stream=True):
                types.append(event.type)
        except openai.APIError:
            types.append("raised")
        assert "response.completed" not in types and types[-1] in ("raised", "response.failed"), types


@check("errors are the package's own")
def _():
    error = raises(lambda: client.responses.create(model="flow/down-chat", input="Hello."))
    assert isinstance(error, openai.InternalServerError) and "500" in str(error), error
    error = raises(lambda: client.responses.create(model="flow/weather-chat", input="x", previous_response_id="resp_no"))
    assert isinstance(error, openai.NotFoundError), error
