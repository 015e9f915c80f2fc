//! What must hold of what webhooks read that others wrote: records in JetStream, rows of the table, answers of receivers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822, tz::TimeZone};
use serde::{Serialize, de::DeserializeOwned};
use walpost::{
    config::{Config, EndpointTable, Sources},
    webhooks::{
        Cidr, Endpoint, EndpointLook, EndpointName, Guard, Lane, Ledger, LoggedAttempt, Look, Ordering, OutboxSeen,
        Ports, Record, Saved, SavedEvent, Schedule, SigningSecret, Standing, Target, Wish, is_filter, is_public,
        retry_after,
    },
};

/// What was written down of an endpoint, and then steps of whoever takes it up: it is written again as it was read, no event is
/// on its way twice, none overtakes another of its aggregate, and none is lost.
pub fn ledgers(data: &[u8]) {
    let (text, steps) = data.iter().position(|byte| *byte == 0).map_or((data, &[][..]), |at| data.split_at(at));
    is_read_as_it_is_written::<Wish>(text);
    is_read_as_it_is_written::<LoggedAttempt>(text);
    let Some(record) = is_read_as_it_is_written::<Record>(text) else { return };
    stands(&record);
    for ordering in [Ordering::None, Ordering::Aggregate] {
        Life::begin(ordering, &record.ledger).live(steps);
    }
}

fn is_read_as_it_is_written<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(text).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).ok().as_ref(), Some(&read), "it is written as something else");
    Some(read)
}

/// Whatever it says, it is told in words.
fn stands(record: &Record) {
    let outbox =
        OutboxSeen { first_sequence: 1, last_sequence: u64::MAX, last_stored_ns: None, created_ns: 0, drops: false };
    let seen = EndpointLook { record: Some(record.clone()), first_unread: Some(1), ..EndpointLook::default() };
    let look = Look { outbox, endpoints: vec![seen] };
    let told = Standing::all([&*ENDPOINT], &look, Duration::MAX / 4, Timestamp::MAX);
    let is_told = |told: &Standing| !told.state.is_empty() && told.open == Some(record.ledger.open.len());
    assert!(told.len() == 1 && told.iter().all(is_told), "{told:?}");
}

/// Somebody who takes up a record, and what must be true of it.
struct Life {
    ledger: Ledger,
    ordering: Ordering,
    /// What is on its way.
    sent: BTreeSet<u64>,
    /// What is open: in the record or taken since, and not settled.
    open: BTreeSet<u64>,
    /// What is settled in a version that is not confirmed.
    settling: BTreeMap<u64, u64>,
    now_ms: u64,
}

/// Aggregates of the model; few, so that events meet.
const LANES: u64 = 3;

fn lane(sequence: u64) -> Lane {
    Lane::of("order", &(sequence % LANES).to_string())
}

impl Life {
    fn begin(ordering: Ordering, saved: &Saved) -> Self {
        let ledger = Ledger::restore(ordering, saved, |sequence| Some(lane(sequence)));
        // Behind what is read nothing can be open: it is yet to be taken.
        let open: BTreeSet<u64> = saved.open.iter().map(|event| event.0).filter(|open| *open <= saved.read).collect();
        assert_eq!((ledger.read(), ledger.running()), (saved.read, 0));
        let (sent, settling) = (BTreeSet::new(), BTreeMap::new());
        let life = Self { ledger, ordering, sent, open, settling, now_ms: 0 };
        life.check();
        life
    }

    fn live(mut self, steps: &[u8]) {
        for step in steps {
            self.step(*step);
            self.check();
        }
    }

    /// The low bits tell what, the others which.
    fn step(&mut self, step: u8) {
        let which = step >> 3;
        match step & 7 {
            0 => self.start(),
            1 | 2 => {
                let Some(sequence) = self.pick(which) else { return };
                self.sent.remove(&sequence);
                self.open.remove(&sequence);
                self.ledger.settle(sequence);
                self.settling.insert(sequence, self.ledger.version());
            }
            3 => {
                let Some(sequence) = self.pick(which) else { return };
                self.sent.remove(&sequence);
                let due_ms = self.now_ms + u64::from(which);
                if step & 128 == 0 {
                    self.ledger.fail(sequence, due_ms);
                } else {
                    self.ledger.put_back(sequence, due_ms);
                }
            }
            4 => {
                let Some(next) = self.ledger.read().checked_add(1) else { return };
                assert!(self.ledger.take(next, lane(next), self.now_ms) && !self.ledger.take(next, lane(next), 0));
                self.open.insert(next);
            }
            5 => {
                let sequence = self.ledger.read().saturating_sub(which.into());
                let is_known = self.ledger.is_open(sequence);
                if self.ledger.reopen(sequence, Some(lane(sequence)), self.now_ms) {
                    assert!(!is_known && sequence > 0);
                    self.open.insert(sequence);
                }
            }
            6 => {
                let version = self.ledger.version();
                self.ledger.confirm(version);
                self.settling.clear();
            }
            _ => {
                self.now_ms += 1 << (which / 2);
                self.ledger.hurry(self.now_ms);
            }
        }
    }

