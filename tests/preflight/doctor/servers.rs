//! Faults of a Postgres server as a whole: settings, room, log, standbys.

use walpost::{
    doctor::Verdict::{Critical, Warning},
    postgres::Endpoint,
    replication::Connection,
    sandbox::servers::{PostgresOptions, PrivatePostgres},
};

use super::patient::{Fault, Patient, wrong};
use crate::{
    wait,
    world::{matrix, nats, servers_with},
};

/// Settings that can be changed while the server runs.
#[rustfmt::skip]
const SETTINGS: &[Fault] = &[
    Fault { plant: &["sql ALTER SYSTEM SET max_slot_wal_keep_size = -1", "sql SELECT pg_reload_conf()"], check: "slot.limit",
            verdict: Warning, found: "max_slot_wal_keep_size is not set",
            remedy: "run `ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';` and `SELECT pg_reload_conf();`", mend: &[] },
    Fault { plant: &["sql ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'", "sql SELECT pg_reload_conf()"], check: "slot.limit",
            verdict: Warning, found: "64.0 MiB, less than max_wal_size", remedy: "ALTER SYSTEM SET max_slot_wal_keep_size", mend: &[] },
    Fault { plant: &["sql ALTER SYSTEM SET wal_sender_timeout = 0", "sql SELECT pg_reload_conf()"], check: "slot.sender_timeout",
            verdict: Warning, found: "never", remedy: "run `ALTER SYSTEM SET wal_sender_timeout = '60s';`", mend: &[] },
];

/// Those that came with version 17 and 18.
#[rustfmt::skip]
const NEWER_SETTINGS: &[(u32, Fault)] = &[
    (17, Fault { plant: &["sql ALTER SYSTEM SET synchronized_standby_slots = 'ghost'", "sql SELECT pg_reload_conf()"],
                 check: "slot.standbys", verdict: Critical, found: "a standby that does not read from slot 'ghost'",
                 remedy: "run `ALTER SYSTEM SET synchronized_standby_slots = '';` and `SELECT pg_reload_conf();`", mend: &[] }),
    (18, Fault { plant: &["sql ALTER SYSTEM SET idle_replication_slot_timeout = '2h'", "sql SELECT pg_reload_conf()"],
                 check: "slot.idle_timeout", verdict: Warning, found: "for 2 h 0 min is given up",
                 remedy: "run `ALTER SYSTEM SET idle_replication_slot_timeout = '0';`", mend: &[] }),
];

/// What providers say, by the roles of their administrators.
#[rustfmt::skip]
const PROVIDERS: &[Fault] = &[
    Fault { plant: &["sql CREATE ROLE azure_pg_admin", "sql ALTER ROLE {name} NOREPLICATION"], check: "postgres.role", verdict: Critical,
            found: "may not use replication", remedy: "as the administrator, run `ALTER ROLE \"{name}\" REPLICATION;`", mend: &[] },
    Fault { plant: &["sql ALTER ROLE {name} SET wal_sender_timeout = 0"], check: "slot.sender_timeout", verdict: Warning,
            found: "never", remedy: "ALTER ROLE \"{name}\" SET", mend: &[] },
    Fault { plant: &["sql DROP ROLE azure_pg_admin", "sql CREATE ROLE cloudsqlsuperuser",
                     "sql ALTER SYSTEM SET max_slot_wal_keep_size = -1", "sql SELECT pg_reload_conf()"],
            check: "slot.limit", verdict: Warning, found: "is not set", remedy: "set the database flag `max_slot_wal_keep_size = 50GB`",
            mend: &["sql ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'", "sql SELECT pg_reload_conf()"] },
    Fault { plant: &["sql DROP ROLE cloudsqlsuperuser", "sql CREATE ROLE rds_superuser", "sql CREATE ROLE rds_replication",
                     "sql ALTER ROLE {name} NOREPLICATION"],
            check: "postgres.role", verdict: Critical, found: "may not use replication",
            remedy: "run `GRANT rds_replication TO \"{name}\";`",
            // Only there that is enough for Postgres itself.
            mend: &["sql ALTER ROLE {name} REPLICATION"] },
];

