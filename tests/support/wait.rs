//! Waiting for a condition, with a bound, and with the name of the condition when the bound is reached.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Long past what anything here takes on a busy machine; reached only when something is wrong.
const BOUND: Duration = Duration::from_secs(60);

/// How long to wait before looking again.
const BETWEEN_GLANCES: Duration = Duration::from_millis(10);

/// Waits until `holds`.
pub(crate) async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    within(BOUND, what, holds).await;
}

/// Waits until `holds`, for as long as the contract allows.
pub(crate) async fn within(bound: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let seen = some_within(bound, what, async || holds().await.then_some(())).await;
    assert_eq!(seen, ());
}

/// Waits until `look` sees something.
pub(crate) async fn some<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    some_within(BOUND, what, look).await
}

async fn some_within<T>(bound: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {bound:?}: {what}");
        sleep(BETWEEN_GLANCES).await;
    }
}
