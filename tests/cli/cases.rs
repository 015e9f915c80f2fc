//! The broken configurations of [`super::broken`], and word for word what is said about them.
//!
//! A case is the text of `walpost.toml` and the lines that `config check` prints below the count. In most cases the
//! text goes below a configuration that is whole, so its first line is the third of the file.

use self::Text::{Alone, Below};

/// Not TOML.
pub(super) const SYNTAX: &[(Text, &[&str])] = &[
    (
        Alone("[postgres]\nurl = postgres://app@db/app\n"),
        &["walpost.toml:2: not TOML: string values must be quoted, expected literal string"],
    ),
    (
        Alone("[postgres\nurl = \"postgres://app@db/app\"\n"),
        &["walpost.toml:1: not TOML: unclosed table, expected `]`"],
    ),
    (
        Below("slot = \"a\npublication = \"b\n"),
        &[
            "walpost.toml:3: not TOML: invalid basic string, expected `\"`",
            "walpost.toml:4: not TOML: invalid basic string, expected `\"`",
        ],
    ),
    (Below("url = \"postgres://other/app\"\n"), &["walpost.toml:3: not TOML: duplicate key"]),
    (Alone("hello"), &["walpost.toml:1: not TOML: key with no value, expected `=`"]),
    (
        Below("slot = \"\\q\"\n"),
        &[
            "walpost.toml:3: not TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\\`, `\"`, `x`, `u`, `U`",
        ],
    ),
];

/// Unknown keys and sections.
pub(super) const NAMES: &[(Text, &[&str])] = &[
    (
        Below("solt = \"a\"\n"),
        &["walpost.toml:3: unknown key `postgres.solt`", "  hint: did you mean `postgres.slot`?"],
    ),
    (
        Below("stream = \"A\"\n"),
        &["walpost.toml:3: unknown key `postgres.stream`", "  hint: did you mean `nats.stream`?"],
    ),
    (
        Below("max-in-flight = 5\n"),
        &["walpost.toml:3: unknown key `postgres.max-in-flight`", "  hint: did you mean `delivery.max_in_flight`?"],
    ),
    (Below("zzz = 1\n"), &["walpost.toml:3: unknown key `postgres.zzz`"]),
    (
        Alone("slot = \"a\"\n[postgres]\nurl = \"postgres://app@db/app\"\n"),
        &["walpost.toml:1: unknown key `slot`", "  hint: did you mean `postgres.slot`?"],
    ),
    (Below("[nat]\nurl = \"nats://a\"\n"), &["walpost.toml:3: unknown section `nat`", "  hint: did you mean `nats`?"]),
    (
        Below("[kafka]\nurl = \"a\"\n"),
        &[
            "walpost.toml:3: unknown section `kafka`",
            "  hint: the sections are postgres, outbox, nats, delivery, retention, webhooks, admin, log",
        ],
    ),
    (
        Below("[outbox.colums]\nid = \"a\"\n"),
        &["walpost.toml:3: unknown section `outbox.colums`", "  hint: did you mean `outbox.columns`?"],
    ),
    (
        Below("[outbox.columns]\naggregateid = \"a\"\n"),
        &[
            "walpost.toml:4: unknown key `outbox.columns.aggregateid`",
            "  hint: did you mean `outbox.columns.aggregate_id`?",
        ],
    ),
    (
        Below("[outbox]\ncolumns = \"id\"\n"),
        &[
            "walpost.toml:4: `outbox.columns` is a section, not a key",
            "  hint: write [outbox.columns] on a line of its own",
        ],
    ),
    (
        Alone("postgres = \"postgres://app@db/app\"\n"),
        &["walpost.toml:1: `postgres` is a section, not a key", "  hint: write [postgres] on a line of its own"],
    ),
    (Below("[postgres.slot]\nname = \"a\"\n"), &["walpost.toml:3: postgres.slot: expected text, found a table"]),
];

