//! How a session pauses and how it ends, when nothing went wrong.

/// Why a session pauses when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It was asked to stop.
    Stop,
    /// [`super::Session::look`] is due.
    Look,
}

/// How a session ended when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Everything that was under way is stored and confirmed.
    Drained,
    /// Some answers did not come in time; their events will be looked for in the stream at the next start.
    Abandoned {
        /// How many.
        in_flight: usize,
    },
}
