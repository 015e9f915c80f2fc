//! What to do about an error: the one place that decides between trying again and giving up.
//!
//! What time may mend is tried again for ever; what only a person can mend ends the process, with a code to look up.
//! The default is to end. Before the process has delivered or stood by for the first time every error ends it: whoever
//! has just started it is there to read.

use std::time::Duration;

use super::{error::RunError, health::Trouble};
use crate::{
    code::Code,
    postgres::{ConnectError, sql::SqlError},
    preflight::Problem,
    publish::{BrokerError, Outcome, StreamError, StreamProblem},
    relay::{IntakeError, ResumeError, SessionError, StopReason, WatermarkError},
    replication::ReplicationError,
};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Try again, with growing pauses, for ever.
    Retry,
    /// Look at everything anew and try again; the same error without an event delivered in between ends the process, when
    /// it has been told for this long.
    For(Duration),
    /// End the process.
    Stop,
}

impl Policy {
    /// Whether an error of this code ends the process, after the trouble that is not over.
    pub(super) fn ends(self, code: Code, earlier: Option<&Trouble>) -> bool {
        match self {
            Retry => false,
            Stop => true,
            For(patience) => earlier.is_some_and(|earlier| earlier.code == code && earlier.of_this_code() >= patience),
        }
    }
}

/// An error's code, and what to do about it.
pub type Verdict = (Code, Policy);

use Policy::{For, Retry, Stop};

/// One attempt.
const ONCE: Policy = For(Duration::ZERO);

/// How long a stream that ends before what it had confirmed may be one whose new leader has not caught up with its own
/// log: nats-server 2.15.1 was seen to tell such an end right after an election under load.
const ELECTION: Duration = Duration::from_secs(30);

/// JetStream's errors for a stream, account or server without room, by number
/// (<https://github.com/nats-io/nats-server/blob/main/server/errors.json>).
const FULL: [u32; 6] = [10002, 10023, 10028, 10047, 10077, 10122];
/// JetStream's errors for an expectation about the last message that does not hold.
const OUT_OF_LINE: [u32; 3] = [10070, 10071, 10164];
/// JetStream's errors for a message that is too large, in body or headers.
const TOO_LARGE: [u32; 2] = [10054, 10097];

/// Sorts an error.
pub fn verdict(error: &RunError) -> Verdict {
    match error {
        RunError::Sql(error) => of_sql(error),
        RunError::SqlSessionEnded => (Code::POSTGRES_NOT_PRIMARY, Retry),
        RunError::GaveWay => (Code::NATS_UNREACHABLE, Retry),
        RunError::NotReady(problems) => of_problems(problems),
        RunError::Broker(error) => of_broker(error),
        RunError::JetStream(error) => of_stream(error),
        RunError::Replication(error) => of_replication(error),
        RunError::Resume(error) => (of_resume(error), Stop),
        RunError::Orphans(_) => (Code::ORPHANS, Stop),
        RunError::Watermark { error: error @ WatermarkError::StreamForgot { .. }, .. } => {
            (of_watermark(error), For(ELECTION))
        }
        RunError::Watermark { error, .. } => (of_watermark(error), Stop),
        // The session for SQL broke: then that is the trouble.
        RunError::WatermarkUnwritten { source, .. } if source.sqlstate().is_none() => of_sql(source),
        RunError::WatermarkUnwritten { .. } | RunError::WatermarkHeldUp { .. } => (Code::WATERMARK, Retry),
        RunError::WatermarkAhead => (Code::OVERTAKEN, Retry),
        RunError::Message(_) => (Code::EVENT_UNPUBLISHABLE, Stop),
        RunError::Session(error) => of_session(error),
    }
}

fn of_session(error: &SessionError) -> Verdict {
    match error {
        SessionError::Replication(error) => of_replication(error),
        SessionError::Broker(error) => of_broker(error),
        SessionError::Intake(error) => of_intake(error),
        SessionError::Stop(reason) => of_stop(reason),
        SessionError::Disconnected { .. } | SessionError::BrokerLeaves | SessionError::AnswersLost => {
            (Code::NATS_UNREACHABLE, Retry)
        }
        SessionError::Complaint(_) => (Code::NATS_REFUSED, Retry),
        SessionError::NoAnswer { .. } => (Code::STREAM_SILENT, Retry),
        SessionError::SilentPostgres => (Code::POSTGRES_UNREACHABLE, Retry),
    }
}

