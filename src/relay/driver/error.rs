//! Why a session broke off, and whether another connection to the broker mends it.

use std::time::Duration;

use super::super::{event::StopReason, intake::IntakeError};
use crate::{
    publish::{BrokerError, StreamError},
    replication::ReplicationError,
};

/// Why a session broke off. Nothing is lost by it: delivery continues where the stream ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The replication connection failed.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
    /// The connection to NATS failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Log that cannot be published.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The state machine says stop.
    #[error("{0}")]
    Stop(StopReason),
    /// The connection to NATS broke.
    #[error("the connection to NATS broke with {in_flight} messages unanswered")]
    Disconnected {
        /// Messages without an answer.
        in_flight: usize,
    },
    /// The server is about to shut down.
    #[error("the NATS server is about to shut down (lame duck mode)")]
    BrokerLeaves,
    /// The server complained about something that we sent.
    #[error("NATS complains: {0}")]
    Complaint(String),
    /// Answers were dropped on the way to us.
    #[error("answers from NATS were lost")]
    AnswersLost,
    /// The oldest message was not answered in time.
    #[error("NATS did not answer for {waited:?}, with {in_flight} messages unanswered")]
    NoAnswer {
        /// Messages without an answer.
        in_flight: usize,
        /// How long.
        waited: Duration,
    },
    /// Nothing came from Postgres, although it was asked.
    #[error("Postgres has fallen silent on the replication connection")]
    SilentPostgres,
}

impl SessionError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Stop(reason) => reason.hint(),
            Self::Complaint(_) => Some(StreamError::RIGHTS),
            Self::Disconnected { .. } | Self::NoAnswer { .. } | Self::BrokerLeaves | Self::AnswersLost => {
                Some("check that the NATS server runs, is not overloaded, and can be reached from here")
            }
            Self::SilentPostgres => Some("check that the Postgres server and the network to it are well"),
            Self::Replication(_) | Self::Broker(_) | Self::Intake(_) => None,
        }
    }

    /// Whether another connection to the broker mends it, while the log stays open.
    pub fn is_mended_by_another_broker(&self) -> bool {
        match self {
            Self::Broker(_)
            | Self::Disconnected { .. }
            | Self::BrokerLeaves
            | Self::Complaint(_)
            | Self::AnswersLost
            | Self::NoAnswer { .. } => true,
            Self::Stop(reason) | Self::Intake(IntakeError::Stop(reason)) => match reason {
                StopReason::Refused { .. } | StopReason::OutOfPlace { .. } | StopReason::UnknownAck { .. } => true,
                StopReason::Forgotten { .. }
                | StopReason::Overtaken { .. }
                | StopReason::Displaced
                | StopReason::Log(_) => false,
            },
            Self::Replication(_) | Self::Intake(_) | Self::SilentPostgres => false,
        }
    }
}
