//! Each violation, planted once, is found; and nothing is found where nothing is wrong.

use tokio::time::Instant;

use super::*;
use crate::journal::Answer;

const LIFE: Life = Life { instance: 0, number: 1 };

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn place(commit: u64, index: u32) -> Place {
    Place { commit_lsn: Lsn::new(commit), index }
}

fn entry(seen: Seen) -> Entry {
    Entry { at: Instant::now(), life: LIFE, seen }
}

fn transaction(commit: u64, ids: &[u128]) -> Entry {
    let ids = ids.iter().map(|number| id(*number)).collect();
    entry(Seen::Transaction { commit_lsn: Lsn::new(commit), end_lsn: Lsn::new(commit + 5), ids })
}

fn stored(number: u128, sequence: u64) -> Entry {
    entry(Seen::Answered(Answer { id: Some(id(number)), sequence, is_delivered: true, ..Answer::default() }))
}

fn status(flushed: u64) -> Entry {
    entry(Seen::Status { flushed: Lsn::new(flushed) })
}

fn message(sequence: u64, number: u128, place: Place) -> Message {
    Message { sequence, id: id(number), place, behind: None, is_dead_letter: false, is_intact: true }
}

/// Three events in two transactions, delivered, answered and then confirmed.
fn innocence() -> Evidence {
    let row = |key: &str, number| Row { key: key.into(), number, is_too_large: false };
    Evidence {
        table: [(id(1), row("a", 1)), (id(2), row("a", 2)), (id(3), row("b", 1))].into(),
        stream: vec![message(1, 1, place(10, 0)), message(2, 2, place(10, 1)), message(3, 3, place(20, 0))],
        journal: vec![
            transaction(10, &[1, 2]),
            stored(1, 1),
            stored(2, 2),
            status(15),
            transaction(20, &[3]),
            stored(3, 3),
            status(25),
        ],
        misbehaviour: Vec::new(),
    }
}

fn kinds(evidence: &Evidence) -> BTreeSet<Kind> {
    evidence.judge().into_iter().map(|violation| violation.kind).collect()
}

#[test]
fn innocence_is_found_innocent() {
    assert_eq!(innocence().judge(), []);
}

#[test]
fn a_lost_event_is_found() {
    let mut evidence = innocence();
    evidence.stream.pop();
    evidence.journal.truncate(5);
    assert_eq!(kinds(&evidence), [Kind::Lost].into());
}

#[test]
fn an_event_that_nobody_committed_is_found() {
    let mut evidence = innocence();
    evidence.table.remove(&id(3));
    assert_eq!(kinds(&evidence), [Kind::Phantom].into());
}

#[test]
fn a_changed_byte_is_found() {
    let mut evidence = innocence();
    evidence.stream[1].is_intact = false;
    assert_eq!(kinds(&evidence), [Kind::Corrupt].into());
}

#[test]
fn a_dead_letter_without_reason_is_found() {
    let mut evidence = innocence();
    evidence.stream[1].is_dead_letter = true;
    assert_eq!(kinds(&evidence), [Kind::DeadWithoutReason].into());
}

#[test]
fn a_repeated_event_is_found_by_its_id_and_by_its_place() {
    let mut evidence = innocence();
    evidence.stream.push(message(4, 3, place(20, 0)));
    assert_eq!(kinds(&evidence), [Kind::Duplicated, Kind::PlaceTwice, Kind::KeyOutOfOrder].into());
}

#[test]
fn two_events_of_a_key_in_the_wrong_order_are_found() {
    let mut evidence = innocence();
    evidence.table.get_mut(&id(1)).unwrap().number = 3;
    assert_eq!(kinds(&evidence), [Kind::KeyOutOfOrder].into());
}

#[test]
fn two_transactions_in_the_wrong_order_are_found() {
    let mut evidence = innocence();
    evidence.stream = vec![message(1, 3, place(20, 0)), message(2, 1, place(10, 0)), message(3, 2, place(10, 1))];
    evidence.journal.retain(|entry| matches!(entry.seen, Seen::Transaction { .. }));
    assert_eq!(kinds(&evidence), [Kind::OutOfOrder].into());
}

