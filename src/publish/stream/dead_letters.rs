//! Finds the dead letters of a stream.

use async_nats::jetstream::stream::RawMessageErrorKind;

use super::{StreamError, StreamInspector, StreamProblem};
use crate::publish::Letter;

impl StreamInspector {
    /// The dead letters on `subject` from sequence `first` on, the oldest first, and at most so many; one question to
    /// the broker for each and one more.
    pub async fn dead_letters(&self, subject: &str, first: u64, most: usize) -> Result<Vec<Letter>, StreamError> {
        let stream = self.stream().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        let (mut letters, mut first) = (Vec::new(), first.max(1));
        while letters.len() < most {
            let message = match stream.get_first_raw_message_by_subject(subject, first).await {
                Ok(message) => message,
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => break,
                Err(error) => return Err(self.unanswered(&error)),
            };
            first = message.sequence.saturating_add(1);
            letters.extend(Letter::read(&message.payload, Some(message.sequence)));
        }
        Ok(letters)
    }
}
