//! An answer that has run out, made ready to be given all the same.

use super::extended_error::{STALE_ANSWER, STALE_NXDOMAIN_ANSWER};
use super::{Rcode, StoredAnswer};

impl StoredAnswer {
    /// The same records, said to be stale and all with this TTL (RFC 8767, section 4), which stands.
    /// Nobody vouches for them any more: AD is not set.
    pub fn stale(&self, ttl: u32) -> Self {
        let error = if self.rcode == Rcode::NXDOMAIN { STALE_NXDOMAIN_ANSWER } else { STALE_ANSWER };
        let mut stale = self.with_ttl(ttl);
        (stale.authentic, stale.extended_error, stale.extra_text) = (false, Some(error), "");
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::stored_answer::{AnswerBuilder, Owner, Section};
    use crate::dns::{Moment, RecordType};

    #[test]
    fn every_record_has_the_stale_ttl_and_nobody_vouches_for_it() {
        let mut builder = AnswerBuilder::new(Rcode::NOERROR).authentic(true);
        for last in 0..3 {
            builder.push(Section::Answer, Owner::Question, RecordType::A, 5, &[10, 0, 0, last]).unwrap();
        }
        let stale = builder.finish(Some(Moment::default())).stale(30);
        assert_eq!((stale.lowest_ttl(), stale.authentic, stale.stored_at()), (Some(30), false, None));
        assert_eq!(stale.extended_error(), Some(3));
        assert_eq!(StoredAnswer::bare(Rcode::NXDOMAIN, None).stale(30).extended_error(), Some(19));
    }
}
