use std::future::Future;

use tokio::net::UdpSocket;

use super::port::QUESTIONS_PER_SOCKET;
use super::*;
use crate::dns::RecordType;
use crate::dns::query::write_upstream_query;
use crate::dns::response::MAX_UDP_PAYLOAD;

fn question(first: u8) -> Question {
    Question::new(&[1, first, 0], RecordType::A, false, false).unwrap()
}

fn reply_to(query: &[u8]) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply
}

fn inbox() -> Inbox {
    Rc::new(RefCell::new(Batch::new()))
}

async fn server() -> (UdpSocket, Ports) {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ports = Ports::new(server.local_addr().unwrap(), UdpHabits::default(), inbox(), Clock::start(), |_| ());
    (server, ports)
}

async fn receive(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 1500];
    let (length, from) = server.recv_from(&mut buffer).await.unwrap();
    (buffer[..length].to_vec(), from)
}

fn local<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

#[test]
fn foreign_packets_are_dropped_and_waiting_goes_on() {
    local(async {
        let (server, ports) = server().await;
        let asked = question(b'a');
        let answering = async {
            let (query, from) = receive(&server).await;
            let right = reply_to(&query);
            let mut wrong_id = right.clone();
            wrong_id[0] ^= 0xff;
            let mut wrong_name = right.clone();
            wrong_name[13] = b'b';
            let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            stranger.send_to(&right, from).await.unwrap();
            for packet in [&wrong_id[..], &wrong_name, &query, b"x", &right] {
                server.send_to(packet, from).await.unwrap();
            }
            right
        };
        let (reply, right) = tokio::join!(ports.ask(&asked, || ()), answering);
        assert_eq!(reply.unwrap().unwrap().octets, right);
    });
}

#[test]
fn an_id_stays_taken_until_whoever_asked_lets_go() {
    local(async {
        let (_server, ports) = server().await;
        let port = ports.choose().await.unwrap();
        let registered = port.register(&question(b'a'), None);
        let packet = reply_to(&write_upstream_query(&question(b'a'), registered.id, MAX_UDP_PAYLOAD));
        port.deliver(&packet, Moment::ORIGIN);
        assert!(registered.arrival().await.unwrap().is_some());
        assert!(port.waiting.borrow().contains_key(&registered.id));
        port.deliver(&packet, Moment::ORIGIN);
        drop(registered);
        assert!(port.waiting.borrow().is_empty());
    });
}

#[test]
fn a_reply_that_comes_too_late_is_still_a_sign_of_life() {
    local(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (late, mut told) = tokio::sync::mpsc::unbounded_channel();
        let ports =
            Ports::new(server.local_addr().unwrap(), UdpHabits::default(), inbox(), Clock::start(), move |_| {
                late.send(()).unwrap();
            });
        let asked = question(b'a');
        let giving_up = async {
            tokio::select! {
                _ = ports.ask(&asked, || ()) => panic!("nobody has answered"),
                query = receive(&server) => query,
            }
        };
        let (query, from) = giving_up.await;
        server.send_to(&query, from).await.unwrap();
        server.send_to(&reply_to(&query), from).await.unwrap();
        told.recv().await.unwrap();
        assert!(told.try_recv().is_err(), "a question is no reply");
    });
}

#[test]
fn a_truncated_reply_is_told_from_a_whole_one() {
    local(async {
        let (server, ports) = server().await;
        let asked = question(b'a');
        let answering = async {
            let (query, from) = receive(&server).await;
            let mut reply = reply_to(&query);
            reply[2] |= 0x02;
            server.send_to(&reply, from).await.unwrap();
        };
        let (reply, ()) = tokio::join!(ports.ask(&asked, || ()), answering);
        assert!(reply.unwrap().is_none());
    });
}

#[test]
fn a_closed_port_is_known_at_once() {
    local(async {
        let (server, ports) = server().await;
        drop(server);
        assert!(matches!(ports.ask(&question(b'a'), || ()).await, Err(ExchangeError::Network(_))));
    });
}

