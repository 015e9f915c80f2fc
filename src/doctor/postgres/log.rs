//! The log that slots hold back: ours, those of others, and the transactions that hold up all of them.

use std::time::Duration;

use postgres_protocol::escape::escape_literal;

use super::provider;
use crate::{
    code::Code,
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    survey::{Answer, OldTransaction, PostgresAnswers, Provider, Settings, SlotSeen},
    words::{bytes, span},
};

/// Slots that hold back less are nobody's concern.
const CONCERN_BYTES: u64 = 1 << 30;
/// A transaction that is older holds the log back noticeably.
const OLD: Duration = Duration::from_secs(15 * 60);
/// A slot that is lost so soon needs somebody now.
const SOON: Duration = Duration::from_secs(60 * 60);
/// A slot that nobody reads from for so long outlives no weekend.
const IDLE_LIMIT: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// A reader whose machine died is to be noticed within this time.
const NOTICED_WITHIN: Duration = Duration::from_secs(5 * 60);
/// The limit that remedies name, to be adapted to the disk.
const PROPOSED_LIMIT: &str = "50GB";

pub(super) fn judge(plan: &Plan, answers: &PostgresAnswers, provider: Provider, findings: &mut Vec<Finding>) {
    match &answers.settings {
        Ok(settings) => {
            findings.push(limit(settings, provider));
            findings.extend(idle_timeout(settings, provider));
            findings.extend(sender_timeout(settings, plan, provider));
        }
        Err(silence) => {
            let checks = [Check::SLOT_LIMIT, Check::SLOT_IDLE, Check::SENDER_TIMEOUT];
            findings.extend(checks.map(|check| Finding::silent(check, silence)));
        }
    }
    match &answers.slots {
        Ok(slots) => {
            let (ours, others): (Vec<_>, Vec<_>) = slots.iter().partition(|slot| slot.name == plan.needs.slot);
            if let Some(slot) = ours.first() {
                findings.push(held_back(slot, answers));
                findings.push(reader(slot, plan, answers));
            }
            findings.push(others_hold_back(&others));
        }
        Err(silence) => {
            let checks = [Check::SLOT_LOG, Check::SLOT_READER, Check::OTHER_SLOTS];
            findings.extend(checks.map(|check| Finding::silent(check, silence)));
        }
    }
    findings.push(transactions(&answers.transactions));
}

fn limit(settings: &Settings, provider: Provider) -> Finding {
    const NAME: &str = "max_slot_wal_keep_size";
    let size = |name| settings.of(name).and_then(crate::survey::Setting::bytes);
    let Some(limit) = size(NAME) else {
        let set = provider::set(provider, NAME, PROPOSED_LIMIT);
        return Finding::warning(
            Check::SLOT_LIMIT,
            format!("{NAME} is not set: slots may hold back any amount of log"),
            format!("{set} (choose what the disk bears and your longest outage needs)"),
        );
    };
    let found = format!("{NAME} = {}", bytes(limit));
    match size("max_wal_size").filter(|wal_size| limit < *wal_size) {
        Some(wal_size) => Finding::warning(
            Check::SLOT_LIMIT,
            format!("{found}, less than max_wal_size ({})", bytes(wal_size)),
            format!(
                "{} (choose what the disk bears and your longest outage needs)",
                provider::set(provider, NAME, PROPOSED_LIMIT)
            ),
        )
        .because("Postgres may need so much log between two checkpoints even if every reader keeps up."),
        None => Finding::ok(Check::SLOT_LIMIT, found),
    }
}

fn idle_timeout(settings: &Settings, provider: Provider) -> Option<Finding> {
    const NAME: &str = "idle_replication_slot_timeout";
    let Some(setting) = settings.of(NAME) else {
        return Some(Finding::ok(Check::SLOT_IDLE, "this version keeps idle slots"));
    };
    let timeout = setting.time()?;
    Some(if timeout.is_zero() {
        Finding::ok(Check::SLOT_IDLE, "off")
    } else if timeout < IDLE_LIMIT {
        let found = format!("a slot that nobody reads from for {} is given up ({NAME})", span(timeout));
        Finding::warning(Check::SLOT_IDLE, found, provider::set(provider, NAME, "0"))
    } else {
        Finding::ok(Check::SLOT_IDLE, span(timeout))
    })
}

