//! The delivery engine: what arrives from Postgres goes out to NATS, what NATS stores is confirmed to Postgres.
//!
//! `state` decides, `driver` acts: the one is pure, the other owns both connections and the only `select!`.
//! `intake` reads the log's messages for it, `progress` is what others may look at meanwhile.

mod driver;
mod event;
mod gaps;
mod gate;
mod intake;
mod lanes;
mod ledger;
mod notes;
mod progress;
mod resume;
mod state;
mod watermark;

pub use driver::{Finish, Limits, Pause, Session, SessionError};
pub use event::{Due, Effect, Event, LogFault, Mode, Resume, StopReason, Window};
pub use gaps::{Gaps, Known, Seen, WayBack};
pub use gate::{Gate, Wishes, gate};
pub use intake::{Intake, IntakeError, LogRow};
pub use notes::{StatusNotes, Wants};
pub use progress::{LATENCY_BUCKETS_SECONDS, Progress, Snapshot, Wait};
pub use resume::{LOST_LOG_REMEDY, LostLog, OnOrphans, ResumeError, Start, place_in};
pub use state::Relay;
pub use watermark::{Confirmed, Mark, Stored, Watermark, WatermarkError};