fn of_intake(error: &IntakeError) -> Verdict {
    match error {
        // A type that was made since the start is known after another look; a column that is gone is not.
        IntakeError::Bind(_) => (Code::TABLE, ONCE),
        IntakeError::Halt(_) => (Code::EVENT_UNPUBLISHABLE, Stop),
        IntakeError::Stop(reason) => of_stop(reason),
        IntakeError::Decode(_) | IntakeError::UnknownRelation(_) | IntakeError::NotAnInsert => {
            (Code::POSTGRES_NONSENSE, Stop)
        }
    }
}

fn of_stop(reason: &StopReason) -> Verdict {
    match reason {
        StopReason::Refused { outcome, .. } => of_outcome(outcome),
        StopReason::OutOfPlace { .. } | StopReason::UnknownAck { .. } => (Code::NATS_NONSENSE, Retry),
        // The next term sees whether the log still has what the broker forgot.
        StopReason::Forgotten { .. } => (Code::STREAM_FORGOT, For(ELECTION)),
        StopReason::Overtaken { .. } => (Code::OVERTAKEN, Retry),
        StopReason::Displaced => (Code::STREAM_FOREIGN, Retry),
        StopReason::Log(_) => (Code::POSTGRES_NONSENSE, Stop),
    }
}

fn of_outcome(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Refused { err_code, .. } if FULL.contains(err_code) => (Code::STREAM_FULL, Retry),
        Outcome::Refused { err_code, .. } if OUT_OF_LINE.contains(err_code) => (Code::STREAM_FOREIGN, Retry),
        // The limit was lowered while the message was on its way: it is read again with the next connection.
        Outcome::Refused { err_code, .. } if TOO_LARGE.contains(err_code) => (Code::EVENT_UNPUBLISHABLE, Retry),
        Outcome::Refused { code: 429 | 503, .. } | Outcome::NoResponders => (Code::STREAM_SILENT, Retry),
        Outcome::Refused { .. } => (Code::STREAM_REFUSED, Retry),
        Outcome::WrongStream { .. } => (Code::STREAM_UNFIT, Stop),
        Outcome::Duplicate { .. } | Outcome::Unclear | Outcome::Stored { .. } => (Code::STREAM_SILENT, Retry),
    }
}

pub(crate) fn of_sql(error: &SqlError) -> Verdict {
    match error {
        SqlError::Connect(error) => of_connect(error),
        SqlError::NoAnswer => (Code::POSTGRES_UNREACHABLE, Retry),
        SqlError::Query(_) => of_sqlstate(error.sqlstate()),
    }
}

pub(crate) fn of_replication(error: &ReplicationError) -> Verdict {
    match error {
        ReplicationError::Connect(error) => of_connect(error),
        ReplicationError::Io(_) | ReplicationError::Closed | ReplicationError::NoAnswer => {
            (Code::POSTGRES_UNREACHABLE, Retry)
        }
        ReplicationError::Server(_) => of_sqlstate(error.sqlstate()),
        ReplicationError::PublicationSkipped(_) => (Code::PUBLICATION, Stop),
        ReplicationError::NoPassword | ReplicationError::AuthenticationMethod(_) => (Code::POSTGRES_LOGIN, Stop),
        ReplicationError::Frame(_)
        | ReplicationError::Position(_)
        | ReplicationError::Timeline(_)
        | ReplicationError::Unexpected(_) => (Code::POSTGRES_NONSENSE, Stop),
    }
}

fn of_connect(error: &ConnectError) -> Verdict {
    match error {
        error if error.is_about_tls() => (Code::POSTGRES_TLS, Retry),
        ConnectError::NotPostgres => (Code::POSTGRES_NONSENSE, Retry),
        // Read again with each attempt.
        ConnectError::Password(_) | ConnectError::Url(_) => (Code::POSTGRES_LOGIN, Retry),
        // A failover is under way, or not yet done by whoever decides it.
        ConnectError::NoneFit(_) | ConnectError::Misfit(_) => (Code::POSTGRES_NOT_PRIMARY, Retry),
        _ => (Code::POSTGRES_UNREACHABLE, Retry),
    }
}

