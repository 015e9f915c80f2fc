//! The environment: `WALPOST_*` variables to values.

use std::ffi::{OsStr, OsString};

use super::{
    given::Layer,
    key::Key,
    keys,
    origin::Origin,
    problem::{Problem, Reason},
    secret::Secret,
    suggest::nearest,
    visible::visible,
};

/// What every variable of walpost begins with.
pub(crate) const PREFIX: &str = "WALPOST_";

/// The variable that names the configuration file.
pub(crate) const CONFIG: &str = "WALPOST_CONFIG";

/// Variables that begin with [`PREFIX`] and are no key.
const NO_KEYS: &[&str] = &[CONFIG];

/// Reads the variables. An empty one counts as not set, because that is what `${NAME:-}` in a compose file gives.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Layer {
    let mut layer = Layer::default();
    let texts =
        variables.iter().filter_map(|(name, value)| Some((name.to_str()?.to_owned(), Secret::new(value.to_str()?))));
    layer.variables.extend(texts);
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || NO_KEYS.contains(&&*name) || value.is_empty() || is_service_link(&name, value) {
            continue;
        }
        let origin = Origin::Environment { name: name.chars().flat_map(visible).collect() };
        match (keys::KEYS.iter().find(|key| key.environment_name() == name), value.to_str()) {
            (Some(key), Some(text)) => layer.give(key, text, origin),
            (Some(key), None) => layer.refuse_value(key, &origin, Reason::new("not UTF-8 text")),
            (None, _) => layer.refuse(Problem::at(origin, unknown_variable(&name))),
        }
    }
    layer
}

/// Why a variable called `name` is refused. Names are compared without the prefix, which makes all of them look alike.
fn unknown_variable(name: &str) -> Reason {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
    let known = keys::KEYS.iter().map(Key::environment_name).chain(NO_KEYS.iter().map(|name| (*name).to_owned()));
    let known: Vec<_> = known.map(|name| bare(&name)).collect();
    let near = nearest(&bare(name), known.iter().map(String::as_str));
    let hint = near.map(|near| format!("did you mean `{PREFIX}{}`?", near.to_uppercase()));
    Reason::new("unknown variable").maybe_hint(hint)
}

/// Whether Kubernetes made this variable for a Service whose name begins with `walpost`.
///
/// It puts `<NAME>_SERVICE_HOST`, `<NAME>_SERVICE_PORT[_<PORT>]`, `<NAME>_PORT` and `<NAME>_PORT_<N>_<PROTOCOL>[_*]` into
/// every container of the namespace: <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_address =
        || value.to_str().is_some_and(|value| ["tcp://", "udp://", "sctp://"].iter().any(|p| value.starts_with(p)));
    let is_numbered = || {
        name.split("_PORT_").skip(1).any(|rest| {
            let mut parts = rest.split('_');
            let is_number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
            is_number && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
        })
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_address())
        || is_numbered()
}
