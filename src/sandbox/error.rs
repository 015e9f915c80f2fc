//! What can go wrong with the sandbox itself. That events went missing is no error but a [`Verdict`](super::Verdict).

use std::error::Error;
use std::io;

use super::servers::ServerError;

/// Any cause.
type Cause = Box<dyn Error + Send + Sync>;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// One of the servers, or walpost itself, did not start or did not obey; with the end of its log.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The order service cannot write.
    #[error("the example order service failed")]
    Shop(#[source] tokio_postgres::Error),
    /// The table cannot be read.
    #[error("the outbox table cannot be read for the verdict")]
    Table(#[source] tokio_postgres::Error),
    /// The stream cannot be read.
    #[error("the stream cannot be read")]
    Stream(#[source] Cause),
    /// The stream gave nothing more, and should have.
    #[error("the stream stopped answering after message {0}")]
    StreamSilent(u64),
    /// Told to stop before there was anything to judge, or told twice.
    #[error("stopped before there was a verdict; the servers and their folder are gone")]
    Interrupted,
    /// A part of the sandbox panicked.
    #[error("a part of the sandbox broke: {0}")]
    Broken(String),
    /// Nobody takes the output.
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
}

impl SandboxError {
    /// The order service cannot write.
    pub(super) fn shop(error: tokio_postgres::Error) -> Self {
        Self::Shop(error)
    }

    /// The stream cannot be read.
    pub(super) fn stream(error: impl Into<Cause>) -> Self {
        Self::Stream(error.into())
    }

    /// What may mend it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Server(ServerError::NotFound { .. }) => {
                Some("`make tools` installs both servers into .tools/, where the sandbox finds them")
            }
            Self::Server(ServerError::NoFolder { .. }) => {
                Some("set TMPDIR to a short folder that everybody can enter, such as /tmp")
            }
            Self::Server(ServerError::Misbehaved { .. }) => {
                Some("the sandbox starts anew each time, so try again; if it stays, the lines above are worth an issue")
            }
            Self::Shop(_) | Self::Table(_) | Self::Stream(_) | Self::StreamSilent(_) => {
                Some("did one of the servers end? They are private to this run: try again with a lower --rate")
            }
            Self::Server(_) | Self::Interrupted | Self::Broken(_) | Self::Output(_) => None,
        }
    }
}
