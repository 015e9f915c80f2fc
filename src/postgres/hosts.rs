//! Which of several hosts to use: each is tried in the order of the URL, until one lets us in and is what we look for.
//!
//! A host that cannot be reached, that is starting or stopping, or whose session is not what the URL asks for, is passed
//! over. Any other refusal ends the search, as in libpq: a wrong password is wrong, and trying further would only hide it.

use std::{fmt, net::IpAddr, path::PathBuf, vec};

use tokio_postgres::config::Host;

use super::{ConnectError, Endpoint};

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `name` is what the certificate must say, `dial` what the resolver is asked for.
    Tcp { name: String, dial: String, port: u16 },
    /// The socket file.
    Unix(PathBuf),
}

/// The hosts of a parsed URL, in order.
pub(super) fn targets(config: &tokio_postgres::Config) -> Vec<Target> {
    let hosts = config.get_hosts();
    // The parser notes a port for every host that stands before the path; those of a `port` key come behind them
    // and win, as in libpq.
    let noted = config.get_ports();
    let ports = noted.get(hosts.len()..).filter(|by_key| !by_key.is_empty()).unwrap_or(noted);
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let address = |index: usize| config.get_hostaddrs().get(index).map(ToString::to_string);
    if hosts.is_empty() {
        let addresses = config.get_hostaddrs().iter().map(ToString::to_string);
        return addresses
            .enumerate()
            .map(|(index, host)| Target::Tcp { name: host.clone(), dial: host, port: port(index) })
            .collect();
    }
    let target = |(index, host): (usize, &Host)| match host {
        Host::Tcp(name) => {
            Target::Tcp { name: name.clone(), dial: address(index).unwrap_or_else(|| name.clone()), port: port(index) }
        }
        Host::Unix(folder) => Target::Unix(folder.join(format!(".s.PGSQL.{}", port(index)))),
    };
    hosts.iter().enumerate().map(target).collect()
}

impl Target {
    /// Whether it is on this machine, by the name that its certificate would have to bear.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp { name, .. } => is_loopback(name),
            Self::Unix(_) => true,
        }
    }
}

/// Whether a host's name or address means this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port, .. } => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A search among hosts, and what it found so far.
#[derive(Debug)]
pub(crate) struct Search {
    hosts: vec::IntoIter<Endpoint>,
    is_single: bool,
    failures: Vec<String>,
    /// Whether one of them answered, and was not fit.
    has_answered: bool,
}

/// What a failed attempt says of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nobody answers there.
    Away,
    /// The server answers, and does not do at the moment.
    Unfit,
    /// It is not about the host.
    Final,
}

/// An error of an attempt on one host.
pub(crate) trait Refuses: fmt::Display {
    /// What it says of the host.
    fn refusal(&self) -> Refusal;
}

impl Search {
    /// A search among the hosts of an endpoint.
    pub(crate) fn among(endpoint: &Endpoint) -> Self {
        let hosts = endpoint.hosts();
        Self { is_single: hosts.len() == 1, hosts: hosts.into_iter(), failures: Vec::new(), has_answered: false }
    }

    /// The next host to try.
    pub(crate) fn next_host(&mut self) -> Option<Endpoint> {
        self.hosts.next()
    }

    /// Passes over a host; gives the error back if it settles the search.
    pub(crate) fn pass_over<E: Refuses>(&mut self, host: &Endpoint, error: E) -> Result<(), E> {
        let refusal = error.refusal();
        if self.is_single || refusal == Refusal::Final {
            return Err(error);
        }
        let names = host.names();
        let told = error.to_string();
        // What failed on the way to the host names it already.
        let told = told.strip_prefix("cannot connect to Postgres (").and_then(|told| told.strip_suffix(')'));
        self.failures.push(told.map_or_else(|| format!("{names}: {error}"), str::to_owned));
        self.has_answered |= refusal == Refusal::Unfit;
        Ok(())
    }

    /// What every host said, when none is left.
    pub(crate) fn failure(self) -> ConnectError {
        let told = self.failures.join("; ");
        if self.has_answered { ConnectError::NoneFit(told) } else { ConnectError::NoHost(told) }
    }
}

impl Refusal {
    /// What a server's answer says: one that starts, stops or recovers says so with a code of class 57
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub(crate) fn of_sqlstate(sqlstate: &str) -> Self {
        if sqlstate.starts_with("57") { Self::Unfit } else { Self::Final }
    }
}

impl Refuses for ConnectError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Misfit(_) | Self::NoneFit(_) => Refusal::Unfit,
            Self::Tls(_) | Self::Password(_) | Self::Url(_) => Refusal::Final,
            _ => Refusal::Away,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Said(&'static str, Refusal);

    impl fmt::Display for Said {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Refuses for Said {
        fn refusal(&self) -> Refusal {
            self.1
        }
    }

    /// A search in which every host says something.
    fn search(url: &str, mut said: Vec<Said>) -> Result<String, Said> {
        let mut search = Search::among(&Endpoint::parse(url).unwrap());
        while let Some(host) = search.next_host() {
            search.pass_over(&host, said.remove(0))?;
        }
        Ok(search.failure().to_string())
    }

    #[test]
    fn when_no_host_will_do_each_is_told_with_its_reason() {
        let away = || Said("cannot connect to Postgres (a:1: connection refused)", Refusal::Away);
        let text = search("postgres://u@a:1,b:2/d", vec![away(), Said("no answer", Refusal::Away)]).unwrap();
        assert_eq!(text, "cannot connect to Postgres (a:1: connection refused; b:2: no answer)");
        let text = search("postgres://u@a:1,b:2/d", vec![away(), Said("it is a standby", Refusal::Unfit)]).unwrap();
        assert_eq!(
            text,
            "no host of the URL is a primary that lets us in (a:1: connection refused; b:2: it is a standby)"
        );
    }

    #[test]
    fn an_only_host_speaks_for_itself() {
        assert_eq!(search("postgres://u@a/d", vec![Said("gone", Refusal::Away)]), Err(Said("gone", Refusal::Away)));
    }

    #[test]
    fn a_refusal_that_is_not_about_the_host_ends_the_search() {
        let said = vec![Said("gone", Refusal::Away), Said("wrong password", Refusal::Final)];
        let ended = search("postgres://u@a,b,c/d", said);
        assert_eq!(ended, Err(Said("wrong password", Refusal::Final)));
        assert_eq!(Refusal::of_sqlstate("28P01"), Refusal::Final);
        assert_eq!(Refusal::of_sqlstate("57P03"), Refusal::Unfit);
    }
}
