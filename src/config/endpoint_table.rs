//! Endpoints that are rows of a table in the database: the same fields, as columns, and the same checks.
//!
//! A row names no files and no variables: whoever may write rows is not, by that, somebody who may read what the worker can.

use std::{fmt, time::Duration};

use serde_json::{Map, Value};

use super::{
    endpoint::{self, Surroundings},
    endpoints::{Field, Given, GivenEndpoint},
    origin::Origin,
    problem::{Problem, Reason, quoted},
    visible::visible,
};
use crate::{
    outbox::TableName,
    webhooks::{Endpoint, EndpointName, Guard},
};

/// The table that endpoints are in.
#[derive(Clone, Debug)]
pub struct EndpointTable {
    /// Its name.
    pub name: TableName,
    /// How often one looks whether it changed.
    pub refresh: Duration,
    pub(super) guard: Guard,
    /// What an endpoint gets that names no subjects.
    pub(super) subjects: Vec<String>,
}

/// A row that is no endpoint.
#[derive(Debug)]
pub struct RefusedRow {
    /// Its name, fit to be shown.
    pub name: String,
    /// Everything that is wrong with it, at least one thing. No secret is in it.
    pub problems: Vec<Problem>,
}

impl EndpointTable {
    /// The columns that are read; others may be there. An absent one counts as one that is null.
    pub const COLUMNS: [&'static str; 15] = [
        "name",
        "url",
        "secrets",
        "subjects",
        "format",
        "ordering",
        "headers",
        "concurrency",
        "timeout",
        "retries",
        "max_waiting",
        "disable_after",
        "start",
        "plain_http",
        "enabled",
    ];

    /// The endpoint of a row, which is given as a JSON object of its columns that are not null.
    pub fn endpoint(&self, row: &str) -> Result<Endpoint, RefusedRow> {
        // It comes from `to_jsonb`; a text that is none has no fields, and is refused for that.
        let mut columns: Map<String, Value> = serde_json::from_str(row).unwrap_or_default();
        columns.retain(|name, _| Self::COLUMNS.contains(&name.as_str()));
        let name = columns.get("name").and_then(Value::as_str).unwrap_or_default();
        let name: String = name.chars().take(LONGEST_NAME_SHOWN).flat_map(visible).collect();
        let origin = Origin::Table { name: self.name.to_string() };
        let field = |(name, value)| Field { name, origin: origin.clone(), value: given(value) };
        let given = GivenEndpoint { origin: origin.clone(), fields: columns.into_iter().map(field).collect() };
        let around = Surroundings { of: None, guard: &self.guard, all_subjects: &self.subjects, variables: None };
        endpoint::read(given, &around).map_err(|problems| RefusedRow { name, problems })
    }

    /// What is said of a second row of one name.
    pub fn twin(&self, name: &EndpointName) -> RefusedRow {
        let reason = Reason::new(format!("name: {} is the name of another endpoint", quoted(name.as_str())));
        let problem = Problem::at(Origin::Table { name: self.name.to_string() }, reason);
        RefusedRow { name: name.to_string(), problems: vec![problem] }
    }
}

impl fmt::Display for RefusedRow {
    /// Everything that is wrong, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "; " })?;
            f.write_str(problem.text())?;
        }
        Ok(())
    }
}

/// A column's value.
fn given(value: Value) -> Given {
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    match value {
        Value::String(text) => Given::Text(text),
        Value::Number(number) => number.as_i64().map_or(Given::Other, Given::Number),
        Value::Bool(value) => Given::Switch(value),
        Value::Array(values) => values.into_iter().map(text).collect::<Option<_>>().map_or(Given::Other, Given::Texts),
        Value::Object(pairs) => {
            let pairs = pairs.into_iter().map(|(name, value)| Some((name, text(value)?)));
            pairs.collect::<Option<_>>().map_or(Given::Other, Given::Table)
        }
        Value::Null => Given::Other,
    }
}

