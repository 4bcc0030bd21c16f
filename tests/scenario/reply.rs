//! What upstreams reply, from text.

use std::str::FromStr;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// A reply to `name type` with records in up to three sections, parted by `--`.
pub(crate) fn reply(question: &str, rcode: ResponseCode, records: &str) -> Vec<u8> {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata.response_code = rcode;
    message.add_query(query(question));
    let mut section = 0;
    for line in records.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match (line, section) {
            ("--", _) => section += 1,
            (line, 0) => drop(message.add_answer(record(line))),
            (line, 1) => drop(message.add_authority(record(line))),
            (line, _) => drop(message.add_additional(record(line))),
        }
    }
    message.to_vec().unwrap()
}

fn query(text: &str) -> Query {
    let (name, rtype) = text.split_once(' ').unwrap();
    Query::query(Name::from_str(name).unwrap(), RecordType::from_str(rtype).unwrap())
}

/// `owner ttl type rdata`.
fn record(text: &str) -> Record {
    let words: Vec<&str> = text.splitn(4, ' ').collect();
    let rtype = RecordType::from_str(words[2]).unwrap();
    let rdata = RData::try_from_str(rtype, words[3]).unwrap();
    Record::from_rdata(Name::from_str(words[0]).unwrap(), words[1].parse().unwrap(), rdata)
}
