//! One schedule: two daemons, two servers, and a chance that decides what happens next.
//!
//! At each step one thing happens: an application commits, a frame is sent, a message is stored, an answer arrives, a
//! daemon has a turn, time passes, or a fault. After the last step all faults are mended, and everything must be
//! delivered and confirmed.

use crate::{
    broker::{Handled, Mood},
    chance::Chance,
    daemon::{Daemon, Phase},
    jetstream::{Answer, End, Publish, WRONG_LAST_ID, WRONG_LAST_SEQUENCE},
    judge::{Violation, broken},
    mutation::Mutation,
    plan::{Plan, SYNC_MS},
    postgres::Event,
    room::{KEYS, Room},
    tally::{Happened, Tally},
};

/// How long, in rounds of [`ROUND_MS`], everything may take once all faults are mended: 30 s, as I6 says.
const ROUNDS: u64 = 1500;
const ROUND_MS: u64 = 20;

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commit,
    OtherLog,
    Send,
    Keepalive,
    Hear,
    TurnA,
    TurnB,
    Handle,
    Deliver,
    Pass,
    Checkpoint,
    PostgresNotices,
    Mend,
    Kill,
    Pause,
    Stop,
    PostgresCrash,
    PostgresStop,
    Disconnect,
    BrokerRestart,
    BreakLink,
    PowerLoss,
    SilentLoss,
    Mood,
    Full,
    Disturb,
    Foreign,
    RemoveOldest,
    Purge,
}

/// One schedule.
#[derive(Debug)]
pub(crate) struct World {
    room: Room,
    daemons: [Daemon; 2],
    weights: Vec<(u64, Step)>,
    total: u64,
    /// When the broker lost power; it has not come back since.
    lost_power_at: Option<u64>,
}

/// How a schedule ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) plan: Plan,
    pub(crate) tally: Tally,
    pub(crate) violation: Option<Violation>,
    pub(crate) trace: Vec<String>,
}

/// Runs the schedule of a seed.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>, is_traced: bool) -> Ending {
    let mut chance = Chance::new(seed);
    let plan = Plan::draw(&mut chance, mutation);
    let mut world = World::new(plan.clone(), chance, mutation, is_traced);
    let violation = world.live().err();
    world.room.tally.events = world.room.postgres.events.len() as u64;
    Ending { plan, violation, tally: world.room.tally.clone(), trace: world.room.trace() }
}

fn weights(plan: &Plan) -> Vec<(u64, Step)> {
    let f = &plan.faults;
    vec![
        (9, Step::Commit),
        (1, Step::OtherLog),
        (14, Step::Send),
        (3, Step::Keepalive),
        (5, Step::Hear),
        (16, Step::TurnA),
        (10, Step::TurnB),
        (14, Step::Handle),
        (14, Step::Deliver),
        (8, Step::Pass),
        (1, Step::Checkpoint),
        (1, Step::PostgresNotices),
        (6, Step::Mend),
        (f.kill, Step::Kill),
        (f.pause, Step::Pause),
        (f.stop, Step::Stop),
        (f.postgres_crash, Step::PostgresCrash),
        (f.postgres_stop, Step::PostgresStop),
        (f.disconnect, Step::Disconnect),
        (f.broker_restart, Step::BrokerRestart),
        (f.break_link, Step::BreakLink),
        (f.power_loss, Step::PowerLoss),
        (f.silent_loss, Step::SilentLoss),
        (f.mood, Step::Mood),
        (f.full, Step::Full),
        (f.disturb, Step::Disturb),
        (f.foreign, Step::Foreign),
        (f.remove_oldest, Step::RemoveOldest),
        (f.purge, Step::Purge),
    ]
}

impl World {
    fn new(plan: Plan, chance: Chance, mutation: Option<Mutation>, is_traced: bool) -> Self {
        let weights = weights(&plan);
        Self {
            total: weights.iter().map(|(weight, _)| weight).sum(),
            weights,
            room: Room::new(plan, chance, is_traced),
            daemons: [Daemon::new('A', mutation), Daemon::new('B', mutation)],
            lost_power_at: None,
        }
    }

    fn live(&mut self) -> Result<(), Violation> {
        for _ in 0..self.room.plan.steps {
            self.room.tally.steps += 1;
            let step = if std::mem::take(&mut self.room.is_loss_due) { Step::SilentLoss } else { self.choose() };
            self.step(step)?;
        }
        self.heal()
    }

