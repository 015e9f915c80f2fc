//! Every metric, with its unit and its meaning.
//!
//! They are read from [`Progress`] when somebody asks, so counting costs the data path nothing but the atomics that it
//! keeps anyway. Labels come from closed sets: no subject, key or id ever becomes one.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::log::dropped_lines;
use crate::{
    code::Code,
    preflight::{SlotLook, SlotStatus},
    relay::{LATENCY_BUCKETS_SECONDS, Progress, Snapshot},
    supervisor::{Health, HealthWatch, Phase, Retained},
};

/// The registry of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Metrics of this progress and this health.
    pub fn new(progress: Arc<Progress>, health: HealthWatch) -> Self {
        let mut registry = Registry::with_prefix("walpost");
        registry.register_collector(Box::new(Reading { began: SystemTime::now(), progress, health }));
        Self { registry }
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Reading {
    /// When the process did, or soon after.
    began: SystemTime,
    progress: Arc<Progress>,
    health: HealthWatch,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (now, health) = (self.progress.snapshot(), self.health.now());
        encode_build(&mut encoder)?;
        encode_moment(&mut encoder, "start_timestamp", "When this process began", Some(self.began))?;
        encode_health(&mut encoder, &health)?;
        encode_slot(&mut encoder, health.slot.as_ref())?;
        encode_retention(&mut encoder, &health.retention.clone().unwrap_or_default())?;
        encode_positions(&mut encoder, &now)?;
        encode_gauges(&mut encoder, &now)?;
        encode_moments(&mut encoder, &now)?;
        encode_counters(&mut encoder, &now)?;
        encode_waits(&mut encoder, &now)?;
        encode_latency(&mut encoder, &now)
    }
}

fn encode_build(encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let help = "The version that runs; always 1";
    let mut family = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
    ConstGauge::new(1u64).encode(family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?)
}

fn encode_health(encoder: &mut DescriptorEncoder<'_>, health: &Health) -> Result<(), std::fmt::Error> {
    let help = "1 if it delivers or stands by, as /ready says; 0 otherwise";
    let ready = u64::from(health.is_ready());
    ConstGauge::new(ready).encode(encoder.encode_descriptor("ready", help, None, MetricType::Gauge)?)?;
    let help = "1 for the phase that the process is in, 0 for the others";
    let mut family = encoder.encode_descriptor("phase", help, None, MetricType::Gauge)?;
    for name in Phase::NAMES {
        let value = u64::from(health.phase.name() == name);
        ConstGauge::new(value).encode(family.encode_family(&[("phase", name)])?)?;
    }
    let help = "1 for the error code of what keeps events from being delivered, 0 for the others";
    let mut family = encoder.encode_descriptor("blocked", help, None, MetricType::Gauge)?;
    for code in Code::ALL {
        let value = u64::from(health.trouble.as_ref().is_some_and(|trouble| trouble.code == *code));
        ConstGauge::new(value).encode(family.encode_family(&[("code", code.to_string())])?)?;
    }
    let help = "Attempts to deliver again after a fault, by the error code of the fault";
    let mut family = encoder.encode_descriptor("retries", help, None, MetricType::Counter)?;
    for code in Code::ALL {
        ConstCounter::new(health.retries(*code)).encode(family.encode_family(&[("code", code.to_string())])?)?;
    }
    let help = "How often this process began to lead";
    ConstCounter::new(health.terms).encode(encoder.encode_descriptor("terms", help, None, MetricType::Counter)?)
}

/// The slot as Postgres tells of it, in every phase. What is not known has no value.
fn encode_slot(encoder: &mut DescriptorEncoder<'_>, slot: Option<&SlotLook>) -> Result<(), std::fmt::Error> {
    let help = "1 for the slot's wal_status (`missing`: there is no such slot), 0 for the others, and for all before the first look";
    let mut family = encoder.encode_descriptor("slot_status", help, None, MetricType::Gauge)?;
    for status in SlotStatus::ALL {
        let value = u64::from(slot.is_some_and(|slot| slot.status == status));
        ConstGauge::new(value).encode(family.encode_family(&[("status", status.name())])?)?;
    }
    let gauges = [
        ("slot_active", "1 if some process reads from the slot", None, slot.map(|slot| u64::from(slot.is_active))),
        (
            "slot_retained",
            "Log that Postgres keeps for the slot: end of the log less the slot's restart_lsn",
            Some(Unit::Bytes),
            slot.and_then(|slot| slot.retained_bytes),
        ),
        (
            "slot_safe",
            "How much more log may be written before the slot can be lost (safe_wal_size); no value without max_slot_wal_keep_size",
            Some(Unit::Bytes),
            slot.and_then(|slot| slot.safe_bytes),
        ),
    ];
    for (name, help, unit, value) in gauges {
        let metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        if let Some(value) = value {
            ConstGauge::new(value).encode(metric)?;
        }
    }
    let help = "When the slot was last looked at; every 5 s, while Postgres answers";
    encode_moment(encoder, "slot_seen_timestamp", help, slot.map(|slot| SystemTime::now() - slot.at.elapsed()))
}

