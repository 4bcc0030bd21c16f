//! Rules of nftables, over netlink: a table of our own that lives as long as its socket, and a look at
//! what others have.

use std::io;
use std::net::IpAddr;

use nix::sys::socket::SockProtocol;

use super::netlink::{Attributes, Request, Socket, attribute, attributes, text};

/// Where DNS is asked for.
const PORT: u16 = 53;
/// `NF_IP_PRI_RAW`: before connection tracking, which is at -200.
const RAW: i32 = -300;
/// `NFT_TABLE_F_OWNER`: nobody else may change the table, and it goes with the socket (Linux 5.12).
const OWNED: u32 = 2;

// The attributes of linux/netfilter/nf_tables.h, as libc does not have them.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const META_REGISTER: u16 = 1;
const META_KEY: u16 = 2;
const COMPARE_REGISTER: u16 = 1;
const COMPARE_HOW: u16 = 2;
const COMPARE_DATA: u16 = 3;
const DATA_VALUE: u16 = 1;
const PAYLOAD_REGISTER: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;

/// A chain that the kernel sends packets through by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BaseChain {
    /// `NFPROTO_*`.
    pub(super) family: i32,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) kind: String,
    /// `NF_INET_*`.
    pub(super) hook: i32,
    pub(super) drops: bool,
}

/// Why there is no table.
#[derive(Debug)]
pub(super) enum TableError {
    /// The kernel knows no nftables.
    Unknown,
    /// It knows no tables with an owner.
    Ownerless,
    Refused(io::Error),
}

/// Rules that have connection tracking pass over what is asked of some addresses, and their answers.
/// The kernel removes them when this is dropped, or the process dies.
#[derive(Debug)]
pub(super) struct Table {
    _owner: Socket,
    pub(super) name: String,
}

impl Table {
    /// Puts all rules in at once, or none.
    pub(super) fn install(ips: &[IpAddr]) -> Result<Self, TableError> {
        let mut socket = Socket::open(SockProtocol::NetlinkNetFilter, 0).map_err(without_nftables)?;
        // Two processes in pods may have the same number, two sockets have not.
        let name = format!("zerohop-{}", socket.port().map_err(TableError::Refused)?);
        let mut batch = vec![boundary(libc::NFNL_MSG_BATCH_BEGIN), table(&name)];
        let place = batch.len() - 1;
        for (chain, hook) in [(PREROUTING, libc::NF_INET_PRE_ROUTING), (OUTPUT, libc::NF_INET_LOCAL_OUT)] {
            batch.push(base_chain(&name, chain, hook));
        }
        for &ip in ips {
            for protocol in [libc::IPPROTO_UDP, libc::IPPROTO_TCP] {
                // From pods and from the node itself, and to both.
                batch.push(untracked(&name, PREROUTING, ip, Side::Destination, protocol));
                batch.push(untracked(&name, OUTPUT, ip, Side::Destination, protocol));
                batch.push(untracked(&name, OUTPUT, ip, Side::Source, protocol));
            }
        }
        batch.push(boundary(libc::NFNL_MSG_BATCH_END));
        match socket.transact(&batch) {
            Ok(()) => Ok(Self { _owner: socket, name }),
            Err((0, error)) => Err(without_nftables(error)),
            Err((at, error)) if at == place && is_unknown(&error) => Err(TableError::Ownerless),
            Err((_, error)) => Err(TableError::Refused(error)),
        }
    }
}

const PREROUTING: &str = "prerouting";
const OUTPUT: &str = "output";

/// The end of a packet that an address stands for.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

/// The base chains of all tables; none where the kernel knows no nftables.
pub(super) fn base_chains() -> io::Result<Vec<BaseChain>> {
    let replies = match list(libc::NFT_MSG_GETCHAIN, libc::NFPROTO_UNSPEC, Attributes::default()) {
        Err(error) if is_unknown(&error) => return Ok(Vec::new()),
        replies => replies?,
    };
    Ok(replies.iter().filter_map(|payload| read_chain(payload)).collect())
}

/// Whether a rule of the chain has this word in it, as in a comment.
pub(super) fn mentions(chain: &BaseChain, word: &str) -> io::Result<bool> {
    let which = Attributes::default().text(RULE_TABLE, &chain.table).text(RULE_CHAIN, &chain.name);
    let rules = list(libc::NFT_MSG_GETRULE, chain.family, which)?;
    // Not the names of table and chain, which stand in every rule.
    let within = |rule: &Vec<u8>| {
        let rest = attributes(rule.get(4..).unwrap_or_default()).filter(|(kind, _)| *kind > RULE_CHAIN);
        rest.into_iter().any(|(_, value)| value.windows(word.len()).any(|octets| octets == word.as_bytes()))
    };
    Ok(rules.iter().any(within))
}

fn list(kind: i32, family: i32, which: Attributes) -> io::Result<Vec<Vec<u8>>> {
    let mut socket = Socket::open(SockProtocol::NetlinkNetFilter, 0)?;
    Ok(socket.list(&request(kind, family, 0, which))?.into_iter().map(|reply| reply.payload).collect())
}

fn without_nftables(error: io::Error) -> TableError {
    if is_unknown(&error) { TableError::Unknown } else { TableError::Refused(error) }
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EINVAL))
}