/// How much is shown of a name that may be none: as much as a name may have.
const LONGEST_NAME_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::config::ENDPOINT_FIELDS;

    const SECRET: &str = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";

    fn table() -> EndpointTable {
        EndpointTable {
            name: "hooks".parse().unwrap(),
            refresh: Duration::from_secs(1),
            guard: Guard::default(),
            subjects: vec!["outbox.>".to_owned()],
        }
    }

    /// What is wrong with a row.
    fn problems(row: &str) -> Vec<String> {
        let refused = table().endpoint(row).unwrap_err();
        refused.problems.iter().map(|problem| problem.text().to_owned()).collect()
    }

    #[test]
    fn the_columns_are_the_fields_of_the_file_but_for_those_that_name_files_and_variables() {
        let of_the_file: BTreeSet<_> = ENDPOINT_FIELDS.iter().map(|field| field.name).collect();
        let mut columns = BTreeSet::from(EndpointTable::COLUMNS);
        assert!(columns.insert("secret_files") && columns.insert("secret_variables"));
        assert_eq!(columns, of_the_file);
    }

    #[test]
    fn name_url_and_secret_are_all_it_takes_and_every_column_is_read() {
        let least = format!(r#"{{"name": "a", "url": "https://example.com/x", "secrets": ["{SECRET}"]}}"#);
        let endpoint = table().endpoint(&least).unwrap();
        assert_eq!((endpoint.name.as_str(), endpoint.concurrency, endpoint.is_enabled), ("a", 16, true));
        assert_eq!(endpoint.subjects, ["outbox.>"]);
        let whole = format!(
            r#"{{"name": "a", "url": "http://example.com/x", "secrets": ["{SECRET}", "{SECRET}"], "plain_http": true,
                "subjects": ["outbox.order.>"], "format": "raw", "ordering": "aggregate", "headers": {{"X-A": "canary"}},
                "concurrency": 4, "timeout": "3s", "retries": ["1s", "1h"], "max_waiting": 50, "disable_after": "2d",
                "start": "all", "enabled": false}}"#
        );
        let endpoint = table().endpoint(&whole).unwrap();
        assert_eq!((endpoint.secrets.len(), endpoint.headers.len(), endpoint.schedule.attempts()), (2, 1, 3));
        assert_eq!((endpoint.concurrency, endpoint.max_waiting, endpoint.is_enabled), (4, 50, false));
        assert_eq!((endpoint.timeout.as_secs(), endpoint.disable_after.as_secs()), (3, 2 * 24 * 3600));
        assert!(!format!("{endpoint:?}").contains("canary"));
    }

    #[test]
    fn everything_that_is_wrong_with_a_row_is_told_at_once_and_no_secret_is() {
        let row = r#"{"name": "A canary", "url": "http://example.com/canary", "secrets": ["canary", "whsec_canary"],
            "subjects": [null], "format": "xml", "headers": {"x": 1}, "concurrency": 0.5, "retries": [],
            "timeout": 3, "secret_files": ["/etc/passwd"], "enabled": "yes"}"#;
        let expected = [
            "name: `A canary` is not a name",
            "url: http is not encrypted",
            "secrets: a signing secret begins with whsec_, or with whsk_ if it is an Ed25519 key",
            "secrets: what follows the prefix of a signing secret is not base64",
            "subjects: expected a list of texts",
            "headers: expected a table",
            "format: `xml` is not one of raw, envelope, cloudevents",
            "concurrency: expected a whole number from 1 to 256",
            "timeout: expected text",
            "enabled: expected true or false",
        ];
        assert_eq!(problems(row), expected);
        assert_eq!(
            problems("{}"),
            ["name: required, but not given", "url: required, but not given", "secrets: no secret to sign with"]
        );
        let refused = table().endpoint(row).unwrap_err();
        assert_eq!((refused.name.as_str(), refused.to_string().matches("; ").count()), ("A canary", 9));
    }

    /// The same cases that `django_walpost` judges before it stores a row.
    #[test]
    fn what_fits_and_what_does_not_is_what_the_django_package_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/webhook_endpoints.json");
        let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for case in all["cases"].as_array().unwrap() {
            let column = case["column"].as_str().unwrap();
            for (values, fits) in [(&case["fit"], true), (&case["do_not"], false)] {
                for value in values.as_array().unwrap() {
                    let mut row = all["least"].clone();
                    row[column] = value.clone();
                    match table().endpoint(&row.to_string()) {
                        Ok(_) => assert!(fits, "{column}: {value}"),
                        Err(refused) => {
                            assert!(!fits, "{column}: {value}: {refused}");
                            assert!(refused.to_string().starts_with(&format!("{column}: ")), "{refused}");
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_row_is_an_endpoint_or_refused_for_a_reason(row in ".{0,40}", column in 0..15_usize, value in ".{0,20}") {
            let name = EndpointTable::COLUMNS[column];
            for row in [row, serde_json::json!({ name: value }).to_string(), serde_json::json!({ name: [value] }).to_string()] {
                if let Err(refused) = table().endpoint(&row) {
                    prop_assert!(!refused.problems.is_empty());
                }
            }
        }
    }
}
