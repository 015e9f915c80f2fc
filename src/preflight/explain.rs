//! Hints for errors that come before there are facts, or in spite of them.
//!
//! The SQLSTATE decides (<https://www.postgresql.org/docs/current/errcodes-appendix.html>), since the server's texts come
//! in many languages. Where one code covers several causes, names that no language translates, such as `pg_hba.conf`,
//! tell them apart. Without a code the connection itself failed, and the text is the operating system's.

/// What someone can do about an error; `None` if nothing better is known than the error's own text.
pub fn explain(sqlstate: Option<&str>, text: &str) -> Option<String> {
    let hint = match sqlstate {
        Some("28P01") => {
            "the password is wrong, missing or expired: check postgres.url, the password file, and \
                          `SELECT rolname, rolvaliduntil FROM pg_roles;`"
        }
        Some("28000") if text.contains("pg_hba.conf") => {
            "the server's pg_hba.conf lets nobody in this way: add a line such as \
             `hostssl <database> <role> <address> scram-sha-256` for the database itself (the keyword replication is \
             for physical replication only), then run `SELECT pg_reload_conf();`"
        }
        Some(_) if text.contains("SCRAM channel binding") => {
            "the certificate that comes with the connection is not the one of the server that asks for the password: a proxy that \
             ends TLS stands between, or an attacker; connect to Postgres itself, with sslmode=verify-full"
        }
        Some("28000") => {
            "the server does not let this role in: it must exist and have LOGIN \
                          (`ALTER ROLE <role> LOGIN REPLICATION;`)"
        }
        Some("3D000") => "there is no such database: check the name after the last slash of postgres.url",
        Some("42501") => {
            "the role lacks a privilege: to run, it needs REPLICATION (`ALTER ROLE <role> REPLICATION;`; RDS, Aurora: \
             `GRANT rds_replication TO <role>;`); for `walpost setup` also CREATE on the schema and on the database, \
             and to own the table"
        }
        Some("53300") => {
            "the server has no connection left for this role: raise max_connections or max_wal_senders and \
                          restart Postgres, or lift the role's limit (`ALTER ROLE <role> CONNECTION LIMIT -1;`)"
        }
        Some("53400") => "the server has no room left: drop slots that nobody uses, or raise max_replication_slots",
        Some("57P03") => "the server is starting, stopping or recovering: try again in a moment",
        Some("55006") => return Some(explain_active_slot(text)),
        Some("55000") => explain_unready(text),
        Some("42704") => {
            "something that walpost needs was not created yet or was dropped: run `walpost setup`; if a publication was \
             missing while rows were written, the slot cannot get past that time: drop it, and run `walpost setup --existing-rows \
             missing`, which sends these rows"
        }
        Some(_) => return None,
        None => return explain_connection(text).map(str::to_owned),
    };
    Some(hint.to_owned())
}

/// 55006: somebody else uses the slot; the server tells which of its processes.
fn explain_active_slot(text: &str) -> String {
    let after = text.split("PID ").nth(1).unwrap_or_default();
    let pid = after.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let filter = if pid.is_empty() { "active".to_owned() } else { format!("active_pid = {pid}") };
    format!(
        "another connection reads from this slot, as a second walpost does while it stands by; to see which, run \
         `SELECT s.slot_name, a.* FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE \
         {filter};`"
    )
}

/// 55000: the server is not in a state to decode, or the slot is not.
fn explain_unready(text: &str) -> &'static str {
    if text.contains("wal_level") {
        return "run `ALTER SYSTEM SET wal_level = logical;` and restart Postgres (RDS, Aurora: parameter \
                rds.logical_replication = 1; Cloud SQL: flag cloudsql.logical_decoding = on; restart the instance)";
    }
    "the slot can perhaps not be used any more: `SELECT * FROM pg_replication_slots;` tells why"
}

