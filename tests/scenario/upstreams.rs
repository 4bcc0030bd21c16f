//! Upstreams that do as a script says, and remember what they were asked.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use zerohop::clock::Clock;
use zerohop::dns::Question;
use zerohop::dns::name::write_text;
use zerohop::dns::query::write_upstream_query;
use zerohop::upstream::matching::{Match, classify};
use zerohop::upstream::{Exchange, Exchanged, Reply, Server, Way};

use crate::reply::reply;
use crate::world::millis;

/// What an upstream does with one question.
#[derive(Clone)]
pub(crate) enum Act {
    /// Replies with these records, sections parted by `--`, after a while.
    Reply { after: Duration, rcode: ResponseCode, records: String },
    /// Says nothing.
    Silence,
    /// The packet gets lost; a stream sends it again.
    Lost(String),
    /// The network says that it is not there.
    Unreachable,
    /// Replies with a message that claims more records than it has.
    Garbage,
    /// Replies with these octets.
    Octets(Vec<u8>),
    /// Sends these packets, one each 100 ms, which count if they are the reply to a query with
    /// [`ID`]. Behind one that is truncated, the next comes over TCP.
    Packets(Vec<Vec<u8>>),
}

/// The ID of queries, both to the line and from it.
pub(crate) const ID: u16 = 0x4242;

/// What a question that comes without EDNS ends with.
pub(crate) const WITHOUT_EDNS: &str = ", without EDNS";

impl Act {
    pub(crate) fn data(records: &str) -> Self {
        Self::Reply { after: Duration::from_millis(1), rcode: ResponseCode::NoError, records: records.to_owned() }
    }

    pub(crate) fn rcode(rcode: ResponseCode) -> Self {
        Self::Reply { after: Duration::from_millis(1), rcode, records: String::new() }
    }

    pub(crate) fn nxdomain(soa: &str) -> Self {
        let records = format!("--\n{soa}");
        Self::Reply { after: Duration::from_millis(1), rcode: ResponseCode::NXDomain, records }
    }

    /// NXDOMAIN at the end of an alias.
    pub(crate) fn nxdomain_behind(alias: &str, soa: &str) -> Self {
        let records = format!("{alias}\n--\n{soa}");
        Self::Reply { after: Duration::from_millis(1), rcode: ResponseCode::NXDomain, records }
    }

    pub(crate) fn late(self, after: Duration) -> Self {
        match self {
            Self::Reply { rcode, records, .. } => Self::Reply { after, rcode, records },
            other => other,
        }
    }
}

type Script = Box<dyn Fn(SocketAddr, &str) -> Act>;

/// Upstreams that follow a script and remember what they were asked.
pub(crate) struct Upstreams {
    clock: Clock,
    pub(crate) script: RefCell<Option<Script>>,
    pub(crate) asked: RefCell<Vec<(SocketAddr, String)>>,
    /// The same, but over a stream from the start.
    pub(crate) streamed: Cell<usize>,
    /// How often servers that were set aside were asked whether they are back.
    pub(crate) probes: Cell<usize>,
    /// The queries that tell of loops.
    pub(crate) loop_checks: RefCell<Vec<(SocketAddr, Vec<u8>)>>,
    pub(crate) says_to_loop_checks: Cell<Option<ResponseCode>>,
}

impl Exchange for Upstreams {
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question, way: Way) -> Exchanged<'a> {
        let mut text = String::new();
        write_text(question.name(), &mut text).unwrap();
        let text = format!("{text} {}", question.rtype());
        let asked = format!("{text}{}", if question.has_edns() { "" } else { WITHOUT_EDNS });
        match way {
            Way::Usual => self.asked.borrow_mut().push((server.address, asked)),
            Way::Stream => self.streamed.set(self.streamed.get() + 1),
        }
        self.act(server.address, text, question, way)
    }
}

impl Upstreams {
    pub(crate) fn new(clock: Clock) -> Self {
        let (script, asked, streamed, probes, loop_checks, says_to_loop_checks) = Default::default();
        Self { clock, script, asked, streamed, probes, loop_checks, says_to_loop_checks }
    }

    fn act<'a>(&'a self, server: SocketAddr, text: String, question: &'a Question, way: Way) -> Exchanged<'a> {
        let asked = format!("{text}{}", if question.has_edns() { "" } else { WITHOUT_EDNS });
        let act = self.script.borrow().as_ref().map_or(Act::Silence, |script| script(server, &asked));
        Box::pin(async move {
            let octets = match act {
                Act::Reply { after, rcode, records } => {
                    tokio::time::sleep(after).await;
                    reply(&text, rcode, &records)
                }
                Act::Lost(records) if way == Way::Stream => {
                    tokio::time::sleep(millis(200)).await;
                    reply(&text, ResponseCode::NoError, &records)
                }
                Act::Silence | Act::Lost(_) => std::future::pending().await,
                Act::Unreachable => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into()),
                Act::Garbage => {
                    let mut octets = reply(&text, ResponseCode::NoError, "");
                    octets[7] = 9;
                    octets
                }
                Act::Octets(octets) => octets,
                Act::Packets(packets) => arrive(packets, question).await,
            };
            Ok(Reply { octets, arrived: self.clock.now() })
        })
    }
}

/// Waits for the packet that is the reply, as an exchange over sockets does.
async fn arrive(packets: Vec<Vec<u8>>, question: &Question) -> Vec<u8> {
    let mut over_tcp = false;
    for packet in packets {
        match (classify(&packet, ID, question), over_tcp) {
            (Match::Reply, _) | (Match::Truncated, true) => return packet,
            (Match::Truncated, false) => over_tcp = true,
            (Match::Foreign, _) => {}
        }
        tokio::time::sleep(millis(100)).await;
    }
    std::future::pending().await
}

/// The same upstreams as the prober sees them.
pub(crate) struct Probed(pub(crate) Rc<Upstreams>);

impl Exchange for Probed {
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question, way: Way) -> Exchanged<'a> {
        self.0.probes.set(self.0.probes.get() + 1);
        self.0.act(server.address, ". NS".to_owned(), question, way)
    }
}

/// The same upstreams as they are watched for loops: to such questions they say nothing, unless told.
pub(crate) struct Watched(pub(crate) Rc<Upstreams>);

impl Exchange for Watched {
    fn exchange<'a>(&'a self, server: &'a Arc<Server>, question: &'a Question, _: Way) -> Exchanged<'a> {
        let query = write_upstream_query(question, ID, 1232);
        self.0.loop_checks.borrow_mut().push((server.address, query));
        let says = self.0.says_to_loop_checks.get();
        Box::pin(async move {
            let Some(rcode) = says else { return std::future::pending().await };
            tokio::time::sleep(millis(500)).await;
            Ok(Reply { octets: reply(". TXT", rcode, ""), arrived: self.0.clock.now() })
        })
    }
}
