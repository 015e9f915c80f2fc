//! What a login is bound to: the hash of the server's certificate (`tls-server-end-point`, RFC 5929, section 4.1).
//!
//! The hash is the one of the certificate's own signature, but SHA-256 in place of MD5 and SHA-1. A signature without one
//! hash of its own (Ed25519) has no such binding: Postgres offers it all the same and fails when it is used, so then we
//! do not. The few bytes of DER that tell the signature are read here by hand; nothing is taken on the word of a length.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The binding for a certificate (DER); none if there is none for its kind of signature.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(digest(hash_of(certificate)?, certificate).as_ref().to_vec())
}

/// A hash by its object identifier, as DER has it.
type Hash = (&'static [u8], &'static Algorithm);

/// Signatures with the hash that they are made with (<https://www.rfc-editor.org/rfc/rfc8017#appendix-C>, RFC 5758).
const SIGNATURES: [Hash; 9] = [
    // rsa with md5, sha1, sha256, sha384, sha512
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04], &SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05], &SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], &SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c], &SHA384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d], &SHA512),
    // ecdsa with sha1, sha256, sha384, sha512
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01], &SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], &SHA256),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], &SHA384),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04], &SHA512),
];

/// Hashes that the parameters of RSASSA-PSS name. Without one it is SHA-1.
const HASHES: [Hash; 4] = [
    (&[0x2b, 0x0e, 0x03, 0x02, 0x1a], &SHA256),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01], &SHA256),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02], &SHA384),
    (&[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03], &SHA512),
];

/// RSASSA-PSS, whose parameters name the hash.
const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The first of the parameters of RSASSA-PSS, tagged by its number.
const FIRST: u8 = 0xa0;

/// The hash that the binding is made with.
fn hash_of(certificate: &[u8]) -> Option<&'static Algorithm> {
    // Certificate ::= SEQUENCE { what is certified, the algorithm of the signature, the signature }
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (_certified, rest) = element(SEQUENCE, certificate)?;
    let (algorithm, _signature) = element(SEQUENCE, rest)?;
    let (name, parameters) = element(OBJECT_IDENTIFIER, algorithm)?;
    if name != RSA_PSS {
        return known(&SIGNATURES, name);
    }
    let (parameters, _) = element(SEQUENCE, parameters)?;
    let Some((first, _)) = element(FIRST, parameters) else { return Some(&SHA256) };
    let (algorithm, _) = element(SEQUENCE, first)?;
    let (name, _) = element(OBJECT_IDENTIFIER, algorithm)?;
    known(&HASHES, name)
}

fn known(hashes: &[Hash], name: &[u8]) -> Option<&'static Algorithm> {
    hashes.iter().find(|(known, _)| *known == name).map(|(_, hash)| *hash)
}

/// The content of the element with this tag that `bytes` begin with, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, bytes) = bytes.split_first()?;
    let (&length, bytes) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    let (length, bytes) = match length {
        // The number of bytes that the length itself takes: no certificate is larger than four of them can tell.
        0x81..=0x84 => {
            let (digits, bytes) = bytes.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), bytes)
        }
        0x80.. => return None,
        _ => (usize::from(length), bytes),
    };
    bytes.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wrapped(tag: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, &content].concat()
    }

    /// A certificate of which only the algorithm of the signature is real.
    fn signed(name: &[u8], parameters: &[u8]) -> Vec<u8> {
        let name = wrapped(OBJECT_IDENTIFIER, &[name]);
        let algorithm = wrapped(SEQUENCE, &[&name, parameters]);
        wrapped(SEQUENCE, &[&wrapped(SEQUENCE, &[&[0; 300]]), &algorithm, &[3, 2, 0, 1]])
    }

    fn pss(hash: Option<&[u8]>) -> Vec<u8> {
        let named = |hash: &[u8]| {
            let name = wrapped(OBJECT_IDENTIFIER, &[hash]);
            wrapped(FIRST, &[&wrapped(SEQUENCE, &[&name, &[5, 0]])])
        };
        let first = hash.map(named).unwrap_or_default();
        // The third of the parameters: the length of the salt.
        signed(RSA_PSS, &wrapped(SEQUENCE, &[&first, &[0xa2, 3, 2, 1, 32]]))
    }

    #[test]
    fn the_hash_is_that_of_the_signature_but_no_weaker_than_sha256() {
        for (name, hash) in SIGNATURES {
            let certificate = signed(name, &[5, 0]);
            assert_eq!(end_point(&certificate), Some(digest(hash, &certificate).as_ref().to_vec()), "{name:?}");
        }
        for (name, hash) in HASHES {
            let certificate = pss(Some(name));
            assert_eq!(end_point(&certificate), Some(digest(hash, &certificate).as_ref().to_vec()), "{name:?}");
        }
        assert_eq!(end_point(&pss(None)).unwrap().len(), 32);
    }

    #[test]
    fn a_signature_without_one_hash_binds_nothing() {
        let ed25519 = [0x2b, 0x65, 0x70];
        assert_eq!(end_point(&signed(&ed25519, &[])), None);
        assert_eq!(end_point(&pss(Some(&ed25519))), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, at: usize, byte: u8, length: usize) {
            end_point(&bytes);
            let mut certificate = pss(Some(HASHES[3].0));
            let at = at % certificate.len();
            certificate[at] = byte;
            end_point(&certificate);
            certificate.truncate(length % certificate.len());
            end_point(&certificate);
        }
    }
}