/// What became of delivered rows; nothing without `retention.delete_after`.
fn encode_retention(encoder: &mut DescriptorEncoder<'_>, retained: &Retained) -> Result<(), std::fmt::Error> {
    let counters = [
        ("retention_rows_deleted", "Rows of the outbox that were delivered, old, and deleted", retained.rows),
        ("retention_partitions_dropped", "Partitions of the outbox that were dropped whole", retained.partitions),
        ("retention_errors", "Attempts to delete delivered rows that failed", retained.errors),
    ];
    for (name, help, value) in counters {
        ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    let help = "When delivered rows were last looked through, whether or not any was old";
    encode_moment(encoder, "retention_run_timestamp", help, retained.ran_at.map(|at| SystemTime::now() - at.elapsed()))
}

/// When things last happened; no value if they never did. Ages are left to whoever asks: `time() - …`.
fn encode_moments(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), std::fmt::Error> {
    let help = "When Postgres was last told of progress, or there was none to tell of";
    encode_moment(encoder, "confirmed_timestamp", help, now.confirmed_at)?;
    encode_moment(encoder, "stored_timestamp", "When the stream last stored an event", now.stored_at)
}

fn encode_moment(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    moment: Option<SystemTime>,
) -> Result<(), std::fmt::Error> {
    let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
    let Some(since) = moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()) else { return Ok(()) };
    ConstGauge::new(since.as_secs_f64()).encode(metric)
}

fn encode_positions(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), std::fmt::Error> {
    let help = "Positions in the log (LSNs) by how far events have come: end of the server's log, received, published, confirmed";
    let mut family = encoder.encode_descriptor("position", help, Some(&Unit::Bytes), MetricType::Gauge)?;
    let places = [
        ("server", now.server_end),
        ("received", now.received),
        ("published", now.published),
        ("confirmed", now.confirmed),
    ];
    for (stage, lsn) in places {
        // Prometheus numbers are floats; an f64 holds every LSN of a log below 9 PB exactly.
        ConstGauge::new(lsn.as_u64()).encode(family.encode_family(&[("stage", stage)])?)?;
    }
    Ok(())
}

fn encode_gauges(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), std::fmt::Error> {
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: f64| {
        ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?)
    };
    #[expect(clippy::cast_precision_loss, reason = "Prometheus numbers are floats")]
    let (lag_bytes, in_flight) = (now.lag_bytes() as f64, now.in_flight as f64);
    gauge("lag", "Log that the slot holds back: end of the server's log less confirmed", Some(Unit::Bytes), lag_bytes)?;
    let oldest = now.oldest_unstored.as_secs_f64();
    gauge(
        "lag",
        "Age of the oldest event that was received and is not stored yet; 0 without one",
        Some(Unit::Seconds),
        oldest,
    )?;
    let is_shared = f64::from(u8::from(now.is_shared));
    gauge("shared_stream", "1 if the stream is not walpost's alone, so that less is promised", None, is_shared)?;
    gauge("in_flight_messages", "Messages that wait for the broker's answer", None, in_flight)
}

fn encode_counters(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), std::fmt::Error> {
    let counters = [
        ("messages_sent", "Messages handed to NATS, those that were sent again included", now.sent),
        ("events_stored", "Events that the stream stored, dead letters included", now.events),
        ("event_bytes_stored", "Bytes of the rows of events that the stream stored", now.event_bytes),
        ("transactions_received", "Committed transactions received from Postgres", now.transactions),
        ("duplicates", "Events whose id the stream held already, and that were not stored again", now.duplicates),
        ("rows_skipped", "Rows that Postgres sent again and the stream held already", now.skipped),
        ("headers_dropped", "Entries of the headers column that no message may carry", now.dropped_headers),
        ("foreign_messages", "Messages of others in a stream that should be walpost's alone", now.foreign),
        (
            "displaced_events",
            "Events that such messages displaced, and that went to the end of the stream",
            now.displaced,
        ),
        ("changes_ignored", "Changes in the publication that are no inserts into the outbox", now.ignored_changes),
        ("log_lines_dropped", "Lines of walpost's own log that its reader was too slow for", dropped_lines()),
    ];
    for (name, help, value) in counters {
        ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    let help = "Events that no message can carry and that a dead letter stands for, by reason";
    let mut family = encoder.encode_descriptor("dead_letters", help, None, MetricType::Counter)?;
    for (reason, count) in &now.dead_letters {
        ConstCounter::new(*count).encode(family.encode_family(&[("reason", reason.code())])?)?;
    }
    Ok(())
}

fn encode_waits(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), std::fmt::Error> {
    let help = "Time spent waiting, by what for: more log (nothing is to be delivered), answers of NATS with room for more \
                messages, room (the window is full: NATS is the limit), the broker (it is away or refuses), the slot \
                (another process leads), a retry (the pause after a fault)";
    let mut family = encoder.encode_descriptor("waited", help, Some(&Unit::Seconds), MetricType::Counter)?;
    for (wait, time) in &now.waited {
        ConstCounter::new(time.as_secs_f64()).encode(family.encode_family(&[("for", wait.name())])?)?;
    }
    Ok(())
}

fn encode_latency(encoder: &mut DescriptorEncoder<'_>, now: &Snapshot) -> Result<(), std::fmt::Error> {
    let help = "Time from the commit in Postgres to storage in the stream, by Postgres' clock and ours";
    let mut metric =
        encoder.encode_descriptor("commit_to_stored", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    let bounds = LATENCY_BUCKETS_SECONDS.iter().copied().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(now.latency_counts.iter().copied()).collect();
    let total = now.latency_counts.iter().sum();
    metric.encode_histogram::<NoLabelSet>(now.latency_sum.as_secs_f64(), total, &buckets, None)
}
