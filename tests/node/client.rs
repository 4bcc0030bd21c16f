//! A tiny DNS client: one question, one reply, the octets of both kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};

use super::wait::PATIENCE;

/// EDNS option COOKIE (RFC 7873).
pub(crate) const COOKIE: u16 = 10;
/// How long a server that may not be there yet gets.
const MOMENT: Duration = Duration::from_millis(200);

/// A question to be sent.
#[derive(Clone)]
pub(crate) struct Ask {
    message: Message,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) octets: Vec<u8>,
    pub(crate) message: Message,
}

/// Asks one question over UDP without EDNS.
pub(crate) fn ask(server: SocketAddr, name: &str, rtype: RecordType) -> Reply {
    Ask::new(name, rtype).udp(server)
}

impl Ask {
    pub(crate) fn new(name: &str, rtype: RecordType) -> Self {
        let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        // Spelled as given: hickory keeps the case.
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
        Self { message }
    }

    pub(crate) fn edns(mut self, size: u16) -> Self {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        self.message.set_edns(edns);
        self
    }

    /// With DO (RFC 3225).
    pub(crate) fn dnssec(mut self) -> Self {
        let mut edns = self.message.edns.take().unwrap_or_default();
        edns.set_dnssec_ok(true);
        self.message.set_edns(edns);
        self
    }

    pub(crate) fn edns_version(mut self, version: u8) -> Self {
        let mut edns = Edns::new();
        edns.set_version(version);
        self.message.set_edns(edns);
        self
    }

    pub(crate) fn cookie(self) -> Self {
        self.option(COOKIE, &[1, 2, 3, 4, 5, 6, 7, 8])
    }

    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Self {
        let mut edns = self.message.edns.take().unwrap_or_default();
        edns.options_mut().insert(EdnsOption::Unknown(code, data.to_vec()));
        self.message.set_edns(edns);
        self
    }

    pub(crate) fn class(mut self, class: DNSClass) -> Self {
        self.message.queries[0].set_query_class(class);
        self
    }

    pub(crate) fn opcode(mut self, opcode: OpCode) -> Self {
        self.message.metadata.op_code = opcode;
        self
    }

    pub(crate) fn octets(&self) -> Vec<u8> {
        self.message.to_vec().unwrap()
    }

    /// The octets with their length in front, as TCP wants them.
    pub(crate) fn framed(&self) -> Vec<u8> {
        framed(&self.octets())
    }

    pub(crate) fn udp(&self, server: SocketAddr) -> Reply {
        let socket = socket();
        self.over(&socket, server)
    }

    /// `None` when nobody replies at once.
    pub(crate) fn try_udp(&self, server: SocketAddr) -> Option<Reply> {
        self.udp_within(MOMENT, server)
    }

    /// The reply if there is one in time.
    pub(crate) fn udp_within(&self, time: Duration, server: SocketAddr) -> Option<Reply> {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(time)).unwrap();
        // Connected, so that a closed port is known before the time is up.
        socket.connect(server).unwrap();
        socket.send(&self.octets()).ok()?;
        let mut buffer = [0; 4096];
        socket.recv(&mut buffer).ok().map(|length| Reply::new(buffer[..length].to_vec()))
    }

    /// Over a socket that is there already.
    pub(crate) fn over(&self, socket: &UdpSocket, server: SocketAddr) -> Reply {
        socket.send_to(&self.octets(), server).unwrap();
        self.check(receive(socket))
    }

    pub(crate) fn tcp(&self, server: SocketAddr) -> Reply {
        let mut stream = connect(server);
        stream.write_all(&self.framed()).unwrap();
        self.check(read_framed(&mut stream).expect("a reply"))
    }

    /// A reply has the ID and the question of its query, octet for octet.
    pub(crate) fn check(&self, octets: Vec<u8>) -> Reply {
        let reply = Reply::new(octets);
        let sent = self.octets();
        assert_eq!(reply.message.metadata.id, self.message.metadata.id);
        assert_eq!(reply.question(), question(&sent), "the question comes back as it was spelled");
        reply
    }
}

impl Reply {
    pub(crate) fn new(octets: Vec<u8>) -> Self {
        let message = Message::from_vec(&octets).unwrap_or_else(|error| panic!("{error}: {octets:02x?}"));
        assert_eq!(message.metadata.message_type, MessageType::Response);
        Self { octets, message }
    }

    pub(crate) fn rcode(&self) -> ResponseCode {
        self.message.metadata.response_code
    }

    pub(crate) fn authoritative(&self) -> bool {
        self.message.metadata.authoritative
    }

    pub(crate) fn truncated(&self) -> bool {
        self.message.metadata.truncation
    }

    /// The octets of the question section.
    pub(crate) fn question(&self) -> &[u8] {
        question(&self.octets)
    }

    /// The answer section without TTLs, in order of its text: what two servers must agree on.
    pub(crate) fn answers(&self) -> Vec<String> {
        texts(&self.message.answers)
    }

    /// The additional section, likewise.
    pub(crate) fn additionals(&self) -> Vec<String> {
        texts(&self.message.additionals)
    }

    /// The data of the answers of this type, in order of the text.
    pub(crate) fn data(&self, rtype: RecordType) -> Vec<String> {
        let records = self.message.answers.iter().filter(|record| record.record_type() == rtype);
        let mut data: Vec<String> = records.map(|record| record.data.to_string()).collect();
        data.sort();
        data
    }

    /// The TTL of the first answer, else of the first record of the authority section.
    pub(crate) fn ttl(&self) -> u32 {
        let mut records = self.message.answers.iter().chain(&self.message.authorities);
        records.next().expect("a record with a TTL").ttl
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| format!("{} {} {}", record.name, record.record_type(), record.data);
    let mut texts: Vec<String> = records.iter().map(text).collect();
    texts.sort();
    texts
}

/// The octets of the question section of a message without compression in it.
fn question(message: &[u8]) -> &[u8] {
    let mut end = 12;
    while message[end] != 0 {
        end += 1 + usize::from(message[end]);
    }
    &message[12..end + 5]
}

pub(crate) fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

pub(crate) fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let (length, _) = socket.recv_from(&mut buffer).expect("a reply over UDP");
    buffer.truncate(length);
    buffer
}

pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap();
    [&length.to_be_bytes(), message].concat()
}

/// One message; `None` when the other side has closed the connection.
pub(crate) fn read_framed(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
        Err(error) => panic!("{error}"),
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    Some(message)
}
