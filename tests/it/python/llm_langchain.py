"""langchain-openai against a model's API: the mock itself, or Ringway in front of it.

Arguments: the base URL up to /v1, an API key, `mock` or `gateway`, and what the models' names begin
with. Exits with 0 if all went well.
"""

import importlib.metadata
import sys

import openai
import pydantic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

BASE, KEY, WHERE, MAKER = sys.argv[1:5]
TRANSLATED = WHERE == "gateway" and MAKER == "claude"


def model(options, **more):
    fields = {"base_url": BASE, "api_key": KEY, "max_retries": 0, "timeout": 20}
    return ChatOpenAI(model=f"{MAKER}-mock-{options}", **{**fields, **more})


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"Sunny in {city}"


class Place(pydantic.BaseModel):
    city: str
    days: int


def a_chat():
    answer = model("t5").invoke([SystemMessage("Be brief."), HumanMessage("Hello")])
    assert answer.content == "t0 t1 t2 t3 t4", answer
    assert answer.usage_metadata["output_tokens"] == 5, answer.usage_metadata
    assert answer.response_metadata["finish_reason"] == "stop"


def a_stream():
    chunks = list(model("t5", stream_usage=True).stream("Hello"))
    assert "".join(chunk.content for chunk in chunks) == "t0 t1 t2 t3 t4"
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    assert whole.usage_metadata["output_tokens"] == 5, whole


def an_agents_round():
    asks = model("t5").bind_tools([weather])
    question = HumanMessage("What is the weather? Please call the tool.")
    answer = asks.invoke([question])
    [call] = answer.tool_calls
    assert (call["name"], call["args"]) == ("weather", {"city": "Paris"}), call
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    after = asks.invoke([question, answer, result])
    assert after.content == "t0 t1 t2 t3 t4", after
    streamed = None
    for chunk in asks.stream([question]):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["args"] == {"city": "Paris"}, streamed


def structured_output():
    for method in ["function_calling", "json_schema"]:
        place = model("t5").with_structured_output(Place, method=method).invoke("Where?")
        assert place == Place(city="Paris", days=1), (method, place)


def embeddings():
    vectors = OpenAIEmbeddings(
        model="text-embedding-mock",
        base_url=BASE,
        api_key=KEY,
        dimensions=32,
        check_embedding_ctx_length=False,
    ).embed_documents(["one", "two"])
    assert [len(vector) for vector in vectors] == [32, 32]


def errors():
    try:
        model("a1ms-fault-429").invoke("x")
    except openai.RateLimitError:
        return
    raise AssertionError("no RateLimitError")


CHECKS = [a_chat, a_stream, an_agents_round, structured_output, errors]
if not TRANSLATED:
    CHECKS.append(embeddings)

if __name__ == "__main__":
    version = importlib.metadata.version("langchain-openai")
    for check in CHECKS:
        print(f"langchain-openai {version}, {MAKER}: {check.__name__}", flush=True)
        check()
