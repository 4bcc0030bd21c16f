//! Answers made of other questions' answers: a CNAME chain that was walked here, joined to one, and
//! the denial of a name, for a name below it.

use super::message::{Malformed, Message};
use super::query::write_upstream_query;
use super::response::{Terms, write_answer};
use super::stored_answer::{AnswerBuilder, Owner, Section};
use super::{Moment, Query, Question, RecordType, StoredAnswer};

/// Joins the answers to each step's question into one answer to the first question: the chain in
/// walk order, then whatever the last step has to say. TTLs are those of `now`; they count down
/// from there if `ageing`, and stand still otherwise. An extended error is that of the last step.
///
/// # Errors
/// [`Malformed`] when there is no step, or the whole does not fit into a message.
pub fn join<'a>(
    steps: impl Iterator<Item = (&'a Question, &'a StoredAnswer)> + Clone,
    now: Moment,
    ageing: bool,
) -> Result<StoredAnswer, Malformed> {
    let (first_question, first) = steps.clone().next().ok_or(Malformed)?;
    let (last_question, last) = steps.clone().last().ok_or(Malformed)?;
    let mut builder = AnswerBuilder::for_question(last.rcode, first_question.name());
    // RFC 1034, section 6.2.7: AA speaks for the name that was asked.
    if first.authoritative {
        builder = builder.authoritative();
    }
    let mut copy = Copy { builder, rdata: Vec::new() };
    for (question, answer) in steps {
        copy.section(Section::Answer, question, answer, now)?;
    }
    copy.section(Section::Authority, last_question, last, now)?;
    copy.section(Section::Additional, last_question, last, now)?;
    let mut joined = copy.builder.finish(ageing.then_some(now));
    (joined.extended_error, joined.extra_text) = (last.extended_error, last.extra_text);
    Ok(joined)
}

/// The denial of the name in `ancestor`, for `question` about a name below it (RFC 8020): the same
/// proof, for as long as it still holds.
///
/// # Errors
/// [`Malformed`] when it does not fit into a message.
pub fn inherit(
    question: &Question,
    ancestor: &Question,
    denial: &StoredAnswer,
    now: Moment,
) -> Result<StoredAnswer, Malformed> {
    let builder = AnswerBuilder::for_question(denial.rcode, question.name()).authentic(denial.authentic);
    let mut copy = Copy { builder, rdata: Vec::new() };
    copy.section(Section::Authority, ancestor, denial, now)?;
    Ok(copy.builder.finish(Some(now)))
}

struct Copy<'q> {
    builder: AnswerBuilder<'q>,
    rdata: Vec<u8>,
}

impl Copy<'_> {
    /// Spells an answer out as a message and takes the records of one section from it.
    fn section(
        &mut self,
        section: Section,
        question: &Question,
        answer: &StoredAnswer,
        now: Moment,
    ) -> Result<(), Malformed> {
        let asked = write_upstream_query(question, 0, 0);
        let query = Query::parse(&asked).map_err(|_| Malformed)?;
        let mut out = vec![0; usize::from(u16::MAX)];
        let length = write_answer(&query, answer, now, 0, Terms::up_to(65_535), &mut out);
        let message = Message::parse(&out[..length])?;
        for record in message.section(section).filter(|record| record.rtype != RecordType::OPT) {
            self.rdata.clear();
            message.write_rdata(record, &mut self.rdata)?;
            let owner = message.owner(record)?;
            self.builder
                .push(section, Owner::Name(owner.wire()), record.rtype, record.ttl_field, &self.rdata)
                .map_err(|_| Malformed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::Rcode;

    #[test]
    fn a_local_alias_and_a_cached_target_become_one_answer() {
        let alias = Question::new(b"\x01a\x00", RecordType::A, false, false).unwrap();
        let target = Question::new(b"\x01b\x05other\x00", RecordType::A, false, false).unwrap();
        let mut local = AnswerBuilder::new(Rcode::NOERROR).authoritative();
        local.push(Section::Answer, Owner::Question, RecordType::CNAME, 30, target.name()).unwrap();
        let local = local.finish(None);
        let mut cached = AnswerBuilder::for_question(Rcode::NOERROR, target.name());
        cached.push(Section::Answer, Owner::Name(target.name()), RecordType::A, 60, &[10, 0, 0, 1]).unwrap();
        let cached = cached.finish(Some(Moment::default()));
        let now = Moment::default() + Duration::from_secs(20);
        let joined = join([(&alias, &local), (&target, &cached)].into_iter(), now, true).unwrap();

        let asked = write_upstream_query(&alias, 7, 1232);
        let mut out = [0; 512];
        let query = Query::parse(&asked).unwrap();
        let length = write_answer(&query, &joined, now + Duration::from_secs(5), 0, Terms::up_to(512), &mut out);
        let read = hickory_proto::op::Message::from_vec(&out[..length]).unwrap();
        let lines: Vec<String> = read.answers.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["a. 25 IN CNAME b.other.", "b.other. 35 IN A 10.0.0.1"]);
        assert!(read.metadata.authoritative);
    }
}