/// Values of the wrong type.
pub(super) const TYPES: &[(Text, &[&str])] = &[
    (
        Below("slot = 5\n"),
        &["walpost.toml:3: postgres.slot: expected text, found an integer", "  hint: write it in quotes"],
    ),
    (
        Alone("[postgres]\nurl = [\"postgres://a/app\", \"postgres://b/app\"]\n"),
        &[
            "walpost.toml:2: postgres.url: expected text, found an array",
            "  hint: separate several hosts by commas, in one text",
        ],
    ),
    (
        Below("[delivery]\nmax_in_flight = \"7\"\n"),
        &[
            "walpost.toml:4: delivery.max_in_flight: expected a whole number, found text",
            "  hint: write it without quotes",
        ],
    ),
    (
        Below("[delivery]\nmax_in_flight = 2.5\n"),
        &[
            "walpost.toml:4: delivery.max_in_flight: expected a whole number, found a number with a fraction",
            "  hint: a whole number from 1 to 65536",
        ],
    ),
    (
        Below("[delivery]\npublish_timeout = 5\n"),
        &[
            "walpost.toml:4: delivery.publish_timeout: expected a duration, found an integer",
            "  hint: write a number with a unit in quotes, such as \"5s\"",
        ],
    ),
    (
        Below("[delivery]\nmax_in_flight_bytes = true\n"),
        &[
            "walpost.toml:4: delivery.max_in_flight_bytes: expected a size, found true or false",
            "  hint: write a number with a unit in quotes, such as \"16MiB\"",
        ],
    ),
    (
        Below("[nats]\ntls_required = \"yes\"\n"),
        &["walpost.toml:4: nats.tls_required: expected true or false, found text", "  hint: write it without quotes"],
    ),
    (
        Below("[admin]\nlisten = 12:00:00\n"),
        &["walpost.toml:4: admin.listen: expected text, found a time", "  hint: write it in quotes"],
    ),
];

/// Values that a key does not take.
pub(super) const VALUES: &[(Text, &[&str])] = &[
    (
        Below("slot = \"Wal-Post\"\n"),
        &[
            "walpost.toml:3: postgres.slot: `Wal-Post` is not a slot name",
            "  hint: Postgres takes 1 to 63 of a-z, 0-9 and _",
        ],
    ),
    (Below("publication = \"  \"\n"), &["walpost.toml:3: postgres.publication: `  ` is not a name"]),
    (
        Below("sslmode = \"verify_full\"\n"),
        &[
            "walpost.toml:3: postgres.sslmode: `verify_full` is not one of disable, prefer, require, verify-ca, verify-full",
            "  hint: did you mean `verify-full`?",
        ],
    ),
    (Below("[outbox]\ntable = \"\"\n"), &["walpost.toml:4: outbox.table: must not be empty"]),
    (
        Below("[outbox]\npreset = \"debesium\"\n"),
        &[
            "walpost.toml:4: outbox.preset: `debesium` is not one of walpost, debezium",
            "  hint: did you mean `debezium`?",
        ],
    ),
    (
        Below("[nats]\nstream = \"out.box\"\n"),
        &[
            "walpost.toml:4: nats.stream: `out.box` is not a stream name",
            "  hint: NATS takes 1 to 255 bytes without . * > / \\ and blanks",
        ],
    ),
    (
        Below("[nats]\ninbox_prefix = \"inbox.>\"\n"),
        &[
            "walpost.toml:4: nats.inbox_prefix: `inbox.>` is not a subject",
            "  hint: words with dots between them, without * > and blanks, such as _INBOX_walpost",
        ],
    ),
    (
        Below("[delivery]\nmax_in_flight = 0\n"),
        &["walpost.toml:4: delivery.max_in_flight: 0 is too small", "  hint: a whole number from 1 to 65536"],
    ),
    (
        Below("[delivery]\nmax_in_flight = 65537\n"),
        &["walpost.toml:4: delivery.max_in_flight: 65537 is too large", "  hint: a whole number from 1 to 65536"],
    ),
    (
        Below("[delivery]\nmax_in_flight_bytes = \"16 megs\"\n"),
        &[
            "walpost.toml:4: delivery.max_in_flight_bytes: `16 megs` is not a size",
            "  hint: a number of bytes with a unit (B, KiB, MiB, GiB), such as 16MiB",
        ],
    ),
    (
        Below("[delivery]\npublish_timeout = \"1.5s\"\n"),
        &[
            "walpost.toml:4: delivery.publish_timeout: `1.5s` is not a duration",
            "  hint: a whole number with a unit (ms, s, m, h, d), such as 5s",
        ],
    ),
    (
        Below("[delivery]\npublish_timeout = \"0s\"\n"),
        &["walpost.toml:4: delivery.publish_timeout: must be at least 1ms"],
    ),
    (
        Below("[delivery]\ndrain_timeout = \"48h\"\n"),
        &["walpost.toml:4: delivery.drain_timeout: must be at most 24 hours"],
    ),
    (
        Below("[admin]\nlisten = \"localhost:9464\"\n"),
        &[
            "walpost.toml:4: admin.listen: `localhost:9464` is not an IP address and a port",
            "  hint: an address and a port, such as 127.0.0.1:9464 or [::1]:9464",
        ],
    ),
    (
        Below("[log]\nlevel = \"inof\"\n"),
        &["walpost.toml:4: log.level: `inof` is not a level", "  hint: did you mean `info`?"],
    ),
    (
        Below("[log]\nlevel = \"walpost=loud\"\n"),
        &[
            "walpost.toml:4: log.level: `walpost=loud` is not a filter",
            "  hint: a level (error, warn, info, debug, trace, off), or target=level pairs separated by commas",
        ],
    ),
    (
        Below("[log]\nformat = \"a\\nb\\u001b[31m\"\n"),
        &["walpost.toml:4: log.format: `a\\u{a}b\\u{1b}[31m` is not one of auto, pretty, json"],
    ),
];

