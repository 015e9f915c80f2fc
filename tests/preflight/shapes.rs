//! Tables and publications of other shapes than setup's that are as good, and types that users made.

use walpost::{
    outbox::ColumnType,
    preflight::{Problem, SlotStatus, base_types, inspect, look_at_slot},
};

use crate::world::{World, servers};

/// A table that fits.
const TABLE: &str = "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                     payload jsonb, headers jsonb, created_at timestamptz);";
/// The same, partitioned.
const PARTITIONED: &str = "CREATE TABLE outbox (id uuid, aggregate_type text, aggregate_id text, event_type text,
                           payload jsonb) PARTITION BY LIST (aggregate_type);";
/// A partition of it.
const PARTITION: &str = "CREATE TABLE rest PARTITION OF outbox DEFAULT;";
/// A slot that fits.
const SLOT: &str = "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput');";

#[tokio::test]
async fn a_publication_of_all_tables_or_of_the_schema_contains_the_table() {
    for server in servers().await {
        let mut kinds = vec![("all_tables", "FOR ALL TABLES")];
        if server.major() >= 15 {
            kinds.push(("whole_schema", "FOR TABLES IN SCHEMA public"));
        }
        for (name, kind) in kinds {
            let world = World::new(server, name).await;
            world.execute(&format!("CREATE PUBLICATION walpost {kind}")).await;
            world.execute(TABLE).await;
            world.execute(SLOT).await;
            assert_eq!(world.problems().await, [], "{kind}");
        }
    }
}

#[tokio::test]
async fn a_partitioned_table_must_go_by_its_own_name() {
    for server in servers().await {
        for (name, partition) in [("partitioned", PARTITION), ("no_partition", "")] {
            let world = World::new(server, name).await;
            for sql in [PARTITIONED, partition, "CREATE PUBLICATION walpost FOR TABLE outbox", SLOT] {
                world.execute(sql).await;
            }
            let told =
                "publication \"walpost\" sends the rows of table public.outbox under the names of its partitions";
            assert_eq!(world.told().await, [told], "{name}");
            let remedy = world.problems().await[0].remedy();
            world.execute(remedy.split('`').nth(1).unwrap()).await;
            assert_eq!(world.problems().await, [], "{name}");
        }
    }
}

#[tokio::test]
async fn partitions_that_are_published_one_by_one_are_not_the_table() {
    for server in servers().await {
        let world = World::new(server, "leaves").await;
        for sql in [PARTITIONED, PARTITION, "CREATE PUBLICATION walpost FOR TABLE rest", SLOT] {
            world.execute(sql).await;
        }
        assert_eq!(world.told().await.len(), 1);
        assert!(matches!(world.problems().await[0], Problem::TableNotPublished { .. }));
        let remedy = world.problems().await[0].remedy();
        world.execute(remedy.split('`').nth(1).unwrap()).await;
        assert!(matches!(world.problems().await[0], Problem::NotViaRoot { .. }));
    }
}

#[tokio::test]
async fn types_that_users_made_lead_to_what_they_are_made_of() {
    for server in servers().await {
        let world = World::new(server, "types").await;
        world.execute("CREATE EXTENSION citext").await;
        world.execute("CREATE TYPE kind AS ENUM ('order'); CREATE TYPE pair AS (a int, b int)").await;
        world.execute("CREATE DOMAIN document AS jsonb; CREATE DOMAIN body AS document NOT NULL").await;
        world
            .execute("CREATE DOMAIN any_kind AS kind; CREATE DOMAIN name_of AS citext; CREATE DOMAIN pairs AS pair")
            .await;
        let types = base_types(&world.session).await.unwrap();
        for (name, expected) in [
            ("kind", Some(ColumnType::Text)),
            ("any_kind", Some(ColumnType::Text)),
            ("citext", Some(ColumnType::Text)),
            ("name_of", Some(ColumnType::Text)),
            ("document", Some(ColumnType::Jsonb)),
            ("body", Some(ColumnType::Jsonb)),
            ("pair", None),
            ("pairs", None),
            ("kind[]", None),
        ] {
            let row = world.session.client().query_one("SELECT $1::text::regtype::oid AS oid", &[&name]).await.unwrap();
            assert_eq!(ColumnType::resolve(row.get("oid"), &types), expected, "{name}");
        }
        let table = "CREATE TABLE outbox (id bigint PRIMARY KEY, aggregate_type any_kind, aggregate_id name_of,
                     event_type citext, payload body)";
        for sql in [table, "CREATE PUBLICATION walpost FOR TABLE outbox", SLOT] {
            world.execute(sql).await;
        }
        assert_eq!(world.problems().await, []);
        assert_eq!(inspect(&world.session, &world.needs).await.unwrap().base_types, types);
    }
}

