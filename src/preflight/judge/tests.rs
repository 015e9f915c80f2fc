//! Every problem from made-up facts, and none from good ones.

use super::super::{StatusObjects, WatermarkTable};
use super::*;
use crate::outbox::{BaseTypes, Mapping, OptionalColumn};

const UUID: u32 = 2950;
const TEXT: u32 = 25;
const JSONB: u32 = 3802;
const POINT: u32 = 600;
const TIMESTAMPTZ: u32 = 1184;

fn needs() -> Needs {
    needs_with(Preset::Walpost.columns())
}

fn needs_with(columns: Columns) -> Needs {
    let mapping = Mapping { table: "public.outbox".parse().unwrap(), columns };
    Needs { slot: "walpost".into(), publication: "walpost".into(), mapping, deletes_rows: false }
}

fn column(name: &str, type_oid: u32) -> TableColumn {
    TableColumn { name: name.into(), type_oid, is_generated: false }
}

fn table() -> Table {
    let columns = [
        ("id", UUID),
        ("aggregate_type", TEXT),
        ("aggregate_id", TEXT),
        ("event_type", TEXT),
        ("payload", JSONB),
        ("headers", JSONB),
        ("created_at", TIMESTAMPTZ),
    ];
    Table { oid: 16_384, kind: 'r', persistence: 'p', columns: columns.map(|(name, oid)| column(name, oid)).into() }
}

/// A server on which everything is as it should be.
fn good() -> Facts {
    let table = table();
    Facts {
        server: Server {
            version_num: 180_003,
            version: "18.3".into(),
            wal_level: "logical".into(),
            effective_wal_level: None,
            is_in_recovery: false,
            database: "shop".into(),
            encoding: "UTF8".into(),
            role: "relay".into(),
            may_replicate: true,
            max_slots: 10,
            used_slots: 1,
            max_senders: 10,
            used_senders: 0,
        },
        has_schema: true,
        base_types: BaseTypes::new(),
        publication: Some(Publication {
            publishes_insert: true,
            is_via_root: true,
            has_table: true,
            is_member: true,
            column_names: table.columns.iter().map(|column| column.name.clone()).collect(),
            row_filter: None,
        }),
        table: Some(table),
        slot: Some(Slot {
            plugin: Some("pgoutput".into()),
            database: Some("shop".into()),
            is_temporary: false,
            is_two_phase: false,
            active_pid: None,
            wal_status: Some("reserved".into()),
            invalidation_reason: None,
            confirmed_flush: "0/1528".parse().ok(),
            restart: "0/1500".parse().ok(),
        }),
        watermark_table: WatermarkTable { is_there: true, may_use: true },
        status_objects: StatusObjects::default(),
        watermark: None,
        retention: None,
    }
}

