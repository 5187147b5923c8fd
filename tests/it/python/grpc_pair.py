"""Both ends of gRPC calls, by gRPC's own library: the server, and clients through the gateway.

Prints the server's port, reads from standard input the gateway's port and, for TLS, the file of the
authority to trust; exits with 0 if all went well. Messages are bytes: no protobuf is needed.
"""

import concurrent.futures
import os
import sys
import threading
import time

import grpc

LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
cancelled = threading.Event()


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    if "x-fail" in metadata:
        context.set_trailing_metadata([("x-why-bin", b"\x00\xff")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not yet: 100 % \u2713")
    if "x-sleep" in metadata:
        time.sleep(float(metadata["x-sleep"]))
    asked = [("x-head", metadata.get("x-ask", "")), ("x-head-bin", metadata.get("x-ask-bin", b""))]
    context.send_initial_metadata(asked)
    context.set_trailing_metadata([("x-tail", "t"), ("x-tail-bin", b"\x02\x00")])
    return request


def unary_stream(request, context):
    for nth in range(int(request)):
        yield b"%d" % nth
        time.sleep(0.01)


def stream_unary(requests, context):
    return b"".join(requests)


def stream_stream(requests, context):
    for request in requests:
        yield request


def endless(request, context):
    context.add_callback(lambda: cancelled.set())
    nth = 0
    while context.is_active():
        nth += 1
        yield b"%d" % nth
        time.sleep(0.02)


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "UnaryStream": grpc.unary_stream_rpc_method_handler(unary_stream),
    "StreamUnary": grpc.stream_unary_rpc_method_handler(stream_unary),
    "StreamStream": grpc.stream_stream_rpc_method_handler(stream_stream),
    "Endless": grpc.unary_stream_rpc_method_handler(endless),
}


def unary_calls(channel):
    call = channel.unary_unary("/t.S/Unary")
    assert call(b"") == b""
    answer, told = call.with_call(
        b"hello", metadata=[("x-ask", "a b"), ("x-ask-bin", bytes(range(256)))], timeout=60
    )
    head, tail = dict(told.initial_metadata()), dict(told.trailing_metadata())
    assert answer == b"hello"
    assert (head["x-head"], head["x-head-bin"]) == ("a b", bytes(range(256))), head
    assert (tail["x-tail"], tail["x-tail-bin"]) == ("t", b"\x02\x00"), tail
    large = os.urandom(4 << 20)
    assert call(large, timeout=60) == large


def failing_calls(channel):
    call = channel.unary_unary("/t.S/Unary")
    error = failure(lambda: call(b"x", metadata=[("x-fail", "1")]))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "not yet: 100 % \u2713", error.details()
    assert dict(error.trailing_metadata())["x-why-bin"] == b"\x00\xff"
    began = time.monotonic()
    error = failure(lambda: call(b"x", metadata=[("x-sleep", "3")], timeout=0.3))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert time.monotonic() - began > 0.25
    error = failure(lambda: channel.unary_unary("/t.S/Nothing")(b"x"))
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it went well")


def streaming_calls(channel):
    numbers = list(channel.unary_stream("/t.S/UnaryStream")(b"30", timeout=60))
    assert numbers == [b"%d" % nth for nth in range(30)], numbers
    parts = [os.urandom(nth * 1000) for nth in range(60)]
    assert channel.stream_unary("/t.S/StreamUnary")(iter(parts), timeout=60) == b"".join(parts)
    # Each message is sent only after the answer to the one before has come.
    turn = threading.Semaphore(1)

    def in_turns():
        for part in parts:
            assert turn.acquire(timeout=60), "the answer to the last one does not come"
            yield part

    answers = []
    for answer in channel.stream_stream("/t.S/StreamStream")(in_turns(), timeout=60):
        answers.append(answer)
        turn.release()
    assert answers == parts


def cancelling_call(channel):
    cancelled.clear()
    call = channel.unary_stream("/t.S/Endless")(b"")
    assert [next(call) for _ in range(3)] == [b"1", b"2", b"3"]
    assert not cancelled.is_set()
    call.cancel()
    assert cancelled.wait(60), "the server does not see it"
    assert call.code() == grpc.StatusCode.CANCELLED, call.code()


def many_calls(channel):
    unary, both = channel.unary_unary("/t.S/Unary"), channel.stream_stream("/t.S/StreamStream")
    bodies = [os.urandom(500 * nth) for nth in range(100)]
    calls = [unary.future(body, metadata=[("x-sleep", "0.02")], timeout=60) for body in bodies]
    streams = [both(iter([body, b"end"]), timeout=60) for body in bodies[:20]]
    for call, body in zip(calls, bodies):
        assert call.result() == body
    for stream, body in zip(streams, bodies):
        assert list(stream) == [body, b"end"]


def main():
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(64), options=LARGE)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.S", HANDLERS)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    port, *authority = sys.stdin.readline().split()
    if authority:
        with open(authority[0], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        options = [*LARGE, ("grpc.ssl_target_name_override", "a.test")]
        channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", LARGE)
    with channel:
        for calls in [unary_calls, failing_calls, streaming_calls, cancelling_call, many_calls]:
            began = time.monotonic()
            calls(channel)
            print(f"{calls.__name__}: {time.monotonic() - began:.2f} s", file=sys.stderr)
    server.stop(0)


main()
