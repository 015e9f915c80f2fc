//! The claims of the fuzz targets, with random bytes and with every input that fuzzing has kept.
#![cfg(test)]

#[path = "../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets are another crate")]
mod claims;

use std::{fs, path::Path};

use claims::{ALL, Claim};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};

/// Random bytes go no further than the first check of most readers, so most cases are kept inputs with a few bytes changed.
const CASES: u32 = 2_000;

/// The inputs that are kept for a target, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn every_kept_input_is_lived_through() {
    for (name, claim) in ALL {
        let inputs = corpus(name);
        assert!(inputs.len() > 1, "nothing is kept for {name}");
        inputs.iter().for_each(|input| claim(input));
    }
}

#[test]
fn random_bytes_and_changed_inputs_are_lived_through() {
    for (name, claim) in ALL {
        holds_for_changes_of(name, claim, corpus(name));
    }
}

fn holds_for_changes_of(name: &str, claim: Claim, inputs: Vec<Vec<u8>>) {
    let kept = prop::sample::select(inputs);
    let changes = vec((any::<Index>(), any::<u8>()), 0..4);
    let changed = (kept, changes, any::<Index>()).prop_map(|(mut bytes, changes, end)| {
        for (at, byte) in changes {
            if let Some(changed) = (!bytes.is_empty()).then(|| at.get_mut(&mut bytes)) {
                *changed = byte;
            }
        }
        // One in so many is cut short.
        let end = end.index(4 * bytes.len() + 1);
        bytes.truncate(end);
        bytes
    });
    let input = prop_oneof![4 => changed, 1 => vec(any::<u8>(), 0..200)];
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&input, |bytes| {
            claim(&bytes);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{name}: {failure}"));
}
