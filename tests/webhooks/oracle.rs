//! The address guard, held against Python's `ipaddress`: what we let pass, Python calls global too.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Command, Stdio},
};

use walpost::webhooks::is_public;

use crate::support::chance::Chance;

/// Reads addresses and says of each whether it is global, and nothing special besides.
const SCRIPT: &str = "
import ipaddress, sys
for line in sys.stdin:
    a = ipaddress.ip_address(line.strip())
    a = getattr(a, 'ipv4_mapped', None) or a
    odd = a.is_multicast or a.is_reserved or a.is_loopback or a.is_link_local or a.is_unspecified or a.is_private
    print('global' if a.is_global and not odd else 'not')
";

/// What Python calls global and we do not, with the reason.
const STRICTER: [(&str, &str); 7] = [
    ("192.88.99.0/24", "relays of 6to4 lead elsewhere"),
    ("168.63.129.16/32", "the host of a machine in Azure"),
    ("192.0.0.0/24", "protocol assignments, some of which are anycast"),
    ("2002::/16", "6to4 leads to any address of IPv4"),
    ("2001::/23", "protocol assignments, some of which are anycast"),
    ("fec0::/10", "site-local: given up in 2004, and still no place of the internet"),
    ("3fff::/20", "documentation; new in 2024"),
];

/// Addresses at the edges of networks, and random ones.
fn addresses() -> Vec<IpAddr> {
    let mut chance = Chance::new(Chance::seed("oracle"));
    let mut all: Vec<IpAddr> = Vec::new();
    // Both ends of networks of 16 bits: every third, and all that are multicast or reserved.
    for high in (0..=u16::MAX).step_by(3).chain(u16::MAX - 1024..=u16::MAX) {
        for low in [0, u16::MAX] {
            all.push(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into());
        }
    }
    for network in ["192.0.0.0", "192.0.2.0", "192.88.99.0", "198.51.100.0", "203.0.113.0", "168.63.129.16"] {
        let start = network.parse::<Ipv4Addr>().unwrap().to_bits();
        all.extend((start - 2..start + 260).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))));
    }
    for high in 0..=u16::MAX {
        let random = u128::from(chance.below(u64::MAX));
        all.push(Ipv6Addr::from_bits(u128::from(high) << 112 | random).into());
    }
    for second in (0..=u16::MAX).step_by(7).chain(0..1024) {
        for first in [0x2001_u128, 0x2002, 0x3fff, 0x64] {
            all.push(Ipv6Addr::from_bits(first << 112 | u128::from(second) << 96 | 1).into());
        }
        all.push(Ipv4Addr::from_bits(u32::from(second) << 16 | 1).to_ipv6_mapped().into());
    }
    all
}

#[test]
fn whatever_passes_is_global_in_the_eyes_of_python_too() {
    let addresses = addresses();
    let spawned = Command::new("python3").args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut python) = spawned else {
        println!("there is no python3 to ask");
        return;
    };
    let asked: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let mut stdin = python.stdin.take().unwrap();
    let asking = std::thread::spawn(move || stdin.write_all(asked.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    asking.join().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), addresses.len());
    let stricter: Vec<walpost::webhooks::Cidr> = STRICTER.iter().map(|(network, _)| network.parse().unwrap()).collect();
    let (mut wrong, mut passed) = (Vec::new(), 0);
    for (address, said) in addresses.iter().zip(said.lines()) {
        let is_passed = is_public(*address);
        passed += usize::from(is_passed);
        let is_excused = !is_passed && stricter.iter().any(|network| network.contains(*address));
        if is_passed != (said == "global") && !is_excused {
            wrong.push(format!("{address}: Python says {said}"));
        }
    }
    assert!(passed > 40_000, "{passed}");
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), addresses.len(), &wrong[..wrong.len().min(40)]);
}
