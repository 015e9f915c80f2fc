//! Setup creates what is missing, once, and changes nothing that is there.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use walpost::{
    outbox::{Preset, TableName},
    preflight::Problem,
    setup::{ExistingRows, Outcome, Setup, SetupError, Step},
};

use crate::world::{World, connect, servers, servers_with};

/// What setup makes of `public.outbox`, its publication and its slot.
const CATALOG: [&str; 22] = [
    "column aggregate_id text t ",
    "column aggregate_type text t ",
    "column created_at timestamp with time zone t now()",
    "column event_type text t ",
    "column headers jsonb t '{}'::jsonb",
    "column id uuid t ",
    "column payload jsonb f ",
    "column xid xid8 t pg_current_xact_id()",
    "index CREATE INDEX outbox_xid_idx ON public.outbox USING btree (xid)",
    "index CREATE UNIQUE INDEX outbox_pkey ON public.outbox USING btree (id)",
    "publication walpost t f f f t",
    "publishes public.outbox",
    "slot pgoutput f",
    "status walpost_dead_letter",
    "status walpost_discard",
    "status walpost_event_status",
    "status walpost_lag",
    "status walpost_pending_from",
    "status walpost_retry",
    "status walpost_status",
    "status walpost_watermark",
    "stream",
];

fn setup(world: &World) -> Setup<'_> {
    let (session, inspector) = (&world.session, &world.inspector);
    Setup { session, needs: &world.needs, inspector, stream: &world.plan, existing_rows: None }
}

async fn apply(world: &World) -> Result<Vec<Step>, SetupError> {
    setup(world).apply(|text| println!("{text}")).await
}

fn outcomes(steps: &[Step]) -> Vec<Outcome> {
    steps.iter().map(|step| step.outcome).collect()
}

