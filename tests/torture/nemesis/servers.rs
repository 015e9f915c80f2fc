//! The faults of the servers and of the database, carried out.

use std::time::Duration;

use tokio::time::Instant;
use walpost::sandbox::servers::StopMode;

use super::{Fault, strike::ms};
use crate::{
    arena::{Arena, Broker},
    judge::Kind,
    workload::long_transaction,
};

/// How many more messages a stream of several replicas may hold when its limit is set than it holds then. A limit below what is
/// under way makes servers of a cluster drop what the leader has confirmed (nats-server 2.10.26): each takes up the limit
/// when it likes, and holds messages against it that were admitted without.
const ROOM: u64 = 2000;
/// How long it may take until that many have come.
const FILLING: Duration = Duration::from_secs(10);

impl Arena {
    /// Carries out a fault until it is over; whether it happened.
    pub(super) async fn strike_servers(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::PostgresKill => {
                self.figures.add("Postgres crashes", 1);
                self.postgres.kill().await.unwrap();
                self.restart_postgres().await
            }
            Fault::PostgresImmediate => {
                self.figures.add("Postgres crashes", 1);
                self.postgres.stop(StopMode::Immediate).await.unwrap();
                self.restart_postgres().await
            }
            Fault::PostgresRestart => {
                self.figures.add("Postgres restarts", 1);
                self.restart_postgres().await
            }
            Fault::Walsender => self.terminate_walsender().await,
            Fault::BrokerKill { ms: time } => self.kill_broker(0, ms(time)).await,
            Fault::FollowerKill { ms: time } => self.kill_broker(1, ms(time)).await,
            Fault::BrokerRestart => {
                let server = self.broker.leader().await;
                let restarted = self.broker.server(server).restart().await;
                self.figures.add("broker restarts", 1);
                if let Err(error) = restarted {
                    self.misbehave(Kind::Stuck, format!("the broker does not come back: {error}"));
                }
                self.broker.until_whole().await;
                true
            }
            Fault::BrokerPause { ms: time } => {
                let server = self.broker.leader().await;
                self.broker.server(server).pause().await.unwrap();
                self.pass(ms(time)).await;
                self.broker.server(server).resume().unwrap();
                self.broker.until_whole().await;
                self.figures.add("broker pauses", 1);
                true
            }
            Fault::StepDown => self.step_down().await,
            Fault::StreamFull { ms: time } => self.fill_stream(ms(time)).await,
            _ => self.strike_data(fault).await,
        }
    }

    /// What applications and operators do.
    async fn strike_data(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Intruder { messages, every_ms } => {
                for _ in 0..messages {
                    let is_stored = self.reader.intrude().await;
                    self.figures.add("messages of others", u64::from(is_stored));
                    self.pass(ms(every_ms)).await;
                }
                self.figures.of("messages of others") > 0
            }
            Fault::AddColumn => {
                self.figures.add("columns added", 1);
                let name = format!("extra_{}", self.figures.of("columns added"));
                let client = self.client().await;
                client.batch_execute(&format!("ALTER TABLE outbox ADD COLUMN {name} int")).await.is_ok()
            }
            Fault::LongTransaction { ms: time } => {
                let url = self.postgres.url();
                self.long.push(tokio::spawn(Box::pin(async move {
                    // Postgres may crash meanwhile; then there was no such transaction.
                    drop(long_transaction(&url, ms(time)).await);
                })));
                self.figures.add("long transactions", 1);
                true
            }
            other => unreachable!("{other:?} is no fault of a server"),
        }
    }

    async fn restart_postgres(&mut self) -> bool {
        if let Err(error) = self.postgres.restart().await {
            self.misbehave(Kind::Stuck, format!("Postgres does not stop or start: {error}"));
            self.postgres.kill().await.unwrap();
            self.postgres.restart().await.unwrap();
        }
        true
    }

    async fn terminate_walsender(&mut self) -> bool {
        let sql = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'walpost'";
        let client = self.client().await;
        let is_done = client.query_one(sql, &[]).await.is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true));
        self.figures.add("walsenders terminated", u64::from(is_done));
        is_done
    }

    /// Kills the stream's leader, or the server so many after it.
    async fn kill_broker(&mut self, after: usize, time: Duration) -> bool {
        let server = (self.broker.leader().await + after) % self.broker.count();
        let (mark, begun) = (self.journal.end(), Instant::now());
        self.broker.server(server).kill().await.unwrap();
        self.figures.add("broker kills", 1);
        if let Broker::Cluster(_) = self.broker {
            self.figures.add("elections", u64::from(after == 0));
            match self.delivers(mark, begun, |_| true).await {
                Some(after) => self.figures.recovery(after),
                None => self.misbehave(Kind::Stuck, "nothing is delivered to the others of the cluster".to_owned()),
            }
        }
        self.pass(time).await;
        self.broker.server(server).restart().await.unwrap();
        self.broker.until_whole().await;
        true
    }

    async fn step_down(&mut self) -> bool {
        let has_stepped_down = self.broker.step_down().await;
        self.figures.add("elections", u64::from(has_stepped_down));
        has_stepped_down
    }

    /// No room for what is under way, and then room again.
    async fn fill_stream(&mut self, time: Duration) -> bool {
        let Some((_, messages)) = self.reader.try_state().await else { return false };
        let full = messages + if self.broker.count() > 1 { ROOM } else { 0 };
        let limit = i64::try_from(full).unwrap();
        let is_full = self.reader.try_update(|config| {
            config.max_messages = limit;
            config.discard = async_nats::jetstream::stream::DiscardPolicy::New;
        });
        if !is_full.await {
            return false;
        }
        let deadline = Instant::now() + FILLING;
        while self.reader.try_state().await.is_none_or(|(_, messages)| messages < full) && Instant::now() < deadline {
            self.pass(ms(100)).await;
        }
        self.pass(time).await;
        self.figures.add("stream full", 1);
        while !self.reader.try_update(|config| config.max_messages = -1).await {
            self.pass(ms(100)).await;
        }
        true
    }
}
