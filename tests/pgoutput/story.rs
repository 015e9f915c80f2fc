//! The whole workload, message by message, as the story in words that is kept beside the fixtures.
//!
//! What differs from run to run is left out or replaced: positions and times are the matter of `transactions.rs`, ids
//! of tables and types become names, the transaction's own number becomes `<xid>`. So both servers tell one story, in
//! which only the form of the values depends on the option `binary`. Its headings are those of `workload.sql`.

use crate::fixture::{self, Fixture};
use std::{collections::HashMap, fmt::Write};
use walpost::pgoutput::{Message, Relation, Tuple, TupleKind, Value};

#[test]
fn every_server_tells_the_story_in_binary() {
    for fixture in fixture::BINARY {
        compare(&fixture, include_str!("../fixtures/pgoutput/story-binary.txt"));
    }
}

#[test]
fn every_server_tells_the_story_in_text() {
    for fixture in fixture::TEXT {
        compare(&fixture, include_str!("../fixtures/pgoutput/story-text.txt"));
    }
}

fn compare(fixture: &Fixture, expected: &str) {
    let told: Vec<_> =
        fixture.messages().iter().scan(Teller::default(), |teller, wire| Some(teller.tell(wire))).collect();
    let expected: Vec<_> = expected.lines().filter(|line| !line.starts_with('#')).collect();
    for (number, (told, expected)) in told.iter().zip(&expected).enumerate() {
        assert_eq!(told, expected, "{} message {number}", fixture.name);
    }
    assert_eq!(told.len(), expected.len(), "{}", fixture.name);
}

/// Turns messages into lines, and remembers the names that later messages need.
#[derive(Default)]
struct Teller {
    relations: HashMap<u32, Relation>,
    types: HashMap<u32, String>,
    xid: u32,
}

impl Teller {
    fn tell(&mut self, wire: &[u8]) -> String {
        match Message::decode(wire).expect("a captured message") {
            Message::Begin(begin) => {
                self.xid = begin.xid;
                "begin".to_owned()
            }
            Message::Commit(_) => "commit".to_owned(),
            Message::Origin { commit_lsn, name } => format!("  origin {name:?} at {commit_lsn}"),
            Message::Relation(relation) => {
                let line = self.relation(&relation);
                self.relations.insert(relation.id, relation);
                line
            }
            Message::Type { oid, namespace, name } => {
                let name = format!("{namespace}.{name}");
                let line = format!("  type {name}");
                self.types.insert(oid, name);
                line
            }
            Message::Insert { relation_id, new } => {
                format!("  insert {} {}", self.name(relation_id), self.row(relation_id, &new))
            }
            Message::Update { relation_id, old, new } => {
                let old = old.map(|old| format!("{} -> ", self.row(relation_id, &old))).unwrap_or_default();
                format!("  update {} {old}{}", self.name(relation_id), self.row(relation_id, &new))
            }
            Message::Delete { relation_id, old } => {
                format!("  delete {} {}", self.name(relation_id), self.row(relation_id, &old))
            }
            Message::Truncate { relation_ids, cascade, restart_identity } => {
                let names: Vec<_> = relation_ids.iter().map(|id| self.name(id)).collect();
                format!("  truncate {} cascade={cascade} restart_identity={restart_identity}", names.join(", "))
            }
            Message::Logical { transactional, prefix, content, .. } => {
                let indent = if transactional { "  " } else { "" };
                format!("{indent}message {prefix:?} b'{}'", content.escape_ascii())
            }
        }
    }

    fn name(&self, relation_id: u32) -> String {
        let relation = &self.relations[&relation_id];
        format!("{}.{}", relation.namespace, relation.name)
    }

    fn relation(&self, relation: &Relation) -> String {
        let mut line =
            format!("  relation {}.{} by {:?}:", relation.namespace, relation.name, relation.replica_identity);
        for column in &relation.columns {
            let key = if column.is_key { "*" } else { "" };
            let of_type = self.types.get(&column.type_oid).cloned().unwrap_or(column.type_oid.to_string());
            write!(line, " {}{key} {of_type}", column.name).unwrap();
            if column.type_modifier != -1 {
                write!(line, "({})", column.type_modifier).unwrap();
            }
        }
        line
    }

    fn row(&self, relation_id: u32, tuple: &Tuple<'_>) -> String {
        let columns = &self.relations[&relation_id].columns;
        assert_eq!(tuple.len(), columns.len(), "a value for each column");
        let values: Vec<_> =
            columns.iter().zip(*tuple).map(|(column, value)| self.value(column.type_oid, value)).collect();
        let kind = match tuple.kind() {
            TupleKind::New => "",
            TupleKind::Key => "key",
            TupleKind::Old => "old",
        };
        format!("{kind}({})", values.join(", "))
    }

    fn value(&self, type_oid: u32, value: Value<'_>) -> String {
        let is_own_xid = match value {
            Value::Text(text) => text == self.xid.to_string().as_bytes(),
            Value::Binary(bytes) => bytes == u64::from(self.xid).to_be_bytes(),
            Value::Null | Value::Unchanged => false,
        };
        let is_array_of_own_type = self.types.get(&type_oid).is_some_and(|name| name.contains("._"));
        match value {
            Value::Null => "null".to_owned(),
            Value::Unchanged => "unchanged".to_owned(),
            Value::Text(_) | Value::Binary(_) if type_oid == XID8 && is_own_xid => "<xid>".to_owned(),
            Value::Text(text) if text.len() > 1000 => {
                assert!(text.iter().all(|&byte| byte == text[0]));
                format!("'{}' * {}", text[..1].escape_ascii(), text.len())
            }
            Value::Text(text) => format!("'{}'", str::from_utf8(text).expect("UTF-8")),
            Value::Binary(bytes) if bytes.len() > 1000 => {
                assert!(bytes.iter().all(|&byte| byte == bytes[0]));
                format!("b'{}' * {}", bytes[..1].escape_ascii(), bytes.len())
            }
            // The binary form names the type of the elements by its id, which is another on each server.
            Value::Binary(bytes) if is_array_of_own_type => format!("b'...' of {}", bytes.len()),
            Value::Binary(bytes) => format!("b'{}'", bytes.escape_ascii()),
        }
    }
}

/// The type of the outbox column that holds the number of the transaction.
const XID8: u32 = 5069;
