"""Instructor, in the modes that chat completions carry, unmodified."""

import instructor
import openai
from harness import BASE_URL, KEY, check
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA):

    @check(f"mode {mode.name}")
    def _(mode=mode):
        client = instructor.from_openai(openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0), mode=mode)
        person = client.chat.completions.create(
            model="flow/structured", response_model=Person, messages=[{"role": "user", "content": "Who?"}]
        )
        assert (person.name, person.age) == ("Ada", 36), person


@check("partial objects of a stream")
def _():
    client = instructor.from_openai(openai.OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0))
    parts = list(
        client.chat.completions.create_partial(
            model="flow/structured", response_model=Person, messages=[{"role": "user", "content": "Who?"}]
        )
    )
    assert (parts[-1].name, parts[-1].age) == ("Ada", 36), parts[-1:]
