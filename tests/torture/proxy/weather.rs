//! What the network does to an edge at the moment.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::watch;

/// What happens to everything that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// What walpost sends.
    pub(crate) up: Flow,
    /// What the server sends.
    pub(crate) down: Flow,
    /// How much later everything arrives.
    pub(crate) latency: Duration,
    /// What happens to the broker's answers to messages.
    pub(crate) answers: Answers,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    /// They arrive.
    #[default]
    Pass,
    /// They arrive later, when the weather is fine again, even if whoever sent them is gone by then.
    Hold,
    /// They never arrive, and nobody is told.
    Swallow,
}

/// What happens to the broker's answers to messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Answers {
    /// They arrive.
    #[default]
    Pass,
    /// They are lost.
    Drop,
    /// They come late, behind everything else.
    Late(Duration),
    /// They come twice.
    Twice,
}

/// How connections end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cut {
    /// By a reset: what was under way is gone.
    #[default]
    Reset,
    /// As when a process ends: what it had said arrives.
    Close,
}

/// How often connections were cut, and how the last time.
pub(super) type Cuts = watch::Receiver<(u64, Cut)>;

/// Counts down, and goes off once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fuse(Arc<Mutex<Option<u64>>>);

impl Fuse {
    /// Lets it go off with this many.
    pub(crate) fn light(&self, length: u64) {
        *self.0.lock().unwrap() = Some(length);
    }

    /// Whether it is lit and has not gone off.
    pub(crate) fn is_lit(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    /// How much of it is left.
    pub(crate) fn left(&self) -> u64 {
        self.0.lock().unwrap().unwrap_or_default()
    }

    /// Puts it out.
    pub(crate) fn put_out(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// Burns by so much; how much of it was left to burn, if it went off.
    pub(super) fn burn(&self, by: u64) -> Option<u64> {
        let mut length = self.0.lock().unwrap();
        let left = (*length)?;
        *length = left.checked_sub(by).filter(|left| *left > 0);
        length.is_none().then_some(left.min(by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuse_goes_off_once_and_says_how_much_was_left() {
        let fuse = Fuse::default();
        assert_eq!(fuse.burn(100), None);
        fuse.light(10);
        assert_eq!((fuse.burn(4), fuse.is_lit()), (None, true));
        assert_eq!((fuse.burn(8), fuse.is_lit()), (Some(6), false));
        assert_eq!(fuse.burn(8), None);
    }
}
