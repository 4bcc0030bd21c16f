//! Lines of JSON over a stream.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest line, in octets.
pub(super) const MAX_LINE: usize = 4096;

/// A message as it is sent.
pub(super) fn written(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Takes the first message out of what has come; `None` while it is not whole.
///
/// # Errors
/// When it is too long, or is none.
pub(super) fn next<M: DeserializeOwned>(come: &mut Vec<u8>) -> io::Result<Option<M>> {
    match come.iter().position(|&octet| octet == b'\n') {
        Some(end) => {
            let line: Vec<u8> = come.drain(..=end).collect();
            Ok(Some(serde_json::from_slice(&line)?))
        }
        None if come.len() >= MAX_LINE => Err(io::ErrorKind::InvalidData.into()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn messages_come_in_pieces_and_together() {
        let mut come = written(&Request::Health).unwrap();
        come.extend(written(&Request::Reload).unwrap());
        let rest = come.split_off(20);
        assert_eq!(next(&mut come).unwrap(), Some(Request::Health));
        assert_eq!(next::<Request>(&mut come).unwrap(), None);
        come.extend(rest);
        assert_eq!(next(&mut come).unwrap(), Some(Request::Reload));
        assert!(come.is_empty());
    }

    #[test]
    fn what_is_no_message_ends_it() {
        assert!(next::<Request>(&mut vec![b' '; MAX_LINE]).is_err());
        for text in ["{}\n", "\n", "{\"verb\":\"dance\"}\n", "\u{0}\n"] {
            assert!(next::<Request>(&mut text.as_bytes().to_vec()).is_err(), "{text:?}");
        }
    }
}
