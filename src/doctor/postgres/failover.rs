//! Whether a failover of Postgres takes the slot along.

use postgres_protocol::escape::escape_literal;

use super::provider;
use crate::{
    doctor::{check::Check, finding::Finding},
    plan::Plan,
    survey::{PostgresAnswers, Provider, SlotSeen},
};

/// From this version on a slot can go over to a standby.
const FAILS_OVER: i32 = 170_000;

pub(super) fn judge(plan: &Plan, answers: &PostgresAnswers, provider: Provider, findings: &mut Vec<Finding>) {
    let (facts, settings, slots, standbys) =
        match (&answers.facts, &answers.settings, &answers.slots, &answers.standbys) {
            (Ok(facts), Ok(settings), Ok(slots), Ok(standbys)) => (facts, settings, slots, standbys),
            (Err(silence), ..) | (_, Err(silence), ..) | (_, _, Err(silence), _) | (.., Err(silence)) => {
                findings
                    .extend([Check::SLOT_FAILOVER, Check::SLOT_STANDBYS].map(|check| Finding::silent(check, silence)));
                return;
            }
        };
    if facts.server.version_num < FAILS_OVER {
        let found = if standbys.is_empty() { "no standby" } else { "Postgres has no failover slots before version 17" };
        findings.push(Finding::ok(Check::SLOT_FAILOVER, found));
        findings.push(Finding::ok(Check::SLOT_STANDBYS, "delivery waits for none"));
        return;
    }
    let ours = slots.iter().find(|slot| slot.name == plan.needs.slot);
    let awaited: Vec<&str> = settings
        .of("synchronized_standby_slots")
        .map(|setting| {
            setting.value.split(',').map(|name| name.trim().trim_matches('"')).filter(|name| !name.is_empty())
        })
        .into_iter()
        .flatten()
        .collect();
    findings.extend(ours.map(|slot| goes_over(plan, slot, standbys, &awaited, provider)));
    findings.push(awaited_standbys(slots, &awaited, ours, provider));
}

fn goes_over(plan: &Plan, slot: &SlotSeen, standbys: &[String], awaited: &[&str], provider: Provider) -> Finding {
    let does = slot.fails_over == Some(true);
    if standbys.is_empty() {
        return Finding::ok(Check::SLOT_FAILOVER, if does { "yes, once there is a standby" } else { "no standby" });
    }
    let named = standbys.join(", ");
    if !does {
        let database = plan.endpoint.database();
        let slot = &slot.name;
        return Finding::warning(
            Check::SLOT_FAILOVER,
            format!("a failover to {named} would lose the slot"),
            format!(
                "while walpost is stopped, run `psql \"dbname={database} replication=database\" -c \"ALTER_REPLICATION_SLOT {slot} \
                 (FAILOVER true)\"`; then see docs/guides/failover.md for the settings of the standby"
            ),
        );
    }
    if awaited.is_empty() {
        return Finding::warning(
            Check::SLOT_FAILOVER,
            format!("the slot goes over to {named}, and delivery does not wait for what they have"),
            format!(
                "{} with the physical slots of the standbys that may be promoted; see docs/guides/failover.md",
                provider::set(provider, "synchronized_standby_slots", "<slot of the standby>")
            ),
        )
        .because("After a failover the stream may hold events that the new primary has lost.");
    }
    Finding::ok(Check::SLOT_FAILOVER, format!("goes over to {named}"))
}

/// A walsender of a failover slot sends nothing that these slots have not confirmed.
fn awaited_standbys(slots: &[SlotSeen], awaited: &[&str], ours: Option<&SlotSeen>, provider: Provider) -> Finding {
    if awaited.is_empty() {
        return Finding::ok(Check::SLOT_STANDBYS, "delivery waits for none");
    }
    let is_there = |name: &&&str| {
        let is_fed = |slot: &SlotSeen| slot.name == **name && !slot.is_logical && slot.active_pid.is_some();
        slots.iter().any(is_fed)
    };
    let away: Vec<&str> = awaited.iter().filter(|name| !is_there(name)).copied().collect();
    let does_wait = ours.is_some_and(|slot| slot.fails_over == Some(true));
    if away.is_empty() {
        return Finding::ok(Check::SLOT_STANDBYS, awaited.join(", "));
    }
    let names: Vec<String> = away.iter().map(|name| escape_literal(name)).collect();
    let names = names.join(", ");
    if !does_wait {
        return Finding::ok(Check::SLOT_STANDBYS, format!("{names} not fed, but this slot waits for none"));
    }
    let left: Vec<&str> = awaited.iter().filter(is_there).copied().collect();
    Finding::critical(
        Check::SLOT_STANDBYS,
        format!(
            "Postgres holds delivery up for a standby that does not read from slot {names} (synchronized_standby_slots)"
        ),
        format!(
            "start the standby; until then, {}",
            provider::set(provider, "synchronized_standby_slots", &left.join(", "))
        ),
    )
}
