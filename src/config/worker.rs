//! What the role of webhooks needs of the configuration: no Postgres, so that it needs no login there.

use super::{Admin, Config, Log, Nats, Problems, Sources, Webhooks, environment, file, flags, reader::Reader};

/// The settings of `walpost webhooks`.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The broker that events lie in.
    pub nats: Nats,
    /// Where they are sent to.
    pub webhooks: Webhooks,
    /// The admin port.
    pub admin: Admin,
    /// The log.
    pub log: Log,
}

impl Config {
    /// Reads all sources; gives what webhooks need, or everything that is wrong with it.
    pub fn load_worker(sources: &Sources) -> Result<WorkerConfig, Problems> {
        let file = sources.file.as_deref().map(file::read).unwrap_or_default();
        let layers = [file, environment::read(&sources.environment), flags::read(&sources.overrides)];
        let mut reader = Reader::new(layers);
        let nats = Nats::read(&mut reader);
        let webhooks = Webhooks::read(&mut reader, nats.as_ref());
        let (admin, log) = (Admin::read(&mut reader), Log::read(&mut reader));
        let (_, problems) = reader.finish();
        match (nats, webhooks, admin, log) {
            (Some(nats), Some(webhooks), Some(admin), Some(log)) if problems.is_empty() => {
                Ok(WorkerConfig { nats, webhooks, admin, log })
            }
            _ => Err(Problems::new(problems)),
        }
    }
}
