//! Answers for people to read.

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record};

use super::query::write_upstream_query;
use super::response::{Terms, write_answer};
use super::{Moment, Name, Query, Question, RecordType, StoredAnswer};

/// The records of an answer, each as a line of a zone file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AnswerText {
    pub answers: Vec<String>,
    pub authorities: Vec<String>,
}

/// The records that a client gets for `question`; none if they cannot be shown.
pub fn describe(question: &Question, answer: &StoredAnswer) -> AnswerText {
    let packet = write_upstream_query(question, 0, u16::MAX);
    let Ok(query) = Query::parse(&packet) else { return AnswerText::default() };
    let mut reply = vec![0; usize::from(u16::MAX)];
    let length = write_answer(&query, answer, Moment::default(), 0, Terms::up_to(reply.len()), &mut reply);
    let Ok(message) = Message::from_vec(&reply[..length]) else { return AnswerText::default() };
    let lines = |records: &[Record]| records.iter().map(line).collect();
    AnswerText { answers: lines(&message.answers), authorities: lines(&message.authorities) }
}

fn line(record: &Record) -> String {
    let RData::Unknown { rdata, .. } = &record.data else { return record.to_string() };
    let rtype = RecordType::new(record.record_type().into());
    let octets = rdata.anything.as_slice();
    let data = match Name::from_wire(octets) {
        Some(target) if rtype == RecordType::DNAME => target.to_string(),
        // RFC 3597, section 5.
        _ => octets.iter().fold(format!("\\# {}", octets.len()), |text, octet| format!("{text} {octet:02x}")),
    };
    format!("{} {} IN {rtype} {data}", record.name, record.ttl)
}

#[cfg(test)]
mod tests {
    use super::super::Rcode;
    use super::super::stored_answer::{AnswerBuilder, Owner, Section};
    use super::*;

    #[test]
    fn records_are_lines() {
        let question = Question::new(b"\x01a\x00", RecordType::A, false, false).unwrap();
        let mut builder = AnswerBuilder::new(Rcode::NOERROR);
        builder.push(Section::Answer, Owner::Question, RecordType::A, 30, &[10, 0, 0, 1]).unwrap();
        builder.push(Section::Authority, Owner::Name(b"\x01b\x00"), RecordType::new(65280), 5, &[1]).unwrap();
        builder.push(Section::Authority, Owner::Name(b"\x01b\x00"), RecordType::DNAME, 5, b"\x01c\x00").unwrap();
        let text = describe(&question, &builder.finish(None));
        assert_eq!(text.answers, ["a. 30 IN A 10.0.0.1"]);
        assert_eq!(text.authorities, ["b. 5 IN TYPE65280 \\# 1 01", "b. 5 IN DNAME c."]);
    }
}
