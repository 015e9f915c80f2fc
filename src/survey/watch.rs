//! Patience that runs out: how long the next question may take.

use std::time::Duration;

use tokio::time::Instant;

use super::Patience;

/// The time that is left. Nothing may take longer, whatever it may take by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    patience: Patience,
    ends: Option<Instant>,
}

impl Watch {
    /// Begins now.
    pub(super) fn start(patience: Patience) -> Self {
        Self { patience, ends: Instant::now().checked_add(patience.whole) }
    }

    /// For a connection.
    pub(super) fn connection(&self) -> Duration {
        self.at_most(self.patience.connection)
    }

    /// For an answer.
    pub(super) fn answer(&self) -> Duration {
        self.at_most(self.patience.answer)
    }

    /// Between two looks at what the slot holds back.
    pub(super) fn sample(&self) -> Duration {
        self.at_most(self.patience.sample)
    }

    fn at_most(&self, limit: Duration) -> Duration {
        self.ends.map_or(limit, |ends| limit.min(ends.saturating_duration_since(Instant::now())))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_question_may_take_longer_than_what_is_left_of_the_whole() {
        let watch = Watch::start(Patience::default());
        let limits = || [watch.connection(), watch.answer(), watch.sample()].map(|limit| limit.as_secs());
        assert_eq!(limits(), [10, 5, 1]);
        advance(Duration::from_secs(8)).await;
        assert_eq!(limits(), [7, 5, 1]);
        advance(Duration::from_secs(4)).await;
        assert_eq!(limits(), [3, 3, 1]);
        advance(Duration::from_secs(40)).await;
        assert_eq!(limits(), [0; 3]);
    }
}
