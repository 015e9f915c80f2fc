//! The fields of `[[webhooks.endpoint]]`, for the check of their names and for the reference.

/// One field.
#[derive(Debug)]
pub struct EndpointField {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    /// What values it takes.
    pub values: &'static str,
    /// What holds if nobody gives it.
    pub preset: &'static str,
}

/// Makes the list.
macro_rules! fields {
    ($($name:literal, $values:literal, $preset:literal, $doc:literal;)+) => {
        /// Every field, in the order of the reference.
        pub const ENDPOINT_FIELDS: &[EndpointField] =
            &[$(EndpointField { name: $name, doc: $doc, values: $values, preset: $preset }),+];
    };
}

fields! {
    "name", "1 to 40 of a-z, 0-9, `_`, `-`", "**required**",
        "Its name, under which its place in the stream is kept: another name is another endpoint.";
    "url", "a URL", "**required**",
        "Where its events are sent. `https`, without user, password and fragment.";
    "secret_files", "a list of paths", "none",
        "Files that hold a secret each: `whsec_` and the base64 of 24 to 64 bytes, or `whsk_` and that of an Ed25519 key. Each request is signed with all secrets.";
    "secret_variables", "a list of names", "none", "Variables of the environment that hold a secret each.";
    "secrets", "a list of texts", "none", "Secrets themselves. One of these three must give at least one.";
    "subjects", "a list of filters", "all subjects of events",
        "Which events it gets: `outbox.order.>`, `outbox.*.OrderPaid`.";
    "format", "`raw`, `envelope`, `cloudevents`", "`envelope`", "What the body of a request is.";
    "ordering", "`none`, `aggregate`", "`none`",
        "Whether the events of one aggregate wait for each other.";
    "headers", "a table of texts", "none", "Headers of its own, such as `Authorization`.";
    "concurrency", "a whole number from 1 to 256", "`16`", "How many requests may be on their way at once.";
    "timeout", "a duration", "`15s`", "How long a request may take.";
    "retries", "a list of durations", "`5s`, `5m`, `30m`, `2h`, `5h`, `10h`, `10h`",
        "The pauses between the attempts for one event, each a tenth longer or shorter by chance. Behind the last attempt it becomes a dead letter.";
    "max_waiting", "a whole number from 1 to 10000", "`1000`",
        "How many events may wait for another attempt, or for one before them. At that number nothing more is read.";
    "disable_after", "a duration", "`5d`", "How long it may fail without a success until it is disabled.";
    "start", "`new`, `all`", "`new`",
        "Where it begins the first time: behind the last event of the stream, or at the first.";
    "plain_http", "true or false", "`false`", "Whether the URL may be `http`.";
    "enabled", "true or false", "`true`", "Whether it is served at all.";
}
