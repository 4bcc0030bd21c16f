//! A zone file, and the files that it includes.
//!
//! Input: texts parted by form feeds. The first is the zone file; `$INCLUDE n` reads text n.

use zerohop::dns::message::Message;
use zerohop::dns::name::wire_length;
use zerohop::dns::query::write_upstream_query;
use zerohop::dns::response::{Terms, write_answer};
use zerohop::dns::stored_answer::{AnswerBuilder, Owner, Section};
use zerohop::dns::zone_text::parse;
use zerohop::dns::{Moment, Name, Query, Question, Rcode, Record, RecordType};

use crate::lies_within;

const MAX_TTL: u32 = 0x7fff_ffff;

/// Every fault points into the file, and every record can be sent and read back.
pub fn check(data: &[u8]) {
    let Ok(whole) = std::str::from_utf8(data) else { return };
    let texts: Vec<&str> = whole.split('\u{c}').collect();
    let origin = Name::from_text("example.", &Name::root()).expect("a name");
    let mut reads = 0;
    let mut include = |file: &str| {
        reads += 1;
        let text = file.parse().ok().and_then(|index: usize| texts.get(index));
        // Eight levels of a file that includes many: a deed of the file's owner, no fault of ours.
        text.filter(|_| reads < 100).map(|text| (*text).to_owned()).ok_or("no such text".to_owned())
    };
    let parsed = parse(texts[0], &origin, 30, &mut include);
    for fault in parsed.faults {
        assert!(lies_within(texts[0], fault.line, fault.column), "{fault:?}");
        assert!(!fault.problem.is_empty() && !fault.remedy.is_empty());
    }
    for (record, line) in parsed.records {
        assert!(lies_within(texts[0], line, 1));
        assert!(record.ttl <= MAX_TTL && !record.rtype.is_meta());
        assert_eq!(wire_length(record.owner.wire()), Some(record.owner.wire().len()));
        assert_eq!(Name::from_text(&record.owner.to_string(), &Name::root()), Ok(record.owner.clone()));
        assert_sent(&record);
    }
}

/// Sends the record to whoever asks for it; what they read is the same RDATA.
fn assert_sent(record: &Record) {
    let mut builder = AnswerBuilder::new(Rcode::NOERROR);
    if builder.push(Section::Answer, Owner::Question, record.rtype, record.ttl, &record.rdata).is_err() {
        return;
    }
    let question = Question::new(record.owner.wire(), record.rtype, false, false).expect("a question");
    let packet = write_upstream_query(&question, 1, 1232);
    let mut reply = vec![0; 65_535];
    let query = Query::parse(&packet).expect("a query");
    let length = write_answer(&query, &builder.finish(None), Moment::ORIGIN, 0, Terms::up_to(65_535), &mut reply);
    let message = Message::parse(&reply[..length]).expect("a message");
    let mut rdata = Vec::new();
    message.write_rdata(&message.records[0], &mut rdata).expect("RDATA of the shape of its type");
    assert_eq!(*rdata, *record.rdata);
    // Hickory takes neither empty data, nor names of the full 255 octets, nor, by RFC 6844, tags of
    // more than 15.
    let long_tag = record.rtype == RecordType::CAA && record.rdata.get(1).is_some_and(|&length| length > 15);
    if record.rdata.is_empty() || record.rdata.len() >= 255 || record.owner.wire().len() == 255 || long_tag {
        return;
    }
    if let Err(error) = hickory_proto::op::Message::from_vec(&reply[..length]) {
        panic!("{record:?}: {error}");
    }
}
