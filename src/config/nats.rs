//! `[nats]`: the broker, how to log in, and where the events go.

use std::path::PathBuf;

use async_nats::ServerAddr;

use super::{
    keys,
    names::{InboxPrefix, StreamName, not_blank},
    nats_url::NatsUrl,
    problem::Reason,
    reader::Reader,
    secret::Secret,
    units::switch,
};
use crate::{
    outbox::{Template, TemplateError},
    secret_source::UrlFile,
};

/// The broker.
#[derive(Clone, Debug)]
pub struct Nats {
    /// The servers, without any credentials.
    pub servers: Vec<ServerAddr>,
    /// The URL as it may be shown: without its credentials.
    pub shown_url: String,
    /// Where the URL can be read again, with everything that wins over it.
    pub url_file: Option<UrlFile<Self>>,
    /// How to log in.
    pub login: Login,
    /// How connections are encrypted.
    pub tls: Tls,
    /// What the subjects begin with that answers come to.
    pub inbox_prefix: InboxPrefix,
    /// The stream.
    pub stream: StreamName,
    /// The template of the subjects.
    pub subject: Template,
}

impl Nats {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let url_file = reader.url_file(&keys::NATS_URL, Self::read);
        let url = reader.required(&keys::NATS_URL, NatsUrl::parse);
        let login = Login::read(reader);
        let tls = Tls::read(reader);
        let inbox_prefix = reader.required(&keys::NATS_INBOX_PREFIX, InboxPrefix::parse);
        let stream = reader.required(&keys::NATS_STREAM, StreamName::parse);
        let subject = reader.required(&keys::NATS_SUBJECT, subject);

        if let (Some(prefix), Some(subject)) = (&inbox_prefix, &subject)
            && are_mixed(prefix.as_str(), subject)
        {
            let hint =
                "answers would be stored among the events: let it begin with another word, such as _INBOX_walpost";
            reader.clash(&keys::NATS_INBOX_PREFIX, &keys::NATS_SUBJECT, hint);
        }

        let (url, login) = (url?, login?);
        let login = if matches!(login, Login::Anonymous) { url.login } else { login };
        Some(Self {
            servers: url.servers,
            shown_url: url.shown,
            url_file,
            login,
            tls: tls?,
            inbox_prefix: inbox_prefix?,
            stream: stream?,
            subject: subject?,
        })
    }
}

/// Whether what begins like this may be a subject of the stream.
fn are_mixed(prefix: &str, template: &Template) -> bool {
    let first = |subject: &str| subject.split('.').next().map(str::to_owned);
    [template.stream_subjects(), template.dead_letter_subjects()].iter().any(|stored| first(stored) == first(prefix))
}

/// The template in `text`.
fn subject(text: &str) -> Result<Template, Reason> {
    text.parse().map_err(|error: TemplateError| Reason::new(error.to_string()))
}

/// How to log in. The keys win over what stands inside the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Not at all.
    Anonymous,
    /// With a user's JWT and seed, in a file that may change while walpost runs.
    CredentialsFile(PathBuf),
    /// With the seed of an nkey.
    Nkey(Secret),
    /// With a user and a password.
    User {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// With a token.
    Token(Secret),
}

impl Login {
    /// Reads the keys of logging in, of which at most one way may be given.
    fn read(reader: &mut Reader) -> Option<Self> {
        let creds_file = reader.path(&keys::NATS_CREDS_FILE);
        let nkey = reader.secret(&keys::NATS_NKEY);
        let user = reader.optional(&keys::NATS_USER, not_blank);
        let password = reader.secret(&keys::NATS_PASSWORD);
        let token = reader.secret(&keys::NATS_TOKEN);

        let ways = [&keys::NATS_CREDS_FILE, &keys::NATS_NKEY, &keys::NATS_USER, &keys::NATS_TOKEN];
        let mut given = ways.into_iter().filter(|key| reader.has(key)).collect::<Vec<_>>().into_iter();
        if let Some(first) = given.next() {
            given.for_each(|other| reader.clash(other, first, "keep one way to log in"));
        }
        match (reader.has(&keys::NATS_USER), reader.has(&keys::NATS_PASSWORD)) {
            (true, false) => reader.needs(&keys::NATS_PASSWORD, &keys::NATS_USER),
            (false, true) => reader.needs(&keys::NATS_USER, &keys::NATS_PASSWORD),
            _ => {}
        }
        Some(match (creds_file?, nkey?, user?.zip(password?), token?) {
            (Some(path), ..) => Self::CredentialsFile(path),
            (None, Some(seed), ..) => Self::Nkey(seed),
            (None, None, Some((user, password)), _) => Self::User { user, password },
            (None, None, None, Some(token)) => Self::Token(token),
            (None, None, None, None) => Self::Anonymous,
        })
    }
}

/// How connections to the broker are encrypted.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates that the servers' are verified against; the system's if absent.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its private key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether a connection that is not encrypted is refused.
    pub is_required: bool,
}

impl Tls {
    /// Reads the keys of TLS.
    fn read(reader: &mut Reader) -> Option<Self> {
        let ca = reader.path(&keys::NATS_TLS_CA);
        let cert = reader.path(&keys::NATS_TLS_CERT);
        let key = reader.path(&keys::NATS_TLS_KEY);
        let is_required = reader.required(&keys::NATS_TLS_REQUIRED, switch);
        match (reader.has(&keys::NATS_TLS_CERT), reader.has(&keys::NATS_TLS_KEY)) {
            (true, false) => reader.needs(&keys::NATS_TLS_KEY, &keys::NATS_TLS_CERT),
            (false, true) => reader.needs(&keys::NATS_TLS_CERT, &keys::NATS_TLS_KEY),
            _ => {}
        }
        Some(Self { ca: ca?, identity: cert?.zip(key?), is_required: is_required? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Config, Sources};
    use super::*;

    #[tokio::test]
    async fn a_url_in_a_file_is_read_again_and_the_keys_win_over_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        let load = |token: Option<&str>| {
            fs::write(&file, "nats://me:one@a\n").unwrap();
            let mut given =
                vec![("WALPOST_POSTGRES_URL", "postgres://a@b"), ("WALPOST_NATS_URL_FILE", file.to_str().unwrap())];
            given.extend(token.map(|token| ("WALPOST_NATS_TOKEN", token)));
            let environment = given.iter().map(|(name, value)| (name.into(), value.into())).collect();
            Config::load(&Sources { environment, ..Sources::default() }).unwrap().config.nats
        };
        let read = async |nats: &Nats, text: &str| {
            fs::write(&file, text).unwrap();
            let read = nats.url_file.as_ref().unwrap().read().await;
            read.map(|nats| (nats.shown_url, nats.login)).map_err(|error| error.to_string())
        };
        let user = |user: &str, password| Login::User { user: user.into(), password: Secret::new(password) };
        let nats = load(None);
        assert_eq!(nats.login, user("me", "one"));
        assert_eq!(
            read(&nats, "tls://you:two@b,tls://c\n").await.unwrap(),
            ("tls://you:****@b,tls://c".into(), user("you", "two"))
        );
        for wrong in ["", "nats://", "nats://you:can@ary@b", "nats://you:canary@a,nats://me:canary@b"] {
            let error = read(&nats, wrong).await.unwrap_err();
            assert!(!error.contains("canary") && !error.contains("ary@"), "{error}");
        }
        let nats = load(Some("t"));
        let token = || Login::Token(Secret::new("t"));
        assert_eq!(nats.login, token());
        assert_eq!(read(&nats, "nats://you:two@b").await.unwrap(), ("nats://you:****@b".into(), token()));
    }
}
