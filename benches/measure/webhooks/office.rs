//! A worker's configuration: its endpoints, on private servers.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    support::{
        daemon::{Daemon, Settings, free_address},
        wait,
    },
    world::World,
};

/// What all requests are signed with.
const SECRET: &str = "whsec_bm90aGluZyBidXQgYSBiZW5jaG1hcmsga25vd3M=";

/// An endpoint on this machine.
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) port: u16,
    /// Whatever is not the default, as lines of its table.
    pub(super) more: String,
}

/// The endpoints of one worker.
pub(super) struct Office {
    settings: Settings,
    _folder: TempDir,
}

impl Office {
    /// Writes the configuration, and makes the streams of webhooks if they are not there.
    pub(super) async fn open(world: &World, endpoints: &[Endpoint]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("walpost.toml");
        fs::write(&file, endpoints.iter().map(Endpoint::table).collect::<String>()).unwrap();
        let settings = world.settings.clone().without("POSTGRES_URL").with("CONFIG", file.to_str().unwrap());
        let settings = settings.with("ADMIN_LISTEN", &free_address().to_string());
        let office = Self { settings: settings.with("WEBHOOKS_ALLOW_ADDRESSES", "127.0.0.1"), _folder: folder };
        office.run(&["webhooks", "setup"]).await;
        office
    }

    /// Starts the worker.
    pub(super) fn worker(&self) -> Daemon {
        self.settings.start_with(&["webhooks", "run"])
    }

    /// Waits until the worker delivers to all of them.
    pub(super) async fn until_begun(&self) {
        wait::until("the endpoints have begun", async || {
            self.states().await.iter().all(|(_, state)| state == "delivering")
        })
        .await;
    }

    /// Each endpoint's name, and how it stands.
    pub(super) async fn states(&self) -> Vec<(String, String)> {
        let listed: Vec<Value> =
            serde_json::from_str(&self.run(&["webhooks", "list", "--format", "json"]).await).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        listed.iter().map(|one| (text(&one["endpoint"]), text(&one["state"]))).collect()
    }

    async fn run(&self, arguments: &[&str]) -> String {
        let answer = self.settings.run(arguments).await;
        assert_eq!(answer.code, Some(0), "{}", answer.stderr);
        answer.stdout
    }
}

impl Endpoint {
    fn table(&self) -> String {
        let Self { name, port, more } = self;
        format!(
            "[[webhooks.endpoint]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{port}/hook\"\nplain_http = true\n\
             secrets = [\"{SECRET}\"]\n{more}\n"
        )
    }
}
