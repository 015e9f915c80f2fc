//! The pure parts of the way of an event, one by one and together, for benchmarks to run.
//!
//! A [`Part`] works off the same [`workload::EVENTS`] events each time it is called. Everything that is made once in the
//! life of a session is made before.

mod parts;
mod workload;

use std::fmt;

pub(crate) use workload::EVENTS;
use workload::{WORKLOAD, Workload};

/// Works off all events of the workload once.
pub(crate) type Batch = Box<dyn FnMut()>;

/// A pure part.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// What it is called in figures.
    pub(crate) name: &'static str,
    prepare: fn(&'static Workload) -> Batch,
}

impl Part {
    /// All parts, in the order of the way; the last one is the whole of it.
    pub(crate) const ALL: [Self; 8] = [
        Self { name: "frames", prepare: parts::frames },
        Self { name: "decode", prepare: parts::decode },
        Self { name: "row", prepare: parts::row },
        Self { name: "message", prepare: parts::message },
        Self { name: "answer", prepare: parts::answer },
        Self { name: "state", prepare: parts::state },
        Self { name: "feedback", prepare: parts::feedback },
        Self { name: "path", prepare: parts::path },
    ];

    /// Makes what the part needs.
    pub(crate) fn prepare(self) -> Batch {
        (self.prepare)(&WORKLOAD)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
