//! What a NATS server says of itself when one connects.

use async_nats::ServerInfo;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSaid {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its cluster, if it belongs to one.
    pub cluster: Option<String>,
    /// The largest message that it takes, headers included, in bytes.
    pub max_payload_bytes: usize,
    /// Whether it takes encrypted connections only.
    pub is_tls_required: bool,
    /// Whether it wants to know who connects.
    pub is_login_required: bool,
    /// Whether it is about to shut down.
    pub is_leaving: bool,
}

impl ServerSaid {
    pub(super) fn of(info: &ServerInfo) -> Self {
        Self {
            name: info.server_name.clone(),
            version: info.version.clone(),
            cluster: info.cluster.clone(),
            max_payload_bytes: info.max_payload,
            is_tls_required: info.tls_required,
            is_login_required: info.auth_required,
            is_leaving: info.lame_duck_mode,
        }
    }

    /// The first two numbers of the version.
    pub fn release(&self) -> Option<(u32, u32)> {
        let mut numbers = self.version.trim_start_matches('v').split(['.', '-']).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_the_first_two_numbers() {
        let release = |version: &str| ServerSaid { version: version.into(), ..ServerSaid::default() }.release();
        assert_eq!(release("2.10.26"), Some((2, 10)));
        assert_eq!(release("2.15.0-preview.1"), Some((2, 15)));
        assert_eq!(release("next"), None);
    }
}
