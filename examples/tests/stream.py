"""What the stream holds, read by nats-py."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import nats

if TYPE_CHECKING:
    from nats.js import JetStreamContext

STREAM = "OUTBOX"


class Stored(NamedTuple):
    """A message of the stream."""

    id: str
    subject: str
    payload: Any
    headers: dict[str, str]


def messages(url: str) -> list[Stored]:
    """Return all messages, in their order."""

    async def read(js: JetStreamContext) -> list[Stored]:
        found = []
        for sequence in range(1, (await js.stream_info(STREAM)).state.last_seq + 1):
            message = await js.get_msg(STREAM, sequence)
            headers = message.headers or {}
            payload = json.loads(message.data) if message.data else None
            found.append(Stored(headers["Nats-Msg-Id"], message.subject or "", payload, headers))
        return found

    return _with_jetstream(url, read)


def unacknowledged(url: str, durable: str) -> int:
    """Return how many messages a consumer has not acknowledged."""

    async def ask(js: JetStreamContext) -> int:
        info = await js.consumer_info(STREAM, durable)
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    return _with_jetstream(url, ask)


def forget_consumer(url: str, durable: str) -> None:
    """Delete a consumer: whoever makes it anew gets every message once more."""

    async def delete(js: JetStreamContext) -> bool:
        return await js.delete_consumer(STREAM, durable)

    assert _with_jetstream(url, delete)


def _with_jetstream(url: str, work: Any) -> Any:
    """Do a piece of work on a connection of its own."""

    async def run() -> Any:
        client = await nats.connect(url)
        try:
            return await work(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(run())
