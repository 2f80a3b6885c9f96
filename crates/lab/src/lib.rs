//! A mail internet on loopback: signed DNS, a CA, policy hosts, MX hosts, senders and attackers.
