//! The verdict: what was found, how fast it went, and how it is told.

use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::audit::Findings;
use crate::words::{bytes, duration, grouped};

/// What came of it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Table against stream.
    pub findings: Findings,
    /// What else was wrong, in words: walpost did not end well, or the stream stopped growing.
    pub complaints: Vec<String>,
    /// Events that were rolled back on purpose.
    pub rolled_back: u64,
    /// Events that the stream stored in a second, on average.
    pub events_per_second: f64,
    /// From the insert to the consumer: half of the events took no longer, 99 in a hundred, and the longest.
    pub latency: Option<[Duration; 3]>,
    /// The most memory that walpost had in use.
    pub peak_memory_bytes: Option<u64>,
}

impl Verdict {
    /// Whether everything is as it should be: then the exit code is 0.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_clean() && self.complaints.is_empty()
    }

    /// The last line.
    #[must_use]
    pub fn summary(&self) -> String {
        let Findings { committed, stored, lost, duplicated, out_of_order, phantom, altered, .. } = self.findings;
        let mut parts = vec![(committed, "committed"), (stored, "stored"), (lost, "lost"), (duplicated, "duplicated")];
        parts.push((out_of_order, "out of order"));
        // Nobody asks for these as long as there are none.
        parts.extend([(phantom, "phantom"), (altered, "altered")].into_iter().filter(|(count, _)| *count > 0));
        let parts: Vec<_> = parts.into_iter().map(|(count, what)| format!("{} {what}", grouped(count))).collect();
        format!("verdict: {}", parts.join(", "))
    }

    /// The table.
    pub(super) fn table(&self) -> String {
        let found = &self.findings;
        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        let rolled_back = format!("stored, not committed ({} rolled back on purpose)", grouped(self.rolled_back));
        for (name, count, meaning) in [
            ("committed", found.committed, "rows in public.outbox"),
            ("stored", found.stored, "messages in stream OUTBOX"),
            ("lost", found.lost, "committed and not stored"),
            ("duplicated", found.duplicated, "stored more than once"),
            ("phantom", found.phantom, &rolled_back),
            ("altered", found.altered, "stored with other contents than the row's"),
            ("out of order", found.out_of_order, "by each order's versions, each clerk's entries"),
        ] {
            table.add_row([name, &grouped(count), meaning]);
        }
        table.add_row(["events/s", &format!("{:.0}", self.events_per_second), "on average"]);
        if let Some([p50, p99, max]) = self.latency {
            let names = ["latency p50", "latency p99", "latency max"];
            for (name, latency) in names.into_iter().zip([p50, p99, max]) {
                table.add_row([name, &duration(latency), "from the insert to the consumer"]);
            }
        }
        if let Some(peak) = self.peak_memory_bytes {
            table.add_row(["memory", &bytes(peak), "walpost's peak"]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    /// What is wrong, line by line.
    pub(super) fn details(&self) -> Vec<String> {
        let examples = self.findings.examples.iter().map(|(fault, what)| format!("{fault}: {what}"));
        examples.chain(self.complaints.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::audit::Fault;

    /// A clean verdict.
    fn clean() -> Verdict {
        Verdict {
            findings: Findings { committed: 5000, stored: 5000, ..Findings::default() },
            complaints: Vec::new(),
            rolled_back: 612,
            events_per_second: 199.7,
            latency: Some([1, 4, 30].map(Duration::from_millis)),
            peak_memory_bytes: Some(10 << 20),
        }
    }

    #[test]
    fn the_last_line_says_it_all() {
        let line = clean().summary();
        assert_eq!(line, "verdict: 5,000 committed, 5,000 stored, 0 lost, 0 duplicated, 0 out of order");
        let mut verdict = clean();
        verdict.findings.altered = 2;
        assert!(verdict.summary().ends_with("0 out of order, 2 altered"));
    }

    #[test]
    fn a_complaint_is_enough_for_an_unclean_verdict() {
        assert!(clean().is_clean());
        let complaints = vec!["walpost ended with exit code 1".to_owned()];
        assert!(!Verdict { complaints, ..clean() }.is_clean());
        let findings = Findings { lost: 1, ..clean().findings };
        assert!(!Verdict { findings, ..clean() }.is_clean());
    }

    #[test]
    fn faults_are_named() {
        let mut verdict = clean();
        verdict.findings.examples.push((Fault::OutOfOrder, "message 4 after 3, event x".to_owned()));
        verdict.complaints.push("walpost did not end".to_owned());
        assert_eq!(verdict.details(), ["out of order: message 4 after 3, event x", "walpost did not end"]);
    }

    #[test]
    fn the_table_has_all_numbers() {
        let table = clean().table();
        for expected in ["5,000", "612", "200", "1.0 ms", "30 ms", "10.0 MiB", "out of order"] {
            assert!(table.contains(expected), "{expected} is not in\n{table}");
        }
    }
}
