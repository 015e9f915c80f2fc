//! The guard, address by address. `tests/webhooks/oracle.rs` holds it against somebody else's judgement.

use proptest::prelude::*;

use super::*;

/// Addresses that nobody on the internet has, or that lead elsewhere.
const REFUSED: [&str; 62] = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Neighbours of those, and well-known ones.
const PUBLIC: [&str; 32] = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2003::1",
    "2400:cb00::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001::1",
    "3ffe:ffff::1",
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

#[test]
fn what_is_not_of_the_public_internet_is_refused_up_to_its_edges() {
    for text in REFUSED {
        assert!(!is_public(address(text)), "{text}");
    }
    for text in PUBLIC {
        assert!(is_public(address(text)), "{text}");
    }
}

#[test]
fn what_is_allowed_is_admitted_and_nothing_beside_it() {
    let networks = ["127.0.0.1", "10.1.0.0/16", "fd00::/8"].map(|text| text.parse().unwrap());
    let guard = Guard::allowing(networks.into());
    for text in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.255.255", "fd12::1", "8.8.8.8"] {
        assert!(guard.admits(address(text)), "{text}");
    }
    for text in ["127.0.0.2", "10.0.255.255", "10.2.0.0", "fc00::1", "::1", "169.254.169.254"] {
        assert!(!guard.admits(address(text)), "{text}");
    }
    assert!(!Guard::default().admits(address("127.0.0.1")));
}

#[test]
fn ports_are_those_that_are_allowed_and_any_if_nobody_said() {
    let guard = Guard::allowing(vec!["10.1.0.0/16".parse().unwrap()]);
    for port in [1, 22, 443, 6379, u16::MAX] {
        assert!(guard.admits_port(port) && Guard::default().admits_port(port), "{port}");
    }
    let guard = guard.at_ports(Ports::of_the_web());
    assert!(guard.admits(address("10.1.2.3")) && guard.admits_port(443) && !guard.admits_port(6379));
    assert_eq!(guard.ports(), &Ports::of_the_web());
}

#[test]
fn networks_are_read_or_refused() {
    for text in ["0.0.0.0/0", "10.0.0.0/8", "127.0.0.1/32", "::/0", "fd00::/8", "::1/128"] {
        assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
    }
    assert_eq!("127.0.0.1".parse::<Cidr>().unwrap().to_string(), "127.0.0.1/32");
    for text in
        ["", "10", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0.0/8/8", "localhost", "10.0.0.0 /8"]
    {
        assert_eq!(text.parse::<Cidr>(), Err(CidrError::Unreadable), "{text}");
    }
    assert_eq!("10.0.0.1/8".parse::<Cidr>(), Err(CidrError::BitsBehindPrefix));
    assert_eq!("::ffff:10.0.0.0/104".parse::<Cidr>(), Err(CidrError::Mapped));
}

proptest! {
    #[test]
    fn a_network_contains_what_shares_its_prefix(bits: u32, other: u32, prefix in 0_u8..=32) {
        let behind = if prefix == 0 { u32::MAX } else { u32::MAX.checked_shr(prefix.into()).unwrap_or(0) };
        let network = Cidr { network: Ipv4Addr::from_bits(bits & !behind).into(), prefix };
        let expected = bits & !behind == other & !behind;
        prop_assert_eq!(network.contains(Ipv4Addr::from_bits(other).into()), expected);
        prop_assert!(!network.contains(Ipv6Addr::from_bits(other.into()).into()));
    }

    #[test]
    fn outside_of_2000_3_no_address_of_ipv6_is_public(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        let is_mapped = address.to_ipv4_mapped().is_some();
        prop_assert!(is_mapped || bits >> 125 == 1 || !is_public(address.into()));
    }
}
