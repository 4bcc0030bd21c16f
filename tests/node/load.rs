//! Questions at an even rate, each on its own and whatever became of those before.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::A;

use super::client::{Ask, Reply, connect, read_framed};
use super::wait::{now, until_within};

/// What a stub waits (glibc).
const STUB: Duration = Duration::from_secs(5);
/// From so many ports, so that all workers get some.
const PORTS: usize = 16;

/// A zone that answers all of its names here.
pub(crate) const OWN: &str = "[[zone]]\nname = \"own.example\"\nrecords = [\"* A 10.0.0.1\"]\n";

/// Questions for as many new names, to be watched from another thread.
pub(crate) struct Load {
    pub(crate) count: u16,
    pub(crate) per_second: u32,
    sent: AtomicU16,
}

/// What came for the question of this number, and after how long.
type Numbered = (usize, Option<(Duration, ResponseCode)>);

/// What clients saw.
pub(crate) struct Seen {
    /// How long each reply took, the shortest in front.
    pub(crate) took: Vec<Duration>,
    /// Those that had no answer.
    pub(crate) failed: Vec<String>,
    /// Replies to what had been answered.
    pub(crate) repeated: usize,
}

/// Runs all of them at once, each for names of its zone, while something happens. Returns what clients saw.
pub(crate) fn run_while<const N: usize>(
    server: SocketAddr,
    loads: [(&Load, &str); N],
    happens: impl FnOnce(),
) -> [Seen; N] {
    thread::scope(|scope| {
        let running = loads.map(|(load, zone)| scope.spawn(move || load.run(server, zone)));
        happens();
        running.map(|load| load.join().unwrap())
    })
}

/// A client over TCP that asks again and again, of [`OWN`], over one connection until all is over.
/// Returns how often it was answered.
pub(crate) fn stay_connected(server: SocketAddr, pause: Duration, is_over: &AtomicBool) -> usize {
    let (mut stream, mut answered) = (connect(server), 0);
    while !is_over.load(Relaxed) {
        let question = Ask::new(&format!("n{answered}.own.example."), A);
        stream.write_all(&question.framed()).unwrap();
        assert_eq!(question.check(read_framed(&mut stream).unwrap()).data(A), ["10.0.0.1"]);
        answered += 1;
        thread::park_timeout(pause);
    }
    answered
}

impl Load {
    pub(crate) fn new(count: u16, per_second: u32) -> Self {
        Self { count, per_second, sent: AtomicU16::new(0) }
    }

    /// Waits until so many have been sent.
    pub(crate) fn until_sent(&self, count: u16) {
        let longest = STUB + 4 * Duration::from_secs(1) * u32::from(self.count) / self.per_second;
        until_within(longest, "questions to be sent", || (self.sent.load(Relaxed) >= count).then_some(()));
    }

    /// How many have been sent.
    pub(crate) fn sent(&self) -> u16 {
        self.sent.load(Relaxed)
    }

    /// Whether some have not been sent yet.
    pub(crate) fn is_going_on(&self) -> bool {
        self.sent() < self.count
    }

    /// Asks for `n<number>.<zone>`, and waits for all replies as long as a stub would.
    pub(crate) fn run(&self, server: SocketAddr, zone: &str) -> Seen {
        let sockets: Vec<UdpSocket> = (0..PORTS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let names: Vec<String> = (0..self.count).map(|number| format!("n{number}.{zone}")).collect();
        let began = now();
        thread::scope(|scope| {
            let (sockets, names) = (&sockets, &names);
            let listening: Vec<_> =
                (0..PORTS).map(|port| scope.spawn(move || self.listen(&sockets[port], began, port))).collect();
            for (number, name) in names.iter().enumerate() {
                let due = began + self.due(number);
                // To an even rate, as far as the machine keeps up.
                thread::park_timeout(due.saturating_duration_since(now()));
                let mut octets = Ask::new(name, A).octets();
                let id = u16::try_from(number).unwrap();
                octets[..2].copy_from_slice(&id.to_be_bytes());
                sockets[number % PORTS].send_to(&octets, server).unwrap();
                self.sent.store(id + 1, Relaxed);
            }
            let mut seen = Seen { took: Vec::new(), failed: Vec::new(), repeated: 0 };
            for (port, replies) in listening.into_iter().enumerate() {
                let (replies, repeated) = replies.join().unwrap();
                seen.repeated += repeated;
                sockets[port].set_nonblocking(true).unwrap();
                seen.repeated += std::iter::from_fn(|| sockets[port].recv(&mut [0; 1500]).ok()).count();
                for (number, reply) in replies {
                    match reply {
                        Some((took, ResponseCode::NoError)) => seen.took.push(took),
                        Some((took, rcode)) => seen.failed.push(format!("{}: {rcode} after {took:?}", names[number])),
                        None => seen.failed.push(format!("{}: nothing", names[number])),
                    }
                }
            }
            seen.took.sort_unstable();
            seen
        })
    }

    fn due(&self, number: usize) -> Duration {
        Duration::from_secs(1) * u32::try_from(number).unwrap() / self.per_second
    }

    /// What came for each number that is asked through this port, how long after it was due, and how many
    /// came again.
    fn listen(&self, socket: &UdpSocket, began: Instant, port: usize) -> (Vec<Numbered>, usize) {
        let numbers: Vec<usize> = (port..usize::from(self.count)).step_by(PORTS).collect();
        let mut replies: Vec<_> = numbers.into_iter().map(|number| (number, None)).collect();
        let end = began + self.due(usize::from(self.count)) + STUB;
        let mut repeated = 0;
        let mut buffer = [0; 1500];
        while replies.iter().any(|(_, reply)| reply.is_none()) {
            let left = end.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left)).unwrap();
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            let number = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
            let reply = Reply::new(buffer[..length].to_vec());
            let took = now().saturating_duration_since(began + self.due(number));
            repeated += usize::from(replies[number / PORTS].1.replace((took, reply.rcode())).is_some());
        }
        (replies, repeated)
    }
}

impl Seen {
    /// Every one of so many questions was answered, once.
    pub(crate) fn lost_nothing(&self, count: u16) {
        assert_eq!(self.failed, Vec::<String>::new());
        assert_eq!(self.took.len(), usize::from(count));
        assert_eq!(self.repeated, 0, "each is answered once");
    }

    /// The number of a question that had no answer.
    pub(crate) fn number(failed: &str) -> u16 {
        failed[1..].split('.').next().unwrap().parse().unwrap()
    }

    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.took[(self.took.len() - 1) * percent / 100]
    }

    pub(crate) fn max(&self) -> Duration {
        self.took.last().copied().unwrap_or_default()
    }
}
