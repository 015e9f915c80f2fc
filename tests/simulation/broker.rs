//! A model of the way to JetStream: connections that break, answers that are late, lost or given twice, and a server that
//! does not always do what it is asked.

use std::collections::VecDeque;

use walpost::publish::Outcome;

use crate::jetstream::{Answer, End, Publish, Stream};

/// A published message, and the name of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) ticket: u64,
    pub(crate) publish: Publish,
}

/// The broker's answer to a message.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) sent: Sent,
    pub(crate) outcome: Outcome,
}

/// One connection. Answers to it reach nobody else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// Published, not yet read by the server.
    pub(crate) to_server: VecDeque<Sent>,
    /// Answered, not yet arrived.
    pub(crate) to_client: VecDeque<Answered>,
    /// Arrived, not yet looked at.
    pub(crate) arrived: VecDeque<Answered>,
    /// Whether the daemon still holds it.
    pub(crate) has_client: bool,
    /// Whether the server still holds it.
    pub(crate) has_server: bool,
    /// Whether somebody else has stored events since the daemon published what is on its way.
    pub(crate) is_overtaken: bool,
}

/// What the server does with messages instead of storing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It stores them.
    Well,
    /// No leader: nobody takes the subject.
    NoResponders,
    /// It says that it cannot now.
    Unavailable,
    /// It takes them and says nothing.
    Mute,
    /// It calls them duplicates of messages that are not stored, as clusters before 2.11 do.
    DuplicateOfNothing,
}

/// The server and all connections to it.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) stream: Stream,
    pub(crate) links: Vec<Link>,
    pub(crate) is_up: bool,
    pub(crate) mood: Mood,
}

/// What became of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handled {
    pub(crate) publish: Publish,
    /// None if the message was not looked at.
    pub(crate) answer: Option<Answer>,
}

impl Broker {
    pub(crate) fn new(window: u64) -> Self {
        Self { stream: Stream::new(window), links: Vec::new(), is_up: true, mood: Mood::Well }
    }

    /// A new connection, if there is a server.
    pub(crate) fn connect(&mut self) -> Option<usize> {
        if !self.is_up {
            return None;
        }
        self.links.push(Link { has_client: true, has_server: true, ..Link::default() });
        Some(self.links.len() - 1)
    }

    /// The server reads the next message of a connection.
    pub(crate) fn handle_next(&mut self, link: usize, now: u64) -> Option<Handled> {
        if !self.is_up || !self.links[link].has_server {
            return None;
        }
        let sent = self.links[link].to_server.pop_front()?;
        let publish = sent.publish;
        let (answer, outcome) = match self.mood {
            Mood::Well => {
                let answer = self.stream.publish(publish, now);
                (Some(answer), Some(outcome(answer)))
            }
            Mood::NoResponders => (None, Some(Outcome::NoResponders)),
            Mood::Unavailable => (None, Some(refusal(503, 10008))),
            Mood::Mute => (None, None),
            // Read from its text, because the reading is what must not take it for storage.
            Mood::DuplicateOfNothing => {
                (None, Some(Outcome::read(br#"{"stream":"OUTBOX","seq":0,"duplicate":true}"#, "OUTBOX")))
            }
        };
        let link = &mut self.links[link];
        if let Some(outcome) = outcome.filter(|_| link.has_client) {
            link.to_client.push_back(Answered { sent, outcome });
        }
        Some(Handled { publish, answer })
    }

    /// Where the stream ends, if anybody answers; `late` is how many messages the answer is late.
    pub(crate) fn stream_end(&self, link: usize, late: usize) -> Option<End> {
        let answers =
            self.is_up && self.links[link].has_server && matches!(self.mood, Mood::Well | Mood::DuplicateOfNothing);
        answers.then(|| if late == 0 { self.stream.end() } else { self.stream.end_before(late) })
    }

    /// The connection breaks on the server's side: answers on their way are lost, messages on their way too.
    pub(crate) fn break_link(&mut self, link: usize) {
        let link = &mut self.links[link];
        link.has_server = false;
        link.to_server.clear();
        link.to_client.clear();
    }

    /// All connections break.
    pub(crate) fn break_all(&mut self) {
        for link in 0..self.links.len() {
            self.break_link(link);
        }
    }

    /// The daemon gives up a connection. What it has handed to the operating system may still go out.
    pub(crate) fn abandon(&mut self, link: usize, still_going_out: usize) {
        let link = &mut self.links[link];
        link.has_client = false;
        link.to_server.truncate(still_going_out);
        link.to_client.clear();
        link.arrived.clear();
    }
}

pub(crate) fn refusal(code: u16, err_code: u32) -> Outcome {
    Outcome::Refused { code, err_code, description: String::new() }
}

fn outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Stored(sequence) => Outcome::Stored { sequence },
        Answer::Duplicate(sequence) => Outcome::Duplicate { sequence },
        Answer::Refused(err_code) => refusal(400, err_code),
    }
}
