//! The faults of walpost itself and of the network, carried out.

use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, Step, Way};
use crate::{
    arena::{Arena, GLANCE},
    instance::Runner,
    judge::Kind,
    proxy::{Answers, Cut, Edge, Flow, Weather},
    wait,
};

/// How long to wait for a second instance that stands by, before a fault that needs one is given up.
const STANDBY: Duration = Duration::from_secs(15);
/// How far ahead the successor of a zombie gets.
const AHEAD: Duration = Duration::from_millis(500);
/// How long a cut after so many bytes may be waited for.
const CUT: Duration = Duration::from_secs(5);
/// How much may lie on the way of a zombie before it freezes.
const UNDER_WAY: Duration = Duration::from_millis(300);

impl Arena {
    /// Carries out a step, and waits until everybody has recovered, unless the next one is to come before.
    pub(crate) async fn step(&mut self, step: &Step) {
        self.pass(ms(step.rest_ms)).await;
        if Box::pin(self.strike(step.fault)).await {
            self.figures.add("faults", 1);
        } else {
            self.figures.add("faults that missed", 1);
        }
        if step.piles_up {
            return;
        }
        let (mark, healed) = (self.journal.end(), Instant::now());
        match self.delivers(mark, healed, |_| true).await {
            Some(after) => self.figures.recovery(after),
            None => self.misbehave(Kind::Stuck, format!("nothing is delivered after {:?}", step.fault)),
        }
    }

    /// Carries out a fault until it is over; whether it happened.
    async fn strike(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::KillLeader { again_ms } => self.kill_leader(ms(again_ms)).await,
            Fault::KillStandby => {
                let standby = 1 - self.leader().await;
                self.kill(standby).await;
                self.runners[standby].start();
                true
            }
            Fault::KillBoth => {
                self.kill(0).await;
                self.kill(1).await;
                self.runners.iter_mut().for_each(Runner::start);
                true
            }
            Fault::StopLeader => self.stop_leader().await,
            Fault::Freeze { ms: time } => {
                let leader = self.leader().await;
                self.runners[leader].freeze();
                self.pass(ms(time)).await;
                self.runners[leader].wake();
                self.figures.add("freezes", 1);
                true
            }
            Fault::Zombie { is_held } => self.zombie(is_held).await,
            Fault::Blackhole { way, ms: time } => {
                self.figures.add("black holes", 1);
                let hole = Weather { up: Flow::Swallow, down: Flow::Swallow, ..Weather::default() };
                self.weather(way, hole, time).await
            }
            Fault::Reset { way } => {
                let leader = self.leader().await;
                self.edge(leader, way).cut(Cut::Reset);
                self.figures.add("resets", 1);
                true
            }
            Fault::CutAfter { way, bytes } => self.cut_after(way, bytes).await,
            Fault::Latency { way, by_ms, ms: time } => {
                self.weather(way, Weather { latency: ms(by_ms), ..Weather::default() }, time).await
            }
            Fault::AnswersLost { ms: time } => self.answers(Answers::Drop, time).await,
            Fault::AnswersLate { by_ms, ms: time } => self.answers(Answers::Late(ms(by_ms)), time).await,
            Fault::AnswersTwice { ms: time } => self.answers(Answers::Twice, time).await,
            Fault::Held { way, ms: time } => {
                self.weather(way, Weather { up: Flow::Hold, ..Weather::default() }, time).await
            }
            _ => Box::pin(self.strike_servers(fault)).await,
        }
    }

    async fn kill(&mut self, number: usize) {
        let found = self.runners[number].kill().await;
        self.misbehaviour.extend(found);
        self.figures.add("kills", 1);
    }

    /// Who leads; and whether the other one is ready to take over.
    async fn leader_and_heir(&mut self) -> (usize, bool) {
        let deadline = Instant::now() + STANDBY;
        loop {
            let leader = self.leader().await;
            if self.runners[1 - leader].phase().await == "standby" {
                return (leader, true);
            }
            if Instant::now() > deadline {
                return (leader, false);
            }
            self.pass(GLANCE).await;
        }
    }

    async fn kill_leader(&mut self, again: Duration) -> bool {
        let (leader, has_heir) = self.leader_and_heir().await;
        let (life, mark, begun) = (self.runners[leader].life(), self.journal.end(), Instant::now());
        self.kill(leader).await;
        if has_heir {
            match self.delivers(mark, begun, |other| other != life).await {
                Some(after) => self.figures.takeover(after),
                None => self.misbehave(Kind::Stuck, "nobody takes over".to_owned()),
            }
        }
        self.pass(again).await;
        self.runners[leader].start();
        has_heir
    }

    async fn stop_leader(&mut self) -> bool {
        let leader = self.leader().await;
        let found = self.runners[leader].stop().await;
        self.misbehaviour.extend(found);
        self.runners[leader].start();
        self.figures.add("stops", 1);
        true
    }

    /// The leader freezes with messages under way, another leads, the old one wakes.
    async fn zombie(&mut self, is_held: bool) -> bool {
        let (leader, has_heir) = self.leader_and_heir().await;
        if !has_heir {
            return false;
        }
        if is_held {
            self.runners[leader].nats.set(|weather| weather.up = Flow::Hold);
            self.pass(UNDER_WAY).await;
        }
        let heir = self.runners[1 - leader].life();
        let (mark, begun) = (self.journal.end(), Instant::now());
        self.runners[leader].freeze();
        let took_over = self.delivers(mark, begun, |life| life == heir).await.is_some();
        if took_over {
            self.pass(AHEAD).await;
            self.figures.add("zombies", 1);
        }
        self.runners[leader].nats.clear();
        self.runners[leader].wake();
        took_over
    }

    async fn cut_after(&mut self, way: Way, bytes: u64) -> bool {
        let leader = self.leader().await;
        self.edge(leader, way).cut_after(bytes);
        let deadline = Instant::now() + CUT;
        while self.edge(leader, way).is_to_be_cut() && Instant::now() < deadline {
            self.pass(GLANCE).await;
        }
        let was_cut = !self.edge(leader, way).is_to_be_cut();
        self.edge(leader, way).clear();
        self.figures.add("cuts", u64::from(was_cut));
        was_cut
    }

    async fn answers(&mut self, answers: Answers, time: u64) -> bool {
        self.weather(Way::Nats, Weather { answers, ..Weather::default() }, time).await
    }

    /// Bad weather for a while, on one of the leader's ways.
    async fn weather(&mut self, way: Way, weather: Weather, time: u64) -> bool {
        let leader = self.leader().await;
        self.edge(leader, way).set(|now| *now = weather);
        self.pass(ms(time)).await;
        self.edge(leader, way).clear();
        self.figures.add("bad weather", 1);
        true
    }

    fn edge(&self, number: usize, way: Way) -> &Edge {
        match way {
            Way::Postgres => &self.runners[number].postgres,
            Way::Nats => &self.runners[number].nats,
        }
    }

    /// Everybody runs, and the weather is fine.
    pub(crate) async fn heal(&mut self) {
        self.clear();
        self.runners.iter_mut().for_each(Runner::start);
        wait::until("the broker is whole", async || {
            self.broker.until_whole().await;
            true
        })
        .await;
    }
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
