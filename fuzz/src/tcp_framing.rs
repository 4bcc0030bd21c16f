//! Octets of a connection, cut anywhere: always the same messages.
//!
//! Input: how many cuts, the lengths of the pieces, then the octets.

use zerohop::listener::framing::{Frames, PREFIX, framed};

/// However the octets are cut, the same messages are taken and the same rest is left.
pub fn check(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return };
    let (cuts, stream) = rest.split_at(rest.len().min(usize::from(count)));
    let (expected, left) = model(stream);

    let lengths = cuts.iter().map(|&cut| 1 + usize::from(cut)).chain(std::iter::repeat(usize::MAX));
    for pieces in [split(stream, lengths), split(stream, std::iter::repeat(1)), vec![stream]] {
        let mut frames = Frames::with_capacity(usize::from(count));
        let mut taken = Vec::new();
        for piece in pieces {
            frames.incoming().extend_from_slice(piece);
            while let Some(message) = frames.next_message() {
                taken.push(message.to_vec());
            }
        }
        assert_eq!(taken, expected);
        assert_eq!(frames.has_rest(), !left.is_empty());
        assert_eq!(frames.incoming().as_slice(), left);
    }

    let mut again = Vec::new();
    for message in &expected {
        let mut buffer = [&[0xff; PREFIX], message.as_slice(), b"behind"].concat();
        again.extend_from_slice(framed(&mut buffer, message.len()));
    }
    assert_eq!(again, stream[..stream.len() - left.len()]);
}

/// All messages of a whole stream, and what is left of it.
fn model(mut stream: &[u8]) -> (Vec<Vec<u8>>, &[u8]) {
    let mut messages = Vec::new();
    while let [high, low, rest @ ..] = stream {
        let length = usize::from(*high) * 256 + usize::from(*low);
        if rest.len() < length {
            break;
        }
        messages.push(rest[..length].to_vec());
        stream = &rest[length..];
    }
    (messages, stream)
}

fn split(mut stream: &[u8], lengths: impl Iterator<Item = usize>) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    for length in lengths {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(length.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
