//! A reader of the log that does what the engine does, but for confirming: that is left to the test.

use tokio::{
    select,
    time::{Instant, sleep_until},
};
use walpost::{
    lsn::Lsn,
    outbox::{BaseTypes, Binding, Mapping, Preset},
    pgoutput::Message,
    replication::{Connection, Feedback, Frame, ReplicationError, ReplicationStream, StartOptions},
};

use super::{Outbox, within};

/// A replication stream whose keepalives are answered while it is read.
#[derive(Debug)]
pub(crate) struct LogReader {
    stream: ReplicationStream,
    binding: Option<Binding>,
}

/// A committed transaction with rows of the outbox.
#[derive(Debug)]
pub(crate) struct Transaction {
    /// Where its commit record begins.
    pub(crate) commit_lsn: Lsn,
    /// Where its commit record ends: what to confirm.
    pub(crate) end_lsn: Lsn,
    /// The payload of each row.
    pub(crate) payloads: Vec<Vec<u8>>,
}

impl LogReader {
    /// Reads from the slot's own position.
    pub(crate) async fn open(outbox: &Outbox) -> Self {
        Self::start(outbox.connection().await, &outbox.start).await.unwrap()
    }

    /// Reads over a connection.
    pub(crate) async fn start(connection: Connection, options: &StartOptions) -> Result<Self, ReplicationError> {
        Ok(Self { stream: connection.start(options).await?, binding: None })
    }

    /// The account of what to report.
    pub(crate) fn feedback(&mut self) -> &mut Feedback {
        self.stream.feedback()
    }

    /// The next frame. Meanwhile status updates go out as they become due.
    pub(crate) async fn frame(&mut self) -> Result<Frame, ReplicationError> {
        loop {
            self.stream.report(Instant::now()).await?;
            if let Some(frame) = self.stream.next_frame()? {
                self.account_for(&frame);
                return Ok(frame);
            }
            let deadline = self.stream.feedback().deadline();
            select! {
                filled = self.stream.fill() => filled?,
                () = sleep_until(deadline) => {}
            }
        }
    }

    /// The next transaction. Errors, not panics, for what the server says; panics for what cannot be decoded.
    pub(crate) async fn transaction(&mut self) -> Result<Transaction, ReplicationError> {
        within("a transaction", self.whole_transaction()).await
    }

    /// Reads, and answers what is asked, until the connection ends; with the number of frames.
    pub(crate) async fn until_the_end(&mut self) -> (usize, ReplicationError) {
        let mut frames = 0;
        let reading = async {
            loop {
                match self.frame().await {
                    Ok(_) => frames += 1,
                    Err(error) => return error,
                }
            }
        };
        let error = within("the end of the stream", reading).await;
        (frames, error)
    }

    /// Goes on reading, and throws away what comes, until something else is done.
    pub(crate) async fn while_reading<T>(&mut self, work: impl Future<Output = T>) -> T {
        let reading = async {
            loop {
                self.frame().await.unwrap();
            }
        };
        select! {
            biased;
            done = work => done,
            () = reading => unreachable!("reading ends by panic only"),
        }
    }

    /// Ends the stream in good order.
    pub(crate) async fn finish(self, deadline: Instant) -> Result<(), ReplicationError> {
        self.stream.finish(deadline).await
    }

    async fn whole_transaction(&mut self) -> Result<Transaction, ReplicationError> {
        let mut payloads = Vec::new();
        loop {
            let Frame::Log { data, .. } = self.frame().await? else { continue };
            match Message::decode(&data).unwrap() {
                Message::Relation(relation) => {
                    let mapping =
                        Mapping { table: "public.outbox".parse().unwrap(), columns: Preset::Walpost.columns() };
                    assert!(mapping.table.is_for(&relation));
                    self.binding = Some(Binding::bind(&mapping, &relation, &BaseTypes::new()).unwrap());
                }
                Message::Insert { new, .. } => {
                    let event = self.binding.as_ref().unwrap().read(new).unwrap();
                    payloads.push(event.payload.into_owned());
                }
                Message::Commit(commit) => {
                    let (commit_lsn, end_lsn) = (commit.commit_lsn, commit.end_lsn);
                    self.stream.feedback().received(end_lsn);
                    return Ok(Transaction { commit_lsn, end_lsn, payloads });
                }
                Message::Begin(_) => assert!(payloads.is_empty(), "a transaction inside a transaction"),
                other => panic!("an insert-only publication sent {other:?}"),
            }
        }
    }

    fn account_for(&mut self, frame: &Frame) {
        let feedback = self.stream.feedback();
        match frame {
            Frame::Log { start, .. } => feedback.received(*start),
            Frame::Keepalive { wal_end, reply_requested } => {
                feedback.received(*wal_end);
                if *reply_requested {
                    feedback.reply_requested();
                }
            }
            _ => {}
        }
    }
}
