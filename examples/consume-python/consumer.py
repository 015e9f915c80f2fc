"""Reads order events from JetStream, and writes an invoice for each, once.

An error ends the program. Whoever starts it again gets the same event again, because it was not acknowledged.
"""

import asyncio
import json
import os
import signal

import nats
import psycopg
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig


async def main() -> None:
    """Handle one event after the other, until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"], autocommit=True)
    client = await nats.connect(os.environ["NATS_URL"])
    # With one message in flight, events are handled in commit order, however many of these programs run.
    one_at_a_time = ConsumerConfig(max_ack_pending=1)
    orders = await client.jetstream().pull_subscribe(
        "outbox.order.OrderPlaced", durable="billing", stream="OUTBOX", config=one_at_a_time
    )
    while not stop.is_set():
        try:
            (message,) = await orders.fetch(1, timeout=1)
        except nats.errors.TimeoutError:
            continue  # nothing new
        await handle(database, message)
        await message.ack_sync()
    await client.close()
    await database.close()


async def handle(database: psycopg.AsyncConnection, message: Msg) -> None:
    """Write the invoice and the note that the event was handled, both or neither."""
    headers = message.headers or {}
    async with database.transaction():
        noted = await database.execute(
            "INSERT INTO inbox (consumer, event_id) VALUES ('billing', %s) ON CONFLICT DO NOTHING",
            [headers["Nats-Msg-Id"]],
        )
        if noted.rowcount == 0:
            return  # it was handled before, and only the acknowledgement was lost
        order = json.loads(message.data)
        await database.execute(
            "INSERT INTO invoice (order_id, total_cents) VALUES (%s, %s)",
            [headers["Walpost-Aggregate-Id"], order["total_cents"]],
        )


asyncio.run(main())