/// No code: the way to the server failed, and these are the words of the operating system and its resolver.
fn explain_connection(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if has(&["the password cannot be used"]) {
        return Some("check postgres.password_file, and that walpost may read the file");
    }
    if has(&["the url in "]) && has(&["cannot be used"]) {
        return Some("check the file that postgres.url_file names, and that walpost may read it");
    }
    if has(&["target_session_attrs", "no host of the url"]) {
        return Some(
            "walpost needs the primary: wait for the failover to end, or check the hosts and target_session_attrs in \
             postgres.url",
        );
    }
    if has(&["cannot be resolved", "failed to lookup", "name or service not known", "nodename nor servname"]) {
        return Some("the host name is unknown here: check postgres.url and this machine's DNS");
    }
    if has(&["connection refused"]) {
        return Some(
            "nothing listens there: check host and port in postgres.url, that Postgres runs, and its listen_addresses",
        );
    }
    if has(&["no such file"]) {
        return Some("there is no such socket: check the folder and the port in postgres.url, and that Postgres runs");
    }
    if has(&["no answer within", "timed out", "no route to host", "network is unreachable"]) {
        return Some("the server cannot be reached from here: check address, firewall and network");
    }
    if has(&["does not answer"]) {
        return Some("the server takes connections and is stuck: look at its load, its disk and its log");
    }
    if has(&["does not offer tls"]) {
        return Some(
            "turn on ssl at the server, or, in a network that you trust, set sslmode=prefer in postgres.url (beyond this machine it \
             is verify-full unless somebody says otherwise)",
        );
    }
    if has(&["does not speak the postgres protocol"]) {
        return Some("something else listens there: check host and port in postgres.url");
    }
    if has(&["channel_binding=require"]) {
        return Some(
            "let the role log in by scram-sha-256 in a `hostssl` line of pg_hba.conf, with a certificate of RSA or ECDSA; if it did \
             until now, find out who stands between before you set channel_binding=prefer",
        );
    }
    if has(&["certificate", "cannot be verified as a host name", "tls handshake"]) {
        return Some("the server's certificate was not accepted: check sslrootcert and the host name in postgres.url");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_its_own_hint() {
        let cases = [
            ("28P01", "password authentication failed for user \"app\"", "password is wrong"),
            ("28000", "no pg_hba.conf entry for host \"10.0.0.1\"", "hostssl <database>"),
            ("28000", "SCRAM channel binding check failed", "stands between"),
            ("28000", "role \"app\" is not permitted to log in", "must exist and have LOGIN"),
            ("3D000", "database \"shop\" does not exist", "no such database"),
            ("42501", "permission denied to start WAL sender", "ALTER ROLE <role> REPLICATION"),
            ("53300", "sorry, too many clients already", "max_connections"),
            ("53400", "all replication slots are in use", "max_replication_slots"),
            ("57P03", "the database system is starting up", "try again"),
            ("55006", "replication slot \"walpost\" is active for PID 4711", "active_pid = 4711;"),
            ("55006", "Replikations-Slot ist aktiv", "WHERE active;"),
            ("55000", "logical decoding requires \"wal_level\" >= \"logical\"", "SET wal_level = logical"),
            ("55000", "can no longer get changes from replication slot \"walpost\"", "pg_replication_slots"),
            ("42704", "publication \"walpost\" does not exist", "walpost setup"),
        ];
        for (code, text, part) in cases {
            let hint = explain(Some(code), text).unwrap();
            assert!(hint.contains(part), "{code} {text}: {hint}");
        }
    }

    #[test]
    fn a_failed_connection_is_explained_by_what_the_system_said() {
        let cases = [
            ("cannot connect to Postgres (db:5432: the host name cannot be resolved: no such host)", "DNS"),
            ("cannot connect to Postgres (db:5432: Connection refused (os error 111))", "nothing listens there"),
            ("cannot connect to Postgres (/run/.s.PGSQL.5432: No such file or directory (os error 2))", "socket"),
            ("cannot connect to Postgres (db:5432: no answer within 10s)", "firewall"),
            ("Postgres accepts the connection and does not answer", "stuck"),
            ("the URL in /run/secrets/dsn cannot be used: Permission denied (os error 13)", "postgres.url_file"),
            ("the server does not offer TLS, which sslmode asks for", "sslmode"),
            ("channel_binding=require: the server does not bind the login to its certificate", "hostssl"),
            (
                "no host of the URL is a primary that lets us in (a:1: the host name cannot be resolved; b:2: Postgres: the \
                 database system is starting up (SQLSTATE 57P03))",
                "primary",
            ),
            ("what answers there does not speak the Postgres protocol", "something else"),
            ("TLS handshake failed: invalid peer certificate: UnknownIssuer", "sslrootcert"),
        ];
        for (text, part) in cases {
            let hint = explain(None, text).unwrap();
            assert!(hint.contains(part), "{text}: {hint}");
        }
    }

    #[test]
    fn nothing_is_made_up() {
        assert_eq!(explain(Some("XX000"), "could not open relation with OID 1"), None);
        assert_eq!(explain(None, "connection reset by peer"), None);
    }
}
