//! All findings together.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    check::Check,
    finding::{Finding, Verdict},
};

/// All findings, in the order of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

/// A finding for programs.
#[derive(Serialize)]
struct JsonFinding<'a> {
    check: Check,
    side: super::Side,
    verdict: Verdict,
    found: &'a str,
    cause: Option<&'a str>,
    why: Option<&'static str>,
    remedy: Option<&'a str>,
    /// The parts of the remedy that can be run as they stand.
    run: Vec<&'a str>,
    code: Option<String>,
    see: Option<String>,
}

impl Report {
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        let place = |finding: &Finding| Check::ALL.iter().position(|check| *check == finding.check);
        findings.sort_by_key(place);
        Self { findings }
    }

    /// All findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many there are of a kind.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// The worst of all.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// For programs; part of the public interface.
    pub fn to_json(&self) -> Value {
        let findings: Vec<_> = self.findings.iter().map(JsonFinding::from).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "verdict": self.verdict(),
            "counts": {
                "ok": self.count(Verdict::Ok),
                "unknown": self.count(Verdict::Unknown),
                "warning": self.count(Verdict::Warning),
                "critical": self.count(Verdict::Critical),
            },
            "findings": findings,
        })
    }
}

impl<'a> From<&'a Finding> for JsonFinding<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding { check, verdict, found, cause, remedy, code } = finding;
        Self {
            check: *check,
            side: check.side(),
            verdict: *verdict,
            found,
            cause: cause.as_deref(),
            why: (*verdict > Verdict::Unknown).then(|| check.why()),
            remedy: remedy.as_deref(),
            run: finding.commands(),
            code: code.map(|code| code.to_string()),
            see: code.map(crate::code::Code::page),
        }
    }
}
