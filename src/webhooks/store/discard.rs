//! Giving dead letters up. Whoever decides so does it; no instance need deliver.
//!
//! A letter goes only if its event is at rest: settled in the record that the broker has, and named by no wish that is still
//! to be granted. What goes is the letter that was seen; one that was stored in its place meanwhile stays. A process that dies
//! on the way has given up some, and whoever repeats it gives up the others.

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::{LetterSeen, LoggedAttempt, Record, Store, StoreError, Wish, Written};
use crate::webhooks::endpoint::EndpointName;

/// How many are removed at once.
const AT_ONCE: usize = 16;
/// What the log of attempts says of it.
const DISCARDED: &str = "discarded";

/// What came of giving dead letters up.
#[derive(Debug, Default)]
pub struct Discarded {
    /// Those that are gone.
    pub gone: Vec<LetterSeen>,
    /// Those whose events are not at rest.
    pub kept: Vec<LetterSeen>,
    /// Why it ended before its end.
    pub error: Option<StoreError>,
}

impl Store {
    /// Gives these dead letters up, as they were seen.
    pub async fn discard(&self, endpoint: &EndpointName, letters: Vec<LetterSeen>) -> Result<Discarded, StoreError> {
        // In this order: a wish that is made behind the look at the record is seen, whether it is granted by then or not.
        let record = self.record(endpoint).await?.map(|record| record.value);
        let wish = self.wish(endpoint).await?;
        let is_at_rest = |letter: &LetterSeen| is_at_rest(record.as_ref(), wish.as_ref(), letter.sequence);
        let (at_rest, kept): (Vec<_>, Vec<_>) = letters.into_iter().partition(is_at_rest);
        let mut discarded = Discarded { kept, ..Discarded::default() };
        let removing = stream::iter(at_rest).map(async |letter| {
            let removed = self.remove(endpoint, &letter).await;
            (letter, removed)
        });
        let mut removing = std::pin::pin!(removing.buffered(AT_ONCE));
        while let Some((letter, removed)) = removing.next().await {
            match removed {
                Ok(true) => {
                    self.log_attempt(endpoint, &told(&letter)).await;
                    discarded.gone.push(letter);
                }
                // Somebody else removed it, or there is another one in its place.
                Ok(false) => {}
                Err(error) => {
                    discarded.error = Some(error);
                    break;
                }
            }
        }
        // Nothing waits for answers of the log; but the process may end now.
        drop(self.client.flush().await);
        Ok(discarded)
    }

    /// Removes a letter; false if it was not there any more.
    async fn remove(&self, endpoint: &EndpointName, letter: &LetterSeen) -> Result<bool, StoreError> {
        const WHAT: &str = "remove a dead letter";
        let stream = self.stream(&self.state_stream(), WHAT).await?;
        let purge = stream.purge().filter(self.letter_subject(endpoint, letter.sequence)).sequence(letter.stored + 1);
        Ok(purge.await.map_err(|error| StoreError::new(WHAT, error))?.purged > 0)
    }
}

/// Whether nobody is about to send an event again: a letter is stored before the record says that its event is settled, and
/// an event that is sent again may need the copy in its letter.
fn is_at_rest(record: Option<&Record>, wish: Option<&Written<Wish>>, sequence: u64) -> bool {
    let Some(record) = record else { return true };
    let is_wished = wish.is_some_and(|wish| wish.revision > record.wish && wish.value.again.contains(&sequence));
    record.ledger.has_settled(sequence) && !is_wished && !record.again.contains(&sequence)
}

fn told(letter: &LetterSeen) -> LoggedAttempt {
    LoggedAttempt {
        endpoint: String::new(),
        event: letter.name(),
        sequence: letter.sequence,
        attempt: letter.attempts,
        at: Timestamp::now().to_string(),
        outcome: DISCARDED.to_owned(),
        status: None,
        ms: 0,
        next_ms: None,
        dead: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::ledger::SavedEvent;

    #[test]
    fn an_event_is_at_rest_when_the_record_has_settled_it_and_nobody_wants_it_again() {
        let mut record = Record::begin(10, None, 1);
        (record.wish, record.again) = (5, vec![7]);
        record.ledger.open = vec![SavedEvent(8, 2, 0)];
        let wish = |revision, again: &[u64]| Written { revision, value: Wish { enabled: None, again: again.to_vec() } };
        let is_at_rest = |wish: Option<&Written<Wish>>, sequence| is_at_rest(Some(&record), wish, sequence);
        assert!(is_at_rest(None, 9) && is_at_rest(None, 1));
        assert!(!is_at_rest(None, 8), "it is open: its letter is stored, and the record is not written yet");
        assert!(!is_at_rest(None, 11), "it was taken, and no record was written since");
        assert!(!is_at_rest(None, 7), "it was opened again, and its letter is still needed or about to go");
        assert!(!is_at_rest(Some(&wish(6, &[9])), 9), "somebody wishes to have it sent again");
        assert!(is_at_rest(Some(&wish(6, &[3])), 9) && is_at_rest(Some(&wish(5, &[9])), 9), "that wish is granted");
        assert!(super::is_at_rest(None, Some(&wish(6, &[9])), 9), "nobody ever delivered by this record");
    }
}
