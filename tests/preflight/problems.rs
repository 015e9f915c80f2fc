//! Every problem as a real server causes it, with its exact text; and every remedy that is SQL mends it.

use walpost::preflight::{Problem, inspect, problems};

use crate::world::{World, connect, servers, servers_with};

/// A table that fits.
const TABLE: &str = "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                     payload jsonb, headers jsonb, created_at timestamptz);";
/// A publication that fits.
const PUBLICATION: &str = "CREATE PUBLICATION walpost FOR TABLE outbox WITH (publish = 'insert');";
/// A slot that fits.
const SLOT: &str = "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');";

/// The statement that a remedy asks to run.
fn sql_of(problem: &Problem) -> String {
    let remedy = problem.remedy();
    let sql = remedy.strip_prefix("run `").and_then(|rest| rest.split('`').next());
    sql.unwrap_or_else(|| panic!("no SQL in {remedy:?}")).to_owned()
}

/// Prepares one thing that is wrong, sees it told alone, and leaves the world to mend.
async fn one_problem(server: usize, name: &str, sql: &[&str], told: &str) -> (World, Problem) {
    let world = World::new(&servers().await[server], name).await;
    for statement in sql {
        world.execute(statement).await;
    }
    assert_eq!(world.told().await, [told]);
    let problem = world.problems().await.remove(0);
    (world, problem)
}

#[tokio::test]
async fn a_complete_server_has_no_problems() {
    for server in servers().await {
        let world = World::new(server, "complete").await;
        for sql in [TABLE, PUBLICATION, SLOT] {
            world.execute(sql).await;
        }
        assert_eq!(world.problems().await, []);
    }
}

