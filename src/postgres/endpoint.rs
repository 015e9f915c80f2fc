//! A libpq-style connection URL.
//!
//! `tokio_postgres::Config` parses the URL but knows neither `verify-ca` and `verify-full` nor `sslrootcert`, and chooses
//! no host for us, so those keys and `target_session_attrs` are taken out first (<https://www.postgresql.org/docs/current/libpq-connect.html>).

use std::{fmt, str::FromStr, time::Duration};

use tokio_postgres::config::Host;

use super::{
    ConnectError,
    hosts::{self, Target},
    session_attrs::SessionAttrs,
    tls_settings::{ChannelBinding, SslMode, TlsSettings},
};
use crate::secret_source::{SecretError, SecretSource, UrlFile};

/// How long one host may take to accept a connection unless the URL's `connect_timeout` says otherwise.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long logging in may take after that, unless the URL's `connect_timeout` says otherwise: long enough for a server
/// that is busy, short enough that one which hangs is noticed.
const DEFAULT_LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the database is and who connects to it.
#[derive(Clone)]
pub struct Endpoint {
    config: tokio_postgres::Config,
    /// Where all of this can be read again, if the URL stands in a file.
    file: Option<UrlFile<Self>>,
    /// Where the password can be read again, if it is kept apart from the URL.
    password: Option<SecretSource>,
    user: String,
    tls: TlsSettings,
    /// The hosts to try, in order: all of the URL, or one of them.
    targets: Vec<Target>,
    /// Whether it means the one host that somebody is connected with, wherever the URL may lead meanwhile.
    is_one_host: bool,
    attrs: SessionAttrs,
}

impl Endpoint {
    /// Reads a `postgres://` URL.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(EndpointError::NotAUrl);
        }
        let OwnKeys { plain, tls, attrs } = take_own_keys(url)?;
        let config = tokio_postgres::Config::from_str(&plain).map_err(|error| EndpointError::Url(cause_of(&error)))?;
        let is_nameless = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
        if config.get_hosts().iter().all(is_nameless) && config.get_hostaddrs().is_empty() {
            return Err(EndpointError::NoHost);
        }
        let user = match config.get_user() {
            Some(user) => user.to_owned(),
            None => operating_system_user().ok_or(EndpointError::NoUser)?,
        };
        let mut config = config;
        config.user(&user);
        if config.get_dbname().is_none() {
            config.dbname(&user);
        }
        if config.get_application_name().is_none() {
            config.application_name("walpost");
        }
        let targets = hosts::targets(&config);
        // Of several servers only one can be the primary; a single one may be anything, and preflight tells what it is.
        let by_default = if targets.len() > 1 { SessionAttrs::ReadWrite } else { SessionAttrs::Any };
        let attrs = attrs.unwrap_or(by_default);
        Ok(Self { config, file: None, password: None, user, tls, targets, is_one_host: false, attrs })
    }

    /// Replaces the password, for one that is kept apart from the URL.
    pub fn set_password(&mut self, password: &str) {
        self.config.password(password);
        self.password = None;
    }

    /// Has the password read anew for each connection.
    pub fn read_password_from(&mut self, source: SecretSource) {
        self.password = Some(source);
    }

    /// Has the URL read anew for each connection.
    pub fn read_url_from(&mut self, file: UrlFile<Self>) {
        self.file = Some(file);
    }

    /// The same as its files say it now.
    pub(crate) async fn renewed(&self) -> Result<Self, ConnectError> {
        let mut renewed = match &self.file {
            Some(file) => self.renewed_by(file).await.map_err(ConnectError::Url)?,
            None => self.clone(),
        };
        if let Some(source) = &self.password {
            renewed.config.password(source.read().await?);
        }
        Ok(renewed)
    }

    /// What the file of the URL says now. Servers and roles may change while walpost runs; another database would be another
    /// source of events, which nobody becomes by the way.
    async fn renewed_by(&self, file: &UrlFile<Self>) -> Result<Self, SecretError> {
        let read = file.read().await?;
        if read.database() != self.database() {
            return Err(file.unusable(format!(
                "it names database {:?}, and walpost was started for {:?}: start it again if that is meant",
                read.database(),
                self.database()
            )));
        }
        let (targets, attrs) =
            if self.is_one_host { (self.targets.clone(), self.attrs) } else { (read.targets, read.attrs) };
        let (file, password) = (self.file.clone(), self.password.clone());
        Ok(Self { file, password, targets, attrs, is_one_host: self.is_one_host, ..read })
    }

    /// Replaces what `tls` says of the URL's settings.
    pub fn set_tls(&mut self, tls: TlsSettings) {
        self.tls.overrule(tls);
    }

    /// The role that connects.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database that holds the outbox.
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or(&self.user)
    }

    /// The encryption settings, as far as somebody gave them.
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// Whether to encrypt, and what to verify.
    pub fn ssl_mode(&self) -> SslMode {
        self.tls.mode(self.is_local())
    }

    /// Whether the login is bound to the server's certificate.
    pub(crate) fn binding(&self) -> ChannelBinding {
        self.tls.binding()
    }

    /// The password, if there is one.
    pub(crate) fn password(&self) -> Option<&[u8]> {
        self.config.get_password()
    }

    /// Server options for the session (libpq's `options`).
    pub(crate) fn options(&self) -> Option<&str> {
        self.config.get_options()
    }

    /// How the session calls itself in `pg_stat_activity`.
    pub(crate) fn application_name(&self) -> &str {
        self.config.get_application_name().unwrap_or("walpost")
    }

    /// Everything that `tokio-postgres` needs once the stream is open.
    pub(crate) fn sql_config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    /// The longest wait for one host.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(DEFAULT_CONNECT_TIMEOUT)
    }

    /// The longest wait for the end of the login once a host has accepted. A server that hangs still accepts: its
    /// operating system does so for it.
    pub(crate) fn login_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(DEFAULT_LOGIN_TIMEOUT)
    }

    /// What a host must be.
    pub fn session_attrs(&self) -> SessionAttrs {
        self.attrs
    }

    /// The hosts to try, in order.
    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Whether every host is on this machine.
    pub fn is_local(&self) -> bool {
        self.targets.iter().all(Target::is_local)
    }

    /// The same for each host alone, in order.
    pub(crate) fn hosts(&self) -> Vec<Self> {
        let alone = |target: &Target| Self { targets: vec![target.clone()], is_one_host: true, ..self.clone() };
        self.targets.iter().map(alone).collect()
    }

    /// The hosts for people: `host:port,host:port`.
    pub(crate) fn names(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Without the password: `user@host:port,host:port/database`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.names(), self.database())
    }
}

