//! The HTTP client and receivers that are slow, broken, mean, or somewhere else.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use tokio::sync::watch;
use walpost::webhooks::{
    Delivery, Guard, HttpClient, Outcome, OutcomeClass, Patience, Resolver, Target, TargetError, tls_config,
};

use crate::{
    certificates::Authority,
    receiver::{Manner, OK, Receiver},
    wait,
};

fn loopback() -> Guard {
    Guard::allowing(vec!["127.0.0.1".parse().unwrap()])
}

/// Longer than anything takes that works, however busy the machine is.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(30), total: Duration::from_secs(30) };

fn client(url: &str, guard: Guard, resolver: Resolver, roots: Option<&Path>) -> HttpClient {
    let target = Target::parse(url, true, &guard).unwrap();
    HttpClient::new(target, guard, resolver, tls_config(roots).unwrap(), PATIENCE)
}

/// A client for a receiver on this machine.
fn client_of(receiver: &Receiver) -> HttpClient {
    client(&format!("http://127.0.0.1:{}/hook?a=b", receiver.port()), loopback(), Resolver::system(), None)
}

fn delivery(body: &str) -> Delivery {
    let headers = vec![("webhook-id".to_owned(), "e1".to_owned()), ("X-Of-Us".to_owned(), "a b".to_owned())];
    Delivery { headers, content_type: "application/json", body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// Names that lead to these addresses, each time to the next list; the last one stays.
fn leading_to(lists: &[&[IpAddr]]) -> Resolver {
    let lists: VecDeque<Vec<IpAddr>> = lists.iter().map(|list| list.to_vec()).collect();
    let lists = Arc::new(Mutex::new(lists));
    Resolver::by(move |_, port| {
        let mut lists = lists.lock().unwrap();
        let list = if lists.len() > 1 { lists.pop_front().unwrap() } else { lists[0].clone() };
        async move { Ok(list.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()) }.boxed()
    })
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 1));
const ALSO_HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

async fn outcome_of(manner: Manner) -> Outcome {
    client_of(&Receiver::start(manner).await).post(&delivery("{}")).await
}

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_its_connection_is_used_again() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let client = client_of(&receiver);
    for _ in 0..20 {
        assert_eq!(client.post(&delivery(r#"{"a": 1}"#)).await, Outcome::Answered { status: 200, retry_after: None });
    }
    let received = receiver.received();
    assert_eq!((received.len(), receiver.connections()), (20, 1));
    let first = &received[0];
    assert!(first.head.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{}", first.head);
    assert_eq!(first.header("host"), Some(format!("127.0.0.1:{}", receiver.port()).as_str()));
    assert_eq!(first.header("user-agent"), Some(concat!("walpost/", env!("CARGO_PKG_VERSION"))));
    assert_eq!((first.header("webhook-id"), first.header("x-of-us")), (Some("e1"), Some("a b")));
    assert_eq!((first.header("content-type"), first.body.as_slice()), (Some("application/json"), &br#"{"a": 1}"#[..]));
    assert_eq!(first.header("cookie"), None);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(Manner::Says(OK)).await;
    let location = format!(
        "HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
        elsewhere.port()
    );
    let receiver = Receiver::start(Manner::Says(location.leak())).await;
    let outcome = client_of(&receiver).post(&delivery("{}")).await;
    assert_eq!(outcome.class(), OutcomeClass::Redirect);
    assert_eq!((receiver.received().len(), elsewhere.connections()), (1, 0));
}

#[tokio::test]
async fn the_status_counts_whatever_becomes_of_the_rest() {
    let ok = Outcome::Answered { status: 200, retry_after: None };
    assert_eq!(outcome_of(Manner::NeverStops).await, ok);
    assert_eq!(outcome_of(Manner::SaysAndCloses("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")).await, ok);
    assert_eq!(outcome_of(Manner::SaysAndCloses("HTTP/1.0 200 OK\r\n\r\nold")).await, ok);
    assert_eq!(outcome_of(Manner::Says("HTTP/1.1 204 No Content\r\n\r\n")).await.status(), Some(204));
    let later = Outcome::Answered { status: 503, retry_after: Some(Duration::from_secs(120)) };
    assert_eq!(
        outcome_of(Manner::Says("HTTP/1.1 503 No\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n")).await,
        later
    );
}

#[tokio::test]
async fn an_answer_that_dawdles_behind_its_status_is_not_waited_for_to_the_end() {
    let receiver = Receiver::start(Manner::Dawdles).await;
    let guard = loopback();
    let target = Target::parse(&format!("http://127.0.0.1:{}/", receiver.port()), true, &guard).unwrap();
    let patience = Patience { connect: Duration::from_secs(30), total: Duration::from_secs(600) };
    let client = HttpClient::new(target, guard, Resolver::system(), tls_config(None).unwrap(), patience);
    // The bound of the test is far below that of the client.
    wait::some("the answer is taken", async || Some(client.post(&delivery("{}")).await)).await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn what_gives_no_answer_fails_and_is_told_apart() {
    let (guard, hanging) = (loopback(), Receiver::start(Manner::Hangs).await);
    let target = Target::parse(&format!("http://127.0.0.1:{}/", hanging.port()), true, &guard).unwrap();
    let patience = Patience { total: Duration::from_millis(100), ..PATIENCE };
    let impatient = HttpClient::new(target, guard, Resolver::system(), tls_config(None).unwrap(), patience);
    assert_eq!(impatient.post(&delivery("{}")).await, Outcome::TimedOut);
    assert_eq!(outcome_of(Manner::Resets).await, Outcome::Broken);
    assert_eq!(outcome_of(Manner::NeverComesToTheBody).await, Outcome::Broken);
    assert_eq!(outcome_of(Manner::SaysAndCloses("SSH-2.0-OpenSSH_9.2\r\n")).await, Outcome::Broken);
    assert_eq!(outcome_of(Manner::SaysAndCloses("")).await, Outcome::Broken);
    assert_eq!(
        outcome_of(Manner::SaysAndCloses("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n")).await,
        Outcome::Broken
    );
    let port = Receiver::start(Manner::Says(OK)).await.port();
    let nobody = client(&format!("http://127.0.0.1:{port}/"), loopback(), Resolver::system(), None);
    wait::until("nobody listens any more", async || nobody.post(&delivery("{}")).await == Outcome::Unreachable).await;
    let nameless = Resolver::by(|_, _| async { Err(std::io::Error::other("no such name")) }.boxed());
    assert_eq!(
        client("https://example.com/", loopback(), nameless, None).post(&delivery("{}")).await,
        Outcome::Unresolved
    );
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_no_failure_of_the_endpoint() {
    let receiver = Receiver::start(Manner::ClosesAfterOne).await;
    let client = client_of(&receiver);
    for _ in 0..5 {
        assert_eq!(client.post(&delivery("{}")).await.status(), Some(200));
    }
    assert_eq!((receiver.received().len(), receiver.connections()), (5, 5));
}

#[tokio::test]
async fn a_name_that_leads_home_is_refused_whenever_it_does() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let url = format!("http://rebound.example:{}/", receiver.port());
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    let private = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
    for addresses in [&[HERE][..], &[mapped], &[private], &[IpAddr::V6("64:ff9b::7f00:1".parse().unwrap())]] {
        let client = client(&url, Guard::default(), leading_to(&[addresses]), None);
        assert_eq!(client.post(&delivery("{}")).await, Outcome::AddressRefused, "{addresses:?}");
    }
    // Once it leads where it may, and then home: what was asked first is worth nothing the second time.
    let only_also = Guard::allowing(vec!["127.0.0.2".parse().unwrap()]);
    let rebound = client(&url, only_also, leading_to(&[&[ALSO_HERE], &[HERE]]), None);
    assert_eq!(rebound.post(&delivery("{}")).await.status(), Some(200));
    let again = Receiver::start(Manner::SaysAndCloses(OK)).await;
    let url = format!("http://rebound.example:{}/", again.port());
    let only_also = Guard::allowing(vec!["127.0.0.2".parse().unwrap()]);
    let rebound = client(&url, only_also, leading_to(&[&[ALSO_HERE], &[HERE]]), None);
    assert_eq!(rebound.post(&delivery("{}")).await.status(), Some(200));
    wait::until("the connection is not used any more", async || {
        rebound.post(&delivery("{}")).await == Outcome::AddressRefused
    })
    .await;
    assert!(again.received().iter().all(|request| request.local.ip() == ALSO_HERE));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_the_admitted_are_connected_to() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let guard = Guard::allowing(vec!["127.0.0.2".parse().unwrap()]);
    let url = format!("http://both.example:{}/", receiver.port());
    let client = client(&url, guard, leading_to(&[&[HERE, ALSO_HERE]]), None);
    assert_eq!(client.post(&delivery("{}")).await.status(), Some(200));
    assert_eq!((receiver.connections(), receiver.received()[0].local.ip()), (1, ALSO_HERE));
}

#[tokio::test]
async fn a_port_that_is_not_allowed_is_not_connected_to_whoever_names_it() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let port = receiver.port();
    let only = |ports: String| loopback().at_ports(ports.parse().unwrap());
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(Target::parse(&url, true, &only("443".to_owned())), Err(TargetError::Port(port)));

    // Read when it was allowed: it is judged again where the connection is made.
    let target = Target::parse(&url, true, &loopback()).unwrap();
    let client_at = |guard, resolver, target: &Target| {
        HttpClient::new(target.clone(), guard, resolver, tls_config(None).unwrap(), PATIENCE)
    };
    let narrowed = client_at(only("443".to_owned()), Resolver::system(), &target);
    assert_eq!(narrowed.post(&delivery("{}")).await, Outcome::AddressRefused);
    // A resolver that gives another port than it was asked for.
    let elsewhere = Resolver::by(move |_, _| async move { Ok(vec![SocketAddr::new(HERE, port)]) }.boxed());
    let guard = only("443".to_owned());
    let named = Target::parse("http://named.example:443/", true, &guard).unwrap();
    assert_eq!(client_at(guard, elsewhere, &named).post(&delivery("{}")).await, Outcome::AddressRefused);
    assert_eq!(receiver.connections(), 0);
    let allowed = client_at(only(format!("443, {port}")), Resolver::system(), &target);
    assert_eq!(allowed.post(&delivery("{}")).await.status(), Some(200));
}

#[tokio::test]
async fn the_system_s_names_are_judged_too() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let client = client(&format!("http://localhost:{}/", receiver.port()), Guard::default(), Resolver::system(), None);
    assert_eq!(client.post(&delivery("{}")).await, Outcome::AddressRefused);
    assert_eq!(receiver.connections(), 0);
    let literal = Target::parse(&format!("http://127.1:{}/", receiver.port()), true, &Guard::default());
    assert_eq!(literal, Err(TargetError::Address(HERE)));
}

#[tokio::test]
async fn while_nobody_tells_the_addresses_of_a_name_it_is_asked_for_once() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let (asked, (answer, silent)) = (Arc::<AtomicUsize>::default(), watch::channel(true));
    let counter = Arc::clone(&asked);
    let resolver = Resolver::by(move |_, port| {
        counter.fetch_add(1, Relaxed);
        let mut silent = silent.clone();
        async move {
            silent.wait_for(|silent| !silent).await.map_err(std::io::Error::other)?;
            Ok(vec![SocketAddr::new(HERE, port)])
        }
        .boxed()
    });
    let (url, guard) = (format!("http://silent.example:{}/", receiver.port()), loopback());
    let patience = Patience { connect: Duration::from_millis(50), ..PATIENCE };
    let target = Target::parse(&url, true, &guard).unwrap();
    let client = HttpClient::new(target, guard, resolver, tls_config(None).unwrap(), patience);
    for _ in 0..3 {
        let outcomes = join_all((0..10).map(|_| async { client.post(&delivery("{}")).await })).await;
        assert_eq!(outcomes, [Outcome::TimedOut; 10]);
    }
    assert_eq!(asked.load(Relaxed), 1);
    answer.send(false).unwrap();
    wait::until("it is told, and reached", async || client.post(&delivery("{}")).await.status() == Some(200)).await;
}

#[tokio::test]
async fn a_certificate_must_be_of_a_trusted_authority_and_of_this_name() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let good = Receiver::start_tls(Manner::Says(OK), &ours.sign(&["hook.example", "127.0.0.1"])).await;
    let named = |receiver: &Receiver| format!("https://hook.example:{}/", receiver.port());
    let post = async |url: &str, roots: &Authority| {
        let client = client(url, loopback(), leading_to(&[&[HERE]]), Some(&roots.file()));
        client.post(&delivery("{}")).await
    };
    assert_eq!(post(&named(&good), &ours).await.status(), Some(200));
    assert_eq!(post(&format!("https://127.0.0.1:{}/", good.port()), &ours).await.status(), Some(200));
    assert_eq!(post(&named(&good), &other).await, Outcome::TlsFailed);
    assert_eq!(post(&format!("https://else.example:{}/", good.port()), &ours).await, Outcome::TlsFailed);
    let expired = Receiver::start_tls(Manner::Says(OK), &ours.sign_expired(&["hook.example"])).await;
    assert_eq!(post(&named(&expired), &ours).await, Outcome::TlsFailed);
    assert_eq!((good.received().len(), expired.received().len()), (2, 0));
}

#[tokio::test]
async fn a_header_that_http_cannot_carry_is_not_sent() {
    let receiver = Receiver::start(Manner::Says(OK)).await;
    let mut bad = delivery("{}");
    bad.headers.push(("x-injected".to_owned(), "a\r\nx-more: b".to_owned()));
    assert_eq!(client_of(&receiver).post(&bad).await, Outcome::Broken);
    assert_eq!(receiver.received().len(), 0);
}
