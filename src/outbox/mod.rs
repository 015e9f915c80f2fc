//! Outbox rows.
