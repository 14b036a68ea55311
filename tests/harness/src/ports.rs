//! Ports of loopback for servers that keep theirs over a restart.
//!
//! Must stay true: a port is below those that Linux gives to connections by itself, so that no connection can hold it when
//! its server starts again, and it is given out once in this program.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::{Fault, fault};

/// The first that is given.
const FIRST: u16 = 10_000;
/// Where Linux says from which port on connections are given theirs.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// If it does not say: its default.
const CONNECTIONS_FROM: u16 = 32_768;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nobody listens on now.
pub fn free_port() -> Result<u16, Fault> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    let count = connections_from().saturating_sub(FIRST).max(1);
    // Other programs look for ports too, so each begins elsewhere.
    let begin = u16::try_from(RandomState::new().hash_one(FIRST) % u64::from(count))?;
    let ports = (0..count).map(|step| FIRST + (begin + step) % count);
    let is_free = |port: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok();
    let port = ports.into_iter().find(|&port| !given.contains(&port) && is_free(port));
    let port = port.ok_or_else(|| fault("every port of loopback is taken"))?;
    given.insert(port);
    Ok(port)
}

fn connections_from() -> u16 {
    let told = std::fs::read_to_string(RANGE).ok();
    let first = told.and_then(|told| told.split_whitespace().next()?.parse().ok());
    first.filter(|&first| first > FIRST).unwrap_or(CONNECTIONS_FROM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_stays_clear_of_connections() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..connections_from()).contains(port)), "{ports:?}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(listener.local_addr().unwrap().port() >= connections_from(), "a connection's port is another one");
    }
}
