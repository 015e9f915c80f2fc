//! `walpost doctor`: what is wrong on either side, and what mends it.

use std::io::Write;

use clap::Args;

use super::{
    Exit, Failure, OutputFormat,
    console::{Console, Ink, Stream},
    runtime,
};
use crate::{
    config::{Config, visible::visible},
    doctor::{self, Finding, Report, Side, Verdict},
    plan::Plan,
    survey::{Patience, Scope, Survey},
};

/// The arguments of `walpost doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
It only looks, and can be run at any time, also beside a walpost that delivers.
The exit code is 1 if something is critical. docs/reference/checks.md lists what is looked at.")]
pub struct DoctorArgs {
    /// Print in this form: human or json.
    #[arg(long, value_name = "FORMAT", default_value = "human", hide_possible_values = true)]
    pub format: OutputFormat,
}

/// Looks at everything, and tells.
pub(super) fn run(args: &DoctorArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    let plan = Plan::new(config);
    let survey = runtime::block_on(async { Ok(Survey::of(&plan, config, Scope::Whole, Patience::default()).await) })?;
    let report = doctor::diagnose(&plan, &survey);
    match args.format {
        OutputFormat::Human => {
            let text = text(&report, console.out());
            console.out().write_all(text.as_bytes())?;
        }
        OutputFormat::Json => {
            let text = serde_json::to_string_pretty(&report.to_json()).map_err(Failure::new)?;
            writeln!(console.out(), "{text}")?;
        }
    }
    Ok(if report.verdict() == Verdict::Critical { Exit::Failed } else { Exit::Done })
}

/// The sides, as people are told of them.
const SIDES: [(Side, &str); 4] =
    [(Side::Postgres, "Postgres"), (Side::Nats, "NATS"), (Side::Walpost, "walpost"), (Side::Webhooks, "Webhooks")];

/// For people: a line for each check, then in full what is wrong, the worst last.
fn text(report: &Report, out: &Stream) -> String {
    let mut text = String::new();
    for (side, title) in SIDES {
        let findings: Vec<_> = report.findings().iter().filter(|finding| finding.check.side() == side).collect();
        if !findings.is_empty() {
            text.push_str(&format!("{}\n", out.paint(Ink::Strong, title)));
            text.push_str(&lines(&findings, out));
            text.push('\n');
        }
    }
    let mut wrong: Vec<_> = report.findings().iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    wrong.sort_by_key(|finding| finding.verdict);
    // What could not be looked at is in the list above; here it is only if something can be done about it.
    let is_told = |finding: &&Finding| finding.verdict > Verdict::Unknown || finding.remedy.is_some();
    for finding in wrong.into_iter().filter(is_told) {
        text.push_str(&in_full(finding, out));
        text.push('\n');
    }
    text.push_str(&summary(report, out));
    text
}

/// A line for each finding. What could not be looked at for the same reason shares one.
fn lines(findings: &[&Finding], out: &Stream) -> String {
    let width = findings.iter().map(|finding| finding.check.id().len()).max().unwrap_or_default();
    let mut text = String::new();
    let mut told: Vec<&str> = Vec::new();
    for finding in findings {
        let mut name = finding.check.id().to_owned();
        if finding.verdict == Verdict::Unknown {
            if told.contains(&finding.found.as_str()) {
                continue;
            }
            told.push(&finding.found);
            let alike =
                findings.iter().filter(|other| other.verdict == Verdict::Unknown && other.found == finding.found);
            let alike: Vec<_> = alike.map(|other| other.check.id()).collect();
            if alike.len() > 1 {
                name = format!("{} checks", alike.len());
            }
        }
        let word = out.paint(ink(finding.verdict), format_args!("{:<8}", short(finding.verdict)));
        text.push_str(&format!("  {word}  {name:<width$}  {}\n", escaped(&finding.found)));
    }
    text
}

/// A finding with its cause and its remedy.
fn in_full(finding: &Finding, out: &Stream) -> String {
    let code = finding.code.map_or_else(String::new, |code| format!("{code} "));
    let head = out.paint(ink(finding.verdict), format_args!("{}:", finding.verdict.word()));
    let mut text = format!("{head} {code}{}: {}\n", finding.check.id(), escaped(&finding.found));
    for cause in [finding.cause.as_deref(), Some(finding.check.why())].into_iter().flatten() {
        text.push_str(&format!("  {}\n", escaped(cause)));
    }
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("  {} {}\n", out.paint(Ink::Hint, "remedy:"), commands_painted(&escaped(remedy), out)));
    }
    if let Some(code) = finding.code {
        text.push_str(&format!("  {} {}\n", out.paint(Ink::Hint, "see:"), code.page()));
    }
    text
}

/// How many there are of each kind, in the colour of the worst.
fn summary(report: &Report, out: &Stream) -> String {
    let counted = |verdict: Verdict| match (verdict, report.count(verdict)) {
        (_, 0) => None,
        (Verdict::Warning, count) if count > 1 => Some(format!("{count} warnings")),
        (verdict, count) => Some(format!("{count} {}", verdict.word())),
    };
    let parts: Vec<_> = Verdict::ALL.into_iter().rev().filter_map(counted).collect();
    format!("{}\n", out.paint(ink(report.verdict()), parts.join(", ")))
}

fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Ok => Ink::Good,
        Verdict::Unknown => Ink::Hint,
        Verdict::Warning => Ink::Warning,
        Verdict::Critical => Ink::Error,
    }
}

/// The word in a line.
fn short(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Unknown { "?" } else { verdict.word() }
}

/// What others wrote, with what would break the line made visible.
fn escaped(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}

/// What can be run or set stands out on a terminal; elsewhere the backticks stay.
fn commands_painted(text: &str, out: &Stream) -> String {
    if !out.is_coloured() {
        return text.to_owned();
    }
    let part =
        |(index, part): (usize, &str)| if index % 2 == 1 { out.paint(Ink::Strong, part) } else { part.to_owned() };
    text.split('`').enumerate().map(part).collect()
}