/// A URL that cannot be used. The text never holds the URL itself, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL at all.
    #[error("not the URL of a Postgres server")]
    NotAUrl,
    /// The library that parses it said no.
    #[error("the URL cannot be read: {0}")]
    Url(String),
    /// No host and no socket folder.
    #[error("the URL names no host")]
    NoHost,
    /// No user, and the operating system has no name for us either.
    #[error("the URL names no user")]
    NoUser,
    /// An `sslmode` that libpq does not have, or one that we refuse to imitate (`allow`).
    #[error("the URL has an unknown sslmode")]
    SslMode,
    /// A `channel_binding` that libpq does not have.
    #[error("the URL has an unknown channel_binding")]
    ChannelBinding,
    /// A `target_session_attrs` that libpq does not have.
    #[error("the URL has an unknown target_session_attrs")]
    SessionAttrs,
    /// A `target_session_attrs` that leads to standbys.
    #[error("the URL's target_session_attrs asks for a standby, and walpost can read the log of a primary only")]
    AsksForStandby,
    /// A percent sequence that is no UTF-8.
    #[error("the value of {0} in the URL is not valid")]
    Encoding(&'static str),
}

/// The keys that are ours to understand, and the URL without them.
struct OwnKeys {
    plain: String,
    tls: TlsSettings,
    attrs: Option<SessionAttrs>,
}

/// Takes our own keys out of the URL's query.
fn take_own_keys(url: &str) -> Result<OwnKeys, EndpointError> {
    let (mut tls, mut attrs) = (TlsSettings::default(), None);
    let Some((base, query)) = url.split_once('?') else {
        return Ok(OwnKeys { plain: url.to_owned(), tls, attrs });
    };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => tls.mode = Some(percent_decode(mode, "sslmode")?.parse()?),
            Some(("sslrootcert", path)) => tls.root_cert = Some(percent_decode(path, "sslrootcert")?.into()),
            Some(("sslcert", path)) => tls.cert = Some(percent_decode(path, "sslcert")?.into()),
            Some(("sslkey", path)) => tls.key = Some(percent_decode(path, "sslkey")?.into()),
            Some(("channel_binding", word)) => {
                tls.binding = Some(percent_decode(word, "channel_binding")?.parse()?);
            }
            Some(("target_session_attrs", word)) => {
                attrs = Some(percent_decode(word, "target_session_attrs")?.parse()?);
            }
            _ => kept.push(pair),
        }
    }
    let separator = if kept.is_empty() { "" } else { "?" };
    Ok(OwnKeys { plain: format!("{base}{separator}{}", kept.join("&")), tls, attrs })
}

fn percent_decode(text: &str, key: &'static str) -> Result<String, EndpointError> {
    let bad = || EndpointError::Encoding(key);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).map_err(|_| bad())?);
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

