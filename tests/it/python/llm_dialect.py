"""What the gateway translates, read by the clients it is for: openai and anthropic.

`tests/data/llm/` has every case with what becomes of it. Whole answers, events and errors are
checked strictly against the clients' own types; streams are also read by the clients themselves,
who must see an end where there is one and an error where there is none. Requests are checked
against the types the clients build them with.
"""

import json
import sys
import typing
from pathlib import Path

# Pydantic reads an Iterable only when somebody iterates, and then unchecked within another.
typing.Iterable = typing.List

import anthropic
import openai
import pydantic
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent, message_create_params
from openai.types.chat import ChatCompletion, ChatCompletionChunk, completion_create_params
from openai.types.responses import Response, ResponseStreamEvent

try:
    import httpx2 as httpx  # what the newer clients are built on
except ImportError:
    import httpx

ROOT = Path(sys.argv[1])
SEEN = {}

CHAT, MESSAGES, RESPONSES = "chat_to_messages", "messages_to_chat", "responses_to_messages"

# What the newest client no longer offers but its service still takes from older models.
ELDERLY = {"temperature", "top_p", "top_k"}


def saw(what):
    SEEN[what] = SEEN.get(what, 0) + 1


def adapter(annotation):
    return pydantic.TypeAdapter(annotation)


EVENTS = {
    CHAT: adapter(ChatCompletionChunk),
    MESSAGES: adapter(RawMessageStreamEvent),
    RESPONSES: adapter(ResponseStreamEvent),
}
WHOLE = {
    CHAT: adapter(ChatCompletion),
    MESSAGES: adapter(AnthropicMessage),
    RESPONSES: adapter(Response),
}


def client(way, status, content_type, body):
    def answer(request):
        return httpx.Response(status, headers={"content-type": content_type}, content=body)

    transport = httpx.Client(transport=httpx.MockTransport(answer))
    make = anthropic.Anthropic if way == MESSAGES else openai.OpenAI
    return make(api_key="key", base_url="http://127.0.0.1", http_client=transport, max_retries=0)


def ask(way, to, **extra):
    messages = [{"role": "user", "content": "hi"}]
    if way == CHAT:
        return to.chat.completions.create(model="fast", messages=messages, **extra)
    if way == MESSAGES:
        return to.messages.create(model="fast", max_tokens=9, messages=messages, **extra)
    return to.responses.create(model="fast", input="hi", **extra)


def check_request(way, path, text):
    head, _, body = text.partition("\n")
    if not head.startswith("POST "):
        assert text.startswith("param: ") and "\nmessage: " in text, path
        return saw("refusals")
    body = json.loads(body)
    if way == MESSAGES:
        kind = completion_create_params.CompletionCreateParamsStreaming
        plain = completion_create_params.CompletionCreateParamsNonStreaming
        assert head == "POST /chat/completions", path
    else:
        kind = message_create_params.MessageCreateParamsStreaming
        plain = message_create_params.MessageCreateParamsNonStreaming
        assert head == "POST /messages", path
    kind = kind if body.get("stream") else plain
    read = adapter(kind).validate_python(body)
    lost = set(body) - set(read)
    allowed = {"max_tokens"} if way == MESSAGES else ELDERLY
    assert lost <= allowed, f"{path}: the client does not know {lost}"
    saw("requests")


def check_answer(way, path, text):
    if text.startswith("malformed"):
        return saw("malformed answers")
    WHOLE[way].validate_json(text)
    read = ask(way, client(way, 200, "application/json", text))
    assert read.model == json.loads(text)["model"], path
    if way == RESPONSES:
        assert isinstance(read.output_text, str)
    saw("answers")


def check_stream(way, path, text):
    complete = text.endswith("# complete\n")
    text = "\n".join(line for line in text.split("\n") if not line.startswith("# "))
    for event in text.split("\n\n"):
        data = [line for line in event.split("\n") if line.startswith("data: ")]
        if not data or data[0] == "data: [DONE]":
            continue
        data = json.loads(data[0].removeprefix("data: "))
        if "error" in data and way == CHAT or data.get("type") == "error" and way == MESSAGES:
            check_error_body(way, path, data)
        else:
            EVENTS[way].validate_python(data)
    try:
        end = read_stream(way, text)
    except (openai.APIError, anthropic.APIError) as error:
        assert not complete, f"{path}: {error}"
        return saw("broken streams")
    assert complete == end, f"{path}: the client takes it for {end}"
    saw("streams" if complete else "broken streams")


def read_stream(way, text):
    """Whether the client sees an end; it raises, or sees none, where there is none."""
    to = client(way, 200, "text/event-stream", text)
    messages = [{"role": "user", "content": "hi"}]
    if way == CHAT:
        with to.chat.completions.stream(model="fast", messages=messages) as stream:
            reasons = [
                event.chunk.choices[0].finish_reason
                for event in stream
                if event.type == "chunk" and event.chunk.choices
            ]
            try:
                stream.get_final_completion()
            except (openai.ContentFilterFinishReasonError, openai.LengthFinishReasonError):
                assert reasons[-1] in ("content_filter", "length")
        return reasons[-1] is not None
    if way == MESSAGES:
        with to.messages.stream(model="fast", max_tokens=9, messages=messages) as stream:
            ends = [event for event in stream if event.type == "message_stop"]
            assert stream.get_final_message().stop_reason is not None
        return len(ends) == 1
    last = None
    for event in ask(way, to, stream=True):
        last = event.type
    return last in ("response.completed", "response.incomplete")


def check_error_body(way, path, body):
    error = body["error"]
    assert error["message"], path
    if way == MESSAGES:
        assert body["type"] == "error" and error["type"], path
    else:
        assert set(error) == {"message", "type", "param", "code"}, path


def check_error(way, path, text):
    status, _, body = text.partition("\n")
    check_error_body(way, path, json.loads(body))
    try:
        ask(way, client(way, int(status), "application/json", body))
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        assert error.status_code == int(status), path
        assert json.loads(body)["error"]["message"] in str(error), path
        if way == MESSAGES:
            assert error.type == json.loads(body)["error"]["type"], path
        return saw("errors")
    raise AssertionError(f"{path}: the client raises nothing")


CHECKS = {
    "request": check_request,
    "answer": check_answer,
    "stream": check_stream,
    "error": check_error,
}

for way in (CHAT, MESSAGES, RESPONSES):
    for kind, check in CHECKS.items():
        for path in sorted((ROOT / way / kind).glob("*.expected.*")):
            try:
                check(way, path, path.read_text())
            except Exception as error:
                error.add_note(str(path))
                raise

for what in ("requests", "refusals", "answers", "streams", "broken streams", "errors"):
    assert SEEN.get(what, 0) >= 5, f"{what}: {SEEN}"
print(SEEN)
