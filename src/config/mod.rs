//! The configuration: from a file, the environment and flags to typed values that are right if they exist.
//!
//! ```text
//! file, environment, flags -> given text with its origin -> one text for each key -> typed sections -> Loaded
//!                                                                                \-> Problems, all at once
//! ```
//!
//! A flag wins over the environment, the environment over the file, the file over the default. Every key is listed
//! once, in the table [`KEYS`]. Nothing is connected, opened for writing or listened on before the configuration is
//! whole; only the files that it names are opened for reading.
//!
//! Invariant: no problem, and nothing in [`Loaded::rows`], holds the text of a secret.

mod admin;
mod delivery;
mod endpoint;
mod endpoint_fields;
mod endpoint_table;
mod endpoints;
pub(crate) mod environment;
mod file;
mod flags;
mod given;
mod key;
mod keys;
mod loaded;
mod log;
mod names;
mod nats;
mod nats_url;
mod origin;
mod outbox;
mod postgres;
mod postgres_url;
mod problem;
mod reader;
mod retention;
mod secret;
mod suggest;
mod text_file;
mod units;
mod userinfo;
pub(crate) mod visible;
mod webhooks;
mod worker;

use std::{ffi::OsString, path::PathBuf};

pub use self::{
    admin::Admin,
    delivery::Delivery,
    endpoint_fields::{ENDPOINT_FIELDS, EndpointField},
    endpoint_table::{EndpointTable, RefusedRow},
    flags::Override,
    key::{Key, Kind, Preset as KeyPreset},
    keys::{KEYS, sections},
    loaded::{Loaded, LoadedWorker, Row, Shown},
    log::{Log, LogFormat, LogLevel},
    names::{Identifier, SlotName, StreamName},
    nats::{Login, Nats, Tls},
    origin::Origin,
    postgres::Postgres,
    problem::{Problem, Problems},
    retention::Retention,
    secret::{HIDDEN, Secret},
    webhooks::Webhooks,
    worker::WorkerConfig,
};
use self::{given::Layer, loaded::ShownUrls, reader::Reader, webhooks::Source};
use crate::outbox::Mapping;

/// All settings, right and complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// The source of the events.
    pub postgres: Postgres,
    /// The table that they are read from.
    pub outbox: Mapping,
    /// The broker that they go to.
    pub nats: Nats,
    /// The limits on the way.
    pub delivery: Delivery,
    /// How long delivered rows are kept.
    pub retention: Retention,
    /// Where events are sent to over HTTP.
    pub webhooks: Webhooks,
    /// The admin port.
    pub admin: Admin,
    /// The log.
    pub log: Log,
}

impl Config {
    /// Reads all sources; gives the whole configuration, or everything that is wrong with it.
    pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
        let file = sources.file.as_deref().map(file::read).unwrap_or_default();
        Self::assemble([file, environment::read(&sources.environment), flags::read(&sources.overrides)])
    }

    /// Makes the configuration of `layers`, the lowest first.
    fn assemble(layers: [Layer; 3]) -> Result<Loaded, Problems> {
        let mut reader = Reader::new(layers);
        let config = Self::read(&mut reader);
        let (given, problems) = reader.finish();
        match config {
            Some(config) if problems.is_empty() => {
                let urls = ShownUrls { postgres: Some(&config.postgres.shown_url), nats: &config.nats.shown_url };
                let rows = KEYS.iter().map(|key| Row::new(key, given.get(key.name()), urls)).collect();
                Ok(Loaded { config, rows })
            }
            _ => Err(Problems::new(problems)),
        }
    }

    /// Reads every section before it gives up on any, so that all problems are found.
    fn read(reader: &mut Reader) -> Option<Self> {
        if Source::is_file_alone(reader) {
            reader.advise(&keys::POSTGRES_URL, FOR_WEBHOOKS_ALONE);
        }
        let postgres = Postgres::read(reader);
        let outbox = outbox::read(reader);
        let nats = Nats::read(reader);
        let delivery = Delivery::read(reader);
        let retention = Retention::read(reader);
        let webhooks = Webhooks::read(reader, nats.as_ref());
        let admin = Admin::read(reader);
        let log = Log::read(reader);
        Some(Self {
            postgres: postgres?,
            outbox: outbox?,
            nats: nats?,
            delivery: delivery?,
            retention: retention?,
            webhooks: webhooks?,
            admin: admin?,
            log: log?,
        })
    }
}

/// What to do if only webhooks are to be configured, which need no database.
const FOR_WEBHOOKS_ALONE: &str = "`walpost webhooks` needs none: `walpost config check --webhooks` and `walpost config show --webhooks` \
                                  look at what that reads";

/// Where settings come from. Nothing else is consulted: this module reads no environment and no arguments of its own.
#[derive(Clone, Default)]
pub struct Sources {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// The environment of the process; variables without the prefix are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags, in their order.
    pub overrides: Vec<Override>,
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::postgres::SslMode;

