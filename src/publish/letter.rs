//! A dead letter as it is read back from its record in the stream.

use serde::Deserialize;

use super::Message;

/// An event that no message can carry, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Letter {
    /// Where the event stands in the log, as text.
    pub position: String,
    /// The event's id.
    pub event_id: Option<String>,
    /// The kind of thing it is about.
    pub aggregate_type: Option<String>,
    /// Which thing it is about.
    pub aggregate_id: Option<String>,
    /// What happened.
    pub event_type: Option<String>,
    /// The reason's code.
    pub reason: String,
    /// The reason for people.
    pub detail: String,
    /// The record's sequence in the stream, where that is known.
    #[serde(skip)]
    pub sequence: Option<u64>,
}

impl Letter {
    /// Reads the body of a dead letter; `None` if it is no record of ours.
    pub fn read(body: &[u8], sequence: Option<u64>) -> Option<Self> {
        let letter: Self = serde_json::from_slice(body).ok()?;
        Some(Self { sequence, ..letter })
    }
}

impl Message {
    /// What a dead letter says; it will be stored under `sequence`, where that is known.
    pub fn letter(&self, sequence: Option<u64>) -> Option<Letter> {
        Letter::read(&self.payload, sequence)
    }
}
