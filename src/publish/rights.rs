//! Asks a server what we may publish, without publishing anything.
//!
//! A server looks up the permission for a message's subject first. Then it refuses every message of a client whose reply
//! subject is one of those that it keeps for itself (`_R_.`), whatever its subject (`processInboundClientMsg` in
//! `server/client.go` of <https://github.com/nats-io/nats-server>). So a message with such a reply reaches nobody, and
//! what the server complains about tells whether another reply would have let it through: its subject, or its reply.

use async_nats::{Event, Subject};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::broker::{BrokerError, BrokerOptions, way_in};

/// The beginning of reply subjects that are the server's own.
const RESERVED_REPLY: &str = "_R_.walpost.";

/// What we may not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// The subjects that we may not publish to.
    pub publish: Vec<String>,
    /// Whether we may not listen for answers.
    pub inbox: bool,
}

/// Asks for each of these subjects, which hold no wildcards. Waits until the server has answered for all of them.
pub async fn denied(options: &BrokerOptions, subjects: &[String]) -> Result<Denied, BrokerError> {
    // One complaint for each subject, one for the inbox, and room for news about the connection.
    let (sender, mut complaints) = mpsc::channel(subjects.len() + 16);
    let options = &options.renewed().await?;
    let connect = way_in(options).await?.event_callback(move |event| {
        let sender = sender.clone();
        async move {
            match event {
                Event::ServerError(error) => drop(sender.try_send(Some(error.to_string()))),
                Event::Disconnected | Event::Closed => drop(sender.try_send(None)),
                _ => {}
            }
        }
    });
    let client = Box::pin(connect.connect(&options.servers[..])).await.map_err(BrokerError::Connect)?;
    let inbox = client.new_inbox();
    let _answers = client.subscribe(inbox.clone()).await.map_err(|_| BrokerError::Closed)?;
    for (number, subject) in subjects.iter().enumerate() {
        let reply = format!("{RESERVED_REPLY}{number}");
        let sent = client.publish_with_reply(Subject::from(subject.as_str()), reply, Bytes::new()).await;
        sent.map_err(BrokerError::Publish)?;
    }
    let mut denied = Denied::default();
    let mut open: Vec<(usize, &String)> = subjects.iter().enumerate().collect();
    while !open.is_empty() {
        let complaint = complaints.recv().await.flatten().ok_or(BrokerError::Closed)?;
        denied.inbox |= complaint.contains(&format!("\"{inbox}\""));
        open.retain(|(number, subject)| {
            let is_denied = complaint.contains(&format!("\"{subject}\""));
            let is_answered = is_denied || complaint.contains(&format!("\"{RESERVED_REPLY}{number}\""));
            if is_denied {
                denied.publish.push((*subject).clone());
            }
            !is_answered
        });
    }
    Ok(denied)
}