    /// Sources with these variables and nothing else.
    fn environment(variables: &[(&str, &str)]) -> Sources {
        let environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Sources { environment, ..Sources::default() }
    }

    /// The configuration of these variables, on top of a URL.
    fn load(variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
        Config::load(&environment(&[&[("WALPOST_POSTGRES_URL", "postgres://app@db/app")], variables].concat()))
    }

    /// What is wrong, a line for each problem.
    fn lines(problems: &Problems) -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_url_is_all_it_takes() {
        let Loaded { config, rows } = load(&[]).unwrap();
        assert_eq!(rows.len(), KEYS.len());
        assert_eq!(config.postgres.slot.as_str(), "walpost");
        assert_eq!(config.postgres.endpoint.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(config.nats.stream.as_str(), "OUTBOX");
        assert_eq!(config.nats.login, Login::Anonymous);
        assert_eq!(config.delivery.max_in_flight_bytes, 16 * 1024 * 1024);
        assert_eq!(config.delivery.drain_timeout, Duration::from_secs(10));
    }

    #[test]
    fn every_key_is_read() {
        for key in KEYS {
            let mut sources = environment(&[("WALPOST_POSTGRES_URL", "postgres://app@db/app")]);
            let value = String::new();
            sources.overrides.push(Override::Flag { flag: "--test", key: key.name(), value });
            let problems = Config::load(&sources).err().unwrap_or_else(|| panic!("{} is not read", key.name()));
            assert!(lines(&problems).contains(&"--test: must not be empty".to_owned()), "{}", key.name());
        }
    }

    #[test]
    fn the_words_of_the_table_are_those_of_the_parsers() {
        for key in KEYS {
            let Kind::Choice(words) = key.kind() else { continue };
            for word in words {
                assert!(load(&[(&key.environment_name(), word)]).is_ok(), "{} {word}", key.name());
            }
            let problems = load(&[(&key.environment_name(), "?")]).unwrap_err();
            assert!(lines(&problems).concat().ends_with(&words.join(", ")), "{}", key.name());
        }
    }

    #[test]
    fn a_key_wins_over_the_url() {
        let url = ("WALPOST_POSTGRES_URL", "postgres://app:of-url@db/app?sslmode=verify-full");
        let of_url = load(&[url]).unwrap().config.postgres;
        assert_eq!(
            (of_url.endpoint.ssl_mode(), of_url.endpoint.password()),
            (SslMode::VerifyFull, Some(&b"of-url"[..]))
        );
        let key = [("WALPOST_POSTGRES_PASSWORD", "of-key"), ("WALPOST_POSTGRES_SSLMODE", "require")];
        let of_key = load(&[url, key[0], key[1]]).unwrap().config.postgres;
        assert_eq!((of_key.endpoint.ssl_mode(), of_key.endpoint.password()), (SslMode::Require, Some(&b"of-key"[..])));

        let url = ("WALPOST_NATS_URL", "nats://me:p%40ss@a:1,tls://b");
        let of_url = load(&[url]).unwrap().config.nats;
        assert_eq!(of_url.login, Login::User { user: "me".into(), password: Secret::new("p@ss") });
        assert_eq!(of_url.servers.iter().map(|server| server.port()).collect::<Vec<_>>(), [1, 4222]);
        let of_key = load(&[url, ("WALPOST_NATS_TOKEN", "t")]).unwrap().config.nats;
        assert_eq!(of_key.login, Login::Token(Secret::new("t")));
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_last_line_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "pass word\r\n").unwrap();
        fs::write(folder.path().join("seed"), "s\n\n").unwrap();
        let file = folder.path().join("walpost.toml");
        let text = "[postgres]\npassword_file = \"secret\"\nurl = \"postgres://a@b\"\n[nats]\nnkey_file = \"seed\"\n";
        fs::write(&file, text).unwrap();
        let loaded = Config::load(&Sources { file: Some(file.clone()), ..Sources::default() }).unwrap();
        assert_eq!(loaded.config.postgres.endpoint.password(), Some(&b"pass word"[..]));
        assert_eq!(loaded.config.nats.login, Login::Nkey(Secret::new("s\n")));
        let row = loaded.rows.iter().find(|row| row.key.name() == "postgres.password").unwrap();
        assert_eq!((&row.value, &row.origin), (&Shown::Hidden, &Origin::File { path: file, line: 2 }));
    }

