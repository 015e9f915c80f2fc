//! The table of all keys: the only place where a key is named, described and given its default.
//!
//! It drives the check for unknown keys, the names in the environment, `config show`, and the reference page.

use std::time::Duration;

use super::key::{Key, Kind, Preset};

/// Writes each row as a constant, and all of them as [`KEYS`]; the doc comment of a row is the doc line of its key.
macro_rules! keys {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal, $kind:expr, $preset:expr;)+) => {
        $($(#[doc = $doc])+
        pub(super) const $id: Key = Key { name: $name, doc: concat!($($doc),+), kind: $kind, preset: $preset };)+

        /// Every key, in the order of the reference.
        pub const KEYS: &[Key] = &[$($id),+];
    };
}

keys! {
    /// The database, as in libpq: `postgres://user@host:5432/database`. Several hosts are separated by commas;
    /// `?target_session_attrs=` tells which of them will do: `read-write` (the default then), `primary` or `any`.
    POSTGRES_URL = "postgres.url", Kind::Url, Preset::Required;
    /// A file that holds `postgres.url`; read again for each connection. Only the database in it must stay the same.
    POSTGRES_URL_FILE = "postgres.url_file", Kind::SecretFile, Preset::Unset("not read");
    /// The password; wins over one inside the URL.
    POSTGRES_PASSWORD = "postgres.password", Kind::Secret, Preset::Unset("that of the URL, if any");
    /// A file that holds `postgres.password`; read again for each connection.
    POSTGRES_PASSWORD_FILE = "postgres.password_file", Kind::SecretFile, Preset::Unset("not read");
    /// Whether the connection is encrypted and the server's certificate is verified, as in libpq; wins over the URL.
    POSTGRES_SSLMODE = "postgres.sslmode",
        Kind::Choice(&["disable", "prefer", "require", "verify-ca", "verify-full"]),
        Preset::Unset("`verify-full`; on this machine `prefer`");
    /// A file of certificates (PEM) that the server's is verified against; wins over the URL. `system` is those of the
    /// operating system, and takes no `sslmode` but `verify-full`.
    POSTGRES_SSLROOTCERT = "postgres.sslrootcert", Kind::PathOr("system"), Preset::Unset("the system's certificates");
    /// The client's certificate (PEM); needs `postgres.sslkey`; wins over the URL.
    POSTGRES_SSLCERT = "postgres.sslcert", Kind::Path, Preset::Unset("no client certificate");
    /// The private key (PEM, not encrypted) of `postgres.sslcert`; wins over the URL.
    POSTGRES_SSLKEY = "postgres.sslkey", Kind::Path, Preset::Unset("no client certificate");
    /// Whether the login is bound to the server's certificate (SCRAM-SHA-256-PLUS), as in libpq; wins over the URL.
    POSTGRES_CHANNEL_BINDING = "postgres.channel_binding",
        Kind::Choice(&["disable", "prefer", "require"]), Preset::Value("prefer");
    /// The replication slot: lower-case letters, digits and `_`.
    POSTGRES_SLOT = "postgres.slot", Kind::Text, Preset::Value("walpost");
    /// The publication that carries the outbox table.
    POSTGRES_PUBLICATION = "postgres.publication", Kind::Text, Preset::Value("walpost");

    /// The outbox table, with its schema.
    OUTBOX_TABLE = "outbox.table", Kind::Text, Preset::Value("public.outbox");
    /// How the columns are named: `walpost`, or `debezium` (id, aggregatetype, aggregateid, type, payload).
    OUTBOX_PRESET = "outbox.preset", Kind::Choice(&["walpost", "debezium"]), Preset::Value("walpost");
    /// The column with the unique id of the event.
    COLUMN_ID = "outbox.columns.id", Kind::Text, Preset::Unset("as in the preset");
    /// The column with the type of the thing that the event is about.
    COLUMN_AGGREGATE_TYPE = "outbox.columns.aggregate_type", Kind::Text, Preset::Unset("as in the preset");
    /// The column with the id of the thing that the event is about.
    COLUMN_AGGREGATE_ID = "outbox.columns.aggregate_id", Kind::Text, Preset::Unset("as in the preset");
    /// The column with the type of the event.
    COLUMN_EVENT_TYPE = "outbox.columns.event_type", Kind::Text, Preset::Unset("as in the preset");
    /// The column with the body of the message.
    COLUMN_PAYLOAD = "outbox.columns.payload", Kind::Text, Preset::Unset("as in the preset");
    /// The column with further headers.
    COLUMN_HEADERS = "outbox.columns.headers", Kind::Text, Preset::Unset("as in the preset");
    /// The column with the time of the event.
    COLUMN_CREATED_AT = "outbox.columns.created_at", Kind::Text, Preset::Unset("as in the preset");

    /// The NATS servers, separated by commas: `nats://host:4222` or `tls://host:4222`.
    NATS_URL = "nats.url", Kind::Url, Preset::Value("nats://127.0.0.1:4222");
    /// A file that holds `nats.url`; read again for each connection.
    NATS_URL_FILE = "nats.url_file", Kind::SecretFile, Preset::Unset("not read");
    /// The JetStream stream that the events go to.
    NATS_STREAM = "nats.stream", Kind::Text, Preset::Value("OUTBOX");
    /// The subject of an event: words and `{column}` placeholders, separated by dots.
    NATS_SUBJECT = "nats.subject", Kind::Text, Preset::Value("outbox.{aggregate_type}.{event_type}");
    /// What the subjects begin with that answers come to: one of walpost's own, so that nobody else may listen.
    NATS_INBOX_PREFIX = "nats.inbox_prefix", Kind::Text, Preset::Value("_INBOX");
    /// A credentials file (.creds) to log in with.
    NATS_CREDS_FILE = "nats.creds_file", Kind::Path, Preset::Unset("not used");
    /// An nkey seed to log in with.
    NATS_NKEY = "nats.nkey", Kind::Secret, Preset::Unset("not used");
    /// A file that holds `nats.nkey`; read again for each connection.
    NATS_NKEY_FILE = "nats.nkey_file", Kind::SecretFile, Preset::Unset("not read");
    /// The user to log in as; needs `nats.password`.
    NATS_USER = "nats.user", Kind::Text, Preset::Unset("that of the URL, if any");
    /// The password of `nats.user`.
    NATS_PASSWORD = "nats.password", Kind::Secret, Preset::Unset("that of the URL, if any");
    /// A file that holds `nats.password`; read again for each connection.
    NATS_PASSWORD_FILE = "nats.password_file", Kind::SecretFile, Preset::Unset("not read");
    /// A token to log in with.
    NATS_TOKEN = "nats.token", Kind::Secret, Preset::Unset("that of the URL, if any");
    /// A file that holds `nats.token`; read again for each connection.
    NATS_TOKEN_FILE = "nats.token_file", Kind::SecretFile, Preset::Unset("not read");
    /// A file of certificates (PEM) that the servers' are verified against.
    NATS_TLS_CA = "nats.tls_ca", Kind::Path, Preset::Unset("the system's certificates");
    /// The client's certificate (PEM); needs `nats.tls_key`.
    NATS_TLS_CERT = "nats.tls_cert", Kind::Path, Preset::Unset("no client certificate");
    /// The private key (PEM) of `nats.tls_cert`.
    NATS_TLS_KEY = "nats.tls_key", Kind::Path, Preset::Unset("no client certificate");
    /// Whether to refuse a connection that is not encrypted; always so for `tls://`.
    NATS_TLS_REQUIRED = "nats.tls_required", Kind::Switch, Preset::Value("false");

    /// How many events may be on their way to the broker at once.
    DELIVERY_MAX_IN_FLIGHT = "delivery.max_in_flight", Kind::Count { min: 1, max: 65_536 }, Preset::Value("2048");
    /// How many bytes of events may be on their way to the broker at once.
    DELIVERY_MAX_IN_FLIGHT_BYTES = "delivery.max_in_flight_bytes", Kind::Size, Preset::Value("16MiB");
    /// How long to wait for the broker to confirm an event before its outcome counts as unknown.
    DELIVERY_PUBLISH_TIMEOUT = "delivery.publish_timeout",
        Kind::Duration { min: Duration::from_millis(1), max: DAY }, Preset::Value("5s");
    /// How long a stop may wait for the broker to confirm what is on its way.
    DELIVERY_DRAIN_TIMEOUT = "delivery.drain_timeout",
        Kind::Duration { min: Duration::ZERO, max: DAY }, Preset::Value("10s");
    /// What becomes of an event that no message can carry: `dead-letter` stores a record of it in its place and goes on,
    /// `halt` stops.
    DELIVERY_ON_POISON = "delivery.on_poison", Kind::Choice(&["dead-letter", "halt"]), Preset::Value("dead-letter");

    /// What happens when the stream ends with events that a failover or restore lost: `halt` ends walpost and tells their ids,
    /// `keep` leaves them in the stream, logs their ids, and goes on behind them.
    DELIVERY_ON_ORPHANS = "delivery.on_orphans", Kind::Choice(&["halt", "keep"]), Preset::Value("halt");
    /// How much later than it was stored an event is confirmed to Postgres, so that what a broker forgets in a power failure can be sent again; 150s covers its default sync_interval.
    DELIVERY_HOLD_BACK = "delivery.hold_back",
        Kind::Duration { min: Duration::ZERO, max: DAY }, Preset::Value("0s");

    /// Deletes rows of the outbox that are delivered and were recorded longer ago than this: `7d`.
    RETENTION_DELETE_AFTER = "retention.delete_after",
        Kind::Duration { min: Duration::ZERO, max: YEARS }, Preset::Unset("rows are kept");

    /// How long an instance that says nothing keeps an endpoint from the other instances.
    WEBHOOKS_LEASE = "webhooks.lease",
        Kind::Duration { min: Duration::from_secs(1), max: DAY }, Preset::Value("10s");
    /// Networks that endpoints may be in besides the public internet, separated by commas: `127.0.0.1/32, 10.1.0.0/16`.
    WEBHOOKS_ALLOW_ADDRESSES = "webhooks.allow_addresses", Kind::Text, Preset::Unset("public addresses only");
    /// The ports that endpoints may have, separated by commas, ranges with a hyphen: `443, 8443, 9000-9999`.
    WEBHOOKS_ALLOW_PORTS = "webhooks.allow_ports", Kind::Text, Preset::Unset("any for endpoints in the file; 80, 443 and 8443 for those in a table");
    /// A file of certificates (PEM) that the endpoints' are verified against.
    WEBHOOKS_TLS_CA = "webhooks.tls_ca", Kind::Path, Preset::Unset("the system's certificates");

    /// Where the endpoints are: in the configuration file, or in a table of the database in `[postgres]`.
    WEBHOOKS_SOURCE = "webhooks.source", Kind::Choice(&["file", "table"]), Preset::Value("file");
    /// The table of endpoints, with its schema.
    WEBHOOKS_TABLE = "webhooks.table", Kind::Text, Preset::Value("public.walpost_webhook_endpoint");
    /// How often the table of endpoints is looked at.
    WEBHOOKS_REFRESH = "webhooks.refresh",
        Kind::Duration { min: Duration::from_millis(100), max: DAY }, Preset::Value("2s");

    /// Where the admin port listens.
    ADMIN_LISTEN = "admin.listen", Kind::Address, Preset::Value("127.0.0.1:9464");

    /// How log lines look; `auto` is pretty on a terminal and json elsewhere.
    LOG_FORMAT = "log.format", Kind::Choice(&["auto", "pretty", "json"]), Preset::Value("auto");
    /// What is logged: a level (error, warn, info, debug, trace, off), or `target=level` pairs separated by commas.
    LOG_LEVEL = "log.level", Kind::Text, Preset::Value("info");
}

