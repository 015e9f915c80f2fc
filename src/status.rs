//! How delivery stands at this moment, from what was seen of both sides; pure. `walpost status` shows it.
//!
//! Postgres knows who reads from the slot and how far it is, NATS what is stored. How much of it was received and
//! published only the leader knows, so that is known on its own host alone.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::{
    lsn::Lsn,
    plan::Plan,
    survey::{Answer, Silence, SlotSeen, Survey},
    webhooks::{RefusedStanding, Standing},
};

/// How delivery stands. Its fields by their names are part of the public interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// The version of walpost that looked.
    pub version: &'static str,
    /// Whether somebody leads and nothing is known to keep it from delivering.
    pub delivering: bool,
    /// Who reads from the slot; none if nobody does.
    pub leader: Option<Leader>,
    /// `chain` or `shared`; none if the stream cannot be looked at.
    pub mode: Option<&'static str>,
    /// The positions, in the order in which events pass them.
    pub lsn: Positions,
    /// How far each is behind the end of the server's log.
    pub lag: Lag,
    /// How fast, from two looks.
    pub rate: Rate,
    /// The slot; none if there is none.
    pub slot: Option<SlotStatus>,
    /// The stream; none if there is none.
    pub stream: Option<StreamStatus>,
    /// The outbox table.
    pub outbox: Outbox,
    /// Webhooks; none if there are to be none.
    pub webhooks: Option<Webhooks>,
    /// What the walpost on this host says of itself, as `/status` does.
    pub service: Option<Value>,
    /// What could not be asked, and why.
    pub errors: Vec<Unanswered>,
}

/// Who reads from the slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Leader {
    /// The server process that serves it.
    pub pid: i32,
    /// What it calls itself.
    pub application_name: Option<String>,
    /// Where it connects from; none if it is on the server itself, or only others may know.
    pub address: Option<String>,
    /// For how long it has been connected, in seconds.
    pub seconds: Option<f64>,
}

/// Positions in the log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Positions {
    /// The end of the server's log.
    pub server: Option<Lsn>,
    /// Up to where the leader has received it.
    pub received: Option<Lsn>,
    /// The last commit of which an event was handed to the broker.
    pub published: Option<Lsn>,
    /// Up to where it is confirmed to Postgres.
    pub confirmed: Option<Lsn>,
}

/// How far behind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Lag {
    /// Bytes of log that the leader has not received.
    pub received_bytes: Option<u64>,
    /// Bytes of log that are not confirmed.
    pub confirmed_bytes: Option<u64>,
    /// How long ago the oldest event was committed that is not stored, in seconds.
    pub seconds: Option<f64>,
}

/// How fast.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Messages that the stream gained in a second.
    pub events_per_second: Option<f64>,
    /// Bytes of log that came to what is not confirmed in a second; negative while it catches up.
    pub confirmed_bytes_per_second: Option<f64>,
}

/// The slot.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SlotStatus {
    /// Its name.
    pub name: String,
    /// Whether the log that it needs is there.
    pub wal_status: Option<String>,
    /// How much log it keeps.
    pub retained_bytes: Option<u64>,
    /// How much more there may be before it is lost; none without a limit.
    pub safe_bytes: Option<i64>,
    /// How long ago the leader wrote down how far it is, in seconds.
    pub watermark_seconds: Option<f64>,
}

/// The stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// How many messages it holds.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The sequence of the last one.
    pub last_sequence: u64,
    /// How many servers keep it.
    pub replicas: usize,
    /// How many of them are not up to date.
    pub replicas_behind: usize,
    /// The server that leads it, in a cluster.
    pub leader: Option<String>,
    /// How many dead letters it holds.
    pub dead_letters: Option<u64>,
}

/// The outbox table.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outbox {
    /// Rows that are not known to be delivered, counted up to ten thousand; none if no status is kept.
    pub pending: Option<u64>,
    /// Since when the oldest of them waits, in seconds.
    pub oldest_seconds: Option<f64>,
    /// Dead letters that nobody has decided about.
    pub dead: Option<u64>,
}

/// Webhooks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Webhooks {
    /// How each endpoint stands, in the order of the configuration, or by name.
    pub endpoints: Vec<Standing>,
    /// The rows of the table that are none.
    pub refused: Vec<RefusedStanding>,
}

/// What could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unanswered {
    /// Whom: `postgres`, `nats` or `walpost`.
    pub side: &'static str,
    /// Where to look it up.
    pub code: Option<String>,
    /// What happened.
    pub error: String,
    /// What to do about it, where that is known.
    pub remedy: Option<String>,
}

impl Status {
    /// Of this survey; rates since an earlier look, and how long ago that was.
    pub fn of(plan: &Plan, survey: &Survey, earlier: Option<(&Self, Duration)>) -> Self {
        let mut status = Self { version: env!("CARGO_PKG_VERSION"), ..Self::default() };
        status.note_postgres(plan, survey);
        status.note_nats(plan, survey);
        status.note_webhooks(survey);
        match &survey.service {
            Ok(service) => status.note_service(service.as_ref()),
            Err(silence) => status.unanswered("walpost", silence),
        }
        let has_trouble = status.trouble().is_some();
        status.delivering = status.leader.is_some() && status.stream.is_some() && !has_trouble;
        if let Some((earlier, time)) = earlier {
            status.rate = status.rate_since(earlier, time);
        }
        status
    }

    /// What keeps the walpost on this host from delivering.
    pub fn trouble(&self) -> Option<&Value> {
        self.service.as_ref()?.get("trouble").filter(|trouble| trouble.is_object())
    }

