//! One run from its seed to its verdict.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{
    arena::{Arena, Cell},
    instance::Runner,
    journal::Entry,
    judge::{Evidence, Kind, Message, Violation},
    nemesis::{Step, plan},
    workload::{self, Truth},
};

/// How many connections write.
const WRITERS: u64 = 4;
/// How long a step takes, at a guess: the plan has a step for each.
const STEP: Duration = Duration::from_secs(2);
/// A run in which a step takes longer than this on average has met too little.
const SLOWEST_STEP: Duration = Duration::from_secs(15);
/// How often everything is let be well for a moment.
const REST_EVERY: Duration = Duration::from_secs(30);
/// What must have happened in each run.
const NEEDED: [&str; 8] = [
    "kills",
    "Postgres crashes",
    "broker kills",
    "zombies",
    "rows sent again",
    "answers lost",
    "looks at what is told",
    "rests",
];
/// How many messages are read and compared at a time.
const BATCH: usize = 2000;
/// How much longer than planned a run may take, with what comes before and after it.
const GRACE: Duration = Duration::from_secs(600);
/// How many violations of a kind are shown.
const SHOWN: usize = 5;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// What everything follows from, except the speed of the machine.
    pub(crate) seed: u64,
    /// For how long faults come.
    pub(crate) time: Duration,
    /// On which servers.
    pub(crate) cell: Cell,
}

impl Order {
    /// Carries it out; panics with what went wrong.
    pub(crate) async fn run(&self) {
        let Self { seed, time, cell } = self;
        println!("torture: WALPOST_TEST_SEED={seed}, {time:?} of faults");
        println!(
            "torture: Postgres {}, NATS {}, {} replica(s), rows are {}",
            cell.postgres.version,
            cell.nats.version,
            cell.replicas,
            if cell.deletes { "deleted" } else { "kept" }
        );
        let steps = usize::try_from(time.as_secs() / STEP.as_secs()).unwrap();
        let plan = plan(*seed, steps, cell.replicas);
        for (number, step) in plan.iter().enumerate() {
            println!(
                "  {number:>4}. after {:>4} ms {:?}{}",
                step.rest_ms,
                step.fault,
                if step.piles_up { ", and on" } else { "" }
            );
        }
        let run = timeout(*time * 2 + GRACE, Box::pin(self.carry_out(&plan)));
        let violations = run.await.expect("the run hangs");
        assert!(violations.is_empty(), "{} violations, seed {seed}; see {}", violations.len(), self.folder().display());
    }

    async fn carry_out(&self, plan: &[Step]) -> Vec<Violation> {
        let mut arena = Box::pin(Arena::build(&self.cell)).await;
        arena.runners.iter_mut().for_each(Runner::start);
        arena.leader().await;
        let workload = workload::start(&arena.postgres.url(), WRITERS, self.seed);
        let begun = Instant::now();
        let (mut done, mut rested) = (0, begun);
        for step in plan {
            if begun.elapsed() > self.time {
                break;
            }
            println!("{:>7.1}s {done:>4}. {:?}", begun.elapsed().as_secs_f32(), step.fault);
            Box::pin(arena.step(step)).await;
            Box::pin(arena.hold_to_account()).await;
            done += 1;
            if rested.elapsed() > REST_EVERY && !step.piles_up {
                Box::pin(arena.rest()).await;
                rested = Instant::now();
            }
        }
        let fewest = usize::try_from(begun.elapsed().as_secs() / SLOWEST_STEP.as_secs()).unwrap();
        if done < fewest.max(5) {
            arena.misbehave(Kind::Vacuous, format!("{done} steps"));
        }
        println!("{:>7.1}s the faults are over", begun.elapsed().as_secs_f32());
        Box::pin(arena.heal()).await;
        let (mark, healed) = (arena.journal.end(), Instant::now());
        if arena.delivers(mark, healed, |_| true).await.is_none() {
            arena.misbehave(Kind::Stuck, "nothing is delivered at the end".to_owned());
        }
        for long in std::mem::take(&mut arena.long) {
            long.await.unwrap();
        }
        arena.figures.add("transactions", workload.transactions());
        workload.stop().await;
        if arena.drain().await {
            arena.until_all_is_told().await;
        }
        arena.stop().await;
        println!("{:>7.1}s all is stored; the judge reads", begun.elapsed().as_secs_f32());
        Box::pin(self.judge(arena)).await
    }

