//! The known bugs of others, each as a daemon that has it.
//!
//! The program has no switches for them: they are mistakes of the model's own driver around the real state machine, or of
//! what it tells it.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// K1: a position is confirmed when it is received.
    ConfirmOnReceive,
    /// K2: a position is confirmed when its own events are stored, whatever lies before it.
    ConfirmOutOfOrder,
    /// K3: a transaction is confirmed when the first of its events is stored.
    ConfirmInsideTransaction,
    /// K4: events that share an LSN are taken for one.
    OneEventPerLsn,
    /// K5: after a restart the first new transaction is skipped.
    SkipFirstNewTransaction,
    /// K7: what is sent counts as stored.
    FireAndForget,
    /// K8: what was sent is remembered only as far back as the slot's position.
    MemoryTrimmedAtSlot,
    /// K9: a duplicate of sequence 0 counts as stored.
    TrustDuplicateOfNothing,
    /// K10: messages of one aggregate are under way together, and those that fail are sent again.
    RetryOutOfOrder,
    /// K11: the client sends what it had queued after somebody else has continued, and nothing fences it off.
    LateWithoutFence,
    /// K12: the newest position is confirmed when an older one is stored.
    ConfirmNewest,
}