#[tokio::test]
async fn a_type_that_only_looks_like_citext_is_not_taken_for_text() {
    for server in servers().await {
        let world = World::new(server, "impostor").await;
        world.execute("CREATE TYPE citext AS (a int)").await;
        let types = base_types(&world.session).await.unwrap();
        let row = world.session.client().query_one("SELECT 'citext'::regtype::oid AS oid", &[]).await.unwrap();
        assert_eq!(ColumnType::resolve(row.get("oid"), &types), None);
    }
}

#[tokio::test]
async fn a_generated_payload_is_refused_unless_it_is_sent() {
    for server in servers().await {
        let world = World::new(server, "generated").await;
        world
            .execute(
                "CREATE TABLE outbox (id uuid PRIMARY KEY, aggregate_type text, aggregate_id text, event_type text,
                 payload text GENERATED ALWAYS AS (upper(aggregate_id)) STORED)",
            )
            .await;
        world.execute("CREATE PUBLICATION walpost FOR TABLE outbox").await;
        world.execute(SLOT).await;
        let told = "column \"payload\" of table public.outbox is generated, and the publication does not send it";
        assert_eq!(world.told().await, [told]);
        if server.major() >= 18 {
            world.execute("ALTER PUBLICATION walpost SET (publish_generated_columns = stored)").await;
            assert_eq!(world.problems().await, []);
        }
    }
}

#[tokio::test]
async fn the_facts_are_those_of_the_server() {
    for server in servers().await {
        let world = World::new(server, "facts").await;
        for sql in [TABLE, "CREATE PUBLICATION walpost FOR TABLE outbox", SLOT] {
            world.execute(sql).await;
        }
        let facts = inspect(&world.session, &world.needs).await.unwrap();
        assert_eq!(u32::try_from(facts.server.version_num / 10_000).unwrap(), server.major());
        assert_eq!((facts.server.database.as_str(), facts.server.encoding.as_str()), ("facts", "UTF8"));
        assert_eq!((facts.server.wal_level.as_str(), facts.server.is_in_recovery), ("logical", false));
        assert!(facts.server.used_slots >= 1 && facts.server.max_slots == 100);
        let slot = facts.slot.unwrap();
        assert_eq!((slot.active_pid, slot.wal_status.as_deref()), (None, Some("reserved")));
        assert!(slot.restart.unwrap() <= slot.confirmed_flush.unwrap());
    }
}

#[tokio::test]
async fn a_look_at_the_slot_tells_how_much_log_it_keeps() {
    for server in servers().await {
        let world = World::new(server, "look").await;
        let look = async || look_at_slot(&world.session, &world.needs.slot).await.unwrap();
        let missing = look().await;
        assert_eq!((missing.status, missing.is_active), (SlotStatus::Missing, false));
        assert_eq!((missing.retained_bytes, missing.safe_bytes), (None, None));
        world.execute(SLOT).await;
        let before = look().await;
        assert_eq!((before.status, before.is_active), (SlotStatus::Reserved, false));
        assert_eq!(before.safe_bytes, None, "there is no limit");
        world.execute(TABLE).await;
        let after = look().await;
        assert!(after.retained_bytes > before.retained_bytes && after.server_end > before.server_end, "{after:?}");
    }
}