fn refused(result: Result<Vec<Step>, SetupError>) -> Vec<String> {
    result.unwrap_err().problems().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_first_setup_creates_all_and_the_second_nothing() {
    for server in servers().await {
        let world = World::empty(server, "twice").await;
        let steps = apply(&world).await.unwrap();
        let what: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
        let stream = format!("stream {}", world.plan.name);
        let tables = ["table public.outbox", "table public.walpost_watermark", "table public.walpost_dead_letter"];
        let status = "delivery status of public.outbox";
        assert_eq!(what, [tables[0], tables[1], tables[2], status, "publication walpost", &stream, "slot twice"]);
        assert_eq!(outcomes(&steps), [Outcome::Created; 7]);
        assert_eq!(world.catalog().await, CATALOG);
        assert_eq!(world.problems().await, []);

        assert_eq!(outcomes(&apply(&world).await.unwrap()), [Outcome::Existed; 7]);
        assert_eq!(world.catalog().await, CATALOG);
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_exactly_what_setup_does() {
    for server in servers().await {
        let world = World::empty(server, "dry").await;
        let plan = setup(&world).plan().await.unwrap();
        assert_eq!(world.catalog().await, Vec::<String>::new());
        assert!(plan.iter().all(|step| step.outcome == Outcome::Created));

        for step in &plan {
            if step.what.starts_with("stream ") {
                let config: Config = serde_json::from_str(&step.text).unwrap();
                assert_eq!(config, world.plan.config());
                assert!(world.inspector.create(&world.plan).await.unwrap());
            } else {
                world.execute(&step.text).await;
            }
        }
        assert_eq!(world.catalog().await, CATALOG);
        assert_eq!(outcomes(&apply(&world).await.unwrap()), [Outcome::Existed; 7]);
        let plan = setup(&world).plan().await.unwrap();
        assert!(plan.iter().all(|step| step.outcome == Outcome::Existed && step.text.is_empty()));
    }
}

#[tokio::test]
async fn setups_at_the_same_time_do_not_disturb_each_other() {
    for server in servers().await {
        for round in 0..5 {
            let world = World::empty(server, &format!("race_{round}")).await;
            let other = connect(&server.url_for("postgres", &world.needs.slot)).await;
            let second = Setup { session: &other, ..setup(&world) };
            let (one, two) = tokio::join!(apply(&world), second.apply(|_| {}));
            let (one, two) = (outcomes(&one.unwrap()), outcomes(&two.unwrap()));
            for (part, pair) in one.iter().zip(&two).enumerate() {
                let both = *pair.0 == Outcome::Created && *pair.1 == Outcome::Created;
                // NATS says the same to everybody who creates a stream with the same settings at once, and functions are
                // replaced by the same ones.
                assert!(!both || [3, 5].contains(&part), "part {part} was created twice");
                assert!([pair.0, pair.1].contains(&&Outcome::Created), "part {part} was created by nobody");
            }
            assert_eq!(world.catalog().await, CATALOG);
        }
    }
}

#[tokio::test]
async fn what_is_there_and_does_not_fit_is_refused_and_left_alone() {
    for server in servers().await {
        let world = World::empty(server, "unfit").await;
        world
            .execute(
                "CREATE TABLE other (id int); CREATE PUBLICATION walpost FOR TABLE other WITH (publish = 'update')",
            )
            .await;
        let before = world.catalog().await;
        let told = ["publication \"walpost\" does not publish inserts"];
        assert_eq!(refused(apply(&world).await), told);
        let planned = setup(&world).plan().await.unwrap_err();
        assert_eq!(planned.to_string(), "setup cannot go on: one thing is missing or does not fit");
        assert_eq!(planned.problems().iter().map(ToString::to_string).collect::<Vec<_>>(), told);
        assert_eq!(world.catalog().await, before);
    }
}

#[tokio::test]
async fn no_slot_is_created_for_a_publication_that_lacks_the_new_table() {
    for server in servers().await {
        let world = World::empty(server, "lacking").await;
        world.execute("CREATE TABLE other (id int); CREATE PUBLICATION walpost FOR TABLE other").await;
        let told = refused(apply(&world).await);
        assert_eq!(told, ["publication \"walpost\" does not contain table public.outbox"]);
        let catalog = world.catalog().await;
        assert!(!catalog.iter().any(|line| line.starts_with("slot") || line == "stream"), "{catalog:?}");
        world.execute("ALTER PUBLICATION walpost ADD TABLE outbox").await;
        use Outcome::{Created, Existed};
        assert_eq!(
            outcomes(&apply(&world).await.unwrap()),
            [Existed, Created, Created, Created, Existed, Created, Created]
        );
    }
}

#[tokio::test]
async fn a_stream_that_does_not_fit_is_refused_before_anything_is_created() {
    let server = &servers().await[0];
    let mut world = World::empty(server, "stream_unfit").await;
    world.inspector.create(&world.plan).await.unwrap();
    world.plan.subjects = vec!["elsewhere.>".to_owned()];
    let told = refused(apply(&world).await);
    assert_eq!(told, [format!("stream {:?} does not take subject \"elsewhere.>\"", world.plan.name)]);
    assert_eq!(world.catalog().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_missing_table_of_another_layout_is_not_made_up() {
    let server = &servers().await[0];
    let mut world = World::empty(server, "layout").await;
    world.needs.mapping.columns = Preset::Debezium.columns();
    let error = apply(&world).await.unwrap_err();
    let [problem @ Problem::TableMissing { is_ours: false, .. }] = error.problems() else { panic!("{error}") };
    assert_eq!(problem.to_string(), "table public.outbox does not exist");
    assert!(problem.remedy().contains("only the table of preset \"walpost\""));
    assert_eq!(world.catalog().await, Vec::<String>::new());
}

#[tokio::test]
async fn any_name_can_be_set_up() {
    for server in servers().await {
        let mut world = World::empty(server, "names").await;
        world.execute("CREATE SCHEMA \"My.Schema\"").await;
        world.needs.mapping.table = TableName::new("My.Schema", "out\"box'; --").unwrap();
        world.needs.publication = "{table}\"; DROP TABLE x; --".to_owned();
        assert_eq!(outcomes(&apply(&world).await.unwrap()), [Outcome::Created; 7]);
        assert_eq!(outcomes(&apply(&world).await.unwrap()), [Outcome::Existed; 7]);
        assert_eq!(world.problems().await, []);
    }
}

#[tokio::test]
async fn a_refused_creation_says_what_and_why() {
    let server = &servers().await[0];
    let world = World::empty(server, "forbidden").await;
    world.execute("CREATE ROLE forbidden LOGIN REPLICATION").await;
    let session = connect(&server.url_for("forbidden", "forbidden")).await;
    let error = Setup { session: &session, ..setup(&world) }.apply(|_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot create table public.outbox");
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "Postgres: permission denied for schema public (SQLSTATE 42501)");
}

#[tokio::test]
async fn somebody_who_waits_for_the_slot_is_told_why() {
    // On servers of their own: the open transaction would hold up the slots of all other tests.
    for server in servers_with(&[]).await {
        let world = World::empty(&server, "waiting").await;
        let writer = connect(&server.url_for("postgres", "waiting")).await;
        writer.client().batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::channel(1);
        let setup = setup(&world);
        let waiting = setup.apply(|text| told.try_send(text.to_owned()).unwrap());
        let ending = async {
            let text = tokio::time::timeout(Duration::from_secs(30), heard.recv()).await.unwrap().unwrap();
            assert!(text.starts_with("still waiting: Postgres creates the slot once every transaction"), "{text}");
            let seen = text.split('`').nth(1).unwrap();
            let world = connect(&server.url_for("postgres", "waiting")).await;
            assert_eq!(world.client().query(seen, &[]).await.unwrap().len(), 1, "{seen}");
            writer.client().batch_execute("ROLLBACK").await.unwrap();
        };
        let (steps, ()) = tokio::join!(waiting, ending);
        assert_eq!(outcomes(&steps.unwrap()), [Outcome::Created; 7]);
    }
}

#[tokio::test]
async fn rows_from_before_the_slot_stand_in_its_way_until_somebody_decides() {
    for server in servers().await {
        for (name, wish, told) in [
            ("before_sent", ExistingRows::Send, ("2 rows that were in table public.outbox", Outcome::Sent)),
            ("before_kept", ExistingRows::Keep, ("what was in table public.outbox", Outcome::Kept)),
        ] {
            let world = World::empty(server, name).await;
            world.execute(&include_str!("../../sql/outbox.sql").replace("{table}", "public.outbox")).await;
            world
                .execute(
                    "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
                           SELECT gen_random_uuid(), 'order', n::text, 'Placed' FROM generate_series(1, 2) n",
                )
                .await;
            let before =
                "table public.outbox has rows already, and a slot sends only what is committed after it was made";
            let planned = setup(&world).plan().await.unwrap().pop().unwrap();
            assert_eq!(
                (planned.what.as_str(), planned.outcome),
                ("what is in table public.outbox", Outcome::Undecided)
            );
            assert!(planned.text.starts_with(before) && planned.text.contains("--existing-rows send"), "{planned:?}");
            assert_eq!(refused(apply(&world).await), [before]);
            assert!(!world.catalog().await.iter().any(|line| line.starts_with("slot")));
            // Nothing of the first attempt is in the way.
            let decided = Setup { existing_rows: Some(wish), ..setup(&world) };
            assert_eq!(decided.plan().await.unwrap().pop().unwrap().outcome, told.1);
            let steps = decided.apply(|_| {}).await.unwrap();
            let last = steps.last().unwrap();
            assert_eq!((last.what.as_str(), last.outcome), told);
            assert_eq!(world.catalog().await, CATALOG);
        }
    }
}

#[tokio::test]
async fn a_role_that_may_not_read_the_table_sees_whether_it_can_have_rows() {
    for server in servers().await {
        for (name, table) in [("before_blind", ""), ("before_blind_parts", " PARTITION BY HASH (id)")] {
            let world = World::empty(server, name).await;
            let of_ours = include_str!("../../sql/outbox.sql").replace("{table}", "public.outbox");
            world.execute(&of_ours.replace("\n);", &format!("\n){table};"))).await;
            if !table.is_empty() {
                world.execute("CREATE TABLE part PARTITION OF outbox FOR VALUES WITH (MODULUS 1, REMAINDER 0)").await;
            }
            // All but the slot.
            apply(&world).await.unwrap();
            world.execute("SELECT pg_drop_replication_slot('{slot}')").await;
            world
                .execute(&format!(
                    "CREATE ROLE {name} LOGIN REPLICATION; GRANT SELECT, INSERT, UPDATE ON walpost_watermark TO {name};
                     GRANT SELECT, INSERT, DELETE ON walpost_dead_letter TO {name}; GRANT SELECT ON walpost_lag TO {name}"
                ))
                .await;
            let session = connect(&server.url_for(name, name)).await;
            let blind = Setup { session: &session, ..setup(&world) };
            assert_eq!(blind.plan().await.unwrap().pop().unwrap().what, format!("slot {name}"));
            assert_eq!(blind.apply(|_| {}).await.unwrap().last().unwrap().outcome, Outcome::Created);
            world.execute("SELECT pg_drop_replication_slot('{slot}')").await;
            world
                .execute(
                    "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
                           VALUES (gen_random_uuid(), 'order', '1', 'Placed')",
                )
                .await;
            let planned = blind.plan().await.unwrap().pop().unwrap();
            let grant = "GRANT SELECT ON public.outbox TO <role>;";
            assert!(planned.outcome == Outcome::Undecided && planned.text.contains(grant), "{planned:?}");
            let error = blind.apply(|_| {}).await.unwrap_err();
            assert_eq!(error.to_string(), "cannot see whether table public.outbox has rows from before the slot");
            assert!(error.hint().unwrap().contains(grant));
            assert!(!world.catalog().await.iter().any(|line| line.starts_with("slot")));
            let keeps = Setup { session: &session, existing_rows: Some(ExistingRows::Keep), ..setup(&world) };
            assert_eq!(keeps.apply(|_| {}).await.unwrap().last().unwrap().outcome, Outcome::Kept);
        }
    }
}

#[tokio::test]
async fn if_existing_rows_cannot_be_sent_there_is_no_slot() {
    for server in servers().await {
        let world = World::empty(server, "before_failed").await;
        let table = include_str!("../../sql/outbox.sql").replace("{table}", "public.outbox");
        world.execute(&table).await;
        world
            .execute(
                "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type)
                       VALUES (gen_random_uuid(), 'order', '1', 'Placed');
                       ALTER TABLE outbox ADD CHECK (aggregate_id <> '1') NOT VALID",
            )
            .await;
        let decided = Setup { existing_rows: Some(ExistingRows::Send), ..setup(&world) };
        let error = decided.apply(|_| {}).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot send the rows that are in table public.outbox");
        assert!(!world.catalog().await.iter().any(|line| line.starts_with("slot")));
        let rows = world.session.client().query("SELECT FROM outbox", &[]).await.unwrap();
        assert_eq!(rows.len(), 1);
    }
}
