//! What the role of webhooks needs of the configuration: of Postgres nothing, so that it needs no login there; unless the
//! endpoints are in a table.

use super::{
    Admin, Config, Log, Nats, Postgres, Problems, Sources, Webhooks, environment, file, flags, reader::Reader,
    webhooks::Source,
};

/// The settings of `walpost webhooks`.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// The broker that events lie in.
    pub nats: Nats,
    /// Where they are sent to.
    pub webhooks: Webhooks,
    /// The database of the table of endpoints, if that is where they are.
    pub postgres: Option<Postgres>,
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
        let mut reader = Reader::without_secret_files(layers);
        let has_table = Source::is_table(&reader);
        reader.open_secret_files(|key| has_table || !key.name().starts_with("postgres."));
        let nats = Nats::read(&mut reader);
        let webhooks = Webhooks::read(&mut reader, nats.as_ref());
        let postgres = if has_table { Postgres::read(&mut reader).map(Some) } else { Some(None) };
        let (admin, log) = (Admin::read(&mut reader), Log::read(&mut reader));
        let (_, problems) = reader.finish();
        match (nats, webhooks, postgres, admin, log) {
            (Some(nats), Some(webhooks), Some(postgres), Some(admin), Some(log)) if problems.is_empty() => {
                Ok(WorkerConfig { nats, webhooks, postgres, admin, log })
            }
            _ => Err(Problems::new(problems)),
        }
    }
}
