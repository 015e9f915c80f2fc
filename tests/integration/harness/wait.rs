//! Waiting for what must happen, and saying what did not.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long anything may take on a busy machine before a test says that it does not happen.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How long to wait before looking again.
const BETWEEN_GLANCES: Duration = Duration::from_millis(10);

/// Looks again and again until the condition holds. The text completes "waited in vain until ...".
pub(crate) async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !holds().await {
            sleep(BETWEEN_GLANCES).await;
        }
    };
    assert!(timeout(SOON, looking).await.is_ok(), "waited in vain until {what}");
}

/// The result of something that must not take longer than [`SOON`]. The text completes "waited in vain for ...".
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(SOON, work).await {
        Ok(result) => result,
        Err(_) => panic!("waited in vain for {what}"),
    }
}
