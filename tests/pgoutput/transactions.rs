//! What the delivery engine takes for granted about positions and brackets, seen to hold on real servers.

use crate::fixture;
use std::collections::HashSet;
use walpost::{
    lsn::Lsn,
    pgoutput::{Begin, Message, TupleKind, Value},
};

#[test]
fn commits_close_what_begins_opened_and_positions_only_grow() {
    for fixture in fixture::all() {
        let mut open: Option<Begin> = None;
        let mut confirmed = Lsn::ZERO;
        let mut transactions = 0;
        for wire in fixture.messages() {
            match Message::decode(&wire).unwrap() {
                Message::Begin(begin) => {
                    assert_eq!(open, None, "{}", fixture.name);
                    assert!(begin.final_lsn >= confirmed, "{}", fixture.name);
                    assert_ne!(begin.xid, 0);
                    open = Some(begin);
                }
                Message::Commit(commit) => {
                    let begin = open.take().expect("an open transaction");
                    assert_eq!((commit.commit_lsn, commit.commit_time_us), (begin.final_lsn, begin.commit_time_us));
                    assert!(commit.end_lsn > commit.commit_lsn, "{}", fixture.name);
                    assert_eq!(commit.flags, 0);
                    confirmed = commit.end_lsn;
                    transactions += 1;
                }
                Message::Logical { transactional, lsn, .. } => {
                    assert_eq!(transactional, open.is_some(), "{}", fixture.name);
                    assert!(lsn.is_valid());
                }
                _ => assert!(open.is_some(), "{}: only a message may stand outside of a transaction", fixture.name),
            }
        }
        assert_eq!((open, transactions), (None, TRANSACTIONS), "{}", fixture.name);
    }
}

#[test]
fn a_relation_comes_before_every_row_that_needs_it() {
    for fixture in fixture::all() {
        let mut known = HashSet::new();
        for wire in fixture.messages() {
            match Message::decode(&wire).unwrap() {
                Message::Relation(relation) => {
                    known.insert(relation.id);
                }
                Message::Insert { relation_id, .. }
                | Message::Update { relation_id, .. }
                | Message::Delete { relation_id, .. } => assert!(known.contains(&relation_id)),
                Message::Truncate { relation_ids, .. } => assert!(relation_ids.iter().all(|id| known.contains(&id))),
                _ => {}
            }
        }
    }
}

#[test]
fn an_insert_is_whole_and_an_update_without_old_row_is_new() {
    for fixture in fixture::all() {
        let mut unchanged = 0;
        for wire in fixture.messages() {
            match Message::decode(&wire).unwrap() {
                Message::Insert { new, .. } => {
                    assert_eq!(new.kind(), TupleKind::New);
                    assert!(new.iter().all(|value| value != Value::Unchanged), "{}", fixture.name);
                }
                Message::Update { new, .. } => {
                    unchanged += new.iter().filter(|value| *value == Value::Unchanged).count();
                }
                _ => {}
            }
        }
        assert!(unchanged > 0, "{}: the workload has updates that leave large values alone", fixture.name);
    }
}

#[test]
fn the_commit_time_of_a_replicated_transaction_is_that_of_its_origin() {
    for fixture in fixture::all() {
        let messages = fixture.messages();
        let messages: Vec<_> = messages.iter().map(|wire| Message::decode(wire).unwrap()).collect();
        let at = messages.iter().position(|message| matches!(message, Message::Origin { .. })).expect("an origin");
        let Message::Begin(begin) = messages[at - 1] else { panic!("an origin follows the begin") };
        assert_eq!(begin.commit_time_us, US_FROM_2000_TO_2001_02_03_04_05_06, "{}", fixture.name);
    }
}

/// How many transactions of the workload have something to send.
const TRANSACTIONS: usize = 27;

/// 399 days, 4 hours, 5 minutes, 6 seconds: 2000 was a leap year, so 366 days and 31 + 2.
const US_FROM_2000_TO_2001_02_03_04_05_06: i64 = ((399 * 24 + 4) * 3600 + 5 * 60 + 6) * 1_000_000;
