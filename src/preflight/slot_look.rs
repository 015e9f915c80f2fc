//! A look at the slot: how much log it keeps and how near to lost it is, for those who watch.

use tokio::time::Instant;
use tokio_postgres::Row;

use crate::{
    lsn::Lsn,
    postgres::sql::{Session, SqlError},
};

/// What one look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLook {
    /// When.
    pub at: Instant,
    /// Where the server's log ended, as far as it was on disk; none on a standby.
    pub server_end: Option<Lsn>,
    /// Whether the log that the slot needs is there.
    pub status: SlotStatus,
    /// Whether some process reads from it.
    pub is_active: bool,
    /// How much log the server keeps for it.
    pub retained_bytes: Option<u64>,
    /// How much more may be written before it can be lost; none without a limit.
    pub safe_bytes: Option<u64>,
}

/// Whether the log that a slot needs is there: `wal_status`
/// (<https://www.postgresql.org/docs/current/view-pg-replication-slots.html>), or that there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotStatus {
    /// It is, within `max_wal_size`.
    Reserved,
    /// It is, kept for slots alone.
    Extended,
    /// The next checkpoint may remove some of it.
    Unreserved,
    /// It is not: the slot is of no use any more.
    Lost,
    /// There is no such slot.
    Missing,
    /// The server says something else.
    Unknown,
}

impl SlotStatus {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Reserved, Self::Extended, Self::Unreserved, Self::Lost, Self::Missing, Self::Unknown];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Extended => "extended",
            Self::Unreserved => "unreserved",
            Self::Lost => "lost",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }

    fn of(wal_status: Option<&str>) -> Self {
        Self::ALL.into_iter().find(|status| Some(status.name()) == wal_status).unwrap_or(Self::Unknown)
    }
}

/// Looks at the slot.
pub async fn look_at_slot(session: &Session, slot: &str) -> Result<SlotLook, SqlError> {
    let row = session.client().query_one(include_str!("../../sql/preflight/slot_look.sql"), &[&slot]).await?;
    SlotLook::read(&row)
}

impl SlotLook {
    /// Reads the row of `slot_look.sql`.
    fn read(row: &Row) -> Result<Self, SqlError> {
        let is_there: bool = row.try_get("is_there")?;
        let bytes = |name| -> Result<_, SqlError> {
            // A slot may be behind what was removed, and ahead of what is on disk: then nothing is kept or safe.
            Ok(row.try_get::<_, Option<i64>>(name)?.map(|bytes| u64::try_from(bytes).unwrap_or_default()))
        };
        Ok(Self {
            at: Instant::now(),
            server_end: row.try_get::<_, Option<&str>>("server_end")?.and_then(|text| text.parse().ok()),
            status: if is_there { SlotStatus::of(row.try_get("wal_status")?) } else { SlotStatus::Missing },
            is_active: row.try_get("is_active")?,
            retained_bytes: bytes("retained_bytes")?,
            safe_bytes: bytes("safe_bytes")?,
        })
    }
}