/// Log that is held back, on a server that should keep 32 MiB. Segments are of 16 MiB.
const SWITCH: &str = "sql SELECT pg_logical_emit_message(false, 'fill', 'x'); SELECT pg_switch_wal()";
/// The slot lets go of log up to the last list of running transactions before its place, which a checkpoint writes.
const CATCH_UP: &[&str] = &[
    "sql CHECKPOINT",
    "sql SELECT pg_replication_slot_advance('{name}', pg_current_wal_lsn())",
    "sql CHECKPOINT",
    "sql SELECT pg_replication_slot_advance('{name}', pg_current_wal_lsn())",
    "sql CHECKPOINT",
];

#[rustfmt::skip]
const HELD_BACK: &[Fault] = &[
    Fault { plant: &["sql ALTER SYSTEM SET max_slot_wal_keep_size = '160MB'", "sql SELECT pg_reload_conf()",
                     SWITCH, SWITCH, SWITCH, SWITCH, SWITCH, SWITCH],
            check: "slot.log", verdict: Warning, found: "held back", remedy: "start walpost: nobody reads from the slot",
            mend: CATCH_UP },
    Fault { plant: &[SWITCH, SWITCH, SWITCH, SWITCH, SWITCH, SWITCH, SWITCH, SWITCH, SWITCH],
            check: "slot.log", verdict: Critical, found: "; the slot is lost after", remedy: "start walpost",
            mend: CATCH_UP },
    Fault { plant: &["sql ALTER SYSTEM SET max_slot_wal_keep_size = -1", "sql SELECT pg_reload_conf()",
                     SWITCH, SWITCH, SWITCH, SWITCH, SWITCH],
            check: "slot.log", verdict: Critical, found: "more than max_wal_size, and without a limit",
            remedy: "the way out is `SELECT pg_drop_replication_slot('{name}');`", mend: CATCH_UP },
    Fault { plant: &["sql SELECT pg_create_physical_replication_slot('forgotten', true)",
                     SWITCH, SWITCH, SWITCH, SWITCH, SWITCH],
            check: "slots.others", verdict: Warning, found: "nobody reads from slot forgotten",
            remedy: "run `SELECT pg_drop_replication_slot('forgotten');`", mend: CATCH_UP },
    Fault { plant: &["sql ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "sql SELECT pg_reload_conf()", SWITCH, SWITCH, SWITCH,
                     "sql CHECKPOINT"],
            check: "slot", verdict: Critical, found: "is invalidated: wal_removed",
            remedy: "run `walpost setup --existing-rows missing`", mend: &[] },
];

#[tokio::test]
async fn settings_of_the_server_that_hurt_later_are_told() {
    for server in servers_with(&[("max_slot_wal_keep_size", "4GB")]).await {
        let mut patient = Patient::new(&server, &nats().await.url(), "knobs").await;
        assert_eq!(patient.complaints().await, Vec::<String>::new());
        patient.suffers_all(SETTINGS).await;
        for (_, fault) in NEWER_SETTINGS.iter().filter(|(since, _)| *since <= server.major()) {
            patient.suffers(fault).await;
        }
        patient.suffers_all(PROVIDERS).await;
    }
}

#[tokio::test]
async fn log_that_is_held_back_is_told_before_it_is_too_much() {
    let settings = [("max_slot_wal_keep_size", "160MB"), ("max_wal_size", "32MB"), ("min_wal_size", "32MB")];
    for server in servers_with(&settings).await {
        let mut patient = Patient::new(&server, &nats().await.url(), "held_back").await;
        assert_eq!(patient.complaints().await, Vec::<String>::new());
        patient.suffers_all(HELD_BACK).await;
    }
}