    fn choose(&mut self) -> Step {
        let mut drawn = self.room.chance.below(self.total);
        for (weight, step) in &self.weights {
            if drawn < *weight {
                return *step;
            }
            drawn -= weight;
        }
        Step::Pass
    }

    fn step(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Commit => self.commit(),
            Step::OtherLog => {
                let bytes = self.room.chance.between(1, 500);
                self.room.postgres.write_other_log(bytes);
            }
            Step::Send => {
                let frames = self.room.chance.between(1, 6);
                self.room.postgres.send(frames);
            }
            Step::Keepalive => self.room.postgres.keepalive(&mut self.room.chance),
            Step::Hear => drop(self.room.hear()?),
            Step::TurnA => self.daemons[0].turn(&mut self.room)?,
            Step::TurnB => self.daemons[1].turn(&mut self.room)?,
            Step::Handle => {
                if let Some(link) = self.any_link() {
                    self.displace(link);
                    let messages = self.room.chance.between(1, 5);
                    self.handle(link, messages)?;
                }
            }
            Step::Deliver => {
                if let Some(link) = self.any_link() {
                    let answers = self.room.chance.between(1, 5);
                    self.deliver(link, answers);
                }
            }
            Step::Pass => self.pass(),
            Step::Checkpoint => self.room.postgres.checkpoint(),
            Step::PostgresNotices => self.notice_the_gone(),
            Step::Mend => self.mend()?,
            fault => self.fault(fault)?,
        }
        Ok(())
    }

    fn fault(&mut self, fault: Step) -> Result<(), Violation> {
        let which = self.room.chance.index(2);
        let room = &mut self.room;
        match fault {
            Step::Kill => {
                room.tally.mark_if(self.daemons[which].leads(), Happened::Killed);
                self.daemons[which].kill(room);
            }
            Step::Pause => {
                room.note(|_| format!("{which} stands still"));
                self.daemons[which].is_paused = true;
            }
            Step::Stop => self.daemons[which].stop(room),
            Step::PostgresCrash | Step::PostgresStop => {
                let before = room.postgres.confirmed;
                if matches!(fault, Step::PostgresCrash) {
                    room.postgres.crash();
                } else {
                    room.postgres.stop();
                }
                room.has_crashed |= room.postgres.confirmed < before;
                room.note(|room| format!("Postgres goes down, the slot is at {}", room.postgres.confirmed));
            }
            Step::Disconnect => room.postgres.disconnect(),
            fault => return self.broker_fault(fault),
        }
        Ok(())
    }

    fn broker_fault(&mut self, fault: Step) -> Result<(), Violation> {
        let room = &mut self.room;
        match fault {
            Step::BrokerRestart => {
                room.note(|_| "the broker goes down".to_owned());
                room.broker.is_up = false;
                room.broker.break_all();
            }
            Step::PowerLoss => {
                room.note(|_| "the broker loses power".to_owned());
                room.broker.is_up = false;
                room.broker.break_all();
                self.lost_power_at.get_or_insert(room.now);
            }
            Step::SilentLoss => {
                let now = room.now;
                self.forget(now)?;
            }
            Step::BreakLink => {
                if let Some(link) = self.any_link() {
                    self.room.note(|_| format!("connection {link} to the broker breaks"));
                    self.room.broker.break_link(link);
                }
            }
            Step::Mood => {
                let moods = [Mood::NoResponders, Mood::Unavailable, Mood::Mute, Mood::DuplicateOfNothing];
                room.broker.mood = room.chance.pick(&moods);
                room.note(|room| format!("the broker is in a mood: {:?}", room.broker.mood));
            }
            Step::Full => {
                let room_left = room.chance.index(3);
                room.broker.stream.limit = Some(room.broker.stream.len() + room_left);
            }
            Step::Disturb => self.disturb(),
            Step::Foreign => self.foreign(),
            Step::RemoveOldest => room.broker.stream.remove_oldest_but_the_last(),
            Step::Purge => {
                room.note(|_| "the stream is purged".to_owned());
                room.tally.mark_if(!room.broker.stream.is_empty(), Happened::Removed);
                room.broker.stream.purge();
                room.judge.may_repeat = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn commit(&mut self) {
        let room = &mut self.room;
        let count = if room.chance.one_in(12) { 0 } else { room.chance.between(1, room.plan.largest_transaction) };
        let first = room.postgres.events.len() as u64;
        for number in first..first + count {
            let key = room.chance.below(KEYS as u64);
            let repeats = room.may_repeat_id() && number > 0 && room.chance.one_in(6);
            let id = if repeats { room.chance.below(number) } else { number };
            room.judge.committed(key);
            room.postgres.events.push(Event { key, id });
        }
        room.postgres.commit(count);
        room.note(|room| format!("commit of {count} events from {first} on, at {}", room.postgres.end));
    }

    fn pass(&mut self) {
        let room = &mut self.room;
        room.now += if room.plan.is_slow && room.chance.one_in(8) {
            room.chance.between(100, 2000)
        } else {
            room.chance.between(1, 30)
        };
    }

    /// A connection on which something is on its way, the newest twice as often.
    fn any_link(&mut self) -> Option<usize> {
        let links = &self.room.broker.links;
        let is_busy = |link: &usize| !links[*link].to_server.is_empty() || !links[*link].to_client.is_empty();
        let newest = links.len().checked_sub(1)?;
        if is_busy(&newest) && self.room.chance.one_in(2) {
            return Some(newest);
        }
        let busy = (0..links.len()).filter(is_busy).count();
        let chosen = self.room.chance.index(busy.max(1));
        (0..links.len()).filter(is_busy).nth(chosen)
    }

    /// The broker reads messages of a connection.
    fn handle(&mut self, link: usize, messages: u64) -> Result<(), Violation> {
        for _ in 0..messages {
            let room = &mut self.room;
            let Some(Handled { publish, answer }) = room.broker.handle_next(link, room.now) else { return Ok(()) };
            let Some(event) = publish.event else { continue };
            room.note(|room| format!("the broker answers {event} on {link}: {answer:?} ({:?})", room.broker.mood));
            match answer {
                Some(Answer::Stored(_)) => {
                    room.judge.stored(event, publish.checkpoint, room.broker.stream.has_foreign())?;
                    room.tally.mark_if(publish.checkpoint != Some(event), Happened::Displaced);
                    for (other, rest) in room.broker.links.iter_mut().enumerate() {
                        rest.is_overtaken |= other != link && !rest.to_server.is_empty();
                    }
                }
                Some(Answer::Refused(WRONG_LAST_SEQUENCE | WRONG_LAST_ID)) => {
                    room.tally.mark_if(room.broker.links[link].is_overtaken, Happened::ZombieRefused);
                }
                Some(Answer::Refused(_)) => room.tally.mark(Happened::Full),
                Some(Answer::Duplicate(_)) => {}
                None => room.tally.mark_if(room.broker.mood == Mood::DuplicateOfNothing, Happened::DuplicateOfNothing),
            }
            room.tally.mark_if(room.judge.duplicates > 0, Happened::SharedDuplicate);
        }
        Ok(())
    }

    /// Answers arrive.
    fn deliver(&mut self, link: usize, answers: u64) {
        let link = &mut self.room.broker.links[link];
        for _ in 0..answers {
            let Some(answer) = link.to_client.pop_front() else { return };
            link.arrived.push_back(answer);
        }
    }

    /// Answers change places, get lost, or arrive twice.
    fn disturb(&mut self) {
        let Some(link) = self.any_link() else { return };
        let chosen = self.room.chance.below(3);
        let at = self.room.chance.index(self.room.broker.links[link].to_client.len().max(1));
        let answers = &mut self.room.broker.links[link].to_client;
        if answers.is_empty() {
            return;
        }
        self.room.tally.mark(Happened::AnswersDisturbed);
        match chosen {
            0 => drop(answers.remove(at)),
            1 => answers.swap(0, at),
            _ => {
                let again = answers[at].clone();
                answers.push_back(again);
            }
        }
    }

    fn foreign(&mut self) {
        let room = &mut self.room;
        let publish = Publish::FOREIGN;
        if room.broker.is_up && matches!(room.broker.stream.publish(publish, room.now), Answer::Stored(_)) {
            room.note(|_| "somebody else writes to the stream".to_owned());
            room.tally.mark(Happened::Foreign);
        }
    }

    /// Where messages are not linked, one of somebody else is worst right before several of ours.
    fn displace(&mut self, link: usize) {
        let room = &mut self.room;
        let is_bad = !room.plan.is_linked && room.plan.faults.foreign > 0;
        if is_bad && room.broker.links[link].to_server.len() > 1 && room.chance.one_in(2) {
            self.foreign();
        }
    }

    /// The broker forgets what it stored within the last sync interval before `lost_at`.
    fn forget(&mut self, lost_at: u64) -> Result<(), Violation> {
        let room = &mut self.room;
        let kept_until = lost_at.saturating_sub(SYNC_MS);
        let forgotten = room.broker.stream.forget_after(kept_until, room.now);
        if forgotten == 0 {
            return Ok(());
        }
        room.note(|_| format!("the broker has forgotten its last {forgotten} messages"));
        room.tally.mark(Happened::Forgotten);
        // Without an event there is nothing to go by.
        room.judge.may_repeat |= matches!(room.broker.stream.end(), End::Removed { .. });
        let kept = room.broker.stream.events();
        let confirmed = room.postgres.events_before(room.postgres.confirmed);
        room.judge.forgot(kept, confirmed)
    }

    /// Something that is wrong is mended.
    fn mend(&mut self) -> Result<(), Violation> {
        match self.room.chance.below(6) {
            0 => self.room.postgres.is_up = true,
            1 => self.bring_broker_up()?,
            2 => self.room.broker.mood = Mood::Well,
            3 => self.room.broker.stream.limit = None,
            which => self.wake(usize::try_from(which - 4).unwrap()),
        }
        Ok(())
    }

    fn wake(&mut self, which: usize) {
        self.daemons[which].is_paused = false;
        if self.daemons[which].phase == Phase::Dead {
            self.daemons[which].start(&mut self.room);
        }
    }

    fn bring_broker_up(&mut self) -> Result<(), Violation> {
        if self.room.broker.is_up {
            return Ok(());
        }
        self.room.note(|_| "the broker is back".to_owned());
        self.room.broker.is_up = true;
        match self.lost_power_at.take() {
            Some(at) => self.forget(at),
            None => {
                self.room.broker.stream.restart(self.room.now);
                // Work queues remember no id of what was consumed, and some versions no id at all.
                if self.room.chance.one_in(2) {
                    self.room.broker.stream.forget_ids();
                }
                Ok(())
            }
        }
    }

    /// Postgres finds out that the daemon at the other end is gone or stands still.
    fn notice_the_gone(&mut self) {
        let is_served = self.daemons.iter().any(|daemon| !daemon.is_paused && daemon.reads(&self.room));
        if !is_served {
            self.room.postgres.disconnect();
        }
    }

    /// Mends everything, and waits until everything is delivered and confirmed: I1, I6.
    fn heal(&mut self) -> Result<(), Violation> {
        self.room.note(|_| "all faults are mended".to_owned());
        self.room.postgres.is_up = true;
        self.bring_broker_up()?;
        self.room.broker.mood = Mood::Well;
        self.room.broker.stream.limit = None;
        self.room.plan.faults.stale_end = 0;
        for _ in 0..ROUNDS {
            // A daemon that was told to stop is started again.
            self.wake(0);
            self.wake(1);
            self.round()?;
            let is_confirmed = self.room.postgres.confirmed == self.room.postgres.end;
            if self.room.judge.is_complete() && is_confirmed {
                return self.release_the_late();
            }
        }
        let (delivered, confirmed) = (self.room.judge.delivered(), self.room.postgres.confirmed);
        Err(broken("I6", format!("after 30 s {delivered} events are delivered, and {confirmed} is confirmed")))
    }

    /// Everybody does everything there is to do.
    fn round(&mut self) -> Result<(), Violation> {
        self.room.now += ROUND_MS;
        self.notice_the_gone();
        self.room.postgres.send(100);
        self.room.postgres.keepalive(&mut self.room.chance);
        for daemon in &mut self.daemons {
            daemon.turn(&mut self.room)?;
        }
        for link in 0..self.room.broker.links.len() {
            // What others have left lies about until the end.
            if self.room.broker.links[link].has_client {
                self.handle(link, 100)?;
                self.deliver(link, 100);
            }
        }
        while self.room.hear()? {}
        Ok(())
    }

    /// What was left of connections that were given up arrives last of all.
    fn release_the_late(&mut self) -> Result<(), Violation> {
        for link in 0..self.room.broker.links.len() {
            self.handle(link, u64::MAX)?;
        }
        Ok(())
    }
}
