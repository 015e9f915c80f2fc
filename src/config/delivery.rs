//! `[delivery]`: how much is on its way, how long to wait for it, and what to do with what cannot be sent.

use std::time::Duration;

use super::{keys, reader::Reader, units};
use crate::{publish::OnPoison, relay::OnOrphans};

/// How to deliver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// How many events may be on their way to the broker at once: 1 to 65536.
    pub max_in_flight: usize,
    /// How many bytes of events may be on their way to the broker at once: at least 1.
    pub max_in_flight_bytes: usize,
    /// How long to wait for the broker to confirm an event.
    pub publish_timeout: Duration,
    /// How long a stop may wait for the broker to confirm what is on its way; zero does not wait.
    pub drain_timeout: Duration,
    /// How much later than it was stored an event is confirmed to Postgres.
    pub hold_back: Duration,
    /// What becomes of an event that no message can carry.
    pub on_poison: OnPoison,
    /// What becomes of events in the stream that a failover lost.
    pub on_orphans: OnOrphans,
}

impl Delivery {
    /// Reads the section.
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let max_in_flight = reader.count(&keys::DELIVERY_MAX_IN_FLIGHT);
        let max_in_flight_bytes = reader.required(&keys::DELIVERY_MAX_IN_FLIGHT_BYTES, units::size);
        let publish_timeout = reader.duration(&keys::DELIVERY_PUBLISH_TIMEOUT);
        let drain_timeout = reader.duration(&keys::DELIVERY_DRAIN_TIMEOUT);
        let hold_back = reader.duration(&keys::DELIVERY_HOLD_BACK);
        let on_orphans = reader.required(&keys::DELIVERY_ON_ORPHANS, |text| units::one_of(text, &OnOrphans::ALL));
        let on_poison = reader.required(&keys::DELIVERY_ON_POISON, |text| units::one_of(text, &OnPoison::ALL));
        Some(Self {
            max_in_flight: max_in_flight?,
            max_in_flight_bytes: max_in_flight_bytes?,
            publish_timeout: publish_timeout?,
            drain_timeout: drain_timeout?,
            hold_back: hold_back?,
            on_poison: on_poison?,
            on_orphans: on_orphans?,
        })
    }
}
