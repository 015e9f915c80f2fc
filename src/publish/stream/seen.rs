//! How the stream is made and how full it is, for those who only look.

use std::time::Duration;

use async_nats::jetstream::stream::{ClusterInfo, Config};

use super::{Frailty, StreamError, StreamInspector, StreamProblem, unfit};
use crate::publish::{Sharing, StreamPlan};

/// The stream as its leader describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSeen {
    /// Its settings.
    pub config: Config,
    /// How many messages it holds.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The sequence of the last message.
    pub last_sequence: u64,
    /// The server that leads it, in a cluster.
    pub leader: Option<String>,
    /// The other servers that keep it.
    pub replicas: Vec<Replica>,
    /// The cluster, if the server belongs to one.
    pub cluster: Option<String>,
}

/// A server that keeps a copy of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Whether it has all that the leader has.
    pub is_current: bool,
    /// Whether the leader has lost sight of it.
    pub is_offline: bool,
    /// When it was last heard of.
    pub silent_for: Duration,
    /// How many operations it is behind.
    pub behind: u64,
}

impl StreamSeen {
    /// What keeps it from being used as planned.
    pub fn problems(&self, plan: &StreamPlan) -> Vec<StreamProblem> {
        unfit(&self.config, plan)
    }

    /// Why it may lose what it holds.
    pub fn frailties(&self) -> Vec<Frailty> {
        Frailty::all(&self.config, self.cluster.is_some())
    }

    /// Why it is not ours alone.
    pub fn sharing(&self, plan: &StreamPlan) -> Option<Sharing> {
        Sharing::of(&self.config, plan)
    }
}

impl StreamInspector {
    /// How the stream is made and how full it is; none if there is none.
    pub async fn seen(&self) -> Result<Option<StreamSeen>, StreamError> {
        let Some(info) = self.info().await? else { return Ok(None) };
        let cluster = info.cluster.clone().unwrap_or_else(nowhere);
        let replica = |peer: &async_nats::jetstream::stream::PeerInfo| Replica {
            name: peer.name.clone(),
            is_current: peer.current,
            is_offline: peer.offline,
            silent_for: peer.active,
            behind: peer.lag.unwrap_or_default(),
        };
        Ok(Some(StreamSeen {
            messages: info.state.messages,
            bytes: info.state.bytes,
            last_sequence: info.state.last_sequence,
            leader: cluster.leader,
            replicas: cluster.replicas.iter().map(replica).collect(),
            cluster: cluster.name,
            config: info.config,
        }))
    }

    /// How many messages the stream holds under these subjects.
    pub async fn count(&self, subjects: &str) -> Result<u64, StreamError> {
        use futures_util::TryStreamExt as _;

        let stream = self.stream().await?.ok_or_else(|| StreamProblem::Missing(self.name.clone()))?;
        let listed = stream.info_with_subjects(subjects).await.map_err(|error| self.unanswered(&error))?;
        let sum = listed.try_fold(0, async |sum, (_, count)| Ok(sum + count as u64));
        sum.await.map_err(|error| self.unanswered(&error))
    }
}

/// Where a server without a cluster keeps a stream.
fn nowhere() -> ClusterInfo {
    ClusterInfo {
        name: None,
        raft_group: None,
        leader: None,
        leader_since: None,
        system_account: false,
        traffic_account: None,
        replicas: Vec::new(),
    }
}

/// What the account uses of what it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountUse {
    /// Bytes on disk.
    pub storage_bytes: u64,
    /// How many there may be; none without a limit.
    pub max_storage_bytes: Option<u64>,
}

impl StreamInspector {
    /// What the account uses; the fullest tier if it has several.
    pub async fn account(&self) -> Result<AccountUse, StreamError> {
        let account = self.jetstream.query_account().await.map_err(|error| self.unanswered(&error))?;
        let limit = |max: Option<i64>| max.and_then(|max| u64::try_from(max).ok()).filter(|max| *max > 0);
        let whole = AccountUse { storage_bytes: account.storage, max_storage_bytes: limit(account.limits.max_storage) };
        let tiers = account
            .tiers
            .values()
            .map(|tier| AccountUse { storage_bytes: tier.storage, max_storage_bytes: limit(tier.limits.max_storage) });
        Ok(tiers.chain([whole]).max_by_key(AccountUse::per_mille).unwrap_or_default())
    }
}

impl AccountUse {
    /// How full it is.
    fn per_mille(&self) -> u64 {
        self.max_storage_bytes.map_or(0, |max| self.storage_bytes.saturating_mul(1000) / max)
    }
}
