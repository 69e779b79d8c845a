"""What every client's script shares: where the router is, and one JSON line per check on the standard output."""

import asyncio
import base64
import json
import os
import sys
import traceback

# One loop for all checks: an async client keeps its connections with the loop that opened them.
LOOP = asyncio.new_event_loop()
BASE_URL = os.environ["FLOW_TEST_BASE_URL"]
KEY = os.environ["FLOW_TEST_KEY"]
# Anthropic's clients add the version to the path themselves.
ROOT_URL = BASE_URL.removesuffix("/v1")

# A picture of one pixel, and the smallest document that passes for a PDF.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = base64.b64encode(b"%PDF-1.4\n1 0 obj<</Type/Pages/Count 1>>endobj\ntrailer<<>>\n%%EOF\n").decode()


def check(name):
    """Runs the decorated function (a coroutine too) and prints whether it returned."""

    def run(function):
        try:
            result = function()
            if asyncio.iscoroutine(result):
                LOOP.run_until_complete(result)
            print(json.dumps({"check": name, "ok": True}), flush=True)
        except BaseException as error:  # noqa: BLE001 - whatever a client raises is the finding
            detail = "".join(traceback.format_exception_only(type(error), error))[-1500:]
            print(json.dumps({"check": name, "ok": False, "detail": detail}), flush=True)
        return function

    return run


def raises(function):
    """The error that `function` raises. Raises itself where it does not."""
    try:
        result = function()
        if asyncio.iscoroutine(result):
            result = LOOP.run_until_complete(result)
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError(f"nothing was raised: {str(result)[:300]}")


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

sys.stdout.reconfigure(encoding="utf-8")
