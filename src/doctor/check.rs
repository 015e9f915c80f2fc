//! The checks, each with a name for ever, what it looks at, and why it matters.

use std::fmt;

use serde::{Serialize, Serializer};

/// Which side a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The database.
    Postgres,
    /// The broker.
    Nats,
    /// What connects the two: walpost itself.
    Walpost,
    /// The events' way on to HTTP endpoints, where there are any.
    Webhooks,
}

/// Makes the constants and the list of all.
macro_rules! checks {
    ($($side:ident: { $($name:ident = $id:literal, $looks_at:literal, $why:literal;)+ })+) => {
        impl Check {
            $($(
                #[doc = $looks_at]
                pub const $name: Self = Self { id: $id, side: Side::$side, looks_at: $looks_at, why: $why };
            )+)+

            /// Every check, in the order in which it is shown.
            pub const ALL: &[Self] = &[$($(Self::$name,)+)+];
        }
    };
}

/// One thing that doctor looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Check {
    id: &'static str,
    side: Side,
    looks_at: &'static str,
    why: &'static str,
}

checks! {
    Postgres: {
        POSTGRES = "postgres", "Whether Postgres can be reached and lets walpost in.",
            "Without it no event can be read; they wait in the log.";
        TLS = "postgres.tls", "Whether the connection is encrypted, and the server is who it says.",
            "What is not encrypted can be read on the way, events and password alike; what is not verified can be somebody else.";
        LOGIN = "postgres.login", "How the role proves who it is.",
            "Whoever can say that he is this role can read the whole log.";
        PASSWORD = "postgres.password", "Until when the role's password is valid.",
            "After that time the next connection is refused, and delivery stops.";
        DIRECT = "postgres.direct", "Whether a pooler stands between.",
            "Replication and sessions that live long do not pass every pooler.";
        VERSION = "postgres.version", "Whether the server is new enough, and has the fixes that decoding needs.",
            "Older servers lack what walpost needs, or lose rows.";
        PRIMARY = "postgres.primary", "Whether the server is the primary.",
            "Only there events are written, and the slot is.";
        WAL_LEVEL = "postgres.wal_level", "Whether the log carries enough to decode rows.",
            "Without wal_level = logical no event can be read from the log.";
        ROLE = "postgres.role", "Whether the role may replicate.",
            "Without it Postgres refuses the connection that reads the log.";
        SLOTS_LEFT = "postgres.slots", "Whether there is room for the slot.",
            "The slot cannot be created while others take every place.";
        SENDERS_LEFT = "postgres.senders", "Whether there is room for a replication connection.",
            "Without a free walsender walpost cannot read the log, and no standby can take over.";
        REPLICATION = "postgres.replication", "Whether a replication connection can be opened.",
            "It is the way that events take.";
        ENCODING = "postgres.encoding", "Whether the database has an encoding.",
            "A database without one holds bytes that are no text; an event with such a value becomes a dead letter.";
        TABLE = "table", "Whether the outbox table is there, is logged, and has the columns of an outbox.",
            "Rows that are not in the log or cannot be read as events are never published.";
        WATERMARK = "watermark", "Whether the table of watermarks is there, and the role may use it.",
            "Nothing is confirmed to Postgres before it is written there: the log would grow without end.";
        STATUS = "status", "Whether the delivery status of each row is kept in the database.",
            "Without it nobody can ask whether an event was delivered; delivery itself does not depend on it.";
        RETENTION = "retention", "Whether delivered rows can be deleted, if they are to be.",
            "Rows that were meant to go would stay, and the table would grow without end.";
        PENDING = "outbox.pending", "How many rows are not delivered, and since when.",
            "Whoever waits for these events waits for longer than they should.";
        PUBLICATION = "publication", "Whether the publication is there.",
            "Without it Postgres sends no row.";
        PUBLICATION_INSERTS = "publication.inserts", "Whether it publishes inserts.",
            "Events are inserts: Postgres leaves them out without a word.";
        PUBLICATION_TABLE = "publication.table", "Whether it has the outbox table, and sends partitions under the table's name.",
            "Postgres leaves the rows out without a word.";
        PUBLICATION_COLUMNS = "publication.columns", "Whether it sends every column that an event is made of.",
            "An event would lack a part of it.";
        PUBLICATION_ROWS = "publication.rows", "Whether it sends every row.",
            "Events that the filter keeps back are lost without a word: their log is confirmed.";
        SLOT = "slot", "Whether the replication slot is there, is one for walpost, and can be used.",
            "The slot keeps the log until its events are stored.";
        SLOT_READER = "slot.reader", "Who reads from the slot.",
            "While nobody reads, Postgres keeps log; while somebody else reads, walpost can only stand by.";
        SLOT_LOG = "slot.log", "How much log the slot holds back, and when that is too much.",
            "Log that the slot holds back fills the disk of the whole server, or is given up with the events in it.";
        SLOT_LIMIT = "slot.limit", "Whether there is a limit to what slots may hold back.",
            "Without one a long outage fills the disk and stops the database; with one that is too small the slot is lost soon.";
        SLOT_IDLE = "slot.idle_timeout", "Whether the server gives up slots that nobody reads from.",
            "A slot that is given up cannot be used again, and the events of that time must be recorded again.";
        SENDER_TIMEOUT = "slot.sender_timeout", "After what time the server notices that a reader is gone.",
            "Until then the slot of a walpost whose machine died is not free, and no standby takes over.";
        SLOT_FAILOVER = "slot.failover", "Whether the slot goes over to a standby.",
            "Otherwise a failover loses the slot, and with it the place in the log.";
        SLOT_STANDBYS = "slot.standbys", "Whether the standbys that delivery waits for are there.",
            "Postgres sends walpost nothing that these standbys do not have: one that is away stops delivery.";
        OTHER_SLOTS = "slots.others", "Whether other slots hold back log.",
            "They fill the same disk.";
        TRANSACTIONS = "transactions", "Whether old transactions hold back the log.",
            "Postgres keeps the log from the beginning of the oldest transaction on, however fast walpost is.";
    }
    Nats: {
        NATS = "nats", "Whether NATS can be reached and lets walpost in.",
            "Without it no event is delivered; they wait in the log of Postgres.";
        NATS_TLS = "nats.tls", "Whether the connection is encrypted.",
            "What is not encrypted can be read on the way, events and password alike.";
        NATS_LOGIN = "nats.login", "Whether the server wants to know who connects.",
            "Whoever reaches a server that asks nobody can write to the stream, or delete it.";
        NATS_VERSION = "nats.version", "Whether the server is new enough.",
            "Older servers do not check what a message expects of its stream.";
        NATS_RIGHTS = "nats.rights", "Whether the NATS user may do what walpost does.",
            "What may not be published is not delivered, and the line stops there.";
        MAX_PAYLOAD = "nats.max_payload", "How large a message may be.",
            "A larger event becomes a dead letter.";
        ACCOUNT = "nats.account", "How full the account's storage is.",
            "When it is full nothing more is stored, and events wait in the log of Postgres.";
        STREAM = "stream", "Whether the stream is there and can be written to.",
            "It holds the events, and its end says where to continue.";
        STREAM_SUBJECTS = "stream.subjects", "Whether it takes every subject that walpost publishes to.",
            "A message that no stream takes is stored nowhere.";
        STREAM_ALONE = "stream.alone", "Whether it is walpost's alone and keeps what consumers have read.",
            "Only then each event is stored once, in one order; otherwise a fault may store some twice.";
        STREAM_STORAGE = "stream.storage", "Whether it is kept on disk.",
            "A stream in memory is gone when its servers restart, with every event that Postgres was told of.";
        STREAM_WRITES = "stream.writes", "Whether it acknowledges a message only once that is written.",
            "What is acknowledged earlier can be lost after Postgres was told that it is stored.";
        STREAM_REPLICAS = "stream.replicas", "Whether several servers keep it, and are up to date.",
            "With one copy the loss of a disk loses events; without a majority nothing is stored.";
        STREAM_DISCARD = "stream.discard", "What happens when it is full.",
            "A stream that then forgets the oldest loses events that nobody may have read; one that refuses makes them wait.";
        STREAM_ROOM = "stream.room", "How full it is.",
            "A full stream stores nothing more, and events wait in the log of Postgres.";
        STREAM_AGE = "stream.age", "After what time it forgets.",
            "Consumers that are away for longer miss events.";
        STREAM_PER_SUBJECT = "stream.per_subject", "Whether it keeps all messages of a subject.",
            "A limit for each subject removes events although there is room.";
        STREAM_MESSAGE_SIZE = "stream.message_size", "How large its messages may be.",
            "A larger event becomes a dead letter.";
        STREAM_WINDOW = "stream.window", "For how long it remembers message ids.",
            "In a stream that is shared only this window keeps repeated events out.";
        STREAM_END = "stream.end", "Whether its last messages are walpost's.",
            "walpost continues behind its last message.";
        DEAD_LETTERS = "stream.dead_letters", "Whether it holds dead letters.",
            "Each stands for an event that its consumers did not get.";
    }
    Walpost: {
        PLACE = "walpost.place", "Whether slot, watermark and stream agree on where to continue.",
            "Where they do not, events were lost or would be sent twice, and walpost does not start.";
        RUNNING = "walpost.running", "What the walpost on this host says of itself.",
            "It knows best what it waits for.";
    }
    Webhooks: {
        WEBHOOKS_TABLE = "webhooks.table", "Whether the table of endpoints can be read, has their columns, and is not for everybody.",
            "Whoever is in a table that cannot be read is not served by an instance that starts; whoever can read it can sign.";
        WEBHOOKS_ROWS = "webhooks.rows", "Whether each row of the table is an endpoint.",
            "A row that is wrong is not served, and its events wait.";
        WEBHOOKS_RIGHTS = "webhooks.rights", "Whether the NATS user may do what webhooks do.",
            "Whoever may not read events and write down how far endpoints are delivers nothing.";
        WEBHOOKS_STREAMS = "webhooks.streams", "Whether the streams that webhooks are kept in are there, and forget nothing.",
            "They alone know how far each endpoint is.";
        WEBHOOKS_ENDPOINTS = "webhooks.endpoints", "Whether each endpoint is served, enabled, and takes its events.",
            "Events of the others wait.";
        WEBHOOKS_RETENTION = "webhooks.retention", "Whether the stream keeps events until they are delivered.",
            "What the stream drops before it is delivered is lost for that endpoint.";
        WEBHOOKS_SUBJECTS = "webhooks.subjects", "Whether the stream takes what endpoints want.",
            "An endpoint whose subjects match nothing gets nothing, without an error.";
        WEBHOOKS_ADDRESSES = "webhooks.addresses", "Whether the names of endpoints lead to addresses that may be connected to.",
            "What cannot be resolved, or leads into a network that is not public, gets nothing.";
        WEBHOOKS_DEAD_LETTERS = "webhooks.dead_letters", "Whether there are events that an endpoint did not take.",
            "Each was tried for the last time.";
    }
}

impl Check {
    /// Its name.
    pub fn id(self) -> &'static str {
        self.id
    }

    /// Which side it looks at.
    pub fn side(self) -> Side {
        self.side
    }

    /// What it looks at, in one sentence.
    pub fn looks_at(self) -> &'static str {
        self.looks_at
    }

    /// Why that matters, in one sentence.
    pub fn why(self) -> &'static str {
        self.why
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_texts_are_sentences() {
        let ids: BTreeSet<_> = Check::ALL.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), Check::ALL.len());
        for check in Check::ALL {
            assert!(check.looks_at.ends_with('.') && check.why.ends_with('.'), "{check:?}");
        }
    }
}