/// The problems after one thing was changed, as text.
fn told(change: impl FnOnce(&mut Facts)) -> Vec<String> {
    let mut facts = good();
    change(&mut facts);
    problems(&facts, &needs()).iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_server_has_no_problems() {
    assert_eq!(problems(&good(), &needs()), []);
}

#[test]
fn each_thing_that_is_wrong_is_told() {
    type Case = (fn(&mut Facts), &'static str);
    let cases: [Case; 22] = [
        (|f| f.server.version_num = 130_011, "Postgres 18.3 is too old, walpost needs version 14 or later"),
        (|f| f.server.is_in_recovery = true, "the server is a standby (in recovery), and walpost needs the primary"),
        (|f| f.server.wal_level = "replica".into(), "wal_level is replica, logical decoding needs logical"),
        (|f| f.server.may_replicate = false, "role \"relay\" may not use replication"),
        (|f| f.server.used_senders = 10, "all 10 replication connections of the server are taken (max_wal_senders)"),
        (|f| f.table().kind = 'v', "public.outbox is a view, whose rows are not in the log"),
        (|f| f.table().kind = 'f', "public.outbox is a foreign table, whose rows are not in the log"),
        (
            |f| f.table().persistence = 'u',
            "table public.outbox is unlogged or temporary, so its rows are not in the log",
        ),
        (|f| f.watermark_table.is_there = false, "table public.walpost_watermark does not exist"),
        (|f| f.watermark_table.may_use = false, "role \"relay\" may not read and write table public.walpost_watermark"),
        (|f| f.publication = None, "publication \"walpost\" does not exist"),
        (|f| f.publication().publishes_insert = false, "publication \"walpost\" does not publish inserts"),
        (|f| f.publication().has_table = false, "publication \"walpost\" does not contain table public.outbox"),
        (
            |f| f.publication().row_filter = Some("(id IS NOT NULL)".into()),
            "publication \"walpost\" sends only rows of table public.outbox where (id IS NOT NULL)",
        ),
        (
            |f| f.publication().column_names = vec!["id".into()],
            "publication \"walpost\" leaves out columns \"aggregate_type\", \"aggregate_id\", \"event_type\", \
             \"payload\", \"headers\", \"created_at\" of table public.outbox",
        ),
        (|f| f.slot = None, "replication slot \"walpost\" does not exist"),
        (
            |f| f.slot().plugin = Some("test_decoding".into()),
            "replication slot \"walpost\" uses plugin test_decoding, expected pgoutput",
        ),
        (|f| f.slot().plugin = None, "replication slot \"walpost\" is physical, expected pgoutput"),
        (
            |f| f.slot().database = Some("other".into()),
            "replication slot \"walpost\" belongs to database \"other\", not to \"shop\"",
        ),
        (
            |f| f.slot().is_temporary = true,
            "replication slot \"walpost\" is temporary, so it would be lost with its session",
        ),
        (
            |f| f.slot().is_two_phase = true,
            "replication slot \"walpost\" was created with two_phase, which sends transactions before they commit",
        ),
        (|f| f.slot().wal_status = Some("lost".into()), "replication slot \"walpost\" is invalidated: wal_removed"),
    ];
    for (change, expected) in cases {
        let mut facts = good();
        change(&mut facts);
        let [problem] = &problems(&facts, &needs())[..] else { panic!("not alone: {expected}") };
        assert_eq!(problem.to_string(), expected);
        assert!(!problem.remedy().is_empty(), "{expected}");
    }
}

#[test]
fn a_slot_that_another_session_is_making_is_not_judged() {
    let half_made = |f: &mut Facts| {
        *f.slot() = Slot {
            plugin: Some(String::new()),
            active_pid: Some(7),
            confirmed_flush: None,
            restart: None,
            wal_status: None,
            ..f.slot().clone()
        };
    };
    assert_eq!(told(half_made), Vec::<String>::new());
}

#[test]
fn the_servers_own_reason_for_a_lost_slot_comes_first() {
    let told = told(|f| {
        f.slot().wal_status = Some("lost".into());
        f.slot().invalidation_reason = Some("idle_timeout".into());
    });
    assert_eq!(told, ["replication slot \"walpost\" is invalidated: idle_timeout"]);
}

#[test]
fn a_column_that_is_missing_or_of_a_wrong_type_is_told_with_all_others() {
    let told = told(|f| {
        f.table().columns.remove(1);
        f.table().columns[0].type_oid = POINT;
    });
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("column \"aggregate_type\" (aggregate_type) is missing"), "{told:?}");
    assert!(told[0].contains("column \"id\" (id) is of a type that cannot be read (oid 600)"), "{told:?}");
}

#[test]
fn nothing_that_follows_from_another_problem_is_told() {
    let unlogged = |f: &mut Facts| {
        f.table().persistence = 'u';
        f.publication().has_table = false;
    };
    assert_eq!(told(unlogged).len(), 1);
    let absent = |f: &mut Facts| {
        f.table = None;
        f.publication().has_table = false;
    };
    assert_eq!(told(absent), ["table public.outbox does not exist"]);
}

#[test]
fn a_new_server_lacks_all_that_setup_creates() {
    let mut facts = good();
    (facts.table, facts.publication, facts.slot) = (None, None, None);
    let found = problems(&facts, &needs());
    assert_eq!(found.len(), 3);
    for problem in found {
        assert!(problem.made_by_setup());
        assert_eq!(problem.remedy(), "run `walpost setup`, which creates it");
    }
}

#[test]
fn only_our_own_layout_of_a_missing_table_is_made_by_setup() {
    let mut facts = good();
    facts.table = None;
    let ours = Preset::Walpost.columns();
    let cases = [
        (ours.clone(), true),
        (Columns { headers: Some(OptionalColumn::required("headers")), ..ours.clone() }, true),
        (Columns { headers: Some(OptionalColumn::required("meta")), ..ours.clone() }, false),
        (Columns { payload: "body".into(), ..ours }, false),
        (Preset::Debezium.columns(), false),
    ];
    for (columns, is_ours) in cases {
        let problem = problems(&facts, &needs_with(columns)).remove(0);
        assert_eq!(problem.to_string(), "table public.outbox does not exist");
        assert_eq!(problem.made_by_setup(), is_ours);
    }
}

#[test]
fn a_schema_is_not_made_by_setup() {
    let mut facts = good();
    (facts.has_schema, facts.table) = (false, None);
    let found = problems(&facts, &needs());
    assert_eq!(found[0].to_string(), "the schema of table public.outbox does not exist");
    assert!(found[0].remedy().starts_with("run `CREATE SCHEMA \"public\";`"));
    assert!(!found[0].made_by_setup());
}

#[test]
fn a_standby_is_not_asked_to_be_set_up() {
    let told = told(|f| {
        f.server.is_in_recovery = true;
        f.slot = None;
    });
    assert_eq!(told, ["the server is a standby (in recovery), and walpost needs the primary"]);
}

#[test]
fn a_new_slot_needs_room_and_a_slot_in_use_needs_no_other_connection() {
    let full = |f: &mut Facts| f.server.used_slots = 10;
    assert_eq!(told(full), Vec::<String>::new());
    let new = |f: &mut Facts| {
        full(f);
        f.slot = None;
    };
    assert_eq!(
        told(new),
        [
            "all 10 replication slots of the server are taken (max_replication_slots)",
            "replication slot \"walpost\" does not exist"
        ]
    );
    let led = |f: &mut Facts| {
        f.server.used_senders = 10;
        f.slot().active_pid = Some(1);
    };
    assert_eq!(told(led), Vec::<String>::new());
}

#[test]
fn the_level_may_follow_from_the_slots_on_new_servers() {
    let replica = |version_num, effective: Option<&'static str>| {
        move |f: &mut Facts| {
            f.server.version_num = version_num;
            f.server.wal_level = "replica".into();
            f.server.effective_wal_level = effective.map(Into::into);
        }
    };
    assert_eq!(told(replica(180_003, None)).len(), 1);
    assert_eq!(told(replica(190_000, Some("replica"))).len(), 0);
    assert_eq!(told(replica(190_000, Some("logical"))).len(), 0);
    let minimal = |f: &mut Facts| {
        f.server.version_num = 190_000;
        f.server.wal_level = "minimal".into();
    };
    assert_eq!(told(minimal), ["wal_level is minimal, logical decoding needs logical"]);
}