/// The key called `name`.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The sections, in the order of the table.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> =
        KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(section, _)| section).collect();
    sections.dedup();
    sections
}

/// A bound for every wait: long past any sense, and far from where adding it to a clock could overflow.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A bound for how long something is kept: ten years.
const YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_in_the_file_and_in_the_environment() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        let variables: BTreeSet<_> = KEYS.iter().map(Key::environment_name).collect();
        assert_eq!((names.len(), variables.len()), (KEYS.len(), KEYS.len()));
        assert!(variables.contains("WALPOST_OUTBOX_COLUMNS_AGGREGATE_ID"));
    }

    #[test]
    fn every_doc_line_is_a_sentence() {
        for key in KEYS {
            assert!(key.doc().ends_with('.') && !key.doc().contains("  "), "{}", key.name);
        }
    }

    #[test]
    fn a_secret_can_always_come_from_a_file() {
        for key in KEYS.iter().filter(|key| matches!(key.kind, Kind::Secret | Kind::Url)) {
            assert!(KEYS.iter().any(|other| other.holds() == Some(key.name)), "{}", key.name);
        }
    }

    #[test]
    fn sections_stay_together() {
        assert_eq!(sections(), ["postgres", "outbox", "nats", "delivery", "retention", "webhooks", "admin", "log"]);
    }
}