#[test]
fn ids_and_ports_vary_and_worn_sockets_are_replaced() {
    local(async {
        let (server, ports) = server().await;
        let mut ids = std::collections::HashSet::new();
        let mut sources = std::collections::HashSet::new();
        for _ in 0..200 {
            let asked = question(b'a');
            let answering = async {
                let (query, from) = receive(&server).await;
                server.send_to(&reply_to(&query), from).await.unwrap();
                (u16::from_be_bytes([query[0], query[1]]), from)
            };
            let (reply, (id, from)) = tokio::join!(ports.ask(&asked, || ()), answering);
            reply.unwrap();
            ids.insert(id);
            sources.insert(from);
        }
        assert!(ids.len() > 190, "{}", ids.len());
        assert_eq!(sources.len(), SOCKETS);
        assert!(ports.sockets.borrow().iter().all(|port| port.waiting.borrow().is_empty()));
        ports.sockets.borrow().iter().for_each(|port| port.asked.set(QUESTIONS_PER_SOCKET));
        let port = ports.choose().await.unwrap();
        assert_eq!((port.asked.get(), ports.sockets.borrow().len()), (0, 1));
    });
}

#[test]
fn each_question_has_a_port_of_its_own_where_that_is_wanted() {
    local(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let habits = UdpHabits { port_per_query: true, ..UdpHabits::default() };
        let ports = Ports::new(server.local_addr().unwrap(), habits, inbox(), Clock::start(), |_| ());
        let asked = question(b'a');
        let mut sources = std::collections::HashSet::new();
        for _ in 0..50 {
            let answering = async {
                let (query, from) = receive(&server).await;
                server.send_to(&reply_to(&query), from).await.unwrap();
                from
            };
            let (reply, from) = tokio::join!(ports.ask(&asked, || ()), answering);
            reply.unwrap().unwrap();
            sources.insert(from);
        }
        assert!(sources.len() > 40, "{} ports", sources.len());
        assert_eq!((ports.sockets.borrow().len(), Rc::strong_count(&ports.single)), (0, 1), "none is left open");
        let many: Vec<_> = (0..MOST_SINGLE).map(|_| Rc::clone(&ports.single)).collect();
        let answering = async {
            let (query, from) = receive(&server).await;
            server.send_to(&reply_to(&query), from).await.unwrap();
        };
        let (reply, ()) = tokio::join!(ports.ask(&asked, || ()), answering);
        reply.unwrap().unwrap();
        assert_eq!(ports.sockets.borrow().len(), 1, "with so many, sockets are shared");
        drop(many);
    });
}

#[test]
fn a_name_in_random_case_has_to_come_back_as_it_was_sent() {
    local(async {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let habits = UdpHabits { random_case: true, ..UdpHabits::default() };
        let ports = Ports::new(server.local_addr().unwrap(), habits, inbox(), Clock::start(), |_| ());
        let name = b"\x1eabcdefghijklmnopqrstuvwxyzabcd\x00";
        let asked = Question::new(name, RecordType::A, false, false).unwrap();
        let mut spellings = std::collections::HashSet::new();
        for keeps in [true, true, false] {
            let answering = async {
                let (query, from) = receive(&server).await;
                let mut reply = reply_to(&query);
                if !keeps {
                    reply[13] ^= 0x20;
                }
                server.send_to(&reply, from).await.unwrap();
                query[12..12 + name.len()].to_vec()
            };
            let (reply, spelled) = tokio::join!(ports.ask(&asked, || ()), answering);
            assert!(spelled.eq_ignore_ascii_case(name));
            let reply = reply.unwrap();
            assert_eq!(reply.is_some(), keeps, "another case is to be asked for again over TCP");
            if let Some(reply) = reply {
                assert_eq!(&reply.octets[12..12 + name.len()], name, "names that point here are in lower case");
            }
            spellings.insert(spelled);
        }
        assert_eq!(spellings.len(), 3);
        // An error that leaves the question out is one all the same.
        let answering = async {
            let (query, from) = receive(&server).await;
            let reply = [query[0], query[1], 0x81, 0x85, 0, 0, 0, 0, 0, 0, 0, 0];
            server.send_to(&reply, from).await.unwrap();
        };
        let (reply, ()) = tokio::join!(ports.ask(&asked, || ()), answering);
        assert!(reply.unwrap().is_some());
    });
}