    /// One of those that are on their way.
    fn pick(&self, which: u8) -> Option<u64> {
        self.sent.iter().nth(usize::from(which) % self.sent.len().max(1)).copied()
    }

    fn start(&mut self) {
        let Some((sequence, _)) = self.ledger.start(self.now_ms) else { return };
        assert!(self.open.contains(&sequence), "{sequence} is sent, and was settled or never taken");
        if self.ordering == Ordering::Aggregate {
            let is_of_lane = |other: &&u64| lane(**other) == lane(sequence);
            assert_eq!(self.sent.iter().find(is_of_lane), None, "beside another of its aggregate");
            assert_eq!(self.settling.keys().find(is_of_lane), None, "before it is known that another was sent");
            assert_eq!(self.open.iter().find(is_of_lane), Some(&sequence), "before an older one of its aggregate");
        }
        assert!(self.sent.insert(sequence), "{sequence} is on its way twice");
    }

    fn check(&self) {
        let (_, saved) = self.ledger.to_save();
        let open: Vec<u64> = saved.open.iter().map(|SavedEvent(sequence, ..)| *sequence).collect();
        assert!(open.iter().eq(self.open.iter()), "{open:?} would be written down, and {:?} are open", self.open);
        assert_eq!(self.ledger.running(), self.sent.len());
        assert!(saved.read >= *open.last().unwrap_or(&0), "open behind what is read");
    }
}

/// The table that rows are of.
static TABLE: LazyLock<EndpointTable> = LazyLock::new(|| {
    let environment = [("WALPOST_WEBHOOKS_SOURCE", "table"), ("WALPOST_POSTGRES_URL", "postgres://a@b")];
    let environment = environment.map(|(name, value)| (name.into(), value.into())).to_vec();
    let loaded = Config::load_worker(&Sources { environment, ..Sources::default() }).expect("it is right");
    loaded.config.webhooks.table.expect("endpoints are in a table")
});

/// An endpoint like any other.
static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| {
    let row = r#"{"name": "a", "url": "https://example.com/x", "secrets": ["whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ"]}"#;
    TABLE.endpoint(row).expect("it is right")
});

/// A row becomes an endpoint that can be served and leads nowhere inside, or is refused with something to say; no secret is
/// said. The same text as a URL, a network, ports, a secret or the wish of a receiver is read as it was meant, and as an address is
/// judged by what it is.
pub fn endpoints(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let said = match TABLE.endpoint(&text) {
        Ok(endpoint) => {
            can_be_served(&endpoint);
            format!("{endpoint:?}")
        }
        Err(refused) => {
            assert!(!refused.problems.is_empty() && !refused.to_string().is_empty());
            format!("{refused} {refused:?}")
        }
    };
    for secret in secrets_in(&text) {
        assert!(!said.contains(&secret), "a secret is shown");
    }
    target(&text);
    network(&text);
    ports(&text);
    wish(&text);
    if let Some(bits) = data.first_chunk::<16>() {
        address(Ipv6Addr::from_bits(u128::from_be_bytes(*bits)).into());
    }
    if let Some(bits) = data.first_chunk::<4>() {
        let address_v4 = Ipv4Addr::from_bits(u32::from_be_bytes(*bits));
        address(address_v4.into());
        address(address_v4.to_ipv6_mapped().into());
    }
}

fn can_be_served(endpoint: &Endpoint) {
    assert_eq!(EndpointName::parse(endpoint.name.as_str()).as_ref(), Some(&endpoint.name));
    assert!(!endpoint.secrets.is_empty() && !endpoint.subjects.is_empty());
    assert!(endpoint.subjects.iter().all(|subject| is_filter(subject)), "{:?}", endpoint.subjects);
    assert!([80, 443, 8443].contains(&endpoint.target.port()), "{}", endpoint.target);
    assert!(endpoint.target.literal().is_none_or(|address| !is_inside(address)), "{}", endpoint.target);
    assert!((1..=256).contains(&endpoint.concurrency) && (1..=10_000).contains(&endpoint.max_waiting));
    assert!(endpoint.timeout > Duration::ZERO && endpoint.disable_after > Duration::ZERO);
    for header in &endpoint.headers {
        let is_of_name = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        assert!(!header.name.is_empty() && header.name.bytes().all(is_of_name), "{:?}", header.name);
        assert!(!header.value.contains(['\r', '\n', '\0']), "it ends the line");
        let reserved = ["host", "content-length", "transfer-encoding", "connection"].contains(&header.name.as_str());
        assert!(!reserved && !header.name.starts_with("webhook-") && !header.name.starts_with("walpost-"));
    }
    let pauses = (1..=u32::MAX).map_while(|failed| endpoint.schedule.pause(failed, None, 1.0));
    assert_eq!(pauses.take(200).count() + 1, endpoint.schedule.attempts());
}

