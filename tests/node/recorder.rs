//! An upstream that notes every packet it gets, and answers by script, or not at all.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record};

use super::client::{framed, read_framed};
use super::process::free_address;
use super::wait::until;

/// What a question has that tells of forwarding loops. Servers of tests neither note it nor answer.
pub(crate) const LOOP_CHECK: &[u8] = b"zerohop-loop";

/// A server of our own on UDP and TCP. Its threads end with the test process.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    names: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

/// One query, and the way back.
pub(crate) struct Asked {
    pub(crate) query: Message,
    way_back: WayBack,
}

enum WayBack {
    Udp(UdpSocket, SocketAddr),
    Tcp(TcpStream),
}

impl Recorder {
    /// Says nothing, whatever comes.
    pub(crate) fn black_hole() -> Self {
        Self::scripted(drop)
    }

    /// Answers every A question with this address and a TTL of 300, and all others with NODATA.
    pub(crate) fn answering(address: [u8; 4]) -> Self {
        Self::scripted(move |asked| asked.answer_a(address, 300))
    }

    /// As [`Self::answering`], from a far server: each answer takes that long.
    pub(crate) fn slow(takes: Duration, address: [u8; 4]) -> Self {
        Self::scripted(move |asked| {
            thread::spawn(move || {
                thread::park_timeout(takes);
                asked.answer_a(address, 300);
            });
        })
    }

    /// Hands over every query, to be answered whenever the test likes.
    pub(crate) fn held() -> (Self, Receiver<Asked>) {
        Self::holding(|_| true)
    }

    /// As [`Self::held`] with some queries; all others are answered with 192.0.2.1.
    pub(crate) fn holding(is_held: impl Fn(&Asked) -> bool + Send + 'static) -> (Self, Receiver<Asked>) {
        let (hold, held) = channel();
        let upstream = Self::scripted(move |asked| match is_held(&asked) {
            true => hold.send(asked).unwrap(),
            false => asked.answer_a([192, 0, 2, 1], 300),
        });
        (upstream, held)
    }

    /// Hands every query to `script`, in the order they come.
    pub(crate) fn scripted(script: impl FnMut(Asked) + Send + 'static) -> Self {
        let (udp, tcp) = until("a free port", || {
            let udp = UdpSocket::bind(free_address()).ok()?;
            let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
            Some((udp, tcp))
        });
        Self::over(udp, tcp, script)
    }

    /// As [`Self::scripted`], at an address that nobody else can have.
    pub(crate) fn at(address: SocketAddr, script: impl FnMut(Asked) + Send + 'static) -> Self {
        Self::over(UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap(), script)
    }

    fn over(udp: UdpSocket, tcp: TcpListener, script: impl FnMut(Asked) + Send + 'static) -> Self {
        let address = udp.local_addr().unwrap();
        let names: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&names);
        let script = Mutex::new(script);
        let take = Arc::new(move |packet: &[u8], way_back| {
            let query = Message::from_vec(packet).unwrap();
            heard.lock().unwrap().push(query.queries[0].to_string());
            script.lock().unwrap()(Asked { query, way_back });
        });
        let is_noted =
            |packet: &[u8]| !packet.windows(LOOP_CHECK.len()).any(|octets| octets.eq_ignore_ascii_case(LOOP_CHECK));
        let take_tcp = Arc::clone(&take);
        let connections: Arc<AtomicUsize> = Arc::default();
        let accepted = Arc::clone(&connections);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let (length, peer) = udp.recv_from(&mut buffer).unwrap();
                if is_noted(&buffer[..length]) {
                    take(&buffer[..length], WayBack::Udp(udp.try_clone().unwrap(), peer));
                }
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let (mut stream, take, accepted) = (stream.unwrap(), Arc::clone(&take_tcp), Arc::clone(&accepted));
                thread::spawn(move || {
                    let mut is_first = true;
                    while let Some(packet) = read_framed(&mut stream) {
                        if is_noted(&packet) {
                            accepted.fetch_add(usize::from(is_first), Relaxed);
                            is_first = false;
                            take(&packet, WayBack::Tcp(stream.try_clone().unwrap()));
                        }
                    }
                });
            }
        });
        Self { address, names, connections }
    }

    /// The section of a configuration that has every name asked of it for which there is no other zone.
    pub(crate) fn root_zone(&self) -> String {
        format!("[[zone]]\nname = \".\"\nforward = [\"{}\"]\n", self.address)
    }

    /// How many TCP connections came so far, and had a question.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// The questions so far, over UDP and TCP.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    /// How many packets came so far.
    pub(crate) fn packets(&self) -> usize {
        self.names.lock().unwrap().len()
    }
}

impl Asked {
    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.way_back, WayBack::Tcp(_))
    }

    /// Where the query came from.
    pub(crate) fn port(&self) -> u16 {
        match &self.way_back {
            WayBack::Udp(_, peer) => peer.port(),
            WayBack::Tcp(stream) => stream.peer_addr().map_or(0, |peer| peer.port()),
        }
    }

    /// The name asked for, in lower case and with its final dot.
    pub(crate) fn name(&self) -> String {
        self.query.queries[0].name().to_lowercase().to_string()
    }

    /// An empty reply to the query, to be filled.
    pub(crate) fn reply(&self) -> Message {
        let mut reply = Message::new(self.query.metadata.id, MessageType::Response, self.query.metadata.op_code);
        reply.metadata.recursion_desired = true;
        reply.metadata.recursion_available = true;
        reply.add_query(self.query.queries[0].clone());
        reply
    }

    pub(crate) fn send(&self, reply: &Message) {
        self.send_octets(&reply.to_vec().unwrap());
    }

    pub(crate) fn send_octets(&self, octets: &[u8]) {
        match &self.way_back {
            WayBack::Udp(socket, peer) => {
                // Whoever asked may be gone.
                let _ = socket.send_to(octets, peer);
            }
            WayBack::Tcp(stream) => {
                let _ = (&mut &*stream).write_all(&framed(octets));
            }
        }
    }

    /// Closes the connection that the query came on, behind what has been sent.
    pub(crate) fn hang_up(&self) {
        if let WayBack::Tcp(stream) = &self.way_back {
            // The peer may have been faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// One address, or NODATA to another type.
    pub(crate) fn answer_a(&self, address: [u8; 4], ttl: u32) {
        let mut reply = self.reply();
        if self.query.queries[0].query_type() == hickory_proto::rr::RecordType::A {
            reply.add_answer(self.a(address, ttl));
        }
        self.send(&reply);
    }

    /// An address of the name that was asked for.
    pub(crate) fn a(&self, address: [u8; 4], ttl: u32) -> Record {
        Record::from_rdata(self.query.queries[0].name().clone(), ttl, RData::A(A(address.into())))
    }

    /// A denial: NXDOMAIN, or NODATA as NOERROR.
    pub(crate) fn deny(&self, rcode: ResponseCode, soa_ttl: u32, minimum: u32) {
        let mut reply = self.reply();
        reply.metadata.response_code = rcode;
        let name = |text| Name::from_ascii(text).unwrap();
        let soa = SOA::new(name("ns.example."), name("root.example."), 1, 1, 1, 1, minimum);
        reply.add_authority(Record::from_rdata(name("example."), soa_ttl, RData::SOA(soa)));
        self.send(&reply);
    }
}
