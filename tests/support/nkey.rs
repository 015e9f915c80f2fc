//! Identities of NATS made for one run: nkeys, and accounts and users by signed tokens (JWT).
//!
//! Formats: <https://docs.nats.io/reference/reference-protocols/nkeys>,
//! <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt>.

use std::fmt::Write as _;

use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};

/// Whom a key stands for: the first byte of its text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `O...`
    Operator = 14 << 3,
    /// `A...`
    Account = 0,
    /// `U...`
    User = 20 << 3,
}

/// The first byte of every seed: `S...`.
const SEED: u8 = 18 << 3;
/// Where in the PKCS#8 form of an Ed25519 key its 32 secret bytes are.
const SECRET_IN_PKCS8: std::ops::Range<usize> = 16..48;

/// An Ed25519 key in the dress of NATS.
pub(crate) struct Nkey {
    role: Role,
    pair: KeyPair,
}

impl Nkey {
    /// A new key.
    pub(crate) fn new(role: Role) -> Self {
        Self { role, pair: KeyPair::generate_for(&PKCS_ED25519).unwrap() }
    }

    /// Its public form.
    pub(crate) fn public(&self) -> String {
        dressed(&[self.role as u8], self.pair.public_key_raw())
    }

    /// Its secret form.
    pub(crate) fn seed(&self) -> String {
        let role = self.role as u8;
        dressed(&[SEED | role >> 5, (role & 31) << 3], &self.pair.serialize_der()[SECRET_IN_PKCS8])
    }

    /// A token about `subject`, signed with this key.
    fn signed(&self, subject: &str, nats: &Value) -> String {
        let part = |value: Value| base64_url(value.to_string().as_bytes());
        let header = part(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
        let claims = json!({ "jti": "1", "iat": 1_700_000_000, "iss": self.public(), "sub": subject, "nats": nats });
        let text = format!("{header}.{}", part(claims));
        let signature = self.pair.sign(text.as_bytes()).unwrap();
        format!("{text}.{}", base64_url(&signature))
    }
}

/// Who says which accounts and users there are: one account with JetStream, and one for the system.
pub(crate) struct Operator {
    operator: Nkey,
    system: Nkey,
    account: Nkey,
}

impl Operator {
    /// A new one, whom no server trusts yet.
    pub(crate) fn new() -> Self {
        Self {
            operator: Nkey::new(Role::Operator),
            system: Nkey::new(Role::Account),
            account: Nkey::new(Role::Account),
        }
    }

    /// The settings of a server that trusts it and lets these users in no more.
    pub(crate) fn settings(&self, revoked: &[&Nkey]) -> [(&'static str, Value); 3] {
        let about_operator = claims("operator", json!({ "system_account": self.system.public() }));
        let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                             "conn": -1, "leaf": -1 });
        // The system's account may not have JetStream.
        let mut with_jetstream = limits.clone();
        for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
            with_jetstream[name] = json!(-1);
        }
        // Whatever they were given up to that second, in the future.
        let revocations: Value = revoked.iter().map(|user| (user.public(), json!(4_000_000_000u64))).collect();
        let about = |key: &Nkey, limits: Value, revocations: Value| {
            let claims = claims("account", json!({ "limits": limits, "revocations": revocations }));
            self.operator.signed(&key.public(), &claims)
        };
        let accounts = json!({
            self.account.public(): about(&self.account, with_jetstream, revocations),
            self.system.public(): about(&self.system, limits, json!({})),
        });
        [
            ("operator", json!(self.operator.signed(&self.operator.public(), &about_operator))),
            ("resolver", json!("MEMORY")),
            ("resolver_preload", accounts),
        ]
    }

    /// The text of a `.creds` file for a user of its account.
    pub(crate) fn creds(&self, user: &Nkey) -> String {
        let about_user = claims("user", json!({ "subs": -1, "data": -1, "payload": -1 }));
        let mut creds = String::new();
        for (kind, secret) in
            [("NATS USER JWT", self.account.signed(&user.public(), &about_user)), ("USER NKEY SEED", user.seed())]
        {
            writeln!(creds, "-----BEGIN {kind}-----\n{secret}\n------END {kind}------\n").unwrap();
        }
        creds
    }
}

/// Claims of this kind.
fn claims(kind: &str, more: Value) -> Value {
    let mut claims = json!({ "type": kind, "version": 2 });
    let (Value::Object(all), Value::Object(more)) = (&mut claims, more) else { unreachable!("both are objects") };
    all.extend(more);
    claims
}

/// Prefix, key and checksum in base 32.
fn dressed(prefix: &[u8], key: &[u8]) -> String {
    let mut bytes = [prefix, key].concat();
    let checksum = bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    });
    bytes.extend(checksum.to_le_bytes());
    in_digits(&bytes, 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

fn base64_url(bytes: &[u8]) -> String {
    in_digits(bytes, 6, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}

/// The bytes as one long number in digits of `width` bits, without padding.
fn in_digits(bytes: &[u8], width: usize, digits: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    let digit = |first: usize| (first..first + width).fold(0, |value, at| value << 1 | bit(at));
    (0..bytes.len() * 8).step_by(width).map(|first| char::from(digits[digit(first)])).collect()
}
