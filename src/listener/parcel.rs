//! Unanswered questions as octets, for the process that comes after this one.
//!
//! In front stands what format it is and when it was written; then question by question: the listener's
//! address, the client's, what was asked where the listener has all addresses, and the packet. Numbers
//! are big-endian. An address is 4 or 6, the IP, the port, and for IPv6 the scope. Whoever reads it
//! believes nothing: a parcel that is not whole is no parcel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use crate::datagram::Asked;

/// The format; another one is not read.
const FORMAT: &[u8] = b"zerohop questions 1\n";
const V4: u8 = 4;
const V6: u8 = 6;
const NOTHING: u8 = 0;

/// A question that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address of the listener.
    pub listener: SocketAddr,
    pub client: SocketAddr,
    /// Where the listener has all addresses: the one that was asked.
    pub asked: Option<Asked>,
    pub packet: Vec<u8>,
}

/// What one process leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// When, by the clock that all processes of this boot share.
    pub written: Duration,
    pub questions: Vec<Question>,
}

impl Parcel {
    /// The parcel as octets, without questions that are too long for any packet.
    pub fn write(&self) -> Vec<u8> {
        let mut octets = FORMAT.to_vec();
        octets.extend(u64::try_from(self.written.as_micros()).unwrap_or(u64::MAX).to_be_bytes());
        for question in &self.questions {
            let Ok(length) = u16::try_from(question.packet.len()) else { continue };
            write_address(&mut octets, question.listener);
            write_address(&mut octets, question.client);
            match question.asked {
                Some(asked) => write_address(&mut octets, with_link(asked)),
                None => octets.push(NOTHING),
            }
            octets.extend(length.to_be_bytes());
            octets.extend(&question.packet);
        }
        octets
    }

    /// `None` when it is none, or not whole.
    pub fn read(octets: &[u8]) -> Option<Self> {
        let mut rest = octets.strip_prefix(FORMAT)?;
        let written = Duration::from_micros(u64::from_be_bytes(take(&mut rest)?));
        let mut questions = Vec::new();
        while !rest.is_empty() {
            let (listener, client) = (read_address(&mut rest)??, read_address(&mut rest)??);
            let asked = read_address(&mut rest)?;
            // A port is the listener's.
            if asked.is_some_and(|asked| asked.port() != 0) {
                return None;
            }
            let asked = asked.map(without_link);
            let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
            let (packet, behind) = rest.split_at_checked(length)?;
            rest = behind;
            questions.push(Question { listener, client, asked, packet: packet.to_vec() });
        }
        Some(Self { written, questions })
    }
}

/// The link stands where the scope of an address does.
fn with_link(asked: Asked) -> SocketAddr {
    match asked.address {
        IpAddr::V4(ip) => (ip, 0).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, 0, 0, asked.link).into(),
    }
}

fn without_link(address: SocketAddr) -> Asked {
    let link = if let SocketAddr::V6(v6) = address { v6.scope_id() } else { 0 };
    Asked { address: address.ip(), link }
}

fn write_address(octets: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            octets.push(V4);
            octets.extend(v4.ip().octets());
            octets.extend(v4.port().to_be_bytes());
        }
        SocketAddr::V6(v6) => {
            octets.push(V6);
            octets.extend(v6.ip().octets());
            octets.extend(v6.port().to_be_bytes());
            octets.extend(v6.scope_id().to_be_bytes());
        }
    }
}

/// The outer `None` is an end within it, or a family that there is not.
#[expect(clippy::option_option, reason = "no address and what is none are two things")]
fn read_address(rest: &mut &[u8]) -> Option<Option<SocketAddr>> {
    Some(match take(rest)? {
        [NOTHING] => None,
        [V4] => {
            let ip = Ipv4Addr::from(take::<4>(rest)?);
            Some((ip, u16::from_be_bytes(take(rest)?)).into())
        }
        [V6] => {
            let (ip, port) = (Ipv6Addr::from(take::<16>(rest)?), u16::from_be_bytes(take(rest)?));
            Some(SocketAddrV6::new(ip, port, 0, u32::from_be_bytes(take(rest)?)).into())
        }
        _ => return None,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        let scoped = |(ip, port, scope): ([u8; 16], u16, u32)| SocketAddrV6::new(ip.into(), port, 0, scope).into();
        prop_oneof![any::<([u8; 4], u16)>().prop_map(SocketAddr::from), any::<([u8; 16], u16, u32)>().prop_map(scoped)]
    }

    fn question() -> impl Strategy<Value = Question> {
        let packet = proptest::collection::vec(any::<u8>(), 0..600);
        let asked = proptest::option::of(address().prop_map(without_link));
        (address(), address(), asked, packet).prop_map(|(listener, client, asked, packet)| Question {
            listener,
            client,
            asked,
            packet,
        })
    }

    fn parcel() -> impl Strategy<Value = Parcel> {
        (any::<u32>(), proptest::collection::vec(question(), 0..20))
            .prop_map(|(written, questions)| Parcel { written: Duration::from_micros(written.into()), questions })
    }

    #[test]
    fn what_was_asked_has_no_port() {
        let address = SocketAddr::from(([192, 0, 2, 1], 0));
        let question =
            Question { listener: address, client: address, asked: Some(without_link(address)), packet: vec![] };
        let mut octets = Parcel { written: Duration::ZERO, questions: vec![question] }.write();
        assert!(Parcel::read(&octets).is_some());
        // In front of the packet's length.
        let port_at = octets.len() - 3;
        octets[port_at] = 1;
        assert_eq!(Parcel::read(&octets), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back_and_what_is_cut_is_not(parcel in parcel(), cut in any::<prop::sample::Index>()) {
            let octets = parcel.write();
            prop_assert_eq!(Parcel::read(&octets), Some(parcel.clone()));
            // At the end of a question it is a parcel with fewer; elsewhere none.
            let cut = &octets[..cut.index(octets.len())];
            if let Some(shorter) = Parcel::read(cut) {
                prop_assert!(parcel.questions.starts_with(&shorter.questions));
                prop_assert_eq!(shorter.write(), cut);
            }
        }

        #[test]
        fn arbitrary_octets_are_read_as_they_would_be_written(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let octets = [FORMAT, &octets[..]].concat();
            if let Some(parcel) = Parcel::read(&octets) {
                prop_assert_eq!(parcel.write(), octets);
            }
        }
    }

    #[test]
    fn another_format_is_no_parcel() {
        assert_eq!(Parcel::read(b""), None);
        let octets = Parcel::default().write();
        assert!(Parcel::read(&octets).is_some());
        assert_eq!(Parcel::read(&[&b"zerohop questions 2\n"[..], &octets[FORMAT.len()..]].concat()), None);
        assert_eq!(Parcel::read(&octets[..octets.len() - 1]), None);
    }

    #[test]
    fn a_packet_that_is_too_long_for_one_is_left_out() {
        let address = "127.0.0.1:53".parse().unwrap();
        let question = |length| Question { listener: address, client: address, asked: None, packet: vec![0; length] };
        let parcel = Parcel { written: Duration::ZERO, questions: vec![question(1 << 16), question(1)] };
        assert_eq!(Parcel::read(&parcel.write()).unwrap().questions, [question(1)]);
    }
}