fn sender_timeout(settings: &Settings, plan: &Plan, provider: Provider) -> Option<Finding> {
    const NAME: &str = "wal_sender_timeout";
    let setting = settings.of(NAME)?;
    let timeout = setting.time()?;
    let remedy = if setting.is_of_role {
        let role = provider::quoted(plan.endpoint.user());
        format!("run `ALTER ROLE {role} SET {NAME} = '60s';`, or `RESET` it where the database sets it")
    } else {
        provider::set(provider, NAME, "60s")
    };
    Some(if timeout.is_zero() {
        Finding::warning(Check::SENDER_TIMEOUT, format!("never ({NAME} = 0)"), remedy)
    } else if timeout > NOTICED_WITHIN {
        Finding::warning(Check::SENDER_TIMEOUT, format!("only after {} ({NAME})", span(timeout)), remedy)
    } else {
        Finding::ok(Check::SENDER_TIMEOUT, span(timeout))
    })
}

/// How much log our slot holds back, against the limit and against what the disk is meant to bear.
fn held_back(slot: &SlotSeen, answers: &PostgresAnswers) -> Finding {
    let retained = slot.retained_bytes.unwrap_or_default();
    let growth = answers.growth.as_ref().ok().copied().flatten().unwrap_or_default();
    let rate = match to_bytes(growth.abs()) {
        0 => String::new(),
        rate if growth > 0.0 => format!(", growing by {}/s", bytes(rate)),
        rate => format!(", shrinking by {}/s", bytes(rate)),
    };
    let held = format!("{} held back", bytes(retained));
    let status = slot.wal_status.as_deref().unwrap_or_default();
    let catch_up = if slot.active_pid.is_some() {
        "see with `walpost status` why it lags: most often NATS is slow or away, or a transaction is old"
    } else {
        "start walpost: nobody reads from the slot"
    };
    if status == "lost" {
        return Finding::unknown(Check::SLOT_LOG, "the slot is lost, and holds nothing back any more");
    }
    if let Some(safe) = slot.safe_bytes {
        let safe = u64::try_from(safe).unwrap_or_default();
        let until = (growth >= 1.0).then(|| time_for(safe, growth));
        let in_time = until.map_or_else(String::new, |time| format!(", at this rate in {}", span(time)));
        let found = format!("{held}{rate}; the slot is lost after {} more{in_time}", bytes(safe));
        let room = "or raise `max_slot_wal_keep_size` if the disk bears it";
        let remedy = format!("{catch_up}; {room}");
        let whole = safe.saturating_add(retained);
        // A moment's burst says little while next to nothing is held back.
        let is_soon = retained > whole / 10 && until.is_some_and(|time| time < SOON);
        return if status == "unreserved" || safe < whole / 5 || is_soon {
            Finding::critical(Check::SLOT_LOG, found, remedy).with_code(Code::SLOT_LOST)
        } else if safe < whole / 2 {
            Finding::warning(Check::SLOT_LOG, found, remedy)
        } else {
            Finding::ok(Check::SLOT_LOG, found)
        };
    }
    if status != "extended" {
        return Finding::ok(Check::SLOT_LOG, format!("{held}{rate}"));
    }
    let found = format!("{held}{rate}: more than max_wal_size, and without a limit");
    let remedy = format!(
        "{catch_up}; if the disk is about to fill and that takes too long, the way out is \
         `SELECT pg_drop_replication_slot({});`: the database lives, and the events since {} must be recorded again (docs/runbook.md)",
        escape_literal(&slot.name),
        slot.confirmed.as_deref().unwrap_or("its creation"),
    );
    if slot.active_pid.is_some() {
        Finding::warning(Check::SLOT_LOG, found, remedy)
    } else {
        Finding::critical(Check::SLOT_LOG, found, remedy)
    }
}