/// By what the server says; without a word the connection broke
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_sqlstate(sqlstate: Option<&str>) -> Verdict {
    let Some(state) = sqlstate else { return (Code::POSTGRES_UNREACHABLE, Retry) };
    let class = state.get(..2).unwrap_or_default();
    match (state, class) {
        ("55006", _) => (Code::SLOT_IN_USE, Retry),
        ("55000", _) => (Code::SLOT_LOST, Stop),
        ("42704", _) => (Code::PUBLICATION, Stop),
        // The password may be changed on both sides, one after the other.
        (_, "28") => (Code::POSTGRES_LOGIN, Retry),
        (_, "57") | ("25006", _) => (Code::POSTGRES_NOT_PRIMARY, Retry),
        (_, "08") => (Code::POSTGRES_UNREACHABLE, Retry),
        // Out of connections, memory or disk; serialization; what the operating system or the server's own code breaks.
        (_, "53" | "40" | "58" | "XX") => (Code::POSTGRES_REFUSED, Retry),
        _ => (Code::POSTGRES_REFUSED, Stop),
    }
}

/// Several problems are as bad as the worst; the first one gives the code.
fn of_problems(problems: &[Problem]) -> Verdict {
    let verdicts = || problems.iter().map(of_problem);
    let code = verdicts().next().map_or(Code::POSTGRES_UNFIT, |(code, _)| code);
    if verdicts().all(|(_, policy)| policy == Retry) { (code, Retry) } else { (code, Stop) }
}

pub(crate) fn of_problem(problem: &Problem) -> Verdict {
    match problem {
        // A failover is under way, or a connection of ours is still counted.
        Problem::InRecovery => (Code::POSTGRES_NOT_PRIMARY, Retry),
        Problem::NoFreeSender(_) => (Code::POSTGRES_UNFIT, Retry),
        Problem::VersionTooOld(_) | Problem::WalLevel(_) | Problem::NoReplication(_) | Problem::NoFreeSlot(_) => {
            (Code::POSTGRES_UNFIT, Stop)
        }
        Problem::SchemaMissing(_)
        | Problem::TableMissing { .. }
        | Problem::NotATable { .. }
        | Problem::NotLogged(_)
        | Problem::Columns(_)
        | Problem::GeneratedColumn { .. } => (Code::TABLE, Stop),
        Problem::PublicationMissing(_)
        | Problem::NoInserts(_)
        | Problem::TableNotPublished { .. }
        | Problem::NotViaRoot { .. }
        | Problem::ColumnsLeftOut { .. }
        | Problem::RowFilter { .. } => (Code::PUBLICATION, Stop),
        Problem::WatermarkMissing(_) | Problem::WatermarkRights { .. } => (Code::WATERMARK, Stop),
        Problem::Retention(_) => (Code::RETENTION, Stop),
        Problem::ExistingRows(_) | Problem::RowsUndecided { .. } => (Code::EXISTING_ROWS, Stop),
        Problem::SlotMissing(_) => (Code::SLOT_MISSING, Stop),
        Problem::SlotPlugin { .. }
        | Problem::SlotDatabase { .. }
        | Problem::SlotTemporary(_)
        | Problem::SlotTwoPhase(_) => (Code::SLOT_UNFIT, Stop),
        Problem::SlotLost { .. } | Problem::SlotGone { .. } => (Code::SLOT_LOST, Stop),
        Problem::Stream(problem) => of_stream_problem(problem),
    }
}

fn of_stream_problem(problem: &StreamProblem) -> Verdict {
    match problem {
        StreamProblem::Missing(_) => (Code::STREAM_MISSING, Stop),
        StreamProblem::Subject { .. } | StreamProblem::NotWritable { .. } => (Code::STREAM_UNFIT, Stop),
    }
}

pub(crate) fn of_broker(error: &BrokerError) -> Verdict {
    use async_nats::ConnectErrorKind::{Authentication, AuthorizationViolation};
    match error {
        // The file is read again with each attempt: it may be changed meanwhile.
        BrokerError::CredsFile { .. } | BrokerError::UrlFile { .. } => (Code::NATS_REFUSED, Retry),
        error if error.is_about_tls() => (Code::NATS_TLS, Retry),
        BrokerError::Connect(error) => match error.kind() {
            Authentication | AuthorizationViolation => (Code::NATS_REFUSED, Retry),
            _ => (Code::NATS_UNREACHABLE, Retry),
        },
        BrokerError::Closed | BrokerError::Publish(_) => (Code::NATS_UNREACHABLE, Retry),
        BrokerError::Answer(_) => (Code::NATS_NONSENSE, Retry),
        // Nothing ends such a client but the end of the process.
        BrokerError::Lost => (Code::NATS_NONSENSE, Stop),
    }
}

