//! Made-up tables and streams, each with one thing wrong.

use serde_json::json;

use super::*;
use crate::sandbox::stored::digest;

/// A message of event number `number`: version `version` of order `order`, the `entry`-th of `clerk`.
fn message(number: u128, [order, version, clerk, entry]: [u64; 4]) -> Stored {
    let order = Uuid::from_u128(1000 + u128::from(order));
    let body = json!({ "order_id": order.to_string(), "version": version, "clerk": clerk, "entry": entry });
    Stored {
        sequence: 0,
        behind: 0,
        id: Some(Uuid::from_u128(number)),
        subject: "outbox.order.OrderPaid".to_owned(),
        columns: ["order".to_owned(), order.to_string(), "OrderPaid".to_owned()],
        body: body.to_string().into(),
    }
}

/// Three orders, two clerks, six events, as they were committed.
fn history() -> Vec<Stored> {
    vec![
        message(1, [1, 1, 1, 1]),
        message(2, [2, 1, 2, 1]),
        message(3, [1, 2, 2, 4]),
        message(4, [1, 3, 1, 2]),
        message(5, [3, 1, 1, 3]),
        message(6, [2, 2, 2, 5]),
    ]
}

/// The findings for the history in the table and this stream.
fn judge(stream: &[Stored]) -> Findings {
    let mut audit = Audit::default();
    for row in history() {
        audit.committed(row.id.unwrap(), digest(row.columns.each_ref().map(String::as_str), &row.body));
    }
    for (index, message) in stream.iter().enumerate() {
        audit.stored(&Stored { sequence: u64::try_from(index).unwrap() + 1, ..message.clone() });
    }
    audit.finish()
}

#[test]
fn a_stream_that_mirrors_the_table_is_clean() {
    let findings = judge(&history());
    assert_eq!(findings, Findings { committed: 6, stored: 6, ..Findings::default() });
    assert!(findings.is_clean());
}

#[test]
fn lost_events_are_counted_and_the_first_ones_named() {
    let findings = judge(&history()[4..]);
    assert_eq!((findings.lost, findings.stored, findings.out_of_order), (4, 2, 0));
    assert!(!findings.is_clean());
    let named: Vec<_> = findings.examples.iter().map(|(_, what)| what.clone()).collect();
    assert_eq!(named, [1, 2, 3].map(|number| format!("event {}", Uuid::from_u128(number))));
}

#[test]
fn a_duplicate_is_counted_once_and_not_as_disorder() {
    let mut stream = history();
    stream.push(history()[1].clone());
    let findings = judge(&stream);
    assert_eq!((findings.duplicated, findings.out_of_order, findings.lost), (1, 0, 0));
    assert!(findings.examples[0].1.starts_with("message 7, event"), "{findings:?}");
    assert!(!findings.is_clean());
}

#[test]
fn what_was_never_committed_is_a_phantom() {
    let mut stream = history();
    stream.insert(2, message(7, [1, 2, 1, 2]));
    stream.push(Stored { id: None, ..message(8, [9, 9, 9, 9]) });
    let findings = judge(&stream);
    assert_eq!((findings.phantom, findings.lost, findings.out_of_order), (2, 0, 0));
    assert!(findings.examples[1].1.ends_with("without an id"), "{findings:?}");
    assert!(!findings.is_clean());
}

#[test]
fn disorder_within_an_order_is_seen() {
    let mut stream = history();
    // Versions 2 and 3 of the first order, by different clerks.
    stream.swap(2, 3);
    let findings = judge(&stream);
    assert_eq!((findings.out_of_order, findings.lost), (1, 0));
    assert!(findings.examples[0].1.starts_with("message 4 after 3"), "{findings:?}");
    assert!(!findings.is_clean());
}

#[test]
fn disorder_between_orders_is_seen_along_a_clerks_book() {
    let mut stream = history();
    // Entries 2 and 3 of the first clerk, about different orders.
    stream.swap(3, 4);
    assert_eq!(judge(&stream).out_of_order, 1);
}

#[test]
fn transactions_of_different_clerks_about_different_orders_may_come_in_any_order() {
    let mut stream = history();
    stream.swap(0, 1);
    assert!(judge(&stream).is_clean());
}

#[test]
fn a_changed_payload_or_type_is_seen() {
    let mut stream = history();
    stream[0].body = [&stream[0].body[..], b" "].concat().into();
    stream[1].columns[2] = "OrderShipped".to_owned();
    let findings = judge(&stream);
    assert_eq!((findings.altered, findings.lost, findings.phantom), (2, 0, 0));
    assert!(!findings.is_clean());
}

#[test]
fn events_of_guests_without_numbers_are_compared_all_the_same() {
    let guest = Stored { body: "\"hello\"".into(), ..message(9, [0; 4]) };
    let mut audit = Audit::default();
    audit.committed(guest.id.unwrap(), guest.digest());
    audit.stored(&guest);
    assert!(audit.finish().is_clean());
}