fn read_chain(payload: &[u8]) -> Option<BaseChain> {
    let rest = payload.get(4..)?;
    let hook = attribute(rest, CHAIN_HOOK)?;
    let policy = attribute(rest, CHAIN_POLICY).and_then(big_endian);
    Some(BaseChain {
        family: i32::from(*payload.first()?),
        table: text(attribute(rest, CHAIN_TABLE)?),
        name: text(attribute(rest, CHAIN_NAME)?),
        kind: attribute(rest, CHAIN_TYPE).map(text).unwrap_or_default(),
        hook: big_endian(attribute(hook, HOOK_NUMBER)?)?.cast_signed(),
        drops: policy == Some(libc::NF_DROP.cast_unsigned()),
    })
}

fn big_endian(octets: &[u8]) -> Option<u32> {
    octets.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

/// A request with a `struct nfgenmsg`.
fn request(kind: i32, family: i32, flags: i32, attributes: Attributes) -> Request {
    let kind = u16::try_from(libc::NFNL_SUBSYS_NFTABLES << 8 | kind).unwrap_or_default();
    Request { kind, flags, fixed: vec![u8::try_from(family).unwrap_or_default(), 0, 0, 0], attributes }
}

fn boundary(kind: i32) -> Request {
    let subsystem = u8::try_from(libc::NFNL_SUBSYS_NFTABLES).unwrap_or_default();
    let kind = u16::try_from(kind).unwrap_or_default();
    Request { kind, flags: 0, fixed: vec![0, 0, 0, subsystem], attributes: Attributes::default() }
}

fn table(name: &str) -> Request {
    let attributes = Attributes::default().text(TABLE_NAME, name).octets(TABLE_FLAGS, &OWNED.to_be_bytes());
    request(libc::NFT_MSG_NEWTABLE, libc::NFPROTO_INET, libc::NLM_F_CREATE | libc::NLM_F_EXCL, attributes)
}

fn base_chain(table: &str, name: &str, hook: i32) -> Request {
    let hook = Attributes::default().octets(HOOK_NUMBER, &hook.to_be_bytes()).octets(HOOK_PRIORITY, &RAW.to_be_bytes());
    let attributes = Attributes::default()
        .text(CHAIN_TABLE, table)
        .text(CHAIN_NAME, name)
        .nested(CHAIN_HOOK, &hook)
        .text(CHAIN_TYPE, "filter");
    request(libc::NFT_MSG_NEWCHAIN, libc::NFPROTO_INET, libc::NLM_F_CREATE, attributes)
}

/// A rule that takes what has this address and the DNS port on this side out of connection tracking,
/// and counts it.
fn untracked(table: &str, chain: &str, ip: IpAddr, side: Side, protocol: i32) -> Request {
    let (family, octets, source, destination) = match ip {
        IpAddr::V4(v4) => (libc::NFPROTO_IPV4, v4.octets().to_vec(), 12, 16),
        IpAddr::V6(v6) => (libc::NFPROTO_IPV6, v6.octets().to_vec(), 8, 24),
    };
    let (address, port) = match side {
        Side::Source => (source, 0),
        Side::Destination => (destination, 2),
    };
    let one = |number: i32| [u8::try_from(number).unwrap_or_default()];
    let expressions = [
        meta(libc::NFT_META_NFPROTO),
        equals(&one(family)),
        payload(libc::NFT_PAYLOAD_NETWORK_HEADER, address, &octets),
        equals(&octets),
        meta(libc::NFT_META_L4PROTO),
        equals(&one(protocol)),
        payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER, port, &PORT.to_be_bytes()),
        equals(&PORT.to_be_bytes()),
        expression("counter", &Attributes::default()),
        expression("notrack", &Attributes::default()),
    ];
    let list = expressions.iter().fold(Attributes::default(), |list, one| list.nested(LIST_ELEMENT, one));
    let attributes =
        Attributes::default().text(RULE_TABLE, table).text(RULE_CHAIN, chain).nested(RULE_EXPRESSIONS, &list);
    request(libc::NFT_MSG_NEWRULE, libc::NFPROTO_INET, libc::NLM_F_CREATE | libc::NLM_F_APPEND, attributes)
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::default().text(EXPRESSION_NAME, name).nested(EXPRESSION_DATA, data)
}

/// Loads what is known of the packet.
fn meta(key: i32) -> Attributes {
    let data = Attributes::default()
        .octets(META_REGISTER, &libc::NFT_REG_1.to_be_bytes())
        .octets(META_KEY, &key.to_be_bytes());
    expression("meta", &data)
}

/// Loads as many octets of a header as `like` has.
fn payload(base: i32, offset: u32, like: &[u8]) -> Attributes {
    let length = u32::try_from(like.len()).unwrap_or_default();
    let data = Attributes::default()
        .octets(PAYLOAD_REGISTER, &libc::NFT_REG_1.to_be_bytes())
        .octets(PAYLOAD_BASE, &base.to_be_bytes())
        .octets(PAYLOAD_OFFSET, &offset.to_be_bytes())
        .octets(PAYLOAD_LENGTH, &length.to_be_bytes());
    expression("payload", &data)
}

/// Goes on with the rule if that is what was loaded.
fn equals(value: &[u8]) -> Attributes {
    let data = Attributes::default()
        .octets(COMPARE_REGISTER, &libc::NFT_REG_1.to_be_bytes())
        .octets(COMPARE_HOW, &libc::NFT_CMP_EQ.to_be_bytes())
        .nested(COMPARE_DATA, &Attributes::default().octets(DATA_VALUE, value));
    expression("cmp", &data)
}