/// URLs.
pub(super) const URLS: &[(Text, &[&str])] = &[
    (
        Alone("[postgres]\nurl = \"mysql://app@db/app\"\n"),
        &[
            "walpost.toml:2: postgres.url: not the URL of a Postgres server",
            "  hint: write it as postgres://user@host:5432/database",
        ],
    ),
    (
        Alone("[postgres]\nurl = \"postgres:///app\"\n"),
        &[
            "walpost.toml:2: postgres.url: the URL names no host",
            "  hint: write it as postgres://user@host:5432/database",
        ],
    ),
    (
        Alone("[postgres]\nurl = \"postgres://app:p@ss@db/app\"\n"),
        &[
            "walpost.toml:2: postgres.url: the URL cannot be read in one way only",
            "  hint: in a user or a password, write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25, a blank as %20",
        ],
    ),
    (
        Alone("[postgres]\nurl = \"postgres://app@db:port/app\"\n"),
        &[
            "walpost.toml:2: postgres.url: the URL cannot be read: invalid value for option port",
            "  hint: write it as postgres://user@host:5432/database",
        ],
    ),
    (
        Alone("[postgres]\nurl = \"postgres://app@db/app?sslmod=require\"\n"),
        &[
            "walpost.toml:2: postgres.url: the URL has an option that walpost does not know",
            "  hint: did you mean `sslmode`?",
        ],
    ),
    (
        Alone("[postgres]\nurl = \"postgres://app@db/app?sslmode=maybe\"\n"),
        &[
            "walpost.toml:2: postgres.url: the URL has an unknown sslmode",
            "  hint: one of disable, prefer, require, verify-ca, verify-full",
        ],
    ),
    (
        Below("[nats]\nurl = \"http://nats:4222\"\n"),
        &[
            "walpost.toml:4: nats.url: not the URL of a NATS server",
            "  hint: write it as nats://host:4222, or several separated by commas",
        ],
    ),
    (
        Below("[nats]\nurl = \"nats://nats:99999\"\n"),
        &[
            "walpost.toml:4: nats.url: the URL has a host or a port that cannot be read",
            "  hint: write it as nats://host:4222, or several separated by commas",
        ],
    ),
    (
        Below("[nats]\nurl = \"nats://a:b@x,nats://c:d@y\"\n"),
        &["walpost.toml:4: nats.url: the URL has different credentials for different servers"],
    ),
];

