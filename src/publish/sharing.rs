//! Whether a stream is ours alone; pure.
//!
//! Only then the sequence of a message says what came before it, and the end of the stream says how far we came.

use async_nats::jetstream::stream::{Config, RetentionPolicy};

use super::stream::{StreamPlan, covers};

/// Why a stream is not ours alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Sharing {
    /// Messages vanish once they are consumed, and their ids with them.
    #[error("it removes messages once they are consumed")]
    Retention,
    /// It also takes what others publish.
    #[error("it also takes subject {0:?}, which walpost does not write")]
    Subject(String),
    /// It also takes what other streams hold.
    #[error("it also takes messages from other streams")]
    Sources,
}

impl Sharing {
    /// The first reason why the stream is not ours alone; none if it is.
    pub(super) fn of(config: &Config, plan: &StreamPlan) -> Option<Self> {
        if config.retention != RetentionPolicy::Limits {
            return Some(Self::Retention);
        }
        if config.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
            return Some(Self::Sources);
        }
        let is_ours = |subject: &&String| plan.subjects.iter().any(|ours| covers(ours, subject));
        config.subjects.iter().find(|subject| !is_ours(subject)).cloned().map(Self::Subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::jetstream::stream::Source;

    #[test]
    fn only_a_stream_of_our_subjects_with_limits_retention_is_ours_alone() {
        let subjects = vec!["outbox.>".to_owned(), "outbox_dlq.>".to_owned()];
        let plan = StreamPlan { name: "S".into(), subjects: subjects.clone() };
        let ours = plan.config();
        let with = |subject: &str| {
            let subjects = subjects.iter().cloned().chain([subject.to_owned()]).collect();
            Config { subjects, ..ours.clone() }
        };
        let cases = [
            (ours.clone(), None),
            (with("outbox.order.*"), None),
            (with("other.>"), Some(Sharing::Subject("other.>".into()))),
            (with(">"), Some(Sharing::Subject(">".into()))),
            (Config { retention: RetentionPolicy::WorkQueue, ..ours.clone() }, Some(Sharing::Retention)),
            (Config { retention: RetentionPolicy::Interest, ..ours.clone() }, Some(Sharing::Retention)),
            (Config { sources: Some(vec![Source::default()]), ..ours.clone() }, Some(Sharing::Sources)),
            (Config { sources: Some(vec![]), ..ours.clone() }, None),
        ];
        for (config, sharing) in cases {
            assert_eq!(Sharing::of(&config, &plan), sharing, "{:?}", config.subjects);
        }
    }
}
