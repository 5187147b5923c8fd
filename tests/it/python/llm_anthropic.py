"""Anthropic's Python client against a model's API: the mock itself, or Ringway in front of it.

Arguments: the base URL without /v1, an API key, `mock` or `gateway`, and what the models' names begin
with (`claude` is Anthropic's dialect at the provider, `gpt` OpenAI's). Exits with 0 if all went well.
"""

import sys
import time

import anthropic

BASE, KEY, WHERE, MAKER = sys.argv[1:5]
TRANSLATED = WHERE == "gateway" and MAKER == "gpt"
client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0, timeout=20)

WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
        "required": ["city"],
    },
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg"
    "YGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)


def model(options):
    return f"{MAKER}-mock-{options}"


def user(text):
    return [{"role": "user", "content": text}]


def asked(options="t5", text="twelve bytes", **more):
    fields = {"model": model(options), "max_tokens": 1000, "messages": user(text)}
    return {**fields, **more}


def message(options="t5", text="twelve bytes", **more):
    return client.messages.create(**asked(options, text, **more))


def fails(kind, status, call):
    try:
        call()
    except kind as error:
        if status is not None:
            assert error.status_code == status, error
        return error
    raise AssertionError(f"no {kind.__name__}")


def a_message():
    answer = message()
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", model("t5")), answer
    [block] = answer.content
    assert block.text == "t0 t1 t2 t3 t4"
    assert answer.stop_reason == "end_turn"
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 5), answer.usage


def a_message_with_everything():
    image = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": image}, {"type": "text", "text": "What is this?"}]
    messages = [*user("Hello"), {"role": "assistant", "content": "Hi"}, *user(content)]
    answer = message(
        "t3", messages=messages, system="Be brief.", stop_sequences=["never"], extra_body={"temperature": 0.2}
    )
    assert answer.content[0].text == "t0 t1 t2"
    assert answer.usage.input_tokens >= 85, "the image was not passed on"
    cut = message("t9", max_tokens=4)
    assert (cut.stop_reason, cut.usage.output_tokens) == ("max_tokens", 4), cut
    cached = message("c2").usage
    assert (cached.cache_read_input_tokens, cached.input_tokens) == (2, 1), cached