#[tokio::test]
async fn an_empty_database_lacks_three_things() {
    for server in servers().await {
        let world = World::empty(server, "empty").await;
        assert_eq!(
            world.told().await,
            [
                "table public.outbox does not exist",
                "table public.walpost_watermark does not exist",
                "publication \"walpost\" does not exist",
                "replication slot \"empty\" does not exist",
            ]
        );
        assert!(world.problems().await.iter().all(Problem::made_by_setup));
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_publication_is_mended_by_the_remedy() {
    let cases = [
        (
            "CREATE PUBLICATION walpost FOR TABLE outbox WITH (publish = 'update, delete');",
            "publication \"walpost\" does not publish inserts",
        ),
        (
            "CREATE TABLE other (id int); CREATE PUBLICATION walpost FOR TABLE other;",
            "publication \"walpost\" does not contain table public.outbox",
        ),
        ("CREATE PUBLICATION walpost;", "publication \"walpost\" does not contain table public.outbox"),
        (
            "CREATE PUBLICATION walpost FOR TABLE outbox (id, aggregate_type, aggregate_id, event_type, payload);",
            "publication \"walpost\" leaves out columns \"headers\", \"created_at\" of table public.outbox",
        ),
        (
            "CREATE PUBLICATION walpost FOR TABLE outbox WHERE (event_type <> 'secret');",
            "publication \"walpost\" sends only rows of table public.outbox where (event_type <> 'secret'::text)",
        ),
    ];
    for (index, server) in servers().await.iter().enumerate() {
        for (number, (publication, told)) in cases.into_iter().enumerate() {
            if number > 2 && server.major() < 15 {
                continue;
            }
            let sql = [TABLE, publication, SLOT];
            let (world, problem) = one_problem(index, &format!("publication_{number}"), &sql, told).await;
            world.execute(&sql_of(&problem)).await;
            assert_eq!(world.problems().await, [], "{}", problem.remedy());
        }
    }
}

#[tokio::test]
async fn a_missing_column_and_one_of_a_wrong_type_are_told_together() {
    for server in servers().await {
        let world = World::new(server, "columns").await;
        world.execute("CREATE TABLE outbox (id uuid PRIMARY KEY, kind text, aggregate_id text, event_type text)").await;
        world.execute("ALTER TABLE outbox ADD payload integer, ADD gone text; ALTER TABLE outbox DROP gone").await;
        world.execute(PUBLICATION).await;
        world.execute(SLOT).await;
        assert_eq!(
            world.told().await,
            [
                "table public.outbox cannot be read as an outbox: column \"aggregate_type\" (aggregate_type) is missing; \
              column \"payload\" (payload) is integer, expected jsonb, json, text, varchar or bytea; \
              the table has id, kind, aggregate_id, event_type, payload"
            ]
        );
        assert!(world.problems().await[0].remedy().contains("[outbox.columns]"));
        world.execute("ALTER TABLE outbox DROP payload").await;
        world.execute("ALTER TABLE outbox RENAME kind TO aggregate_type; ALTER TABLE outbox ADD payload json").await;
        assert_eq!(world.problems().await, []);
    }
}

#[tokio::test]
async fn what_has_no_rows_in_the_log_is_refused() {
    let view = "CREATE VIEW outbox AS SELECT 1 AS id;";
    let table = "CREATE PUBLICATION walpost;";
    for (index, _) in servers().await.iter().enumerate() {
        let told = "public.outbox is a view, whose rows are not in the log";
        one_problem(index, "view", &[view, table, SLOT], told).await;

        let unlogged = TABLE.replace("CREATE TABLE", "CREATE UNLOGGED TABLE");
        let told = "table public.outbox is unlogged or temporary, so its rows are not in the log";
        let all = "CREATE PUBLICATION walpost FOR ALL TABLES;";
        let (world, problem) = one_problem(index, "unlogged", &[&unlogged, all, SLOT], told).await;
        world.execute(&sql_of(&problem)).await;
        assert_eq!(world.problems().await, []);
    }
}

#[tokio::test]
async fn a_missing_schema_is_told() {
    for server in servers().await {
        let mut world = World::new(server, "schema").await;
        world.needs.mapping.table = "Shop.outbox".parse().unwrap();
        let problem = world.problems().await.remove(0);
        assert_eq!(problem.to_string(), "the schema of table \"Shop\".outbox does not exist");
        world.execute(&sql_of(&problem)).await;
        assert_eq!(world.told().await[0], "table \"Shop\".outbox does not exist");
    }
}

#[tokio::test]
async fn a_slot_of_another_kind_is_refused() {
    let cases = [
        (
            "SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding');",
            "uses plugin test_decoding, expected pgoutput",
        ),
        ("SELECT pg_create_physical_replication_slot('{slot}');", "is physical, expected pgoutput"),
        (
            "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput', true);",
            "is temporary, so it would be lost with its session",
        ),
    ];
    for (index, _) in servers().await.iter().enumerate() {
        for (number, (slot, told)) in cases.into_iter().enumerate() {
            let name = format!("slot_{number}");
            let told = format!("replication slot \"{name}\" {told}");
            let (_world, problem) = one_problem(index, &name, &[TABLE, PUBLICATION, slot], &told).await;
            assert!(problem.remedy().contains("postgres.slot"));
        }
    }
}

#[tokio::test]
async fn a_slot_that_sends_too_early_is_to_be_made_anew() {
    let slot = "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput', false, true);";
    for (index, _) in servers().await.iter().enumerate() {
        let told =
            "replication slot \"two_phase\" was created with two_phase, which sends transactions before they commit";
        let (world, problem) = one_problem(index, "two_phase", &[TABLE, PUBLICATION, slot], told).await;
        world.execute(&sql_of(&problem)).await;
        assert_eq!(world.told().await, ["replication slot \"two_phase\" does not exist"]);
    }
}

#[tokio::test]
async fn a_slot_of_another_database_is_refused() {
    for server in servers().await {
        let other = World::new(server, "slot_owner").await;
        other.execute(SLOT).await;
        let mut world = World::new(server, "slot_guest").await;
        world.execute(TABLE).await;
        world.execute(PUBLICATION).await;
        world.needs.slot = "slot_owner".to_owned();
        assert_eq!(
            world.told().await,
            ["replication slot \"slot_owner\" belongs to database \"slot_owner\", not to \"slot_guest\""]
        );
    }
}

#[tokio::test]
async fn a_role_needs_replication_or_the_providers_stand_in_for_it() {
    for server in servers().await {
        let world = World::new(server, "plain").await;
        for sql in [TABLE, PUBLICATION, SLOT, "CREATE ROLE plain LOGIN"] {
            world.execute(sql).await;
        }
        let plain = connect(&server.url_for("plain", "plain")).await;
        let told = async || problems(&inspect(&plain, &world.needs).await.unwrap(), &world.needs);
        let found = told().await;
        let words: Vec<String> = found.iter().map(Problem::to_string).collect();
        let rights = "role \"plain\" may not read and write table public.walpost_watermark";
        assert_eq!(words, ["role \"plain\" may not use replication", rights]);
        for problem in &found {
            world.execute(&sql_of(problem)).await;
        }
        assert_eq!(told().await, []);

        world
            .execute("ALTER ROLE plain NOREPLICATION; CREATE ROLE rds_replication; GRANT rds_replication TO plain")
            .await;
        assert_eq!(told().await, []);
    }
}

#[tokio::test]
async fn a_server_that_cannot_decode_is_refused_before_anything_is_created() {
    for server in servers_with(&[("wal_level", "replica"), ("max_replication_slots", "1")]).await {
        let world = World::empty(&server, "level").await;
        world.execute("SELECT pg_create_physical_replication_slot('standby')").await;
        assert_eq!(
            world.told().await,
            [
                "wal_level is replica, logical decoding needs logical",
                "all 1 replication slots of the server are taken (max_replication_slots)",
                "table public.outbox does not exist",
                "table public.walpost_watermark does not exist",
                "publication \"walpost\" does not exist",
                "replication slot \"level\" does not exist",
            ]
        );
        assert!(world.problems().await[0].remedy().starts_with("run `ALTER SYSTEM SET wal_level = logical;`"));
        let stream = walpost::setup::Setup {
            session: &world.session,
            needs: &world.needs,
            inspector: &world.inspector,
            stream: &world.plan,
            existing_rows: None,
        };
        let error = stream.apply(|_| {}).await.unwrap_err();
        assert_eq!(error.problems().len(), 2);
        assert_eq!(world.catalog().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_slot_whose_log_is_gone_is_told_with_the_place_it_was_at() {
    for server in servers_with(&[("max_slot_wal_keep_size", "1MB")]).await {
        let world = World::new(&server, "lost").await;
        for sql in [TABLE, PUBLICATION, SLOT] {
            world.execute(sql).await;
        }
        let confirmed = inspect(&world.session, &world.needs).await.unwrap().slot.unwrap().confirmed_flush.unwrap();
        for _ in 0..4 {
            world.execute("SELECT pg_logical_emit_message(false, 'fill', 'x')").await;
            world.execute("SELECT pg_switch_wal()").await;
        }
        world.execute("CHECKPOINT").await;
        assert_eq!(world.told().await, ["replication slot \"lost\" is invalidated: wal_removed"]);
        let problem = world.problems().await.remove(0);
        let remedy = problem.remedy();
        assert!(remedy.starts_with("run `walpost setup --existing-rows missing`"), "{remedy}");
        assert!(remedy.ends_with(&format!("(it was confirmed up to {confirmed})")), "{remedy}");
    }
}

/// What retention takes, to be put beside the table, the publication and the slot.
const STATUS: &str = "CREATE TABLE walpost_dead_letter (event_id text);";

#[tokio::test]
async fn what_keeps_rows_from_being_deleted_is_told_if_they_are_to_be_and_mended_by_the_remedy() {
    for server in servers().await {
        let mut world = World::new(server, "retention").await;
        for sql in [TABLE, PUBLICATION, SLOT, STATUS] {
            world.execute(sql).await;
        }
        assert_eq!(world.problems().await, [], "rows are kept");
        world.needs.deletes_rows = true;
        let no = "retention.delete_after is set, and table public.outbox has no";
        assert_eq!(world.told().await, [format!("{no} column xid of type xid8")]);
        world.execute(&sql_of(&world.problems().await[0])).await;
        assert_eq!(world.told().await, [format!("{no} index on xid")]);
        world.execute(&sql_of(&world.problems().await[0])).await;
        assert_eq!(world.problems().await, []);

        world.execute("ALTER TABLE outbox RENAME created_at TO other").await;
        assert_eq!(world.told().await, [format!("{no} column that says when a row was recorded")]);
        world.execute("ALTER TABLE outbox RENAME other TO created_at; DROP TABLE walpost_dead_letter").await;
        let no = "retention.delete_after is set, and no delivery status is kept of table public.outbox";
        assert_eq!(world.told().await, [no]);
        assert!(world.problems().await[0].made_by_setup());
        world.execute(STATUS).await;

        world
            .execute(
                "DROP ROLE IF EXISTS cleaner; CREATE ROLE cleaner LOGIN REPLICATION;
                 GRANT SELECT, INSERT, UPDATE ON walpost_watermark TO cleaner; GRANT SELECT ON outbox TO cleaner",
            )
            .await;
        let session = connect(&server.url_for("cleaner", "retention")).await;
        let told = async || problems(&inspect(&session, &world.needs).await.unwrap(), &world.needs);
        let found: Vec<String> = told().await.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "retention.delete_after is set, and role \"cleaner\" may not delete from table public.outbox",
                "retention.delete_after is set, and role \"cleaner\" may not use table public.walpost_dead_letter",
            ]
        );
        for problem in told().await {
            world.execute(&sql_of(&problem)).await;
        }
        assert_eq!(told().await, []);
        world.execute("DROP OWNED BY cleaner; DROP ROLE cleaner").await;

        // A partitioned table gets its index in another way.
        world
            .execute(
                "DROP TABLE outbox CASCADE;
                 CREATE TABLE outbox (id uuid, aggregate_type text, aggregate_id text, event_type text, payload jsonb,
                                      created_at timestamptz, xid xid8) PARTITION BY RANGE (created_at);
                 CREATE TABLE outbox_all PARTITION OF outbox DEFAULT;
                 DROP PUBLICATION walpost;
                 CREATE PUBLICATION walpost FOR TABLE outbox WITH (publish = 'insert', publish_via_partition_root = true)",
            )
            .await;
        assert_eq!(world.told().await, ["retention.delete_after is set, and table public.outbox has no index on xid"]);
        world.execute(&sql_of(&world.problems().await[0])).await;
        assert_eq!(world.problems().await, []);
    }
}