/// Files that values name, and keys that need or exclude each other.
pub(super) const FILES_AND_PAIRS: &[(Text, &[&str])] = &[
    (
        Alone(""),
        &[
            "postgres.url: required, but not given",
            "  hint: set it in the configuration file or in WALPOST_POSTGRES_URL, or name a file that holds it in WALPOST_POSTGRES_URL_FILE",
        ],
    ),
    (
        Below("sslrootcert = \"no.pem\"\n"),
        &["walpost.toml:3: postgres.sslrootcert: cannot read `no.pem`: no such file"],
    ),
    (
        Below("sslrootcert = \"system\"\nsslmode = \"require\"\n"),
        &[
            "walpost.toml:4: postgres.sslmode: cannot go together with postgres.sslrootcert",
            "  hint: with the system's authorities anybody's certificate would do: use `verify-full`",
        ],
    ),
    (
        Below("sslmode = \"disable\"\nchannel_binding = \"require\"\nsslkey = \"empty.txt\"\n"),
        &[
            "walpost.toml:4: postgres.channel_binding: cannot go together with postgres.sslmode",
            "  hint: a login is bound to the certificate of an encrypted connection",
            "postgres.sslcert: not given, but postgres.sslkey needs it",
            "  hint: set it in the configuration file or in WALPOST_POSTGRES_SSLCERT",
        ],
    ),
    (
        Below("password_file = \"no.txt\"\n"),
        &[
            "walpost.toml:3: postgres.password_file: the file cannot be read: no such file",
            "  hint: give the path of a file that holds the secret, not the secret",
        ],
    ),
    (Below("password_file = \"empty.txt\"\n"), &["walpost.toml:3: postgres.password_file: the file is empty"]),
    (
        Below("password = \"a\"\npassword_file = \"empty.txt\"\n"),
        &[
            "walpost.toml:4: postgres.password_file: postgres.password is given as well, at walpost.toml:3",
            "  hint: keep one of the two",
            "walpost.toml:4: postgres.password_file: the file is empty",
        ],
    ),
    (
        Alone("[postgres]\nurl_file = \"no.txt\"\n"),
        &[
            "walpost.toml:2: postgres.url_file: the file cannot be read: no such file",
            "  hint: give the path of a file that holds the secret, not the secret",
        ],
    ),
    (
        Below("[nats]\ninbox_prefix = \"outbox_dlq.answers\"\n"),
        &[
            "walpost.toml:4: nats.inbox_prefix: cannot go together with nats.subject",
            "  hint: answers would be stored among the events: let it begin with another word, such as _INBOX_walpost",
        ],
    ),
    (
        Below("[nats]\nuser = \"u\"\n"),
        &[
            "nats.password: not given, but nats.user needs it",
            "  hint: set it in the configuration file or in WALPOST_NATS_PASSWORD, or name a file that holds it in WALPOST_NATS_PASSWORD_FILE",
        ],
    ),
    (
        Below("[nats]\npassword = \"p\"\n"),
        &[
            "nats.user: not given, but nats.password needs it",
            "  hint: set it in the configuration file or in WALPOST_NATS_USER",
        ],
    ),
    (
        Below("[nats]\ntoken = \"t\"\nnkey = \"s\"\n"),
        &["walpost.toml:4: nats.token: cannot go together with nats.nkey", "  hint: keep one way to log in"],
    ),
    (
        Below("[nats]\ntls_cert = \"empty.txt\"\n"),
        &[
            "nats.tls_key: not given, but nats.tls_cert needs it",
            "  hint: set it in the configuration file or in WALPOST_NATS_TLS_KEY",
        ],
    ),
];

/// A variable and its value, arguments, and what is said.
pub(super) type OtherSource = (Option<(&'static str, &'static str)>, &'static [&'static str], &'static [&'static str]);

/// Variables and flags.
pub(super) const OTHER_SOURCES: &[OtherSource] = &[
    (
        Some(("WALPOST_NATS_STREM", "A")),
        &[],
        &["WALPOST_NATS_STREM: unknown variable", "  hint: did you mean `WALPOST_NATS_STREAM`?"],
    ),
    (Some(("WALPOST_CONFG", "a")), &[], &["WALPOST_CONFG: unknown variable", "  hint: did you mean `WALPOST_CONFIG`?"]),
    (
        Some(("WALPOST_DELIVERY_DRAIN_TIMEOUT", "soon")),
        &[],
        &[
            "WALPOST_DELIVERY_DRAIN_TIMEOUT: `soon` is not a duration",
            "  hint: a whole number with a unit (ms, s, m, h, d), such as 5s",
        ],
    ),
    (None, &["--set", "log.levle=info"], &["--set: unknown key `log.levle`", "  hint: did you mean `log.level`?"]),
    (None, &["--set", "stream"], &["--set: expected SECTION.KEY=VALUE, found no `=`"]),
    (
        None,
        &["--set", "stream=A"],
        &["--set: unknown key", "  hint: write SECTION.KEY=VALUE, such as nats.stream=OUTBOX"],
    ),
    (
        None,
        &["--set", "postgres.password=a"],
        &[
            "--set postgres.password: a secret on the command line can be read by every user of the machine",
            "  hint: use WALPOST_POSTGRES_PASSWORD or WALPOST_POSTGRES_PASSWORD_FILE",
        ],
    ),
    (
        None,
        &["--set", "postgres.url=postgres://a:b@c"],
        &[
            "--set postgres.url: a secret on the command line can be read by every user of the machine",
            "  hint: use WALPOST_POSTGRES_URL or WALPOST_POSTGRES_URL_FILE",
        ],
    ),
    (None, &["--log-format", "xml"], &["--log-format: `xml` is not one of auto, pretty, json"]),
    (None, &["--config", "other.toml"], &["other.toml: cannot be read: no such file"]),
    (None, &["--config", "."], &[".: cannot be read: it is a folder"]),
];

/// The text of a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Text {
    /// All of it.
    Alone(&'static str),
    /// What stands below a configuration that is whole.
    Below(&'static str),
}
