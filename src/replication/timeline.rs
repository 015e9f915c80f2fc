//! The history of a timeline: which other logs its own continues, and where each of them was left; pure.
//!
//! A failover begins a timeline, and its server writes down where it left the one before, in a small text file that a
//! walsender hands out (<https://www.postgresql.org/docs/current/protocol-replication.html>, `TIMELINE_HISTORY`). The file
//! has a line for each ancestor: its number, the end of what was kept of its log, and a remark for people.

use crate::lsn::Lsn;

/// A timeline and those that it continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineHistory {
    current: u32,
    /// The oldest first; numbers rise, ends do not fall.
    ancestors: Vec<Ancestor>,
}

/// A timeline that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ancestor {
    timeline: u32,
    /// The log before this position is part of the history, from here on it is not.
    end: Lsn,
}

impl TimelineHistory {
    /// A timeline that continues no other.
    pub fn without_ancestors(current: u32) -> Self {
        Self { current, ancestors: Vec::new() }
    }

    /// Reads the history file of a timeline.
    pub fn parse(current: u32, text: &str) -> Result<Self, TimelineError> {
        let mut ancestors: Vec<Ancestor> = Vec::new();
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let ancestor = Ancestor::parse(line).ok_or(TimelineError)?;
            let is_in_order =
                ancestors.last().is_none_or(|last| last.timeline < ancestor.timeline && last.end <= ancestor.end);
            if !is_in_order || ancestor.timeline >= current {
                return Err(TimelineError);
            }
            ancestors.push(ancestor);
        }
        Ok(Self { current, ancestors })
    }

    /// The timeline.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Where the log of a timeline ceases to be part of this history: its positions before that, and only those, are
    /// positions of this log too. The greatest position for the current one; `None` if the history does not pass through
    /// that timeline.
    pub fn end_of(&self, timeline: u32) -> Option<Lsn> {
        if timeline == self.current {
            return Some(Lsn::new(u64::MAX));
        }
        self.ancestors.iter().find(|ancestor| ancestor.timeline == timeline).map(|ancestor| ancestor.end)
    }
}

impl Ancestor {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let timeline = fields.next()?;
        // `parse` would take a sign.
        let timeline = timeline.bytes().all(|byte| byte.is_ascii_digit()).then(|| timeline.parse().ok()).flatten()?;
        let end = fields.next()?.parse().ok()?;
        Some(Self { timeline, end })
    }
}

/// Text that is no timeline history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history of the server's timeline cannot be read")]
pub struct TimelineError;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As a server wrote it after two promotions.
    const FILE: &str = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tno recovery target specified\n";

    #[test]
    fn each_ancestor_ends_where_it_was_left() {
        let history = TimelineHistory::parse(3, FILE).unwrap();
        assert_eq!(history.current(), 3);
        assert_eq!(history.end_of(1), Some(Lsn::new(0x300_0148)));
        assert_eq!(history.end_of(2), Some(Lsn::new(0x1_0000_00A0)));
        assert_eq!(history.end_of(3), Some(Lsn::new(u64::MAX)));
        assert_eq!((history.end_of(0), history.end_of(4)), (None, None));
    }

    #[test]
    fn remarks_and_blanks_mean_nothing() {
        let history = TimelineHistory::parse(2, "# a remark\n\n  1 0/10 before '# noon' \n").unwrap();
        assert_eq!(history.end_of(1), Some(Lsn::new(0x10)));
        assert_eq!(TimelineHistory::parse(1, ""), Ok(TimelineHistory::without_ancestors(1)));
    }

    #[test]
    fn what_no_server_writes_is_refused() {
        let files = [
            "1",
            "1\t",
            "x\t0/10",
            "+1\t0/10",
            "1\tnowhere",
            "3\t0/10",
            "4\t0/10",
            "2\t0/10\n1\t0/20",
            "1\t0/20\n2\t0/10",
        ];
        for file in files {
            assert_eq!(TimelineHistory::parse(3, file), Err(TimelineError), "{file:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_history_or_an_error(current: u32, text in "[0-9/A-F#\t\n a]{0,60}|.{0,40}") {
            let _outcome: Result<TimelineHistory, _> = TimelineHistory::parse(current, &text);
        }

        #[test]
        fn a_history_is_read_as_it_was_written(steps in prop::collection::vec((1u32..9, 0u64..u64::from(u32::MAX)), 0..20)) {
            let (mut text, mut ancestors, mut timeline, mut end) = (String::new(), Vec::new(), 0, 0);
            for (later, further) in steps {
                timeline += later;
                end += further;
                ancestors.push((timeline, Lsn::new(end)));
                text.push_str(&format!("{timeline}\t{}\treason\n", Lsn::new(end)));
            }
            let history = TimelineHistory::parse(timeline + 1, &text).unwrap();
            for (timeline, end) in ancestors {
                prop_assert_eq!(history.end_of(timeline), Some(end));
            }
        }
    }
}
