//! The known bugs of others: a daemon that has one must be found out, by the invariant that the bug breaks.
//!
//! Each test is called as the claim that holds without the bug. Those that cannot be made here have tests with real
//! servers; the table in `docs/development.md` lists all.

use crate::{judge::Violation, mutation::Mutation, schedules::run};

/// Within how many schedules a bug must be found; the rarest one needs some dozens.
const SCHEDULES: u64 = 5_000;

/// A daemon with this bug breaks one of these invariants.
fn assert_caught(mutation: Mutation, invariants: &[&str]) {
    let find = |seed| run(seed, Some(mutation)).err().map(|violation| (seed, violation));
    let (seed, violation) = (0..SCHEDULES).find_map(find).unwrap_or_else(|| panic!("{mutation:?} was not found"));
    let Violation { invariant, text } = violation;
    assert!(invariants.contains(&invariant), "{invariant} in schedule {seed}: {text}");
}

mod every_known_bug_of_others_is_caught {
    use super::{Mutation, assert_caught};

    #[test]
    fn ack_only_after_puback() {
        assert_caught(Mutation::ConfirmOnReceive, &["I5"]);
    }

    #[test]
    fn ack_is_contiguous_frontier() {
        assert_caught(Mutation::ConfirmOutOfOrder, &["I5"]);
    }

    #[test]
    fn no_ack_inside_transaction() {
        assert_caught(Mutation::ConfirmInsideTransaction, &["I5"]);
    }

    #[test]
    fn same_lsn_multi_insert_copy() {
        assert_caught(Mutation::OneEventPerLsn, &["I3", "I5"]);
    }

    #[test]
    fn resume_boundary_first_tx() {
        assert_caught(Mutation::SkipFirstNewTransaction, &["I3", "I5"]);
    }

    #[test]
    fn no_progress_without_puback() {
        assert_caught(Mutation::FireAndForget, &["I3", "I5"]);
    }

    #[test]
    fn pg_crash_rewind_zero_dup() {
        assert_caught(Mutation::MemoryTrimmedAtSlot, &["I4"]);
    }

    #[test]
    fn dup_seq0_is_not_success() {
        assert_caught(Mutation::TrustDuplicateOfNothing, &["I3", "I5"]);
    }

    #[test]
    fn leader_kill_keeps_key_order() {
        assert_caught(Mutation::RetryOutOfOrder, &["I3"]);
    }

    #[test]
    fn no_late_publish_after_reconnect() {
        assert_caught(Mutation::LateWithoutFence, &["I3", "I4"]);
    }

    #[test]
    fn ack_never_exceeds_checkpoint() {
        assert_caught(Mutation::ConfirmNewest, &["I5"]);
    }
}
