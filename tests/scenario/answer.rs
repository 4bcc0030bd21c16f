//! What a client reads in a reply.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

/// A reply as a client sees it.
pub(crate) struct Answer {
    pub(crate) octets: Vec<u8>,
}

impl Answer {
    pub(crate) fn message(&self) -> Message {
        Message::from_vec(&self.octets).unwrap()
    }

    pub(crate) fn rcode(&self) -> ResponseCode {
        self.message().metadata.response_code
    }

    /// The answer section, a line a record: `owner ttl IN type rdata`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.message().answers.iter().map(ToString::to_string).collect()
    }

    /// The RDATA of the answer section, sorted.
    pub(crate) fn data(&self) -> Vec<String> {
        let mut data: Vec<String> = self.message().answers.iter().map(|record| record.data.to_string()).collect();
        data.sort();
        data
    }

    /// The SOA's TTL in the authority section.
    pub(crate) fn negative_ttl(&self) -> Option<u32> {
        self.message().authorities.iter().find(|record| record.record_type() == RecordType::SOA).map(|soa| soa.ttl)
    }

    /// The EXTRA-TEXT of an Extended DNS Error that has one.
    pub(crate) fn extra_text(&self) -> String {
        let options = self.octets.windows(4).position(|octets| octets[..3] == [0, 15, 0] && octets[3] > 2);
        let text = options.map_or(&[][..], |at| &self.octets[at + 6..at + 4 + usize::from(self.octets[at + 3])]);
        String::from_utf8(text.to_vec()).unwrap()
    }

    /// The INFO-CODE of an Extended DNS Error without text; it is the only option that we send.
    pub(crate) fn extended_error(&self) -> Option<u16> {
        let option = self.octets.len().checked_sub(6)?;
        let is_error = self.octets[option..option + 4] == [0, 15, 0, 2];
        is_error.then(|| u16::from_be_bytes([self.octets[option + 4], self.octets[option + 5]]))
    }
}