    async fn judge(&self, mut arena: Arena) -> Vec<Violation> {
        let truth = Truth::read(&arena.client().await).await;
        let stream = read(&arena, &truth).await;
        // Whoever else leads must hold the same.
        for _ in 1..self.cell.replicas {
            let leader = arena.broker.leader().await;
            arena.broker.step_down().await;
            arena.broker.until_whole().await;
            let other = arena.broker.leader().await;
            if read(&arena, &truth).await != stream {
                arena.misbehave(Kind::ReplicasDiffer, format!("servers {leader} and {other}"));
            }
        }
        let journal = arena.journal.all();
        let figures = &mut arena.figures;
        figures.read(&journal);
        figures.add("events", truth.rows.len() as u64);
        figures.add("events displaced", stream.iter().filter(|message| message.behind.is_some()).count() as u64);
        figures.add("dead letters", stream.iter().filter(|message| message.is_dead_letter).count() as u64);
        for runner in &arena.runners {
            figures.add("lives", runner.life().number.into());
            figures.add("false starts", runner.false_starts);
        }
        let peak = arena.runners.iter().map(|runner| runner.peak_kib).max().unwrap_or_default();
        figures.add("most memory, KiB", peak);
        let mut misbehaviour = std::mem::take(&mut arena.misbehaviour);
        misbehaviour.extend(figures.missing(&NEEDED));
        if self.cell.deletes {
            misbehaviour.extend(figures.missing(&["rows deleted"]));
        }
        let evidence = Evidence { table: truth.rows, stream, journal, misbehaviour };
        let violations = evidence.judge();
        println!("{}", arena.figures);
        let mut shown: BTreeMap<Kind, usize> = BTreeMap::new();
        for violation in &violations {
            let of_kind = shown.entry(violation.kind).or_default();
            *of_kind += 1;
            if *of_kind <= SHOWN {
                println!("  {violation:.1000}");
            }
        }
        println!("torture: {} violations, WALPOST_TEST_SEED={}", violations.len(), self.seed);
        if !violations.is_empty() {
            self.keep(&arena, &evidence, &violations);
        }
        violations
    }

    /// Keeps what a run that went wrong left behind.
    fn keep(&self, arena: &Arena, evidence: &Evidence, violations: &[Violation]) {
        let folder = self.folder();
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
        let lines = |lines: Vec<String>| lines.join("\n");
        write("violations.txt", lines(violations.iter().map(ToString::to_string).collect()));
        let begun = evidence.journal.first().map_or_else(Instant::now, |entry| entry.at);
        let shown = |Entry { at, life, seen }: &Entry| {
            format!("{:?}\t{}.{}\t{seen:?}", at.saturating_duration_since(begun), life.instance, life.number)
        };
        write("journal.txt", lines(evidence.journal.iter().map(shown).collect()));
        write("stream.txt", lines(evidence.stream.iter().map(|message| format!("{message:?}")).collect()));
        write("postgres.log", arena.postgres.log_tail(2000));
        write("nats.log", arena.broker.log_tail());
        for runner in &arena.runners {
            write(&format!("walpost-{}.log", runner.instance.number), runner.logs.clone());
        }
        println!("torture: everything is kept in {}", folder.display());
    }

    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/torture").join(self.seed.to_string())
    }
}

/// The stream, read from its leader; without what others wrote.
async fn read(arena: &Arena, truth: &Truth) -> Vec<Message> {
    let last = arena.reader.last_sequence().await;
    let mut stream = Vec::new();
    for first in (1..=last).step_by(BATCH) {
        let batch = arena.reader.some(first..=last.min(first + BATCH as u64 - 1)).await;
        let ours = batch.iter().filter(|stored| stored.headers.contains_key("Walpost-Position"));
        stream.extend(ours.map(|stored| truth.compare(stored)));
    }
    stream
}
