"""OpenAI's Python client against a model's API: the mock itself, or Ringway in front of it.

Arguments: the base URL up to /v1, an API key, `mock` or `gateway`, and what the models' names begin
with (`gpt` is OpenAI's dialect at the provider, `claude` Anthropic's). Exits with 0 if all went well.
"""

import json
import sys
import time

import openai
import pydantic

BASE, KEY, WHERE, MAKER = sys.argv[1:5]
TRANSLATED = WHERE == "gateway" and MAKER == "claude"
client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0, timeout=20)

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city"],
        },
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg"
    "YGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)


def model(options):
    return f"{MAKER}-mock-{options}"


def user(text):
    return [{"role": "user", "content": text}]


def chat(options="t5", text="twelve bytes", **more):
    messages = more.pop("messages", user(text))
    return client.chat.completions.create(model=model(options), messages=messages, **more)


def fails(kind, status, call):
    try:
        call()
    except kind as error:
        if status is not None:
            assert error.status_code == status, error
        return error
    raise AssertionError(f"no {kind.__name__}")


def a_chat():
    answer = chat()
    assert answer.object == "chat.completion" and answer.id, answer
    assert answer.model == model("t5"), answer.model
    [choice] = answer.choices
    assert choice.message.content == "t0 t1 t2 t3 t4" and choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 5, 8), usage


def a_chat_with_everything():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        },
    ]
    answer = chat("t3", messages=messages, temperature=0.2, top_p=0.9, stop=["never"])
    assert answer.choices[0].message.content == "t0 t1 t2"
    assert answer.usage.prompt_tokens >= 85, "the image was not passed on"
    cut = chat("t9", max_tokens=4)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 4), cut
    cached = chat("c2")
    assert cached.usage.prompt_tokens_details.cached_tokens == 2, cached.usage
    assert cached.usage.prompt_tokens == 3, cached.usage


def a_stream():
    chunks = list(chat(stream=True))
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "t0 t1 t2 t3 t4"
    assert deltas[0].role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks), "nobody asked for usage"


def a_stream_with_usage():
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    *others, last = chunks
    assert last.choices == [] and last.usage.completion_tokens == 5, last
    assert last.usage.prompt_tokens == 3, last
    assert all(chunk.usage is None for chunk in others)


def a_stream_is_passed_on_as_it_comes():
    begun, times = time.monotonic(), []
    for chunk in chat("t4-f100ms-p100ms", stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            times.append(time.monotonic() - begun)
    assert len(times) == 4 and times[0] >= 0.09, times
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert all(gap > 0.04 for gap in gaps), f"tokens came together: {times}"


def tools_are_called_and_told_what_came_of_it():
    question = user("What is the weather? Please call the tool.")
    answer = chat("t5", messages=question, tools=[WEATHER])
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert call.function.name == "weather" and call.id
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 2}
    result = {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}
    messages = [*question, choice.message.model_dump(exclude_none=True), result]
    after = chat("t5", messages=messages, tools=[WEATHER])
    assert after.choices[0].message.content == "t0 t1 t2 t3 t4"
    forced = chat(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}})
    assert forced.choices[0].message.tool_calls[0].function.name == "weather"
    none = chat("t1", text="call the tool", tools=[WEATHER], tool_choice="none")
    assert none.choices[0].message.content == "t0"


def tools_are_streamed():
    other = json.loads(json.dumps(WEATHER).replace("weather", "climate"))
    chunks = chat(text="call all tools", tools=[WEATHER, other], stream=True)
    calls, finish = {}, None
    for chunk in chunks:
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": part.id, "name": "", "arguments": ""})
            call["name"] += part.function.name or ""
            call["arguments"] += part.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert finish == "tool_calls"
    assert [call["name"] for call in calls.values()] == ["weather", "climate"], calls
    assert len({call["id"] for call in calls.values()}) == 2
    for call in calls.values():
        assert json.loads(call["arguments"]) == {"city": "Paris", "days": 2}


class Place(pydantic.BaseModel):
    city: str
    days: int


def json_is_answered():
    answer = chat("t5", response_format={"type": "json_object"}, text="Answer in JSON.")
    assert isinstance(json.loads(answer.choices[0].message.content), dict), answer
    parsed = client.chat.completions.parse(
        model=model("t5"), messages=user("Where?"), response_format=Place
    )
    assert parsed.choices[0].message.parsed == Place(city="Paris", days=1), parsed