    fn note_postgres(&mut self, plan: &Plan, survey: &Survey) {
        let answers = match &survey.postgres.answers {
            Ok(answers) => answers,
            Err(silence) => return self.unanswered("postgres", silence),
        };
        if let Some(slots) = self.answered("postgres", &answers.slots)
            && let Some(slot) = slots.iter().find(|slot| slot.name == plan.needs.slot)
        {
            self.note_slot(slot);
            let age = answers.watermark_age.as_ref().ok().copied().flatten();
            if let Some(slot) = &mut self.slot {
                slot.watermark_seconds = age.map(|age| age.as_secs_f64());
            }
        }
        // No status is no error: a table without the column has none.
        if let Ok(Some(lag)) = &answers.outbox_lag {
            let oldest_seconds = lag.oldest_for.map(|age| age.as_secs_f64());
            self.outbox = Outbox { pending: lag.pending, oldest_seconds, dead: Some(lag.dead) };
            self.lag.seconds = oldest_seconds.or(lag.pending.map(|_| 0.0));
        }
    }

    fn note_slot(&mut self, slot: &SlotSeen) {
        let position = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        self.leader = slot.active_pid.map(|pid| Leader {
            pid,
            application_name: slot.reader.clone().filter(|name| !name.is_empty()),
            address: slot.reader_address.clone(),
            seconds: slot.reading_for.map(|time| time.as_secs_f64()),
        });
        self.lsn.server = position(&slot.log_end);
        self.lsn.confirmed = position(&slot.confirmed);
        self.lag.confirmed_bytes = slot.unconfirmed_bytes;
        self.slot = Some(SlotStatus {
            name: slot.name.clone(),
            wal_status: slot.wal_status.clone(),
            retained_bytes: slot.retained_bytes,
            safe_bytes: slot.safe_bytes,
            watermark_seconds: None,
        });
    }

    fn note_nats(&mut self, plan: &Plan, survey: &Survey) {
        let answers = match &survey.nats.answers {
            Ok(answers) => answers,
            Err(silence) => return self.unanswered("nats", silence),
        };
        let Some(Some(seen)) = self.answered("nats", &answers.stream) else { return };
        self.mode = Some(if seen.sharing(&plan.stream).is_some() { "shared" } else { "chain" });
        self.stream = Some(StreamStatus {
            name: seen.config.name.clone(),
            messages: seen.messages,
            bytes: seen.bytes,
            last_sequence: seen.last_sequence,
            replicas: seen.config.num_replicas,
            replicas_behind: seen.replicas.iter().filter(|replica| !replica.is_current || replica.is_offline).count(),
            leader: seen.leader.clone(),
            dead_letters: answers.dead_letters.as_ref().ok().copied(),
        });
    }

    fn note_webhooks(&mut self, survey: &Survey) {
        let Some(side) = &survey.webhooks else { return };
        let refused = side.listing.iter().flat_map(|listing| &listing.refused).map(RefusedStanding::from).collect();
        self.webhooks = Some(Webhooks { endpoints: side.standings(), refused });
        match (&side.listing, &side.kept.look) {
            // A server that lets nobody in is told once.
            (Err(silence), _) if survey.postgres.answers.is_ok() => self.unanswered("postgres", silence),
            (Ok(_), Err(silence)) if survey.nats.answers.is_ok() => self.unanswered("nats", silence),
            _ => {}
        }
    }

    /// What a leader on this host knows. A standby has its own phase, and positions of nothing.
    fn note_service(&mut self, service: Option<&Value>) {
        let Some(service) = service else { return };
        self.service = Some(service.clone());
        if !matches!(service.get("phase").and_then(Value::as_str), Some("leading" | "draining")) {
            return;
        }
        let position = |name: &str| {
            let text = service.get("lsn")?.get(name)?.as_str()?;
            text.parse().ok().filter(|lsn: &Lsn| lsn.is_valid())
        };
        (self.lsn.received, self.lsn.published) = (position("received"), position("published"));
        self.lag.received_bytes =
            self.lsn.server.zip(self.lsn.received).map(|(server, received)| server.bytes_since(received));
        self.lag.seconds = service.get("lag").and_then(|lag| lag.get("seconds")?.as_f64()).or(self.lag.seconds);
    }

    #[expect(clippy::cast_precision_loss, reason = "rates are estimates")]
    fn rate_since(&self, earlier: &Self, time: Duration) -> Rate {
        let seconds = time.as_secs_f64().max(0.001);
        let last = |status: &Self| status.stream.as_ref().map(|stream| stream.last_sequence as f64);
        let held = |status: &Self| status.lag.confirmed_bytes.map(|bytes| bytes as f64);
        let per_second = |now: Option<f64>, then: Option<f64>| now.zip(then).map(|(now, then)| (now - then) / seconds);
        Rate {
            events_per_second: per_second(last(self), last(earlier)).map(|rate| rate.max(0.0)),
            confirmed_bytes_per_second: per_second(held(self), held(earlier)),
        }
    }

    fn answered<'a, T>(&mut self, side: &'static str, answer: &'a Answer<T>) -> Option<&'a T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(silence) => {
                self.unanswered(side, silence);
                None
            }
        }
    }

    fn unanswered(&mut self, side: &'static str, silence: &Silence) {
        let Silence { code, why, remedy } = silence.clone();
        self.errors.push(Unanswered { side, code: code.map(|code| code.to_string()), error: why, remedy });
    }
}