#[test]
fn a_message_with_a_wrong_place_is_found() {
    let mut evidence = innocence();
    evidence.stream[2].place = place(20, 1);
    assert_eq!(kinds(&evidence), [Kind::Misplaced].into());
}

#[test]
fn a_confirmation_before_the_answer_is_found() {
    let mut evidence = innocence();
    evidence.journal.swap(2, 3);
    assert_eq!(kinds(&evidence), [Kind::ConfirmedAhead].into());
}

#[test]
fn a_confirmation_in_the_middle_of_a_commit_record_is_found() {
    let mut evidence = innocence();
    // Postgres does not send a transaction again whose commit record begins before the confirmed position.
    evidence.journal.insert(5, status(21));
    assert_eq!(kinds(&evidence), [Kind::ConfirmedAhead].into());
    evidence.journal[5] = status(20);
    assert_eq!(evidence.judge(), []);
}

#[test]
fn an_answer_that_was_lost_or_says_no_confirms_nothing() {
    let spoil: [fn(&mut Answer); 3] =
        [|answer| answer.is_delivered = false, |answer| answer.sequence = 0, |answer| answer.error = 10071];
    for spoil in spoil {
        let mut evidence = innocence();
        let Seen::Answered(answer) = &mut evidence.journal[5].seen else { panic!("the answer to the third") };
        spoil(answer);
        assert_eq!(kinds(&evidence), [Kind::ConfirmedAhead].into());
    }
}

#[test]
fn what_another_process_was_told_confirms_nothing_but_the_end_of_the_stream_does() {
    let mut evidence = innocence();
    let successor = Life { instance: 0, number: 2 };
    evidence.journal[6].life = successor;
    assert_eq!(kinds(&evidence), [Kind::ConfirmedAhead].into());
    let tail = Entry { at: Instant::now(), life: successor, seen: Seen::Tail { sequence: 3 } };
    evidence.journal.insert(6, tail);
    assert_eq!(evidence.judge(), []);
}

#[test]
fn an_event_that_the_broker_confirmed_and_does_not_have_is_found() {
    let mut evidence = innocence();
    evidence.journal.insert(2, stored(9, 1));
    assert_eq!(kinds(&evidence), [Kind::Forgotten].into());
}

#[test]
fn what_the_run_saw_go_wrong_is_told() {
    let mut evidence = innocence();
    evidence.misbehaviour.push(Violation::new(Kind::Stuck, "for 30 s"));
    assert_eq!(kinds(&evidence), [Kind::Stuck].into());
}

/// Event 2 was displaced by somebody else's message with the sequence 2, and came to the end.
fn displaced() -> Evidence {
    let mut evidence = innocence();
    evidence.stream = vec![
        message(1, 1, place(10, 0)),
        message(3, 3, place(20, 0)),
        Message { behind: Some(place(20, 0)), ..message(4, 2, place(10, 1)) },
    ];
    evidence.journal =
        vec![transaction(10, &[1, 2]), transaction(20, &[3]), stored(1, 1), stored(3, 3), stored(2, 4), status(25)];
    evidence
}

#[test]
fn an_event_that_was_displaced_may_come_to_the_end() {
    assert_eq!(kinds(&displaced()), [].into());
    let mut early = displaced();
    early.journal.insert(4, status(15));
    assert_eq!(kinds(&early), [Kind::ConfirmedAhead].into(), "and is not confirmed before it is there");
}

#[test]
fn an_event_that_came_to_the_end_for_no_reason_is_found() {
    let mut evidence = displaced();
    evidence.stream[1].sequence = 2;
    evidence.stream[2].sequence = 3;
    evidence.journal = Vec::new();
    evidence.journal.extend([transaction(10, &[1, 2]), transaction(20, &[3])]);
    assert_eq!(kinds(&evidence), [Kind::LateWithoutReason].into(), "nothing lies between");
    let mut evidence = displaced();
    evidence.stream[2].behind = Some(place(10, 0));
    assert_eq!(kinds(&evidence), [Kind::LateWithoutReason].into(), "it says wrongly what the stream ended with");
    let mut evidence = displaced();
    evidence.stream.push(Message { sequence: 5, ..evidence.stream[2].clone() });
    assert_eq!(kinds(&evidence), [Kind::Duplicated, Kind::PlaceTwice].into());
}