#[tokio::test]
async fn a_server_without_room_is_told() {
    for server in
        servers_with(&[("max_slot_wal_keep_size", "4GB"), ("max_replication_slots", "1"), ("max_wal_senders", "2")])
            .await
    {
        let mut patient = Patient::new(&server, &nats().await.url(), "room").await;
        assert_eq!(patient.complaints().await, Vec::<String>::new());
        // Doctor's own connection may still be counted for a moment after it ended.
        let endpoint = Endpoint::parse(&server.url()).unwrap();
        let take = async || {
            let open = async || Connection::open(&endpoint).await.ok();
            wait::some("a walsender is free", open).await
        };
        let taken = [take().await, take().await];
        let told = patient.complaints().await;
        let is_told = |beginning: &str| told.iter().any(|line| line.starts_with(beginning));
        assert!(is_told("Critical postgres.senders: all 2 replication connections"), "{told:?}");
        assert!(is_told("Unknown postgres.replication: "), "{told:?}");
        drop(taken);
        wait::until("the walsenders are gone", async || patient.complaints().await.is_empty()).await;

        let full = Fault {
            plant: &[
                "sql SELECT pg_drop_replication_slot('{name}')",
                "sql SELECT pg_create_physical_replication_slot('another')",
            ],
            check: "postgres.slots",
            verdict: Critical,
            found: "all 1 replication slots of the server are taken",
            remedy: "max_replication_slots",
            mend: &["sql SELECT pg_drop_replication_slot('another')"],
        };
        patient.suffers(&full).await;
    }
}

#[tokio::test]
async fn a_log_that_carries_too_little_is_told_and_mended_by_a_restart() {
    for mut server in servers_with(&[("max_slot_wal_keep_size", "4GB")]).await {
        let patient = Patient::new(&server, &nats().await.url(), "level").await;
        server.execute_sql("SELECT pg_drop_replication_slot('level')").await.unwrap();
        server.set_config("wal_level", "replica").unwrap();
        server.restart().await.unwrap();
        let report = patient.examine().await;
        let found = wrong(&report).into_iter().find(|finding| finding.check.id() == "postgres.wal_level").unwrap();
        assert_eq!(
            (found.verdict, found.found.as_str()),
            (Critical, "wal_level is replica, logical decoding needs logical")
        );
        let command = found.commands().concat();
        assert_eq!(command, "ALTER SYSTEM SET wal_level = logical;");
        server.execute_sql(&command).await.unwrap();
        server.restart().await.unwrap();
        Patient::of(&server, &nats().await.url(), "level").await.is_cured().await;
    }
}

#[tokio::test]
async fn what_a_failover_needs_is_told() {
    let newest = matrix().into_iter().next().unwrap();
    let options = PostgresOptions::default().binaries(newest).setting("max_slot_wal_keep_size", "4GB");
    let primary = PrivatePostgres::start(options).await.unwrap();
    if primary.major() < 17 {
        return;
    }
    let mut patient = Patient::new(&primary, &nats().await.url(), "failover").await;
    let syncs =
        PostgresOptions::default().setting("hot_standby_feedback", "on").setting("sync_replication_slots", "on");
    let mut standby = PrivatePostgres::start_standby(&primary, syncs).await.unwrap();

    // Nobody waits for the standby yet: the remedy leaves its name to whoever knows which standbys may be promoted.
    let unawaited = Fault {
        plant: &[],
        check: "slot.failover",
        verdict: Warning,
        found: "goes over to standby, and delivery does not wait",
        remedy: "synchronized_standby_slots",
        mend: &["sql ALTER SYSTEM SET synchronized_standby_slots = 'standby'", "sql SELECT pg_reload_conf()"],
    };
    patient.suffers(&unawaited).await;
    let left_behind = Fault {
        plant: &[
            "sql SELECT pg_drop_replication_slot('{name}')",
            "sql SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')",
        ],
        check: "slot.failover",
        verdict: Warning,
        found: "a failover to standby would lose the slot",
        remedy: "-c \"ALTER_REPLICATION_SLOT {name} (FAILOVER true)\"`",
        mend: &[],
    };
    patient.suffers(&left_behind).await;

    patient.act(&format!("set POSTGRES_URL={}", standby.url_for("failover", "failover"))).await;
    let report = patient.examine().await;
    let found = wrong(&report).into_iter().find(|finding| finding.check.id() == "postgres.primary").unwrap();
    assert_eq!((found.verdict, found.found.contains("is a standby (in recovery)")), (Critical, true));
    patient.act("unset POSTGRES_URL").await;
    assert_eq!(patient.complaints().await, Vec::<String>::new());

    standby.kill().await.unwrap();
    wait::until("the standby is missed", async || !patient.complaints().await.is_empty()).await;
    let told = patient.complaints().await;
    assert!(told[0].starts_with("Critical slot.standbys: Postgres holds delivery up for a standby"), "{told:?}");
    patient.is_cured().await;
}