    #[test]
    fn of_a_value_and_its_file_the_higher_origin_wins() {
        let folder = tempfile::tempdir().unwrap();
        let (file, secret) = (folder.path().join("walpost.toml"), folder.path().join("secret"));
        fs::write(&secret, "of-file").unwrap();
        fs::write(&file, "[postgres]\nurl = \"postgres://a@b\"\npassword_file = \"secret\"\n").unwrap();
        let mut sources = environment(&[("WALPOST_POSTGRES_PASSWORD", "of-variable")]);
        sources.file = Some(file);
        let password =
            |sources: &Sources| Config::load(sources).unwrap().config.postgres.endpoint.password().map(<[u8]>::to_vec);
        assert_eq!(password(&sources), Some(b"of-variable".to_vec()));
        let flag = Override::Set(format!("postgres.password_file={}", secret.display()));
        sources.overrides.push(flag);
        assert_eq!(password(&sources), Some(b"of-file".to_vec()));
    }

    #[test]
    fn what_kubernetes_adds_for_a_service_is_no_key() {
        let links = [
            ("WALPOST_SERVICE_HOST", "10.0.0.1"),
            ("WALPOST_SERVICE_PORT", "9464"),
            ("WALPOST_SERVICE_PORT_METRICS", "9464"),
            ("WALPOST_PORT", "tcp://10.0.0.1:9464"),
            ("WALPOST_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
            ("WALPOST_PORT_9464_TCP_ADDR", "10.0.0.1"),
            ("WALPOST_ADMIN_SERVICE_HOST", "10.0.0.1"),
            ("WALPOST_NATS_TOKEN", ""),
        ];
        assert!(load(&links).is_ok());
        assert_eq!(lines(&load(&[("WALPOST_PORT", "9464")]).unwrap_err()), ["WALPOST_PORT: unknown variable"]);
    }

    #[test]
    fn below_a_syntax_error_nothing_is_guessed() {
        let text = "[postgres]\nslot = \"No\"\nurl = \"postgres://a@b\n[nats\nstream = \"a.b\"\n";
        let problems = Config::assemble([file::parse(Path::new("f"), text), Layer::default(), Layer::default()]);
        let found: BTreeSet<_> =
            lines(&problems.unwrap_err()).iter().map(|line| line.chars().take(11).collect()).collect();
        assert_eq!(found, BTreeSet::from(["f:2: postgr", "f:3: not TO", "f:4: not TO"].map(str::to_owned)));
    }

    /// Text that is nearly a configuration: names, values and marks of TOML in any order.
    fn nearly_toml() -> impl Strategy<Value = String> {
        let mut pieces: Vec<String> =
            ["[", "]", "=", ".", "\n", "\"", "'", "'''", "{", "}", ",", "#", "\\", "1", "true", "é", " "]
                .map(str::to_owned)
                .to_vec();
        pieces.extend(sections().into_iter().map(|section| format!("\n[{section}]\n")));
        pieces.extend(KEYS.iter().filter_map(|key| key.name().rsplit_once('.')).map(|(_, last)| format!("{last} = ")));
        pieces.extend(
            ["\"postgres://a:b@c/d?sslmode=x\"\n", "\"5s\"\n", "\"%zz\"\n", "\"a=b[c{d=e}]\"\n"].map(str::to_owned),
        );
        proptest::collection::vec(proptest::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_text_gives_a_configuration_or_problems(text in prop_oneof![any::<String>(), nearly_toml()]) {
            let layers = [file::parse(Path::new("f"), &text), Layer::default(), Layer::default()];
            if let Err(problems) = Config::assemble(layers) {
                prop_assert!(problems.iter().len() > 0);
                for line in lines(&problems) {
                    prop_assert!(!line.contains(char::is_control), "{}", line);
                }
            }
        }

        #[test]
        fn any_value_of_any_key_is_taken_or_refused(index in 0..KEYS.len(), value: String) {
            let sources = Sources {
                overrides: vec![Override::Flag { flag: "--test", key: KEYS[index].name(), value }],
                ..environment(&[("WALPOST_POSTGRES_URL", "postgres://a@b")])
            };
            let _outcome: Result<_, Problems> = Config::load(&sources);
        }

        #[test]
        fn any_url_is_taken_or_refused_without_showing_its_password(
            head in "[a-z]{0,3}(:[a-z]{0,2})?", tail in "[@:/?#=&%,a-z0-9\\[\\]]{0,12}"
        ) {
            let secret = "CANARY";
            for (name, scheme) in [("WALPOST_POSTGRES_URL", "postgres://"), ("WALPOST_NATS_URL", "nats://")] {
                for url in [format!("{scheme}{head}:{secret}{tail}@h/{tail}"), format!("{scheme}u:{secret}{tail}")] {
                    let text = match load(&[(name, &url)]) {
                        Ok(loaded) if url.contains('@') => format!("{loaded:?}"),
                        // Without an `@` it is no password, but a port or a host.
                        Ok(_) => String::new(),
                        Err(problems) => format!("{:?}", lines(&problems)),
                    };
                    prop_assert!(!text.contains(secret), "{} {}", url, text);
                }
            }
        }
    }
}
