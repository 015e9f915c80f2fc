//! The connection to NATS: what it tells when the server goes, and what it does not do afterwards.

use async_nats::ServerAddr;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use walpost::{
    publish::{Broker, BrokerError, BrokerEvent, BrokerOptions, Notice},
    sandbox::servers::NatsOptions,
};

use super::event::{Publisher, Row};
use crate::harness::{broker_options, bystander, on_every_fresh_nats, stored_messages, wait_until, within};

/// The next event; answers may come before it.
async fn event(broker: &mut Broker) -> BrokerEvent {
    loop {
        if let Notice::Event(event) = within("an event", broker.notice()).await.unwrap() {
            return event;
        }
    }
}

#[tokio::test]
async fn a_server_that_is_killed_is_an_event() {
    on_every_fresh_nats(&NatsOptions::default(), async |mut server| {
        let mut publisher = Publisher::new(&server, "KILLED").await;
        publisher.publish(Row::default(), 1).await;
        server.kill().await.unwrap();
        assert_eq!(event(&mut publisher.broker).await, BrokerEvent::Disconnected);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_wants_to_leave_says_so() {
    on_every_fresh_nats(&NatsOptions::default(), async |server| {
        let mut publisher = Publisher::new(&server, "LEAVING").await;
        let pid = Pid::from_raw(server.pid().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGUSR2).unwrap();
        assert_eq!(event(&mut publisher.broker).await, BrokerEvent::LameDuck);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_one_may_not_publish_is_a_complaint() {
    let users = json!({ "users": [{ "user": "ann", "password": "hush", "permissions": { "publish": ["$JS.>"] } }] });
    let options = NatsOptions::default().extra("authorization", users).extra("no_auth_user", json!("ann"));
    on_every_fresh_nats(&options, async |server| {
        let mut publisher = Publisher::new(&server, "FORBIDDEN").await;
        let built = publisher.build(Row::default(), 1).unwrap();
        publisher.broker.publish(built.message, 1).await.unwrap();
        let event = event(&mut publisher.broker).await;
        let BrokerEvent::Complaint(text) = &event else { panic!("{event:?}") };
        assert!(text.to_lowercase().contains("permissions violation"), "{text}");
        assert!(text.contains("FORBIDDEN.order.placed"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_broken_connection_never_comes_back_to_publish_what_was_queued() {
    on_every_fresh_nats(&NatsOptions::default(), async |mut server| {
        let mut publisher = Publisher::new(&server, "GIVEN_UP").await;
        publisher.publish(Row { id: "1", ..Row::default() }, 1).await;
        server.kill().await.unwrap();
        assert_eq!(event(&mut publisher.broker).await, BrokerEvent::Disconnected);
        // Whoever has not heard of the end yet goes on handing over messages, more than the client writes at once.
        let payload = [b'x'; 100_000];
        for sequence in 2..=5 {
            let id = sequence.to_string();
            let built = publisher.build(Row { id: &id, payload: &payload, ..Row::default() }, sequence).unwrap();
            match publisher.broker.publish(built.message, sequence).await {
                Ok(()) | Err(BrokerError::Closed) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        let at_an_end = async || {
            let built = publisher.build(Row { id: "6", ..Row::default() }, 6).unwrap();
            matches!(publisher.broker.publish(built.message, 6).await, Err(BrokerError::Closed))
        };
        wait_until("the client has given up", at_an_end).await;
        server.restart().await.unwrap();
        let (_client, context) = bystander(&server).await;
        assert_eq!(stored_messages(&context, "GIVEN_UP").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_refused_once_and_by_address() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    on_every_fresh_nats(&NatsOptions::default(), async |server| {
        let dead: ServerAddr = format!("nats://ann:canary@{closed}").parse().unwrap();
        let options = BrokerOptions { servers: vec![dead.clone()], ..broker_options(&server, "ANY") };
        let error = within("a refusal", Box::pin(Broker::connect(&options))).await.unwrap_err();
        assert!(matches!(error, BrokerError::Connect(_)), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        // With a living one beside it, that one is found.
        let options = BrokerOptions { servers: vec![dead, server.url().parse().unwrap()], ..options };
        let broker = within("the living server", Box::pin(Broker::connect(&options))).await.unwrap();
        assert_eq!(broker.server_version(), server.version());
    })
    .await;
}
