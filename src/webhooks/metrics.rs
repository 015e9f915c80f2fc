//! The metrics of webhooks. Labels come from closed sets: the endpoints that are served, the classes of outcomes.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::{
    board::Board,
    stats::{ATTEMPT_BUCKETS_SECONDS, EndpointSeen},
};

/// The registry of one process.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// Metrics of what is on this board.
    pub fn new(board: Arc<Board>) -> Self {
        let mut registry = Registry::with_prefix("walpost_webhooks");
        registry.register_collector(Box::new(Reading(board)));
        Self(registry)
    }

    /// All metrics in the OpenMetrics text format.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Reading(Arc<Board>);

/// A gauge: its name, what it is, and its value for an endpoint.
type Gauge = (&'static str, &'static str, fn(&EndpointSeen) -> u64);

const GAUGES: [Gauge; 5] = [
    ("held", "1 if this instance delivers to the endpoint", |seen| seen.is_held.into()),
    ("disabled", "1 if the endpoint is disabled; known where it is held", |seen| seen.is_disabled.into()),
    (
        "open_events",
        "Events that are read and neither delivered nor dead letters; known where the endpoint is held",
        |seen| seen.open,
    ),
    ("unread_events", "Events of the stream that are not read yet; known where the endpoint is held", |seen| {
        seen.behind
    }),
    ("read_sequence", "The sequence up to which the stream is read; known where the endpoint is held", |seen| {
        seen.read
    }),
];

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let all: Vec<EndpointSeen> = self.0.all().iter().map(|stats| stats.seen()).collect();
        for (name, help, value) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for seen in &all {
                ConstGauge::new(value(seen)).encode(family.encode_family(&[("endpoint", seen.name.as_str())])?)?;
            }
        }
        let help =
            "When the oldest event was stored in the stream that is read and neither delivered nor a dead letter";
        let mut family =
            encoder.encode_descriptor("oldest_open_timestamp", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (seen, at) in all.iter().filter_map(|seen| Some((seen, seen.oldest_ms?))) {
            let seconds = Duration::from_millis(at).as_secs_f64();
            ConstGauge::new(seconds).encode(family.encode_family(&[("endpoint", seen.name.as_str())])?)?;
        }
        let help = "Attempts, by what came of them";
        let mut family = encoder.encode_descriptor("attempts", help, None, MetricType::Counter)?;
        for seen in &all {
            for (class, count) in &seen.attempts {
                let labels = [("endpoint", seen.name.as_str()), ("outcome", class.name())];
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Events that an endpoint did not take and that became dead letters";
        let mut family = encoder.encode_descriptor("dead_letters", help, None, MetricType::Counter)?;
        for seen in &all {
            ConstCounter::new(seen.dead).encode(family.encode_family(&[("endpoint", seen.name.as_str())])?)?;
        }
        let help = "How long attempts take";
        let mut family = encoder.encode_descriptor("attempt", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for seen in &all {
            let bounds = ATTEMPT_BUCKETS_SECONDS.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(seen.took_counts.iter().copied()).collect();
            let (total, took) = (seen.took_counts.iter().sum(), seen.took.as_secs_f64());
            let labels = [("endpoint", seen.name.as_str())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<prometheus_client::encoding::NoLabelSet>(took, total, &buckets, None)?;
        }
        let help = "Rows of the table of endpoints that are none, and not served";
        let family = encoder.encode_descriptor("refused_endpoints", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.0.refused()).encode(family)?;
        let help = "When the table of endpoints was last read";
        let family =
            encoder.encode_descriptor("table_read_timestamp", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        if let Some(at) = self.0.table_read_ms() {
            ConstGauge::new(Duration::from_millis(at).as_secs_f64()).encode(family)?;
        }
        Ok(())
    }
}
