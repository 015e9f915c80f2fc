//! Logging in to NATS, and TLS to it.

use serde_json::json;
use walpost::{
    publish::{Broker, BrokerError, BrokerOptions, Credentials, TlsFiles},
    sandbox::servers::{NatsOptions, NatsTls, PrivateNats},
};

use crate::harness::{Authority, Nkey, Operator, Role, broker_options, on_every_fresh_nats, on_every_nats, within};

/// Whether one gets in; what a refusal says may not repeat a secret.
async fn is_let_in(options: &BrokerOptions) -> bool {
    match within("a login", Box::pin(Broker::connect(options))).await {
        Ok(broker) => broker.max_payload_bytes() > 0,
        Err(error) => {
            let said = format!("{error} {error:?}");
            assert!(matches!(error, BrokerError::Connect(_)), "{said}");
            assert!(!said.contains("canary"), "{said}");
            false
        }
    }
}

async fn lets_in(server: &PrivateNats, credentials: Credentials) -> bool {
    is_let_in(&BrokerOptions { credentials, ..broker_options(server, "ANY") }).await
}

fn user(name: &str, password: &str) -> Credentials {
    Credentials::UserPassword(name.to_owned(), password.into())
}

#[tokio::test]
async fn users_and_nkeys_get_in_and_strangers_do_not() {
    let (known, stranger) = (Nkey::new(Role::User), Nkey::new(Role::User));
    let users = json!({ "users": [{ "user": "ann", "password": "p@ss:w/rd \"é" }, { "nkey": known.public() }] });
    on_every_fresh_nats(&NatsOptions::default().extra("authorization", users), async |server| {
        assert!(lets_in(&server, user("ann", "p@ss:w/rd \"é")).await);
        assert!(lets_in(&server, Credentials::NkeySeed(known.seed().into())).await);
        assert!(!lets_in(&server, user("ann", "canary")).await);
        assert!(!lets_in(&server, Credentials::None).await);
        assert!(!lets_in(&server, Credentials::Token("canary".into())).await);
        assert!(!lets_in(&server, Credentials::NkeySeed(stranger.seed().into())).await);
        assert!(!lets_in(&server, Credentials::NkeySeed("canary".into())).await);
    })
    .await;
}

#[tokio::test]
async fn the_client_does_not_take_credentials_out_of_a_url() {
    on_every_fresh_nats(&NatsOptions::default().login("ann", "hush"), async |server| {
        let at = |user: &str| {
            let servers = vec![server.url().replace("nats://", &format!("nats://{user}@")).parse().unwrap()];
            BrokerOptions { servers, ..broker_options(&server, "ANY") }
        };
        // So whoever reads the configuration must.
        assert!(!is_let_in(&at("ann:canary")).await);
        assert!(!is_let_in(&at("ann:hush")).await);
        assert!(is_let_in(&BrokerOptions { credentials: user("ann", "hush"), ..at("ann:canary") }).await);
    })
    .await;
}

#[tokio::test]
async fn a_token_gets_in_and_another_does_not() {
    let options = NatsOptions::default().extra("authorization", json!({ "token": "s3cr3t" }));
    on_every_fresh_nats(&options, async |server| {
        assert!(lets_in(&server, Credentials::Token("s3cr3t".into())).await);
        assert!(!lets_in(&server, Credentials::Token("canary".into())).await);
        assert!(!lets_in(&server, Credentials::None).await);
    })
    .await;
}

#[tokio::test]
async fn a_file_of_credentials_gets_in_and_another_operators_does_not() {
    let (operator, user) = (Operator::new(), Nkey::new(Role::User));
    let (creds, of_another) = (operator.creds(&user), Operator::new().creds(&user));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (right, wrong) = (file("right.creds", &creds), file("wrong.creds", &of_another));
    let broken = file("broken.creds", "canary");
    let options = operator
        .settings(&[])
        .into_iter()
        .fold(NatsOptions::default(), |options, (name, value)| options.extra(name, value));
    on_every_fresh_nats(&options, async |server| {
        assert!(lets_in(&server, Credentials::CredsFile(right.clone())).await);
        assert!(!lets_in(&server, Credentials::CredsFile(wrong.clone())).await);
        for unusable in [&broken, &folder.path().join("missing.creds")] {
            let credentials = Credentials::CredsFile(unusable.clone());
            let options = BrokerOptions { credentials, ..broker_options(&server, "ANY") };
            let error = Box::pin(Broker::connect(&options)).await.unwrap_err();
            assert!(matches!(error, BrokerError::CredsFile { .. }), "{error:?}");
            assert!(error.to_string().contains(unusable.to_str().unwrap()), "{error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    })
    .await;
}

/// A server with a certificate for this address, and who signed it.
fn encrypted(authority: &Authority, name: &str) -> NatsTls {
    let (certificate, key) = authority.sign_to_files(&[name], "server");
    NatsTls { certificate, key, client_authority: None }
}

fn trusting(server: &PrivateNats, authority: &Authority) -> BrokerOptions {
    let tls = TlsFiles { required: true, ca: Some(authority.file()), client: None };
    BrokerOptions { tls, ..broker_options(server, "ANY") }
}

#[tokio::test]
async fn a_certificate_of_our_own_authority_is_trusted_and_no_other() {
    let (authority, stranger) = (Authority::new("the right one"), Authority::new("a stranger"));
    let options = NatsOptions::default().tls(encrypted(&authority, "127.0.0.1"));
    on_every_fresh_nats(&options, async |server| {
        assert!(is_let_in(&trusting(&server, &authority)).await);
        assert!(!is_let_in(&trusting(&server, &stranger)).await);
        assert!(!is_let_in(&broker_options(&server, "ANY")).await, "nobody was told to trust this authority");
        // The server asks for TLS by itself, whatever the scheme.
        let mut plain = trusting(&server, &authority);
        plain.servers = vec![format!("nats://127.0.0.1:{}", server.port()).parse().unwrap()];
        plain.tls.required = false;
        assert!(is_let_in(&plain).await);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("the right one");
    let options = NatsOptions::default().tls(encrypted(&authority, "nats.example"));
    on_every_fresh_nats(&options, async |server| {
        assert!(!is_let_in(&trusting(&server, &authority)).await);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_asks_for_our_certificate_gets_it() {
    let authority = Authority::new("the right one");
    let tls = NatsTls { client_authority: Some(authority.file()), ..encrypted(&authority, "127.0.0.1") };
    on_every_fresh_nats(&NatsOptions::default().tls(tls), async |server| {
        let mut options = trusting(&server, &authority);
        assert!(!is_let_in(&options).await);
        options.tls.client = Some(authority.sign_to_files(&["walpost"], "client"));
        assert!(is_let_in(&options).await);
        let stranger = Authority::new("a stranger");
        options.tls.client = Some(stranger.sign_to_files(&["walpost"], "client"));
        assert!(!is_let_in(&options).await);
    })
    .await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_if_tls_is_required() {
    let authority = Authority::new("the right one");
    on_every_nats(async |server| assert!(!is_let_in(&trusting(server, &authority)).await)).await;
}