pub(crate) fn of_stream(error: &StreamError) -> Verdict {
    match error {
        StreamError::Problem(problem) => of_stream_problem(problem),
        StreamError::Refused(_) => (Code::NATS_REFUSED, Retry),
        StreamError::Request(_) | StreamError::Create(_) => (Code::STREAM_SILENT, Retry),
        // So it looks while a server starts; if it lasts, the code tells.
        StreamError::NoJetStream => (Code::NATS_WITHOUT_JETSTREAM, Retry),
        StreamError::Foreign { .. } => (Code::STREAM_FOREIGN, Stop),
        StreamError::Position { .. } => (Code::NEWER_VERSION, Stop),
    }
}

pub(crate) fn of_watermark(error: &WatermarkError) -> Code {
    match error {
        WatermarkError::SlotMoved { .. } => Code::SLOT_MOVED,
        WatermarkError::StreamRecreated { .. } | WatermarkError::StreamEmptied { .. } => Code::STREAM_RECREATED,
        WatermarkError::StreamForgot { .. } => Code::STREAM_FORGOT,
    }
}

pub(crate) fn of_resume(error: &ResumeError) -> Code {
    match error {
        ResumeError::OtherSystem { .. } => Code::OTHER_SYSTEM,
        ResumeError::OtherSlot { .. } => Code::OTHER_SLOT,
        ResumeError::OtherTimeline { .. } => Code::OTHER_TIMELINE,
        ResumeError::LostLog(_) => Code::ORPHANS,
        ResumeError::Ahead { .. } => Code::SERVER_BEHIND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_server_is_sorted() {
        let cases = [
            (Some("55006"), Code::SLOT_IN_USE, Retry),
            (Some("57P01"), Code::POSTGRES_NOT_PRIMARY, Retry),
            (Some("57P03"), Code::POSTGRES_NOT_PRIMARY, Retry),
            (Some("53300"), Code::POSTGRES_REFUSED, Retry),
            (Some("28P01"), Code::POSTGRES_LOGIN, Retry),
            (Some("08006"), Code::POSTGRES_UNREACHABLE, Retry),
            (None, Code::POSTGRES_UNREACHABLE, Retry),
            (Some("55000"), Code::SLOT_LOST, Stop),
            (Some("42704"), Code::PUBLICATION, Stop),
            (Some("42501"), Code::POSTGRES_REFUSED, Stop),
            (Some("?"), Code::POSTGRES_REFUSED, Stop),
        ];
        for (sqlstate, code, policy) in cases {
            assert_eq!(of_sqlstate(sqlstate), (code, policy), "{sqlstate:?}");
        }
    }

    #[test]
    fn every_answer_of_the_broker_is_sorted() {
        let refused = |code, err_code| Outcome::Refused { code, err_code, description: String::new() };
        let cases = [
            (refused(503, 10077), Code::STREAM_FULL, Retry),
            (refused(400, 10047), Code::STREAM_FULL, Retry),
            (refused(400, 10071), Code::STREAM_FOREIGN, Retry),
            (refused(400, 10054), Code::EVENT_UNPUBLISHABLE, Retry),
            (refused(503, 10008), Code::STREAM_SILENT, Retry),
            (refused(409, 10158), Code::STREAM_REFUSED, Retry),
            (Outcome::NoResponders, Code::STREAM_SILENT, Retry),
            (Outcome::Unclear, Code::STREAM_SILENT, Retry),
            (Outcome::WrongStream { stream: String::new() }, Code::STREAM_UNFIT, Stop),
        ];
        for (outcome, code, policy) in cases {
            assert_eq!(of_outcome(&outcome), (code, policy), "{outcome:?}");
        }
    }

    #[test]
    fn one_problem_that_only_a_person_can_mend_stops_all() {
        assert_eq!(of_problems(&[Problem::InRecovery]), (Code::POSTGRES_NOT_PRIMARY, Retry));
        let both = [Problem::InRecovery, Problem::SlotMissing("s".into())];
        assert_eq!(of_problems(&both), (Code::POSTGRES_NOT_PRIMARY, Stop));
    }
}
