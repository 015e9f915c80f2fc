//! What the server says about itself: errors and notices.

use std::fmt;

/// An `ErrorResponse` or a `NoticeResponse`
/// (<https://www.postgresql.org/docs/current/protocol-error-fields.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct ServerMessage {
    /// Untranslated severity: `ERROR`, `FATAL`, `WARNING`, ...
    pub severity: String,
    /// SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// More about the problem.
    pub detail: Option<String>,
    /// What the server suggests.
    pub hint: Option<String>,
}

impl ServerMessage {
    /// Reads the body of the message. Unknown fields are skipped, missing ones stay empty: a message that reports a
    /// problem must never be lost to a problem of its own.
    pub fn parse(body: &[u8]) -> Self {
        let mut parsed = Self::default();
        let mut severity = None;
        for field in body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { break };
            let value = String::from_utf8_lossy(value).into_owned();
            match kind {
                b'S' => parsed.severity = value,
                b'V' => severity = Some(value),
                b'C' => parsed.code = value,
                b'M' => parsed.message = value,
                b'D' => parsed.detail = Some(value),
                b'H' => parsed.hint = Some(value),
                _ => {}
            }
        }
        parsed.severity = severity.unwrap_or(parsed.severity);
        parsed
    }

    /// Whether the server says that it drops changes because a publication is gone. Postgres 18 goes on with this
    /// warning where older servers fail, so nobody may overlook it.
    pub fn reports_skipped_publication(&self) -> bool {
        self.code == "55000" && self.message.contains("publication") && self.severity == "WARNING"
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Postgres: {} (SQLSTATE {})", self.message, self.code)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_and_the_untranslated_severity_wins() {
        let body = b"SFEHLER\0VERROR\0C42704\0Mno such thing\0Dreally\0Hmake it\0Fslot.c\0\0";
        let expected = ServerMessage {
            severity: "ERROR".into(),
            code: "42704".into(),
            message: "no such thing".into(),
            detail: Some("really".into()),
            hint: Some("make it".into()),
        };
        assert_eq!(ServerMessage::parse(body), expected);
    }

    #[test]
    fn broken_bodies_lose_nothing_but_what_is_missing() {
        assert_eq!(ServerMessage::parse(b""), ServerMessage::default());
        assert_eq!(ServerMessage::parse(b"Mcut").message, "cut");
        assert_eq!(ServerMessage::parse(b"M\xff\xfe\0").message, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn only_the_warning_about_publications_is_fatal() {
        let skipped = ServerMessage::parse(b"SWARNING\0VWARNING\0C55000\0Mskipped loading publication \"p\"\0\0");
        assert!(skipped.reports_skipped_publication());
        let other = ServerMessage::parse(b"SWARNING\0VWARNING\0C01000\0Msomething else\0\0");
        assert!(!other.reports_skipped_publication());
    }
}