#[test]
fn partitions_must_go_by_the_name_of_their_root() {
    let told = told(|f| {
        f.table().kind = 'p';
        let publication = f.publication();
        (publication.has_table, publication.is_via_root) = (false, false);
    });
    assert_eq!(
        told,
        ["publication \"walpost\" sends the rows of table public.outbox under the names of its partitions"]
    );
}

#[test]
fn a_generated_column_counts_only_if_it_is_mapped_and_not_sent() {
    let generated = |f: &mut Facts| f.table().columns[4].is_generated = true;
    assert_eq!(told(generated), Vec::<String>::new(), "version 18 can send it");
    let listed_by_an_old_server = |f: &mut Facts| {
        generated(f);
        f.server.version_num = 170_006;
    };
    assert_eq!(told(listed_by_an_old_server).len(), 1);
    let unsent = |f: &mut Facts| {
        generated(f);
        f.publication().column_names.retain(|name| name != "payload");
    };
    assert_eq!(
        told(unsent),
        ["column \"payload\" of table public.outbox is generated, and the publication does not send it"]
    );
    let unmapped = |f: &mut Facts| f.table().columns.push(TableColumn { is_generated: true, ..column("more", TEXT) });
    assert_eq!(told(unmapped), Vec::<String>::new());
}

#[test]
fn version_14_tells_no_column_list() {
    assert_eq!(told(|f| f.publication().column_names.clear()), Vec::<String>::new());
}

impl Facts {
    /// The table, to be changed.
    fn table(&mut self) -> &mut Table {
        self.table.as_mut().unwrap()
    }

    /// The publication, to be changed.
    fn publication(&mut self) -> &mut Publication {
        self.publication.as_mut().unwrap()
    }

    /// The slot, to be changed.
    fn slot(&mut self) -> &mut Slot {
        self.slot.as_mut().unwrap()
    }
}
