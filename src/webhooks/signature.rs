//! Signatures as Standard Webhooks has them: `v1` (HMAC-SHA256) and `v1a` (Ed25519).
//!
//! What is signed is `id.timestamp.body`: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{hmac, signature::Ed25519KeyPair};

/// What a shared secret begins with.
const SHARED_PREFIX: &str = "whsec_";
/// What a private key begins with.
const PRIVATE_PREFIX: &str = "whsk_";
/// The sizes of a shared secret that the standard allows, in bytes.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The length of an Ed25519 seed, and of the public key that may follow it.
const SEED_BYTES: usize = 32;

/// A secret that requests are signed with. No `Debug` shows it.
pub struct SigningSecret(Key);

enum Key {
    /// A secret that the receiver has too.
    Shared(hmac::Key),
    /// A private key, whose public part the receiver has.
    Private(Box<Ed25519KeyPair>),
}

impl SigningSecret {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes, or `whsk_` and the base64 of an Ed25519 seed, with or without
    /// its public key behind it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        if let Some(encoded) = text.strip_prefix(SHARED_PREFIX) {
            let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::NotBase64)?;
            if !SHARED_BYTES.contains(&bytes.len()) {
                return Err(SecretError::Length { found: bytes.len() });
            }
            return Ok(Self(Key::Shared(hmac::Key::new(hmac::HMAC_SHA256, &bytes))));
        }
        let encoded = text.strip_prefix(PRIVATE_PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        let pair = match bytes.split_at_checked(SEED_BYTES) {
            Some((seed, [])) => Ed25519KeyPair::from_seed_unchecked(seed),
            Some((seed, public)) => Ed25519KeyPair::from_seed_and_public_key(seed, public),
            None => return Err(SecretError::NotAKey),
        };
        Ok(Self(Key::Private(Box::new(pair.map_err(|_| SecretError::NotAKey)?))))
    }

    /// The signature, with its version before it.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut message = format!("{id}.{timestamp}.").into_bytes();
        message.extend_from_slice(body);
        match &self.0 {
            Key::Shared(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, &message))),
            Key::Private(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(&message))),
        }
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The value of `webhook-signature`: one signature for each secret, so that a receiver may have any of them while they are
/// being exchanged.
pub fn signature_header(secrets: &[SigningSecret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures: Vec<_> = secrets.iter().map(|secret| secret.sign(id, timestamp, body)).collect();
    signatures.join(" ")
}

/// Why a secret is refused. Says nothing of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Neither prefix.
    #[error("a signing secret begins with whsec_, or with whsk_ if it is an Ed25519 key")]
    Prefix,
    /// The rest is no base64.
    #[error("what follows the prefix of a signing secret is not base64")]
    NotBase64,
    /// Too short to be safe, or longer than the standard has it.
    #[error("a signing secret has 24 to 64 bytes, this one has {found}")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// No Ed25519 key.
    #[error("what follows whsk_ is not the seed of an Ed25519 key")]
    NotAKey,
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use proptest::prelude::*;
    use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
    use standardwebhooks::Webhook;

    use super::*;

    fn shared(bytes: &[u8]) -> String {
        format!("whsec_{}", STANDARD.encode(bytes))
    }

    /// The headers of a request, as a receiver has them.
    fn headers(id: &str, timestamp: i64, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let timestamp = timestamp.to_string();
        for (name, value) in
            [("webhook-id", id), ("webhook-timestamp", timestamp.as_str()), ("webhook-signature", signature)]
        {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_example_of_the_standard_gives_its_signature() {
        // From the verification tests that the standard publishes.
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    proptest! {
        #[test]
        fn the_published_library_accepts_each_secret_of_a_rotation(
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 24..=64), 1..4),
            id in "[!-~]{1,40}",
            body: String,
        ) {
            let texts: Vec<_> = keys.iter().map(|key| shared(key)).collect();
            let secrets: Vec<_> = texts.iter().map(|text| SigningSecret::parse(text).unwrap()).collect();
            let now = jiff::Timestamp::now().as_second();
            let signature = signature_header(&secrets, &id, now, body.as_bytes());
            let headers = headers(&id, now, &signature);
            for text in &texts {
                let receiver = Webhook::new(text).unwrap();
                prop_assert!(receiver.verify(body.as_bytes(), &headers).is_ok());
                let other = body.clone() + " ";
                prop_assert!(receiver.verify(other.as_bytes(), &headers).is_err());
            }
            prop_assert!(Webhook::new(&shared(&[0; 24])).unwrap().verify(body.as_bytes(), &headers).is_err());
        }

        #[test]
        fn a_private_key_signs_what_its_public_key_verifies(seed: [u8; SEED_BYTES], body: Vec<u8>) {
            let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
            let public = pair.public_key().as_ref().to_vec();
            let both = [&seed[..], &public[..]].concat();
            for text in [&seed[..], &both[..]].map(|bytes| format!("whsk_{}", STANDARD.encode(bytes))) {
                let signature = SigningSecret::parse(&text).unwrap().sign("id", 7, &body);
                let signature = STANDARD.decode(signature.strip_prefix("v1a,").unwrap()).unwrap();
                let message = [b"id.7.", &body[..]].concat();
                prop_assert!(UnparsedPublicKey::new(&ED25519, &public).verify(&message, &signature).is_ok());
            }
        }

        #[test]
        fn any_text_is_taken_or_refused_without_being_shown(text: String) {
            let shown = format!("{:?}", SigningSecret::parse(&format!("whsec_CANARY{text}")));
            prop_assert!(!shown.contains("CANARY"));
        }
    }

    #[test]
    fn short_and_misspelt_secrets_are_refused() {
        let refused = |text: &str| SigningSecret::parse(text).err();
        assert_eq!(refused("secret"), Some(SecretError::Prefix));
        assert_eq!(refused("whsec_not base64"), Some(SecretError::NotBase64));
        assert_eq!(refused(&shared(&[1; 23])), Some(SecretError::Length { found: 23 }));
        assert_eq!(refused(&shared(&[1; 65])), Some(SecretError::Length { found: 65 }));
        assert_eq!(refused(&shared(&[1; 24])), None);
        assert_eq!(refused(&format!("whsk_{}", STANDARD.encode([1; 31]))), Some(SecretError::NotAKey));
        assert_eq!(refused(&format!("whsk_{}", STANDARD.encode([1; 64]))), Some(SecretError::NotAKey));
    }
}
