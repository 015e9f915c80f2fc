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

/// The settings of a server that trusts a new operator, and the text of a `.creds` file for a user of its account.
pub(crate) fn operator_and_user() -> ([(&'static str, Value); 3], String) {
    let (operator, account, user) = (Nkey::new(Role::Operator), Nkey::new(Role::Account), Nkey::new(Role::User));
    let claims = |kind: &str, more: Value| {
        let mut claims = json!({ "type": kind, "version": 2 });
        let (Value::Object(all), Value::Object(more)) = (&mut claims, more) else { unreachable!("both are objects") };
        all.extend(more);
        claims
    };
    let system = Nkey::new(Role::Account);
    let operator_claims = claims("operator", json!({ "system_account": system.public() }));
    let operator_token = operator.signed(&operator.public(), &operator_claims);
    // JetStream stays off for both: the system's account may not have it.
    let limits = json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                         "conn": -1, "leaf": -1 });
    let about_account = |key: &Nkey| operator.signed(&key.public(), &claims("account", json!({ "limits": limits })));
    let user_token = account.signed(&user.public(), &claims("user", json!({ "subs": -1, "data": -1, "payload": -1 })));
    let settings = [
        ("operator", json!(operator_token)),
        ("resolver", json!("MEMORY")),
        (
            "resolver_preload",
            json!({ account.public(): about_account(&account), system.public(): about_account(&system) }),
        ),
    ];
    let mut creds = String::new();
    for (kind, secret) in [("NATS USER JWT", user_token), ("USER NKEY SEED", user.seed())] {
        writeln!(creds, "-----BEGIN {kind}-----\n{secret}\n------END {kind}------\n").unwrap();
    }
    (settings, creds)
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
