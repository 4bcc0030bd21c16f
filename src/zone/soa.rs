//! The SOA record of a zone, and the denials that carry it (RFC 2308).

use std::sync::{Arc, LazyLock};

use crate::config;
use crate::dns::extended_error;
use crate::dns::stored_answer::{AnswerBuilder, Owner, Section, StoredAnswer};
use crate::dns::{Name, Rcode, Record, RecordType};

/// The longest that a denial of ours is believed, in seconds: the file may change.
const MAX_DENIAL_TTL: u32 = 5;

/// The SOA record that negative answers carry.
pub(super) struct Soa {
    pub(super) record: Record,
    /// Whether we made it up, for want of one in the zone's records.
    pub(super) synthesised: bool,
}

/// The zone's own SOA record, else a synthesised one.
pub(super) fn of_zone(zone: &config::Zone) -> Soa {
    let own = zone.records.iter().find(|record| record.rtype == RecordType::SOA && record.owner == zone.name);
    match own {
        Some(record) => Soa { record: record.clone(), synthesised: false },
        None => Soa { record: synthesise(&zone.name, zone.ttl.min(MAX_DENIAL_TTL)), synthesised: true },
    }
}

fn synthesise(zone: &Name, ttl: u32) -> Record {
    // A zone whose name leaves no room for a label stands for its own server.
    let below = |label| Name::from_text(label, zone).unwrap_or_else(|_| zone.clone());
    let mut rdata = Vec::new();
    rdata.extend(below("ns").wire());
    rdata.extend(below("hostmaster").wire());
    // SERIAL, REFRESH, RETRY and EXPIRE mean nothing to anyone but secondaries.
    for number in [1, 3600, 600, 86_400, ttl] {
        rdata.extend(u32::to_be_bytes(number));
    }
    Record { owner: zone.clone(), rtype: RecordType::SOA, ttl, rdata: rdata.into() }
}

/// The same for all zones.
static REFUSED: LazyLock<Arc<StoredAnswer>> =
    LazyLock::new(|| Arc::new(StoredAnswer::bare(Rcode::REFUSED, Some(extended_error::NOT_AUTHORITATIVE))));

/// The negative answers that all names of a zone share.
#[derive(Debug)]
pub(super) struct Denials {
    pub(super) nodata: Arc<StoredAnswer>,
    pub(super) nxdomain: Arc<StoredAnswer>,
    /// For names below a zone cut: without AA, for they are not ours.
    pub(super) refused: Arc<StoredAnswer>,
}

impl Denials {
    pub(super) fn build(zone: &Name, soa: &Record) -> Self {
        // MINIMUM is the last field of the SOA RDATA (RFC 1035, section 3.3.13).
        let minimum = soa.rdata.last_chunk().map_or(0, |octets| u32::from_be_bytes(*octets));
        // RFC 2308, section 3: the TTL of the SOA in a denial is the lower of the two.
        let ttl = soa.ttl.min(minimum);
        let with_soa = |rcode| {
            let mut builder = AnswerBuilder::new(rcode).authoritative();
            // Two names and five numbers always fit into a message.
            let fits = builder.push(Section::Authority, Owner::Name(zone.wire()), RecordType::SOA, ttl, &soa.rdata);
            debug_assert_eq!(fits, Ok(()));
            Arc::new(builder.finish(None))
        };
        Self { nodata: with_soa(Rcode::NOERROR), nxdomain: with_soa(Rcode::NXDOMAIN), refused: Arc::clone(&REFUSED) }
    }
}
