//! What the role of webhooks needs of the configuration: of Postgres nothing, so that it needs no login there; unless the
//! endpoints are in a table.

use super::{
    Admin, Config, KEYS, LoadedWorker, Log, Nats, Postgres, Problems, Row, Sources, Webhooks, environment, file, flags,
    key::Key, loaded::ShownUrls, reader::Reader, webhooks::Source,
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
    pub fn load_worker(sources: &Sources) -> Result<LoadedWorker, Problems> {
        let file = sources.file.as_deref().map(file::read).unwrap_or_default();
        let layers = [file, environment::read(&sources.environment), flags::read(&sources.overrides)];
        let mut reader = Reader::without_secret_files(layers);
        let has_table = Source::is_table(&reader);
        reader.open_secret_files(|key| has_table || !key.name().starts_with("postgres."));
        let nats = Nats::read(&mut reader);
        let webhooks = Webhooks::read(&mut reader, nats.as_ref());
        let postgres = if has_table { Postgres::read(&mut reader).map(Some) } else { Some(None) };
        let (admin, log) = (Admin::read(&mut reader), Log::read(&mut reader));
        let (given, problems) = reader.finish();
        match (nats, webhooks, postgres, admin, log) {
            (Some(nats), Some(webhooks), Some(postgres), Some(admin), Some(log)) if problems.is_empty() => {
                let config = WorkerConfig { nats, webhooks, postgres, admin, log };
                let postgres = config.postgres.as_ref().map(|postgres| postgres.shown_url.as_str());
                let urls = ShownUrls { postgres, nats: &config.nats.shown_url };
                let read = KEYS.iter().filter(|key| is_read(key, has_table));
                let rows = read.map(|key| Row::new(key, given.get(key.name()), urls)).collect();
                Ok(LoadedWorker { config, rows })
            }
            _ => Err(Problems::new(problems)),
        }
    }
}

/// Whether webhooks read a key.
fn is_read(key: &Key, has_table: bool) -> bool {
    match key.name().split_once('.') {
        Some(("nats" | "webhooks" | "admin" | "log", _)) => true,
        Some(("postgres", _)) => has_table,
        _ => false,
    }
}
