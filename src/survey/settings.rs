//! Settings of the Postgres server, in units that compare.

use std::{collections::BTreeMap, time::Duration};

use tokio_postgres::Row;

use crate::postgres::sql::{Session, SqlError};

/// What is asked for; a server that is too old for one does not have it.
const NAMES: [&str; 7] = [
    "hot_standby_feedback",
    "idle_replication_slot_timeout",
    "max_slot_wal_keep_size",
    "max_wal_size",
    "sync_replication_slots",
    "synchronized_standby_slots",
    "wal_sender_timeout",
];

/// The settings that say how the slot lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Setting>);

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its value in its own unit.
    pub value: String,
    /// Its unit, if it has one.
    pub unit: Option<String>,
    /// Whether the value is one for our role or database, not the server's.
    pub is_of_role: bool,
}

impl Settings {
    pub(super) async fn ask(session: &Session) -> Result<Self, SqlError> {
        let names: Vec<&str> = NAMES.to_vec();
        let rows = session.client().query(include_str!("../../sql/survey/settings.sql"), &[&names]).await?;
        let settings = rows.iter().map(|row| Ok((row.try_get("name")?, Setting::read(row)?)));
        Ok(Self(settings.collect::<Result<_, tokio_postgres::Error>>()?))
    }

    /// The setting of this name, if the server has it.
    pub fn of(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }
}

impl Setting {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let source: &str = row.try_get("source")?;
        Ok(Self {
            value: row.try_get("setting")?,
            unit: row.try_get("unit")?,
            is_of_role: ["user", "database", "database user"].contains(&source),
        })
    }

    /// The value as a number of bytes; none if it is unlimited or no size.
    pub fn bytes(&self) -> Option<u64> {
        let scale: u64 = match self.unit.as_deref()? {
            "B" => 1,
            "kB" => 1 << 10,
            "8kB" => 8 << 10,
            "MB" => 1 << 20,
            _ => return None,
        };
        self.value.parse::<u64>().ok()?.checked_mul(scale)
    }

    /// The value as a length of time; none if it is no time.
    pub fn time(&self) -> Option<Duration> {
        let scale: u64 = match self.unit.as_deref()? {
            "ms" => 1,
            "s" => 1000,
            "min" => 60_000,
            _ => return None,
        };
        Some(Duration::from_millis(self.value.parse::<u64>().ok()?.checked_mul(scale)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(value: &str, unit: &str) -> Setting {
        Setting { value: value.into(), unit: Some(unit.into()), is_of_role: false }
    }

    #[test]
    fn values_compare_whatever_their_unit() {
        assert_eq!(setting("64", "MB").bytes(), Some(64 << 20));
        assert_eq!(setting("-1", "MB").bytes(), None, "no limit");
        assert_eq!(setting("60000", "ms").time(), Some(Duration::from_secs(60)));
        assert_eq!(setting("2", "min").time(), Some(Duration::from_secs(120)));
        assert_eq!(setting("2", "min").bytes(), None);
    }
}
