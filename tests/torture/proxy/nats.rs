//! The protocol of NATS, as far as a witness must understand it: where a message ends, what is published, and what
//! JetStream answers (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use uuid::Uuid;
use walpost::{position::Place, publish::event_id};

use super::tap::Message;
use crate::journal::{Answer, Seen};

/// Which message the answer to an inbox is for; both directions of a connection share it.
pub(super) type Asked = Arc<Mutex<HashMap<String, Uuid>>>;

/// What goes to the server.
#[derive(Debug, Default)]
pub(super) struct ToServer {
    asked: Asked,
}

/// What comes from the server.
#[derive(Debug, Default)]
pub(super) struct FromServer {
    asked: Asked,
}

/// Both directions of one connection.
pub(super) fn wire() -> (ToServer, FromServer) {
    let asked = Asked::default();
    (ToServer { asked: Arc::clone(&asked) }, FromServer { asked })
}

impl ToServer {
    /// Takes the next whole message.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Option<Message> {
        let (bytes, line_end) = take(buffer)?;
        let seen = self.published(&bytes, line_end);
        Some(Message { bytes, seen })
    }

    /// `HPUB subject reply header-bytes all-bytes`
    fn published(&self, bytes: &[u8], line_end: usize) -> Option<Seen> {
        let line = str::from_utf8(&bytes[..line_end]).ok()?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["HPUB", _, reply, head, _] = words[..] else { return None };
        let head = str::from_utf8(&bytes[line_end + 2..][..head.parse::<usize>().unwrap()]).ok()?;
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let id = Uuid::parse_str(event_id(header("Nats-Msg-Id")?)).unwrap();
        self.asked.lock().unwrap().insert(reply.to_owned(), id);
        let own = header("Walpost-Displaced").or_else(|| header("Walpost-Position"))?;
        Some(Seen::Published { id, place: place(own) })
    }
}

impl FromServer {
    /// Takes the next whole message.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Option<Message> {
        let (bytes, line_end) = take(buffer)?;
        let seen = self.answered(&bytes, line_end);
        Some(Message { bytes, seen })
    }

    /// `MSG subject sid [reply] bytes`
    fn answered(&self, bytes: &[u8], line_end: usize) -> Option<Seen> {
        let line = str::from_utf8(&bytes[..line_end]).ok()?;
        let (verb, rest) = line.split_once(' ')?;
        if verb != "MSG" {
            return None;
        }
        let reply: Reply = serde_json::from_slice(&bytes[line_end + 2..bytes.len() - 2]).ok()?;
        if reply.kind.is_some() {
            let sequence = reply.state.map(|state| state.last_seq).or(reply.message.map(|message| message.seq))?;
            return Some(Seen::Tail { sequence });
        }
        let inbox = rest.split_whitespace().next()?;
        let id = self.asked.lock().unwrap().remove(inbox);
        Some(Seen::Answered(Answer {
            id,
            sequence: reply.seq,
            is_duplicate: reply.duplicate,
            error: reply.error.map_or(0, |error| error.err_code),
            is_delivered: true,
        }))
    }
}

/// `1:<system>:<timeline>:<slot>:<commit LSN>:<index>`
pub(crate) fn place(position: &str) -> Place {
    let mut parts = position.rsplitn(3, ':');
    let index = parts.next().unwrap().parse().unwrap();
    Place { commit_lsn: parts.next().unwrap().parse().unwrap(), index }
}

/// A line, with the payload that it announces; and where the line ends.
fn take(buffer: &mut BytesMut) -> Option<(Bytes, usize)> {
    let line_end = buffer.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &buffer[..line_end];
    let has_payload = [&b"PUB "[..], b"HPUB ", b"MSG ", b"HMSG "].iter().any(|verb| line.starts_with(verb));
    let payload = if has_payload {
        let size = line.rsplit(|byte| *byte == b' ').next().and_then(|size| str::from_utf8(size).ok());
        size.unwrap().parse::<usize>().unwrap() + 2
    } else {
        0
    };
    let length = line_end + 2 + payload;
    (buffer.len() >= length).then(|| (buffer.split_to(length).freeze(), line_end))
}

/// An answer of JetStream's, to a message or to its API; only the latter has a type.
#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<Fault>,
    state: Option<State>,
    message: Option<Got>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    err_code: u32,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    last_seq: u64,
}

#[derive(Deserialize)]
struct Got {
    seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use walpost::lsn::Lsn;

    #[test]
    fn what_is_published_and_answered_is_seen_with_its_id() {
        let id = Uuid::from_u128(7);
        let head = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\nWalpost-Position: 1:77:1:walpost:0/1BB0AD0:3\r\n\r\n");
        let line = format!("HPUB outbox.a.b _INBOX.x.5 {} {}\r\n", head.len(), head.len() + 4);
        let (mut up, mut down) = wire();
        let mut buffer = BytesMut::from(format!("PING\r\n{line}{head}\r\n\r\n\r\n").as_str());
        assert_eq!(up.next(&mut buffer).unwrap().seen, None);
        let place = Place { commit_lsn: "0/1BB0AD0".parse::<Lsn>().unwrap(), index: 3 };
        assert_eq!(up.next(&mut buffer).unwrap().seen, Some(Seen::Published { id, place }));
        assert!(buffer.is_empty());

        let mut see = |subject: &str, body: &str| {
            let mut buffer = BytesMut::from(format!("MSG {subject} 1 {}\r\n{body}\r\n", body.len()).as_str());
            down.next(&mut buffer).unwrap().seen
        };
        let stored = Answer { id: Some(id), sequence: 9, is_delivered: true, ..Answer::default() };
        assert_eq!(see("_INBOX.x.5", r#"{"stream":"OUTBOX","seq":9}"#), Some(Seen::Answered(stored)));
        let refused = Answer { error: 10071, is_delivered: true, ..Answer::default() };
        let words = r#"{"error":{"code":400,"err_code":10071,"description":"x"},"stream":"OUTBOX","seq":0}"#;
        assert_eq!(see("_INBOX.x.6", words), Some(Seen::Answered(refused)));
        let info = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","state":{"messages":3,"last_seq":12}}"#;
        assert_eq!(see("_INBOX.y.1", info), Some(Seen::Tail { sequence: 12 }));
    }
}