/// The secrets of a row that stand nowhere else in it, whatever may be wrong with them.
fn secrets_in(row: &str) -> Vec<String> {
    let row: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
    let all = row.to_string();
    let secrets = row.get("secrets").and_then(serde_json::Value::as_array).into_iter().flatten();
    let secrets = secrets.filter_map(|secret| secret.as_str()?.strip_prefix("whsec_"));
    secrets.filter(|secret| secret.len() >= 24 && all.matches(*secret).count() == 1).map(str::to_owned).collect()
}

/// A URL leads where it says, and not inside.
fn target(text: &str) {
    let Ok(read) = Target::parse(text, true, &Guard::default()) else { return };
    assert!(read.literal().is_none_or(|address| !is_inside(address)), "{read}");
    // Path and query are not shown, and the port only where it is not the usual one.
    let again = Target::parse(&read.to_string(), true, &Guard::default()).expect("what is shown is a URL");
    let parts = |target: &Target| (target.name(), target.port(), target.is_encrypted(), target.literal());
    assert_eq!(parts(&again), parts(&read));
    if !read.is_encrypted() {
        assert!(Target::parse(text, false, &Guard::default()).is_err(), "http passes for https");
    }
}

fn network(text: &str) {
    let Ok(read) = text.parse::<Cidr>() else { return };
    assert_eq!(read.to_string().parse(), Ok(read));
    let first = read.to_string();
    let first: IpAddr =
        first.split('/').next().and_then(|first| first.parse().ok()).expect("it begins with an address");
    assert!(read.contains(first) && Guard::allowing(vec![read]).admits(first));
}

fn ports(text: &str) {
    let Ok(read) = text.parse::<Ports>() else { return };
    let again: Ports = read.to_string().parse().expect("what is shown are ports");
    assert_eq!(again, read);
    assert!(!read.contains(0) && (1..=u16::MAX).any(|port| read.contains(port)), "{read}");
}

/// What a receiver wishes is never less than the schedule has it, and never without end; a secret is never shown.
fn wish(text: &str) {
    let shown = format!("{:?}", SigningSecret::parse(text));
    assert!(text.len() < 24 || !shown.contains(text));
    let now = Timestamp::UNIX_EPOCH;
    let Some(wait) = retry_after(text, now) else { return };
    let step = Duration::from_secs(60);
    let pause = Schedule::new(vec![step]).expect("a short one").pause(1, Some(wait), 0.5).expect("the first");
    assert!(pause >= step && pause >= wait.min(Duration::from_secs(86_400)) && pause <= Duration::from_secs(86_400));
    let is_number = text.trim().bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        assert_eq!(retry_after(&wait.as_secs().to_string(), now), Some(wait));
    } else if let Ok(then) = now.checked_add(wait)
        && let Ok(then) = rfc2822::to_string(&then.to_zoned(TimeZone::UTC))
    {
        assert_eq!(retry_after(&then, now), Some(wait), "the date is another one");
    }
}

/// Nobody's address inside passes for a public one.
fn address(address: IpAddr) {
    assert!(!(is_public(address) && is_inside(address)), "{address} passes");
    assert!(Guard::default().admits(address) == is_public(address));
    assert_eq!(is_public(address.to_canonical()), is_public(address));
}

/// Whether it is for certain none of the public internet: by what the standard library knows, also of the address of IPv4 that
/// one of IPv6 leads to.
fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
        }
        IpAddr::V6(v6) => {
            let is_inner = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local();
            let [high, one, two, .., five, six, seven] = v6.segments();
            let of = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
            is_inner
                || v6.is_unicast_link_local()
                || v6.to_ipv4().is_some_and(|v4| is_inside(v4.into()))
                || (high == 0x2002 && is_inside(of(one, two)))
                || (high == 0x64 && one == 0xff9b && five == 0 && is_inside(of(six, seven)))
        }
    }
}
