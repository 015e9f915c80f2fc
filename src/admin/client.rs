//! Asks the admin port of a walpost on this host, as `walpost status` and `walpost doctor` do.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// No answer of ours is longer.
const MAX_BYTES: u64 = 256 * 1024;

/// What `/status` says; none if nothing listens there.
pub async fn status(listen: SocketAddr) -> Result<Option<Value>, AskError> {
    let address = reachable(listen);
    let mut socket = match TcpStream::connect(address).await {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let request = format!("GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.take(MAX_BYTES).read_to_end(&mut answer).await?;
    parse(&answer).map(Some).ok_or(AskError::NotWalpost)
}

/// Where a port can be asked that listens everywhere.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The body of an answer with status 200, if it is one of ours.
fn parse(answer: &[u8]) -> Option<Value> {
    let answer = str::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if head.split(' ').nth(1) != Some("200") {
        return None;
    }
    let value: Value = serde_json::from_str(body).ok()?;
    value.get("phase").is_some().then_some(value)
}

/// The port could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The socket failed.
    #[error("the admin port cannot be asked: {0}")]
    Io(#[from] io::Error),
    /// Something else listens there.
    #[error("what listens at admin.listen is not walpost")]
    NotWalpost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_everywhere_is_asked_here() {
        let asked = |listen: &str| reachable(listen.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(asked("[::]:1"), "[::1]:1");
        assert_eq!(asked("10.0.0.1:2"), "10.0.0.1:2");
    }

    #[test]
    fn only_an_answer_of_ours_is_taken() {
        assert!(parse(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{\"phase\": \"leading\"}").is_some());
        for other in
            [&b"HTTP/1.1 404 Not Found\r\n\r\n{\"phase\": 1}"[..], b"HTTP/1.1 200 OK\r\n\r\n{}", b"SSH-2.0", b"\xff"]
        {
            assert_eq!(parse(other), None);
        }
    }
}
