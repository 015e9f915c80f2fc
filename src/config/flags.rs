//! The flag level: `--set SECTION.KEY=VALUE` and the flags that stand for a key.

use super::{
    given::{Layer, unknown_key},
    key::Kind,
    keys,
    origin::Origin,
    problem::{Problem, Reason},
    userinfo,
};

/// A value from the command line.
#[derive(Clone, PartialEq, Eq)]
pub enum Override {
    /// `--set`, with its argument as it was written. It is not parsed by the command line, whose errors quote it.
    Set(String),
    /// A flag of its own for a key.
    Flag {
        /// The flag: `--log-format`.
        flag: &'static str,
        /// The key: `log.format`.
        key: &'static str,
        /// The value.
        value: String,
    },
}

/// Reads the flags in their order; of two for the same key the last wins.
pub(super) fn read(overrides: &[Override]) -> Layer {
    let mut layer = Layer::default();
    for given in overrides {
        match given {
            Override::Set(argument) => set(&mut layer, argument),
            Override::Flag { flag, key, value } => {
                let origin = Origin::Flag { name: (*flag).to_owned() };
                match keys::find(key) {
                    Some(key) => layer.give(key, value, origin),
                    None => layer.refuse(Problem::at(origin, unknown_key(key))),
                }
            }
        }
    }
    layer
}

/// Takes the argument of one `--set`. Secrets are refused: every user of the machine can read the arguments of a process.
fn set(layer: &mut Layer, argument: &str) {
    let Some((name, value)) = argument.split_once('=') else {
        let origin = Origin::Flag { name: "--set".to_owned() };
        return layer.refuse(Problem::at(origin, Reason::new("expected SECTION.KEY=VALUE, found no `=`")));
    };
    let name = name.trim();
    let Some(key) = keys::find(name) else {
        let origin = Origin::Flag { name: "--set".to_owned() };
        // Anything may stand before the `=`, even a piece of a secret; a section makes it likely that it is a key.
        let is_plain = keys::sections().iter().any(|section| name.starts_with(&format!("{section}.")));
        let hint = "write SECTION.KEY=VALUE, such as nats.stream=OUTBOX";
        let reason = if is_plain { unknown_key(name) } else { Reason::new("unknown key").hint(hint) };
        return layer.refuse(Problem::at(origin, reason));
    };
    let origin = Origin::Flag { name: format!("--set {name}") };
    if key.is_secret() || (key.kind() == Kind::Url && userinfo::may_hold_a_secret(value)) {
        let hint = format!("use {0} or {0}_FILE", key.environment_name());
        let reason = Reason::new("a secret on the command line can be read by every user of the machine");
        return layer.refuse_value(key, &origin, reason.hint(hint));
    }
    layer.give(key, value, origin);
}
