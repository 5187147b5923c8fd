"""Clients of HTTP/2 by others, through the gateway: httpx, and the `h2` library under it.

Arguments: the port in clear, the port of TLS, the authority's certificate. The origin behind the
gateway echoes bodies, and answers `/trailers` with trailers. Exits with 0 if all went well.
"""

import asyncio
import os
import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import httpx


async def requests(client, base):
    answer = await client.get(f"{base}/get", params={"q": "1"}, cookies={"a": "1", "b": "2"})
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200), answer
    assert answer.text == "", answer.text
    body = os.urandom(1_000_000)
    answer = await client.post(f"{base}/echo", content=body)
    assert answer.content == body

    async def pieces():
        for at in range(0, len(body), 70_000):
            yield body[at : at + 70_000]

    answer = await client.post(f"{base}/echo", content=pieces())
    assert answer.content == body
    assert (await client.head(f"{base}/echo")).content == b""
    assert (await client.get(f"{base}/missing")).status_code == 404

    async def one(nth):
        body = os.urandom(nth * 1000)
        answer = await client.post(f"{base}/echo", content=body)
        assert answer.content == body and answer.http_version == "HTTP/2"

    async with asyncio.TaskGroup() as group:
        for nth in range(100):
            group.create_task(one(nth))
    # One that is given up does not spoil the connection.
    async with client.stream("POST", f"{base}/echo", content=body) as answer:
        async for _ in answer.aiter_raw(1000):
            break
    for _ in range(100):
        assert (await client.get(f"{base}/get")).status_code == 200


def trailers(port):
    """Trailers both ways, which httpx does not show."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config=config)
        connection.initiate_connection()
        head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/trailers")]
        connection.send_headers(1, head)
        connection.send_data(1, b"body")
        sock.sendall(connection.data_to_send())
        connection.send_headers(1, [("x-check", "1")], end_stream=True)
        sock.sendall(connection.data_to_send())
        seen, ended = {}, False
        while not ended:
            received = sock.recv(65536)
            assert received, "the connection ended"
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    assert dict(event.headers)[":status"] == "200"
                elif isinstance(event, h2.events.TrailersReceived):
                    seen = dict(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
                else:
                    assert not isinstance(event, h2.events.StreamReset), event
            sock.sendall(connection.data_to_send())
        assert seen == {"x-sum": "4"}, seen
        connection.close_connection()
        sock.sendall(connection.data_to_send())


async def main():
    clear, secure, authority = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    trailers(clear)
    async with httpx.AsyncClient(http1=False, http2=True, timeout=60) as client:
        await requests(client, f"http://127.0.0.1:{clear}")
    trust = ssl.create_default_context(cafile=authority)
    async with httpx.AsyncClient(http2=True, verify=trust, timeout=60) as client:
        await requests(client, f"https://localhost:{secure}")


asyncio.run(main())
