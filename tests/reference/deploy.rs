//! What is shipped for those who watch: each expression of the alerts and of the dashboard names metrics, labels and values
//! that the program has, no metric is left out, and each alert leads to a place in the runbook.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use serde_json::Value;

use super::{Family, errors::slug, families, in_repository, metrics_text, webhook_metrics_text};

/// Labels that Prometheus adds to every sample.
const OF_PROMETHEUS: [&str; 3] = ["job", "instance", "namespace"];
/// Labels of the program's own.
const OF_WALPOST: [&str; 10] =
    ["code", "version", "phase", "stage", "reason", "status", "for", "le", "endpoint", "outcome"];

/// The expressions of the alerts, each with the alert's name.
fn alerts() -> Vec<(String, String)> {
    let text = fs::read_to_string(in_repository("deploy/prometheus/alerts.yml")).unwrap();
    text.split("- alert: ").skip(1).map(|rule| (rule.lines().next().unwrap().to_owned(), rule.to_owned())).collect()
}

/// The expression of a rule: on the line of its key, or folded below it.
fn expression(rule: &str) -> String {
    let (_, rest) = rule.split_once("expr: ").unwrap();
    let mut lines = rest.lines();
    let first = lines.next().unwrap();
    if first != ">-" {
        return first.to_owned();
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let folded: Vec<&str> = lines.take_while(|line| indent(line) > 8).map(str::trim).collect();
    folded.join(" ")
}

/// Every expression of the dashboard, with the title of its panel.
fn panels() -> Vec<(String, String)> {
    let text = fs::read_to_string(in_repository("deploy/grafana/walpost.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((title.to_owned(), target["expr"].as_str().unwrap().to_owned()));
        }
    }
    found
}

/// The names of the samples that the program gives, each with its family.
fn samples() -> BTreeMap<String, Family> {
    let mut samples = BTreeMap::new();
    for family in families(&metrics_text()).into_iter().chain(families(&webhook_metrics_text())) {
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        for suffix in suffixes {
            samples.insert(format!("{}{suffix}", family.name), family.clone());
        }
    }
    samples
}

/// The metrics that an expression selects, each with what stands in its braces.
fn selectors(expression: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("walpost_") {
        let rest = &expression[at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let braces =
            rest[end..].strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        found.push((&rest[..end], braces));
    }
    found
}

/// What is wrong with one selector.
fn wrong(name: &str, braces: &str, samples: &BTreeMap<String, Family>) -> Option<String> {
    let Some(family) = samples.get(name) else { return Some(format!("there is no {name}")) };
    for matcher in braces.split(", ").filter(|matcher| !matcher.is_empty()) {
        let at = matcher.find(['=', '!']).unwrap();
        let (label, value) = (&matcher[..at], matcher[at..].trim_matches(['=', '!', '~', '"']));
        if OF_PROMETHEUS.contains(&label) {
            continue;
        }
        let is_exact = matcher[at..].starts_with("=\"");
        let known = family
            .labels
            .get(label)
            .is_some_and(|values| !is_exact || values.iter().any(|known| known.trim_matches('`') == value));
        if !known {
            return Some(format!("{name} never has {matcher}"));
        }
    }
    None
}

#[test]
fn every_expression_of_the_alerts_and_the_dashboard_names_what_the_program_measures() {
    let samples = samples();
    let mut used = BTreeSet::new();
    let alerts = alerts().into_iter().map(|(name, rule)| (name, expression(&rule)));
    let all: Vec<_> = alerts.chain(panels()).collect();
    assert!(all.len() > 60, "{} expressions", all.len());
    for (place, expression) in &all {
        let selectors = selectors(expression);
        assert!(!selectors.is_empty(), "{place}: {expression}");
        for (name, braces) in selectors {
            assert_eq!(wrong(name, braces, &samples), None, "{place}: {expression}");
            used.insert(samples.get(name).unwrap().name.clone());
        }
        for (at, _) in expression.match_indices("by (") {
            for label in expression[at + 4..].split(')').next().unwrap().split(", ") {
                let is_known = OF_PROMETHEUS.contains(&label) || OF_WALPOST.contains(&label);
                assert!(is_known, "{place}: no label {label} in {expression}");
            }
        }
    }
    let unused: Vec<_> = samples.values().map(|family| &family.name).filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "neither an alert nor the dashboard shows {unused:?}");
}

#[test]
fn a_name_a_label_or_a_value_that_does_not_exist_is_found() {
    let samples = samples();
    for (name, braces) in [
        ("walpost_lag_second", ""),
        ("walpost_retries", ""),
        ("walpost_phase", "stage=\"server\""),
        ("walpost_phase", "phase=\"asleep\""),
    ] {
        assert!(wrong(name, braces, &samples).is_some(), "{name} {braces}");
    }
    assert_eq!(wrong("walpost_retries_total", "job=\"x\", code=~\"WP04.*\"", &samples), None);
    assert_eq!(selectors("a(walpost_x{b=\"c\"}[5m]) / walpost_y"), [("walpost_x", "b=\"c\""), ("walpost_y", "")]);
}

#[test]
fn every_alert_says_what_is_wrong_and_leads_to_a_place_in_the_runbook() {
    let runbook = fs::read_to_string(in_repository("docs/runbook.md")).unwrap();
    let anchors: BTreeSet<String> = runbook.lines().filter(|line| line.starts_with('#')).map(slug).collect();
    let mut names = BTreeSet::new();
    for (name, rule) in alerts() {
        for key in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(key), "{name} has no {key}");
        }
        let place = rule.lines().find_map(|line| line.trim().strip_prefix("runbook: docs/runbook.md#"));
        let place = place.unwrap_or_else(|| panic!("{name} names no place in the runbook"));
        assert_eq!(place, name.to_lowercase());
        assert!(anchors.contains(place), "docs/runbook.md has no heading for {name}");
        assert!(names.insert(name.clone()), "{name} is there twice");
    }
    for anchor in anchors.iter().filter(|anchor| anchor.starts_with("walpost") && !anchor.contains('-')) {
        assert!(names.iter().any(|name| name.to_lowercase() == **anchor), "the runbook tells of no alert: {anchor}");
    }
}
