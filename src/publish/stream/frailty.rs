//! Whether a stream that can be used may lose what it holds; pure.

use async_nats::jetstream::stream::{Config, StorageType};

/// Why a stream may lose what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Frailty {
    /// It has no files.
    #[error("it is kept in memory: what it holds is gone when its server restarts")]
    Memory,
    /// There are other servers, and they keep nothing of it.
    #[error(
        "one server of the cluster keeps it alone: nothing is delivered while that is away, and its disk is the only one"
    )]
    Alone,
}

impl Frailty {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Memory => "make a stream with storage \"file\"",
            Self::Alone => "give the stream three replicas: `nats stream edit <stream> --replicas 3`",
        }
    }

    /// All reasons, the worst first. On a server that is no cluster one copy is all there can be.
    pub(super) fn all(config: &Config, is_of_cluster: bool) -> Vec<Self> {
        let memory = (config.storage == StorageType::Memory).then_some(Self::Memory);
        let alone = (is_of_cluster && config.num_replicas == 1).then_some(Self::Alone);
        [memory, alone].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_a_copy_that_is_alone_among_many_servers_are_frail() {
        let cases = [
            (StorageType::File, 1, false, &[][..]),
            (StorageType::File, 3, true, &[]),
            (StorageType::File, 1, true, &[Frailty::Alone]),
            (StorageType::Memory, 3, true, &[Frailty::Memory]),
            (StorageType::Memory, 1, false, &[Frailty::Memory]),
            (StorageType::Memory, 1, true, &[Frailty::Memory, Frailty::Alone]),
        ];
        for (storage, num_replicas, is_of_cluster, expected) in cases {
            let config = Config { storage, num_replicas, ..Config::default() };
            assert_eq!(Frailty::all(&config, is_of_cluster), expected, "{storage:?} {num_replicas} {is_of_cluster}");
        }
    }
}
