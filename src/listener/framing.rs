//! The length in front of each message of a connection (RFC 1035, section 4.2.2). However the
//! octets are cut up on their way, the same messages come out.

/// Octets of the length.
pub const PREFIX: usize = 2;

/// The octets of a connection that have come and not been taken yet.
#[derive(Debug, Default)]
pub struct Frames {
    octets: Vec<u8>,
    /// Where the next message's length stands.
    at: usize,
}

impl Frames {
    /// Frames with room for this many octets before anything is allocated.
    pub fn with_capacity(octets: usize) -> Self {
        Self { octets: Vec::with_capacity(octets), at: 0 }
    }

    /// Where octets that arrive are appended.
    pub fn incoming(&mut self) -> &mut Vec<u8> {
        self.forget_taken();
        &mut self.octets
    }

    /// Takes the next whole message, without its length; `None` until more octets have come.
    pub fn next_message(&mut self) -> Option<&[u8]> {
        let start = self.at + PREFIX;
        let prefix = self.octets.get(self.at..).and_then(<[u8]>::first_chunk::<PREFIX>);
        let end = prefix.map(|prefix| start + usize::from(u16::from_be_bytes(*prefix)));
        match end.filter(|&end| end <= self.octets.len()) {
            Some(end) => {
                self.at = end;
                self.octets.get(start..end)
            }
            None => {
                self.forget_taken();
                None
            }
        }
    }

    /// Once for all that were taken, so that many small ones do not move the rest often.
    fn forget_taken(&mut self) {
        self.octets.drain(..self.at);
        self.at = 0;
    }

    /// Whether a whole message is there to be taken.
    pub fn has_message(&self) -> bool {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let length = rest.first_chunk::<PREFIX>().map(|prefix| usize::from(u16::from_be_bytes(*prefix)));
        length.is_some_and(|length| rest.len() >= PREFIX + length)
    }

    /// Whether octets are left that have not been taken: after `None`, a message that has begun.
    pub fn has_rest(&self) -> bool {
        self.at < self.octets.len()
    }
}

/// How many messages stand one behind the other in `octets`.
pub fn count(mut octets: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((prefix, rest)) = octets.split_first_chunk::<PREFIX>() {
        octets = rest.get(usize::from(u16::from_be_bytes(*prefix))..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Puts the length in front of the message of `length` octets that stands in `buffer` behind
/// [`PREFIX`] octets, and returns both.
pub fn framed(buffer: &mut [u8], length: usize) -> &[u8] {
    let prefix = u16::try_from(length).unwrap_or(0);
    buffer[..PREFIX].copy_from_slice(&prefix.to_be_bytes());
    &buffer[..PREFIX + length]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(frames: &mut Frames) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| frames.next_message().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn a_whole_message_is_told_from_a_part() {
        let mut frames = Frames::default();
        for (octet, whole) in [(0, false), (1, false), (9, true), (0, true)] {
            frames.incoming().push(octet);
            assert_eq!(frames.has_message(), whole);
        }
        assert_eq!(frames.next_message(), Some(&[9][..]));
        assert!(!frames.has_message() && frames.has_rest());
    }

    #[test]
    fn a_message_is_taken_when_its_last_octet_has_come() {
        let mut frames = Frames::with_capacity(16);
        for octet in [0, 2, 7] {
            frames.incoming().push(octet);
            assert_eq!(frames.next_message(), None);
            assert!(frames.has_rest());
        }
        frames.incoming().extend_from_slice(&[8, 0, 0, 0]);
        assert_eq!(count(frames.incoming()), 2);
        assert_eq!(taken(&mut frames), [vec![7, 8], vec![]]);
        assert!(frames.has_rest(), "half a length");
        assert_eq!(frames.incoming().as_slice(), [0]);
    }

    proptest! {
        #[test]
        fn any_cuts_give_the_same_messages(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            cuts in prop::collection::vec(1_usize..400, 1..8),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                let mut buffer = [&[0; PREFIX], message.as_slice()].concat();
                stream.extend_from_slice(framed(&mut buffer, message.len()));
            }
            let (mut frames, mut found, mut rest) = (Frames::default(), Vec::new(), stream.as_slice());
            for cut in cuts.into_iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                frames.incoming().extend_from_slice(now);
                found.append(&mut taken(&mut frames));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, messages);
            prop_assert!(!frames.has_rest());
        }
    }
}
