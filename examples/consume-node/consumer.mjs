// Reads order events from JetStream, and writes an invoice for each, once.
//
// An error ends the program. Whoever starts it again gets the same event again, because it was not acknowledged.

import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import pg from "pg";

const database = new pg.Client({ connectionString: process.env.DATABASE_URL });
await database.connect();
const client = await connect({ servers: process.env.NATS_URL });

const manager = await jetstreamManager(client);
await manager.consumers.add("OUTBOX", {
  durable_name: "billing",
  filter_subject: "outbox.order.OrderPlaced",
  ack_policy: AckPolicy.Explicit,
  // With one message in flight, events are handled in commit order, however many of these programs run.
  max_ack_pending: 1,
});
const orders = await jetstream(client).consumers.get("OUTBOX", "billing");
const messages = await orders.consume({ max_messages: 1 });
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => messages.stop());

for await (const message of messages) {
  await handle(message);
  await message.ackAck();
}
await client.close();
await database.end();

// Writes the invoice and the note that the event was handled, both or neither.
async function handle(message) {
  await database.query("BEGIN");
  const noted = await database.query(
    "INSERT INTO inbox (consumer, event_id) VALUES ('billing', $1) ON CONFLICT DO NOTHING",
    [message.headers.get("Nats-Msg-Id")],
  );
  // No row: it was handled before, and only the acknowledgement was lost.
  if (noted.rowCount === 1) {
    await database.query("INSERT INTO invoice (order_id, total_cents) VALUES ($1, $2)", [
      message.headers.get("Walpost-Aggregate-Id"),
      message.json().total_cents,
    ]);
  }
  await database.query("COMMIT");
}
