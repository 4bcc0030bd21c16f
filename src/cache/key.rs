//! What an answer is found by.

use crate::dns::Question;
use crate::dns::name::MAX_NAME;

/// The identity of a zone's forwarding and the question's own key, owned.
pub type Key = Box<[u8]>;

const IDENTITY: usize = size_of::<u64>();
/// Identity, the longest name, type, class and flags.
const LONGEST: usize = IDENTITY + MAX_NAME + 5;

/// A key on the stack, for looking up.
///
/// The identity stands in front: an answer that was got by other rules (another zone, other
/// servers, other TTL bounds) has another key, and is never found after a change of configuration.
pub struct KeyBuffer {
    bytes: [u8; LONGEST],
    length: usize,
}

impl KeyBuffer {
    pub fn new(identity: u64, question: &Question) -> Self {
        let mut bytes = [0; LONGEST];
        let key = question.key();
        let length = IDENTITY + key.len();
        bytes[..IDENTITY].copy_from_slice(&identity.to_be_bytes());
        bytes[IDENTITY..length].copy_from_slice(key);
        Self { bytes, length }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub fn to_key(&self) -> Key {
        self.as_bytes().into()
    }
}
