"""Both ends of WebSockets, by the `websockets` library: the origin, and clients through the gateway.

Prints the origin's port, reads the gateway's from standard input, exits with 0 if all went well.
"""

import asyncio
import os
import sys

import websockets

# A busy machine is no dead peer.
PATIENT = {"open_timeout": 60, "ping_interval": None}


async def origin(ws):
    if ws.request.path == "/close":
        await ws.close(4001, "as asked")
        return
    async for message in ws:
        await ws.send(message)


async def client(port):
    url = f"ws://127.0.0.1:{port}"
    async with websockets.connect(f"{url}/echo", subprotocols=["chat"], max_size=None, **PATIENT) as ws:
        assert ws.subprotocol == "chat", ws.subprotocol
        # Compression was agreed on by both ends: the gateway passes the extension through.
        assert "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"]
        for message in ["text \u2713", b"", os.urandom(200_000), "x" * 1_000_000]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send([b"frag", b"men", b"ted"])
        assert await ws.recv() == b"fragmented"
        await (await ws.ping())
    assert ws.close_code == 1000, ws.close_code
    async with websockets.connect(f"{url}/close", subprotocols=["chat"], **PATIENT) as ws:
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason) == (4001, "as asked")
    async with asyncio.TaskGroup() as group:
        for nth in range(50):
            group.create_task(many(f"{url}/{nth}", nth))


async def many(url, nth):
    async with websockets.connect(url, subprotocols=["chat"], **PATIENT) as ws:
        for round in range(20):
            await ws.send(f"{nth} {round}")
            assert await ws.recv() == f"{nth} {round}"


async def main():
    async with websockets.serve(
        origin, "127.0.0.1", 0, subprotocols=["chat"], max_size=None, **PATIENT
    ) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        port = await asyncio.to_thread(sys.stdin.readline)
        await asyncio.wait_for(client(int(port)), 120)


asyncio.run(main())