def responses():
    answer = client.responses.create(model=model("t3"), input="twelve bytes")
    assert (answer.status, answer.output_text) == ("completed", "t0 t1 t2")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 3)
    events = list(client.responses.create(model=model("t3"), input="x", stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == events[-1].response.output_text == "t0 t1 t2"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    tool = {"type": "function", "strict": False, **WEATHER["function"]}
    called = client.responses.create(model=model("t3"), input="call the tool", tools=[tool])
    [call] = [item for item in called.output if item.type == "function_call"]
    assert json.loads(call.arguments) == {"city": "Paris", "days": 2}


def completions_of_old():
    answer = client.completions.create(model=model("t3"), prompt="x")
    assert answer.choices[0].text == "t0 t1 t2" and answer.object == "text_completion"
    chunks = list(client.completions.create(model=model("t3"), prompt="x", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "t0 t1 t2"


def embeddings():
    asked = {"model": "text-embedding-mock", "input": ["one", "two"], "dimensions": 64}
    answer = client.embeddings.create(**asked)  # base64 on the wire
    floats = client.embeddings.create(**asked, encoding_format="float")
    for coded, plain in zip(answer.data, floats.data):
        assert len(coded.embedding) == 64
        assert all(abs(a - b) < 1e-6 for a, b in zip(coded.embedding, plain.embedding))
    assert answer.usage.prompt_tokens == 2, answer.usage


def models():
    assert len(list(client.models.list())) > 0


def errors_have_their_classes():
    no_model = client.with_options()
    error = fails(
        openai.NotFoundError,
        404,
        lambda: no_model.chat.completions.create(model="nosuch", messages=user("x")),
    )
    assert error.code == ("model_not_found" if WHERE == "mock" else "PROVIDER_004"), error.body
    wrong = openai.OpenAI(base_url=BASE, api_key="wrong", max_retries=0)
    fails(
        openai.AuthenticationError,
        401,
        lambda: wrong.chat.completions.create(model=model("t1"), messages=user("x")),
    )
    fails(openai.BadRequestError, 400, lambda: chat(messages=[]))
    # A model of its own: who says that its account is empty is left alone for a while.
    spent = {"model": "mock-fault-quota", "messages": user("x")}
    quota = fails(openai.APIStatusError, None, lambda: client.chat.completions.create(**spent))
    assert "quota" in str(quota), quota
    context = fails(openai.BadRequestError, 400, lambda: chat("fault-context"))
    assert "context" in str(context), context
    fails(openai.RateLimitError, 429, lambda: chat("a1ms-fault-429"))
    fails(openai.InternalServerError, None, lambda: chat("fault-500"))
    fails(openai.InternalServerError, None, lambda: chat("a1ms-fault-503", stream=True))


def a_stream_that_breaks_is_an_error():
    for fault in ["error-mid", *(["reset-mid", "truncate"] if WHERE == "gateway" else [])]:
        seen = []

        def read():
            for chunk in chat(f"t8-p5ms-fault-{fault}", stream=True):
                seen.append(chunk)

        fails(openai.APIError, None, read)
        assert len(seen) >= 2, f"{fault}: what came before the error was lost"


def retries_follow_the_fields():
    """A 429 with retry-after-ms: asked again after that, as often as the client is set to."""
    patient = client.with_options(max_retries=2)
    begun = time.monotonic()

    def ask():
        patient.chat.completions.create(model=model("a300ms-fault-429"), messages=user("x"))

    fails(openai.RateLimitError, 429, ask)
    took = time.monotonic() - begun
    assert 0.55 < took < 5, f"two waits of 300 ms took {took}"
    time.sleep(0.4)  # so long a gateway leaves the provider alone


def retries_heed_x_should_retry():
    """What another try cannot mend says so: the client does not ask again."""
    asked = []
    counting = openai.DefaultHttpxClient(event_hooks={"request": [asked.append]})
    patient = openai.OpenAI(base_url=BASE, api_key="sk-broke-of-the-clients", max_retries=5, http_client=counting)

    def ask():
        patient.chat.completions.create(model=model("t1"), messages=user("x"))

    error = fails(openai.APIStatusError, None, ask)
    assert error.status_code in (402, 429), error
    assert error.response.headers["x-should-retry"] == "false", error.response.headers
    assert len(asked) == 1, f"asked {len(asked)} times"


def a_limit_of_our_own_is_waited_for():
    """A rate of one request in a while: the second is refused, waits as told, and is answered."""
    asked = []
    counting = openai.DefaultHttpxClient(event_hooks={"response": [asked.append]})
    limited = openai.OpenAI(base_url=BASE, api_key="sk-limited-of-the-clients", max_retries=5, http_client=counting)
    for _ in range(2):
        limited.chat.completions.create(model=model("t1"), messages=user("x"))
    statuses = [response.status_code for response in asked]
    assert statuses.count(200) == 2 and 429 in statuses, statuses
    refused = next(response for response in asked if response.status_code == 429)
    assert float(refused.headers["retry-after-ms"]) > 0, refused.headers
    assert refused.headers["x-should-retry"] == "true", refused.headers


def a_stream_can_be_left():
    stream = chat("t100-p20ms", stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    stream.close()


CHECKS = [
    a_chat,
    a_chat_with_everything,
    a_stream,
    a_stream_with_usage,
    a_stream_is_passed_on_as_it_comes,
    tools_are_called_and_told_what_came_of_it,
    tools_are_streamed,
    json_is_answered,
    responses,
    errors_have_their_classes,
    a_stream_that_breaks_is_an_error,
    retries_follow_the_fields,
    a_stream_can_be_left,
]
if not TRANSLATED:
    CHECKS += [completions_of_old, embeddings, models]
if WHERE == "gateway":
    CHECKS += [retries_heed_x_should_retry, a_limit_of_our_own_is_waited_for]

if __name__ == "__main__":
    for check in CHECKS:
        print(f"openai-python {openai.__version__}, {MAKER}: {check.__name__}", flush=True)
        check()
