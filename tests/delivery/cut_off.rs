//! A leader that lacks the broker: whoever reaches it leads, and while nobody does the log stays open.

use crate::{
    chance::Chance,
    daemon::{Daemon, free_address},
    load::Load,
    stage::Stage,
    wait,
    wire::Wire,
    world::own_postgres,
};

/// Two instances, each with a way of its own to the broker.
struct World {
    stage: Stage,
    ways: [Wire; 2],
    leader: Daemon,
    standby: Daemon,
    load: Load,
}

impl World {
    /// The first leads and delivers, the second stands by.
    async fn begin(name: &str) -> Self {
        let stage = Stage::set(own_postgres(&[]).await, |settings| settings).await;
        let ways = [Wire::to(stage.broker.port()).await, Wire::to(stage.broker.port()).await];
        let start = |way: &Wire| {
            let url = format!("nats://127.0.0.1:{}", way.port());
            stage.settings.clone().with("NATS_URL", &url).with("ADMIN_LISTEN", &free_address().to_string()).start()
        };
        let leader = start(&ways[0]);
        leader.until_phase("leading").await;
        let standby = start(&ways[1]);
        standby.until_phase("standby").await;
        let load = Load::start(&stage.postgres.url(), 2, Chance::seed(name));
        let world = Self { stage, ways, leader, standby, load };
        world.until_events_flow().await;
        world
    }

    async fn until_events_flow(&self) {
        let stored = self.stage.reader.last_sequence().await;
        self.stage.until_stored(stored + 50).await;
    }

    async fn ask<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.stage.client.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Holds everything against the witness, and ends.
    async fn end(self) {
        self.load.stop().await;
        self.stage.assert_all_arrived().await;
        for daemon in [self.leader, self.standby] {
            assert_eq!(daemon.terminate().await, 0);
        }
    }
}

/// The walsender's process.
const WALSENDER: &str = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'walpost'";
/// Whether an instance says that it lacks the broker.
const IS_ASKED: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 2002873456
                        AND objid = hashtext('lacks the broker: walpost')::oid)";
/// What any instance says.
const WORDS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";

#[tokio::test]
async fn a_leader_that_is_cut_from_nats_lets_an_instance_lead_that_reaches_it() {
    let world = World::begin("cut_off").await;
    world.ways[0].cut();
    world.standby.until_phase("leading").await;
    world.until_events_flow().await;
    world.leader.until_blocked("WP0401").await;
    world.ways[0].mend();
    world.leader.until_phase("standby").await;
    assert_eq!(world.ask::<i64>(WORDS).await, 0, "words stay said");
    world.end().await;
}

#[tokio::test]
async fn while_nobody_reaches_nats_the_leader_keeps_the_log_open() {
    let world = World::begin("all_cut_off").await;
    let walsender: Option<i32> = world.ask(WALSENDER).await;
    assert!(walsender.is_some());
    world.ways.iter().for_each(Wire::cut);
    wait::until("the leader asks for an instance that reaches NATS", async || world.ask(IS_ASKED).await).await;
    let tried = world.ways[1].arrivals();
    wait::until("the other looks several times", async || world.ways[1].arrivals() > tried + 2).await;
    world.leader.until_blocked("WP0401").await;
    assert_eq!(world.ask::<Option<i32>>(WALSENDER).await, walsender, "{}", world.leader.log());
    world.ways[0].mend();
    world.leader.until_phase("leading").await;
    wait::until("nobody is asked any more", async || !world.ask::<bool>(IS_ASKED).await).await;
    world.ways[1].mend();
    world.until_events_flow().await;
    assert_eq!(world.ask::<Option<i32>>(WALSENDER).await, walsender, "{}", world.leader.log());
    world.end().await;
}