def a_stream():
    events = list(message(stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1, kinds
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(deltas) == "t0 t1 t2 t3 t4"
    assert events[-2].usage.output_tokens == 5 and events[-2].delta.stop_reason == "end_turn"


def a_stream_by_the_clients_own_assembly():
    with client.messages.stream(**asked()) as stream:
        assert "".join(stream.text_stream) == "t0 t1 t2 t3 t4"
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 5), final
    assert final.usage.input_tokens == (0 if TRANSLATED and final.usage.input_tokens == 0 else 3)


def a_stream_is_passed_on_as_it_comes():
    begun, times = time.monotonic(), []
    for event in message("t4-f100ms-p100ms", stream=True):
        if event.type == "content_block_delta":
            times.append(time.monotonic() - begun)
    assert len(times) == 4 and times[0] >= 0.09, times
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert all(gap > 0.04 for gap in gaps), f"tokens came together: {times}"


def tools_are_called_and_told_what_came_of_it():
    question = user("What is the weather? Please call the tool.")
    answer = message("t5", messages=question, tools=[WEATHER])
    assert answer.stop_reason == "tool_use"
    [call] = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("weather", {"city": "Paris", "days": 2}), call
    result = [{"type": "tool_result", "tool_use_id": call.id, "content": "Sunny"}]
    said = [block.model_dump(exclude_none=True) for block in answer.content]
    messages = [*question, {"role": "assistant", "content": said}, *user(result)]
    after = message("t5", messages=messages, tools=[WEATHER])
    assert after.content[0].text == "t0 t1 t2 t3 t4"
    forced = message(tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"})
    assert forced.content[0].name == "weather"


def tools_are_streamed():
    other = {**WEATHER, "name": "climate"}
    with client.messages.stream(**asked(text="call all tools", tools=[WEATHER, other])) as stream:
        final = stream.get_final_message()
    assert final.stop_reason == "tool_use"
    assert [block.name for block in final.content] == ["weather", "climate"], final.content
    assert all(block.input == {"city": "Paris", "days": 2} for block in final.content)


def thoughts_are_shown():
    answer = message(
        "t3-r6", max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    thought, text = answer.content
    assert (thought.type, text.text) == ("thinking", "t0 t1 t2"), answer
    assert thought.signature


def tokens_are_counted():
    count = client.messages.count_tokens(model=model("t1"), messages=user("twelve bytes"))
    assert count.input_tokens == 3, count


def models():
    assert len(list(client.models.list())) > 0


def errors_have_their_classes():
    error = fails(
        anthropic.NotFoundError, 404, lambda: client.messages.create(**asked() | {"model": "nosuch"})
    )
    assert error.body["type"] == "error" and error.body["error"]["type"] == "not_found_error", error
    wrong = anthropic.Anthropic(base_url=BASE, api_key="wrong", max_retries=0)
    error = fails(anthropic.AuthenticationError, 401, lambda: wrong.messages.create(**asked()))
    assert error.body["error"]["type"] == "authentication_error", error.body
    fails(anthropic.BadRequestError, 400, lambda: message(messages=[]))
    error = fails(anthropic.RateLimitError, 429, lambda: message("a1ms-fault-429"))
    assert error.body["error"]["type"] == "rate_limit_error", error.body
    context = fails(anthropic.BadRequestError, 400, lambda: message("fault-context"))
    assert "context" in str(context), context
    fails(anthropic.InternalServerError, None, lambda: message("fault-500"))
    fails(anthropic.APIStatusError, None, lambda: message("fault-529", stream=True))


def a_stream_that_breaks_is_an_error():
    for fault in ["error-mid", *(["reset-mid", "truncate"] if WHERE == "gateway" else [])]:
        seen = []

        def read():
            for event in message(f"t8-p5ms-fault-{fault}", stream=True):
                seen.append(event)

        fails(anthropic.APIError, None, read)
        assert len(seen) >= 3, f"{fault}: what came before the error was lost"


def retries_follow_the_fields():
    patient = client.with_options(max_retries=2)
    begun = time.monotonic()
    fails(
        anthropic.RateLimitError,
        429,
        lambda: patient.messages.create(**asked("a300ms-fault-429")),
    )
    took = time.monotonic() - begun
    assert 0.55 < took < 5, f"two waits of 300 ms took {took}"
    time.sleep(0.4)  # so long a gateway leaves the provider alone


def retries_heed_x_should_retry():
    seen = []
    counting = anthropic.DefaultHttpxClient(event_hooks={"request": [seen.append]})
    patient = anthropic.Anthropic(
        base_url=BASE, api_key="sk-broke-of-the-clients", max_retries=5, http_client=counting
    )
    error = fails(anthropic.APIStatusError, None, lambda: patient.messages.create(**asked("t1")))
    assert error.status_code in (402, 429), error
    assert error.response.headers["x-should-retry"] == "false", error.response.headers
    assert len(seen) == 1, f"asked {len(seen)} times"


def a_limit_of_our_own_is_waited_for():
    seen = []
    counting = anthropic.DefaultHttpxClient(event_hooks={"response": [seen.append]})
    limited = anthropic.Anthropic(
        base_url=BASE, api_key="sk-limited-of-the-clients", max_retries=5, http_client=counting
    )
    for _ in range(2):
        limited.messages.create(**asked("t1"))
    statuses = [response.status_code for response in seen]
    assert statuses.count(200) == 2 and 429 in statuses, statuses
    refused = next(response for response in seen if response.status_code == 429)
    assert refused.headers["x-should-retry"] == "true", refused.headers


CHECKS = [
    a_message,
    a_message_with_everything,
    a_stream,
    a_stream_by_the_clients_own_assembly,
    a_stream_is_passed_on_as_it_comes,
    tools_are_called_and_told_what_came_of_it,
    tools_are_streamed,
    errors_have_their_classes,
    a_stream_that_breaks_is_an_error,
    retries_follow_the_fields,
]
if not TRANSLATED:
    CHECKS += [thoughts_are_shown, tokens_are_counted, models]
if WHERE == "gateway":
    CHECKS += [retries_heed_x_should_retry, a_limit_of_our_own_is_waited_for]

if __name__ == "__main__":
    for check in CHECKS:
        print(f"anthropic-python {anthropic.__version__}, {MAKER}: {check.__name__}", flush=True)
        check()
