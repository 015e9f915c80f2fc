// Reads order events from JetStream, and writes an invoice for each, once.
//
// An error ends the program. Whoever starts it again gets the same event again, because it was not acknowledged.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

// run handles one event after the other, until SIGTERM or Ctrl-C.
func run(ctx context.Context) error {
	database, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer database.Close(context.Background())
	client, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer client.Close()
	js, err := jetstream.New(client)
	if err != nil {
		return err
	}
	orders, err := js.CreateOrUpdateConsumer(ctx, "OUTBOX", jetstream.ConsumerConfig{
		Durable:       "billing",
		FilterSubject: "outbox.order.OrderPlaced",
		// With one message in flight, events are handled in commit order, however many of these programs run.
		MaxAckPending: 1,
	})
	if err != nil {
		return err
	}
	messages, err := orders.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, messages.Stop)
	for {
		message, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		} else if err != nil {
			return err
		}
		// Not by ctx: what was begun is finished.
		if err := handle(context.Background(), database, message); err != nil {
			return err
		}
		if err := message.DoubleAck(context.Background()); err != nil {
			return err
		}
	}
}

// handle writes the invoice and the note that the event was handled, both or neither.
func handle(ctx context.Context, database *pgx.Conn, message jetstream.Msg) error {
	headers := message.Headers()
	return pgx.BeginFunc(ctx, database, func(tx pgx.Tx) error {
		noted, err := tx.Exec(ctx,
			"INSERT INTO inbox (consumer, event_id) VALUES ('billing', $1) ON CONFLICT DO NOTHING",
			headers.Get("Nats-Msg-Id"))
		if err != nil || noted.RowsAffected() == 0 {
			return err // without an error: it was handled before, and only the acknowledgement was lost
		}
		var order struct {
			TotalCents int64 `json:"total_cents"`
		}
		if err := json.Unmarshal(message.Data(), &order); err != nil {
			return err
		}
		_, err = tx.Exec(ctx,
			"INSERT INTO invoice (order_id, total_cents) VALUES ($1, $2)",
			headers.Get("Walpost-Aggregate-Id"), order.TotalCents)
		return err
	})
}
