//! When an event is tried again: the schedule, its jitter, and what the receiver asks for.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

/// The longest that a receiver can ask for; longer than the longest step of the default schedule.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many steps a schedule may have.
const MOST_STEPS: usize = 100;
/// The longest step.
const LONGEST_STEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How far from its step a delay may be, either way.
const JITTER: f64 = 0.1;

/// The pauses between the attempts for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// Of these pauses, in their order; none means one attempt.
    pub fn new(steps: Vec<Duration>) -> Result<Self, ScheduleError> {
        if steps.len() > MOST_STEPS {
            return Err(ScheduleError::TooMany);
        }
        if steps.iter().any(|step| *step > LONGEST_STEP) {
            return Err(ScheduleError::TooLong);
        }
        Ok(Self(steps))
    }

    /// How long to wait after the attempt that made `failed` of them; none if that was the last. `dice` is in `0.0..1.0`:
    /// the events that failed together do not come back together.
    pub fn pause(&self, failed: u32, not_before: Option<Duration>, dice: f64) -> Option<Duration> {
        let step = self.0.get(usize::try_from(failed).ok()?.checked_sub(1)?)?;
        let spread = step.mul_f64(1.0 - JITTER + 2.0 * JITTER * dice.clamp(0.0, 1.0));
        Some(spread.max(not_before.unwrap_or_default().min(LONGEST_RETRY_AFTER)))
    }

    /// How many attempts there are.
    pub fn attempts(&self) -> usize {
        self.0.len() + 1
    }

    /// The pauses.
    pub fn steps(&self) -> &[Duration] {
        &self.0
    }
}

impl Default for Schedule {
    /// Eight attempts over 27.6 hours, as Standard Webhooks proposes.
    fn default() -> Self {
        Self([5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600].map(Duration::from_secs).into())
    }
}

/// Why a schedule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Too many steps.
    #[error("a schedule has at most 100 pauses")]
    TooMany,
    /// A step is too long.
    #[error("a pause is at most 7 days")]
    TooLong,
}

/// What a `Retry-After` says: seconds, or a date (<https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>). None if
/// it says neither; a date that is past asks for nothing.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(value.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs));
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_schedule_is_that_of_the_standard() {
        let schedule = Schedule::default();
        let pause = |failed| schedule.pause(failed, None, 0.5).map(|pause| pause.as_secs());
        assert_eq!([1, 2, 3, 4].map(pause), [Some(5), Some(300), Some(1800), Some(7200)]);
        assert_eq!([5, 6, 7, 8].map(pause), [Some(18_000), Some(36_000), Some(36_000), None]);
        assert_eq!((pause(0), schedule.attempts()), (None, 8));
    }

    #[test]
    fn the_receiver_may_ask_for_more_time_and_not_for_less() {
        let schedule = Schedule::new(vec![Duration::from_secs(60)]).unwrap();
        let pause = |asked: u64| schedule.pause(1, Some(Duration::from_secs(asked)), 0.5).unwrap().as_secs();
        assert_eq!([0, 59, 61, 3600, u64::MAX].map(pause), [60, 60, 61, 3600, 86_400]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999"), Some(86_400));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0));
        for nonsense in ["", "-1", "1.5", "soon", "1994-11-06T08:49:37Z", "5s"] {
            assert_eq!(seconds(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn schedules_without_end_are_refused() {
        assert_eq!(Schedule::new(vec![Duration::ZERO; 101]), Err(ScheduleError::TooMany));
        assert_eq!(Schedule::new(vec![LONGEST_STEP + Duration::from_millis(1)]), Err(ScheduleError::TooLong));
        assert_eq!(Schedule::new(Vec::new()).unwrap().pause(1, None, 0.5), None);
    }

    proptest! {
        #[test]
        fn a_pause_is_near_its_step(step_ms in 0_u64..600_000_000, dice in 0.0..1.0_f64) {
            let step = Duration::from_millis(step_ms);
            let pause = Schedule::new(vec![step]).unwrap().pause(1, None, dice).unwrap();
            prop_assert!(pause >= step.mul_f64(0.899) && pause <= step.mul_f64(1.101));
        }

        #[test]
        fn any_value_is_read_or_passed_over(value: String) {
            let _wait = retry_after(&value, Timestamp::UNIX_EPOCH);
        }
    }
}