/// The text under `tokio_postgres::Error`'s own, which says only that the configuration is invalid.
fn cause_of(error: &tokio_postgres::Error) -> String {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    text.replace('`', "")
}

/// libpq's default role: the name of the user that runs the process.
fn operating_system_user() -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    Some(user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Endpoint {
        Endpoint::parse(url).unwrap()
    }

    #[test]
    fn hosts_keep_their_own_ports() {
        let endpoint = parse("postgres://app@a:5001,b:5002/shop");
        assert_eq!(endpoint.to_string(), "app@a:5001,b:5002/shop");
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        for url in ["postgres://app@%2Frun%2Fpg/shop?port=6000", "postgresql:///shop?host=/run/pg&port=6000&user=app"] {
            assert_eq!(parse(url).targets(), [Target::Unix("/run/pg/.s.PGSQL.6000".into())], "{url}");
        }
    }

    #[test]
    fn tls_keys_are_ours() {
        let endpoint = parse(
            "postgres://app@db/shop?sslmode=verify-ca&sslrootcert=%2Fetc%2Fca.pem&connect_timeout=3&sslcert=a.crt\
             &sslkey=a.key&channel_binding=require",
        );
        let given = TlsSettings {
            mode: Some(SslMode::VerifyCa),
            root_cert: Some("/etc/ca.pem".into()),
            cert: Some("a.crt".into()),
            key: Some("a.key".into()),
            binding: Some(ChannelBinding::Require),
        };
        assert_eq!(endpoint.tls, given);
        assert_eq!(endpoint.connect_timeout(), Duration::from_secs(3));
    }

    #[test]
    fn each_host_is_verified_by_where_it_is() {
        let modes = |url: &str| parse(url).hosts().iter().map(Endpoint::ssl_mode).collect::<Vec<_>>();
        let [prefer, full] = [SslMode::Prefer, SslMode::VerifyFull];
        assert_eq!(modes("postgres://app@localhost,[::1],127.0.0.1:5433,%2Frun/shop"), [prefer; 4]);
        assert_eq!(modes("postgres://app@localhost,db/shop"), [prefer, full]);
        // The name decides, which the certificate would have to bear.
        assert_eq!(modes("postgres://app@db/shop?hostaddr=127.0.0.1"), [full]);
        assert_eq!(modes("postgres://app@db/shop?sslmode=disable"), [SslMode::Disable]);
    }

    #[test]
    fn a_later_setting_wins_over_the_url() {
        let mut endpoint = parse("postgres://app@db/shop?sslmode=disable");
        endpoint.set_tls(TlsSettings { mode: Some(SslMode::Require), ..TlsSettings::default() });
        assert_eq!(endpoint.ssl_mode(), SslMode::Require);
    }

    #[test]
    fn one_of_several_hosts_must_take_writes_unless_the_url_says_otherwise() {
        let cases = [
            ("postgres://app@a/shop", SessionAttrs::Any),
            ("postgres://app@a,b/shop", SessionAttrs::ReadWrite),
            ("postgres://app@a/shop?target_session_attrs=primary", SessionAttrs::Primary),
            ("postgres://app@a,b/shop?connect_timeout=3&target_session_attrs=any", SessionAttrs::Any),
        ];
        for (url, attrs) in cases {
            let endpoint = parse(url);
            assert_eq!(endpoint.session_attrs(), attrs, "{url}");
            assert!(endpoint.hosts().iter().all(|host| host.session_attrs() == attrs), "{url}");
        }
        let hosts = parse("postgres://app@a:1,b:2/shop").hosts();
        assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["app@a:1/shop", "app@b:2/shop"]);
    }

    #[test]
    fn the_password_is_never_printed() {
        let endpoint = parse("postgres://app:canary@db/shop");
        assert!(!format!("{endpoint} {endpoint:?}").contains("canary"));
        let error = Endpoint::parse("postgres://app:canary@db:notaport/shop").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[test]
    fn bad_urls_say_what_is_wrong() {
        let cases = [
            ("host=db user=app", "not the URL of a Postgres server"),
            ("postgres:///shop", "names no host"),
            ("postgres://app@db/shop?sslmode=allow", "unknown sslmode"),
            ("postgres://app@db/shop?channel_binding=always", "unknown channel_binding"),
            ("postgres://app@db/shop?colour=red", "colour"),
            ("postgres://app@db/shop?sslrootcert=%zz", "sslrootcert"),
            ("postgres://app@a,b/shop?target_session_attrs=master", "unknown target_session_attrs"),
            ("postgres://app@a,b/shop?target_session_attrs=prefer-standby", "asks for a standby"),
        ];
        for (url, part) in cases {
            let text = Endpoint::parse(url).unwrap_err().to_string();
            assert!(text.contains(part), "{url}: {text}");
        }
    }
}
