//! How a server's settings and rights are changed, by who runs it.

use crate::{preflight::Problem, survey::Provider};

/// Where the server runs, to follow its version: remedies are in the words of that place.
pub(super) fn place(provider: Provider) -> &'static str {
    match provider {
        Provider::SelfHosted => "",
        Provider::Rds => " on Amazon RDS or Aurora",
        Provider::CloudSql => " on Google Cloud SQL or AlloyDB",
        Provider::Azure => " on Azure",
        Provider::Supabase => " on Supabase",
    }
}

/// A setting that takes effect without a restart.
pub(super) fn set(provider: Provider, name: &str, value: &str) -> String {
    match provider {
        Provider::SelfHosted => format!("run `ALTER SYSTEM SET {name} = '{value}';` and `SELECT pg_reload_conf();`"),
        Provider::Rds => {
            format!("set `{name} = {value}` in the parameter group of the instance (for Aurora, of the cluster)")
        }
        Provider::CloudSql => format!("set the database flag `{name} = {value}`"),
        Provider::Azure => format!("set the server parameter `{name} = {value}`"),
        Provider::Supabase => {
            format!("set `{name} = {value}` with `supabase postgres-config update --config {name}={value}`")
        }
    }
}

/// A setting that takes effect after a restart.
pub(super) fn set_and_restart(provider: Provider, name: &str, value: &str) -> String {
    match provider {
        Provider::SelfHosted => format!("run `ALTER SYSTEM SET {name} = '{value}';` and restart Postgres"),
        other => format!("{}; the server restarts", set(other, name, value)),
    }
}

/// What to do about a problem, in the words of the provider where they differ.
pub(super) fn remedy(problem: &Problem, provider: Provider) -> String {
    match (problem, provider) {
        (Problem::WalLevel(_), Provider::Rds) => set_and_restart(provider, "rds.logical_replication", "1"),
        (Problem::WalLevel(_), Provider::CloudSql) => set_and_restart(provider, "cloudsql.logical_decoding", "on"),
        (Problem::WalLevel(_), Provider::Azure) => set_and_restart(provider, "wal_level", "logical"),
        (Problem::NoReplication(role), Provider::Rds) => {
            format!("run `GRANT rds_replication TO {};`", quoted(role))
        }
        (Problem::NoReplication(role), Provider::CloudSql | Provider::Azure | Provider::Supabase) => {
            format!("as the administrator, run `ALTER ROLE {} REPLICATION;`", quoted(role))
        }
        _ => problem.remedy(),
    }
}

/// A role's name as SQL takes it.
pub(in crate::doctor) fn quoted(name: &str) -> String {
    crate::outbox::quote_identifier(name).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_own_words() {
        let level = Problem::WalLevel("replica".into());
        let told = |provider| remedy(&level, provider);
        assert!(told(Provider::SelfHosted).starts_with("run `ALTER SYSTEM SET wal_level = logical;`"));
        assert!(told(Provider::Rds).starts_with("set `rds.logical_replication = 1` in the parameter group"));
        assert!(told(Provider::CloudSql).starts_with("set the database flag `cloudsql.logical_decoding = on`"));
        assert!(told(Provider::Azure).starts_with("set the server parameter `wal_level = logical`"));

        let role = Problem::NoReplication("Wal".into());
        assert!(remedy(&role, Provider::Rds).contains("GRANT rds_replication TO \"Wal\";"));
        assert!(remedy(&role, Provider::Azure).contains("ALTER ROLE \"Wal\" REPLICATION;"));
        assert!(remedy(&role, Provider::SelfHosted).contains("ALTER ROLE \"Wal\" REPLICATION;"));
        assert_eq!(set(Provider::CloudSql, "a", "1"), "set the database flag `a = 1`");
        assert!(set_and_restart(Provider::Azure, "a", "1").ends_with("the server restarts"));
    }
}
