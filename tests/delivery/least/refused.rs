//! What the shipped roles and users may not do.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use async_nats::{Event, jetstream};
use tokio::process::Command;
use walpost::postgres::sql::{Session, SqlError};

use super::{Place, ROOT, password};
use crate::{wait, world::versions};

/// A role, and statements that it may not execute.
const FORBIDDEN: [(&str, &[&str]); 3] = [
    (
        "walpost",
        &[
            "SELECT * FROM outbox",
            "SELECT * FROM orders",
            "INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type) VALUES (gen_random_uuid(), '', '', '')",
            "DELETE FROM outbox",
            "DELETE FROM walpost_watermark",
            "UPDATE walpost_dead_letter SET state = 'discarded'",
            "CREATE SCHEMA mine",
            "CREATE PUBLICATION everything",
            "ALTER ROLE walpost SUPERUSER",
            "SELECT pg_read_file('postgresql.conf')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
        ],
    ),
    ("walpost_setup", &["SELECT * FROM orders", "DROP TABLE orders", "SELECT pg_read_file('postgresql.conf')"]),
    (
        "shop",
        &[
            "UPDATE outbox SET event_type = 'other'",
            "DELETE FROM outbox",
            "TRUNCATE outbox",
            "UPDATE walpost_watermark SET delivered = NULL",
            "DELETE FROM walpost_dead_letter",
            "SELECT walpost_discard('00000000-0000-7000-8000-000000000001')",
            "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
            "SELECT pg_logical_slot_get_changes('walpost', NULL, NULL)",
            "SELECT pg_drop_replication_slot('walpost')",
        ],
    ),
];

pub(super) async fn in_postgres(place: &Place) {
    let root = place.root().await;
    // Something to decide about, so that the right to do so is what is missing.
    root.batch_execute("UPDATE walpost_dead_letter SET state = 'dead'").await.unwrap();
    for (role, statements) in FORBIDDEN {
        let endpoint = match role {
            "shop" => walpost::postgres::Endpoint::parse(&place.shop()).unwrap(),
            _ => place.endpoint(role, "shop"),
        };
        let session = Session::connect(&endpoint).await.unwrap();
        for statement in statements {
            let refused = session.client().batch_execute(statement).await.map_err(SqlError::from);
            let refused = refused.expect_err(&format!("{role} may: {statement}"));
            assert_eq!(refused.sqlstate(), Some("42501"), "{role}: {statement}: {refused}");
        }
    }
    for role in ["walpost", "walpost_setup"] {
        let refused = Session::connect(&place.endpoint(role, "postgres")).await.unwrap_err();
        assert_eq!(refused.sqlstate(), Some("28000"), "{role} enters another database: {refused}");
        let said = base_backup(place, role).await.unwrap_err();
        assert!(said.contains("pg_hba.conf"), "{said}");
    }
    // It is the missing line that keeps pg_basebackup out,
    place.lock(&format!("host replication walpost 127.0.0.1/32 scram-sha-256\n{}", place.rules())).await;
    base_backup(place, "walpost").await.unwrap();
    place.lock(&place.rules()).await;
    // and nothing keeps out who speaks the protocol by hand. The guide says so; once a server refuses it, say better.
    let (bytes, said) = base_backup_by_hand(place).await;
    assert!(bytes > SMALLEST_CLUSTER_BYTES, "{bytes} bytes: {said}");
    assert!(place.postgres.log_tail(50).contains("received replication command: BASE_BACKUP"));
}

/// Any cluster is larger, and any answer that is a refusal smaller.
const SMALLEST_CLUSTER_BYTES: usize = 10_000_000;