fn reader(slot: &SlotSeen, plan: &Plan, answers: &PostgresAnswers) -> Finding {
    let Some(pid) = slot.active_pid else {
        let has_led = answers.facts.as_ref().is_ok_and(|facts| facts.watermark.is_some());
        let since = slot.inactive_for.map_or_else(String::new, |time| format!(" for {}", span(time)));
        return if has_led {
            let found = format!("nobody reads from the slot{since}");
            Finding::warning(Check::SLOT_READER, found, "start walpost, or see why it ended: the last lines of its log")
        } else {
            Finding::ok(Check::SLOT_READER, "nobody yet")
        };
    };
    let name = slot.reader.as_deref().filter(|name| !name.is_empty()).unwrap_or("a nameless program");
    let from = slot.reader_address.as_deref().map_or_else(String::new, |address| format!(" from {address}"));
    let since = slot.reading_for.map_or_else(String::new, |time| format!(", for {}", span(time)));
    let found = format!("{name}{from}, pid {pid}{since}");
    if name == plan.endpoint.application_name() {
        return Finding::ok(Check::SLOT_READER, found);
    }
    let remedy = "if that is not a walpost, give walpost a slot of its own: choose another name as `postgres.slot` and run \
                  `walpost setup`";
    Finding::warning(Check::SLOT_READER, format!("{found}, which does not call itself walpost"), remedy)
}

fn others_hold_back(others: &[&SlotSeen]) -> Finding {
    let is_concern = |slot: &&&SlotSeen| {
        let is_beyond = slot.wal_status.as_deref().is_some_and(|status| ["extended", "unreserved"].contains(&status));
        slot.active_pid.is_none() && (is_beyond || slot.retained_bytes.is_some_and(|held| held >= CONCERN_BYTES))
    };
    let idle: Vec<_> = others.iter().filter(is_concern).collect();
    if idle.is_empty() {
        let most = others.iter().filter_map(|slot| slot.retained_bytes).max().unwrap_or_default();
        let found = match others.len() {
            0 => "none".to_owned(),
            1 => format!("one, which holds back {}", bytes(most)),
            count => format!("{count}, which hold back {} at most", bytes(most)),
        };
        return Finding::ok(Check::OTHER_SLOTS, found);
    }
    let told = |slot: &&&&SlotSeen| {
        let since = slot.inactive_for.map_or_else(String::new, |time| format!(" for {}", span(time)));
        format!(
            "nobody reads from slot {}{since}, which holds back {}",
            slot.name,
            bytes(slot.retained_bytes.unwrap_or_default())
        )
    };
    let drop = |slot: &&&&SlotSeen| format!("`SELECT pg_drop_replication_slot({});`", escape_literal(&slot.name));
    let found = idle.iter().take(MOST_TOLD).map(|slot| told(&slot)).collect::<Vec<_>>().join("; ");
    let drops = idle.iter().take(MOST_TOLD).map(|slot| drop(&slot)).collect::<Vec<_>>().join(", ");
    Finding::warning(
        Check::OTHER_SLOTS,
        found,
        format!("start what reads from it; if that is gone for good, run {drops}"),
    )
}

fn transactions(answer: &Answer<Vec<OldTransaction>>) -> Finding {
    let all = match answer {
        Ok(all) => all,
        Err(silence) => return Finding::silent(Check::TRANSACTIONS, silence),
    };
    let is_old = |transaction: &&OldTransaction| {
        transaction.age.is_some_and(|age| age >= OLD || (transaction.is_prepared && age >= OLD / 5))
    };
    let Some(oldest) = all.iter().find(is_old) else {
        let hidden = all.iter().filter(|transaction| transaction.age.is_none()).count();
        let found = match (hidden, all.first().and_then(|transaction| transaction.age)) {
            (0, None) => "none is running".to_owned(),
            (0, Some(age)) => format!("the oldest is {} old", span(age)),
            (count, _) => format!("{count} whose age only a role of pg_read_all_stats sees"),
        };
        return Finding::ok(Check::TRANSACTIONS, found);
    };
    let age = span(oldest.age.unwrap_or_default());
    if oldest.is_prepared {
        let name = escape_literal(&oldest.name);
        let database = oldest.database.as_deref().unwrap_or("its database");
        return Finding::warning(
            Check::TRANSACTIONS,
            format!("transaction {name} was prepared {age} ago and neither committed nor rolled back"),
            format!("in database {database}, run `ROLLBACK PREPARED {name};`, or `COMMIT PREPARED {name};`"),
        );
    }
    Finding::warning(
        Check::TRANSACTIONS,
        format!("a transaction of pid {} has been open for {age}", oldest.name),
        format!("end it: run `SELECT pg_terminate_backend({});`, and see why it stayed open", oldest.name),
    )
}

/// Slots that are told by name.
const MOST_TOLD: usize = 5;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive rate, for people")]
fn to_bytes(rate: f64) -> u64 {
    rate as u64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn time_for(bytes: u64, rate: f64) -> Duration {
    Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX)
}
