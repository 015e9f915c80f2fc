//! The address guard: which addresses, and which ports, may be connected to.
//!
//! Endpoints are written by people who need not be friends, and their names resolve to whatever their owners like. So every
//! address is judged where the connection is made, after the name was resolved; what is not public is refused unless the
//! configuration allows it. The lists are those of IANA: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>. Where a registry leaves a doubt, the answer is no.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use super::ports::Ports;

/// IPv4 networks that are not public.
const V4_REFUSED: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared by carriers (CGNAT)
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, and the metadata service of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, and broadcast
    (Ipv4Addr::new(168, 63, 129, 16), 32), // the host of Azure's machines: public by number, private by use
];

/// The only part of IPv6 that is given out for the internet. Everything outside is refused: loopback, IPv4-compatible, NAT64
/// (64:ff9b::/96, 64:ff9b:1::/48), discard-only, SRv6 (5f00::/16), unique local, link-local, site-local, multicast.
const V6_GLOBAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// What is not public inside it.
const V6_REFUSED: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4: leads to any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whether an address is one of the public internet. One that is IPv4 in the clothes of IPv6 (`::ffff:a.b.c.d`) is judged as
/// what it leads to.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => !V4_REFUSED.iter().any(|(network, prefix)| is_in(v4.into(), (*network).into(), *prefix)),
        IpAddr::V6(v6) => {
            is_in(v6.into(), V6_GLOBAL.0.into(), V6_GLOBAL.1)
                && !V6_REFUSED.iter().any(|(network, prefix)| is_in(v6.into(), (*network).into(), *prefix))
        }
    }
}

/// What may be connected to: public addresses, and the networks that somebody allowed; there, the ports that may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    allowed: Vec<Cidr>,
    ports: Ports,
}

impl Guard {
    /// Allows these networks besides public addresses, and any port.
    pub fn allowing(allowed: Vec<Cidr>) -> Self {
        Self { allowed, ports: Ports::any() }
    }

    /// The same with these ports alone.
    pub fn at_ports(self, ports: Ports) -> Self {
        Self { ports, ..self }
    }

    /// The ports that may be connected to.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Whether this port may be connected to, wherever it is.
    pub fn admits_port(&self, port: u16) -> bool {
        self.ports.contains(port)
    }

    /// Whether this address may be connected to.
    pub fn admits(&self, address: IpAddr) -> bool {
        is_public(address) || self.allowed.iter().any(|network| network.contains(address))
    }
}

/// A network: an address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        is_in(address.to_canonical(), self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    /// `10.0.0.0/8`, `fd00::/8`, or one address. Bits behind the prefix must be zero: they are a mistake, mostly.
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| CidrError::Unreadable)?;
        let longest = bits_of(network);
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= longest).ok_or(CidrError::Unreadable)?
            }
            Some(_) => return Err(CidrError::Unreadable),
        };
        if number(network) & !mask(longest, prefix) != 0 {
            return Err(CidrError::BitsBehindPrefix);
        }
        if network.to_canonical() != network {
            return Err(CidrError::Mapped);
        }
        Ok(Self { network, prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Why a network is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// No address, or no prefix of its length.
    #[error("not a network such as 10.0.0.0/8 or fd00::/8")]
    Unreadable,
    /// The address is not the first of the network.
    #[error("there are bits behind the prefix of the network")]
    BitsBehindPrefix,
    /// IPv4 written as IPv6.
    #[error("write an IPv4 network as such")]
    Mapped,
}

/// Whether `address` is in the network; never so for one of the other family.
fn is_in(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let bits = bits_of(network);
    bits_of(address) == bits && (number(address) ^ number(network)) & mask(bits, prefix) == 0
}

/// The first `prefix` of `bits` bits.
fn mask(bits: u8, prefix: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(bits));
    let behind = u32::from(bits.saturating_sub(prefix));
    all & !all.checked_shr(u32::from(bits) - behind).unwrap_or(0)
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

#[cfg(test)]
#[path = "address/tests.rs"]
mod tests;