/// Asks for the same over a connection such as walpost's own, which names the database; how much comes, and what is said.
async fn base_backup_by_hand(place: &Place) -> (usize, String) {
    let place_and_role = format!("host=127.0.0.1 port={} user=walpost", place.postgres.port());
    // Version 15 has another form.
    let command = if place.postgres.major() < 15 { "BASE_BACKUP FAST" } else { "BASE_BACKUP (CHECKPOINT 'fast')" };
    let output = Command::new(program(place, "psql"))
        .args([&format!("{place_and_role} dbname=shop replication=database"), "-c", command])
        .env("PGPASSWORD", password("walpost"))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    (output.stdout.len(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A client of the server's own version.
fn program(place: &Place, name: &str) -> PathBuf {
    versions().iter().find(|each| each.major == place.postgres.major()).unwrap().program(name)
}

/// Copies the whole cluster, to nowhere, or says why it may not.
async fn base_backup(place: &Place, role: &str) -> Result<(), String> {
    let port = place.postgres.port().to_string();
    let output = Command::new(program(place, "pg_basebackup"))
        .args(["--host=127.0.0.1", "--port", &port, "--username", role, "--no-password", "--checkpoint=fast"])
        .args(["--pgdata=-", "--format=tar", "--wal-method=none"])
        .env("PGPASSWORD", password(role))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .await
        .unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

pub(super) async fn in_nats(place: &Place) {
    let publish = ["other", "outbox", "$JS.API.STREAM.DELETE.OUTBOX", "$JS.API.STREAM.PURGE.OUTBOX", "$JS.API.INFO"];
    let listen = [
        ">",
        "outbox.>",
        "_INBOX.>",
        "_INBOX_walpost.>",
        "_INBOX_walpost_setup.>",
        "_INBOX_walpost_webhooks.>",
        "_INBOX_billing.>",
    ];
    for user in ["walpost", "walpost_setup", "walpost_webhooks", "billing"] {
        let not_its_own = listen.iter().copied().filter(|subject| *subject != format!("_INBOX_{user}.>"));
        let not_its_own: Vec<&str> = not_its_own.collect();
        let mut publish = publish.to_vec();
        if user != "walpost" {
            publish.extend(["outbox.order.placed", "outbox_dlq.order"]);
        }
        if !["walpost", "walpost_webhooks"].contains(&user) {
            publish.push("$JS.API.STREAM.MSG.GET.OUTBOX");
        }
        if user != "walpost_webhooks" {
            publish.extend(["walpost_webhooks.OUTBOX.state.a", "$JS.API.STREAM.PURGE.OUTBOX_WEBHOOKS"]);
        }
        if user != "walpost_setup" {
            publish.extend(["$JS.API.STREAM.CREATE.OUTBOX", "$JS.API.STREAM.UPDATE.OUTBOX"]);
        }
        assert_refused(place, user, &publish, &not_its_own).await;
    }
    a_consumer_reads(place).await;
}

/// Every one of these is refused to the user, by name.
async fn assert_refused(place: &Place, user: &str, publish: &[&str], listen: &[&str]) {
    let complaints = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&complaints);
    let options = place.nats(user, &password(user)).event_callback(move |event| {
        if let Event::ServerError(error) = event {
            heard.lock().unwrap().push(error.to_string().to_lowercase());
        }
        async {}
    });
    let client = Box::pin(options.connect(place.broker.url())).await.unwrap();
    let mut subscriptions = Vec::new();
    for subject in listen {
        subscriptions.push(client.subscribe((*subject).to_owned()).await.unwrap());
    }
    for subject in publish {
        client.publish((*subject).to_owned(), "x".into()).await.unwrap();
    }
    let is_refused = |what: &str, subject: &str| {
        let words = format!("permissions violation for {what} to \"{}\"", subject.to_lowercase());
        complaints.lock().unwrap().iter().any(|complaint| complaint.contains(&words))
    };
    for (what, subjects) in [("publish", publish), ("subscription", listen)] {
        for subject in subjects {
            let what_of_whom = format!("{user} is refused {what} to {subject}");
            wait::until(&what_of_whom, async || is_refused(what, subject)).await;
        }
    }
}

/// A consumer that somebody made can be read from.
async fn a_consumer_reads(place: &Place) {
    let root = Box::pin(place.nats("root", ROOT).connect(place.broker.url())).await.unwrap();
    let config = jetstream::consumer::pull::Config { durable_name: Some("billing".to_owned()), ..Default::default() };
    Box::pin(jetstream::new(root).create_consumer_on_stream(config, "OUTBOX")).await.unwrap();
    let billing = Box::pin(place.nats("billing", &password("billing")).connect(place.broker.url())).await.unwrap();
    let consumer = Box::pin(jetstream::new(billing).get_consumer_from_stream("billing", "OUTBOX")).await;
    let consumer: jetstream::consumer::PullConsumer = consumer.unwrap();
    let mut messages = Box::pin(consumer.fetch().max_messages(1).messages()).await.unwrap();
    let message = futures_util::StreamExt::next(&mut messages).await.unwrap().unwrap();
    message.double_ack().await.unwrap();
}
