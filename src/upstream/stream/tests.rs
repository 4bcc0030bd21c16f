//! Connections over pipes, with simulated time.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::dns::{Question, RecordType};
use crate::metrics::Registry;

mod lifetime;

const PIPE: usize = 1 << 20;

pub(super) fn question(number: u16) -> Question {
    let [high, low] = number.to_be_bytes();
    Question::new(&[2, high | 0x80, low | 0x80, 1, low, 0], RecordType::A, false, false).unwrap()
}

pub(super) fn local<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// A pool, and the far ends of the connections that it opens.
pub(super) fn pool() -> (Rc<Pool>, UnboundedReceiver<DuplexStream>) {
    counted_pool(&Registry::new(1))
}

fn counted_pool(registry: &Registry) -> (Rc<Pool>, UnboundedReceiver<DuplexStream>) {
    let (accept, accepted) = unbounded_channel();
    let series = Arc::clone(&registry.workers()[0]);
    (Rc::new(Pool::new(move || opening(&accept), Carrier::Tcp, series)), accepted)
}

fn opening(accept: &UnboundedSender<DuplexStream>) -> Opening {
    let (near, far) = duplex(PIPE);
    accept.send(far).unwrap();
    Box::pin(async move { Ok(Opened { link: Link::Stream(Box::new(near)), permit: None, tls: None }) })
}

/// The next query of a connection; `None` at its end.
pub(super) async fn query(stream: &mut DuplexStream) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut query = vec![0; usize::from(length)];
    stream.read_exact(&mut query).await.ok()?;
    Some(query)
}

pub(super) async fn send(stream: &mut DuplexStream, message: &[u8]) {
    stream.write_u16(u16::try_from(message.len()).unwrap()).await.unwrap();
    stream.write_all(message).await.unwrap();
}

pub(super) fn reply_to(query: &[u8]) -> Vec<u8> {
    let mut reply = query.to_vec();
    reply[2] |= 0x80;
    reply
}

/// Answers on every connection, closing each after `lifetime` replies, and counts connections.
pub(super) async fn serve(mut accepted: UnboundedReceiver<DuplexStream>, lifetime: usize, opened: Rc<Cell<usize>>) {
    while let Some(mut stream) = accepted.recv().await {
        opened.set(opened.get() + 1);
        tokio::task::spawn_local(async move {
            for _ in 0..lifetime {
                let Some(query) = query(&mut stream).await else { return };
                send(&mut stream, &reply_to(&query)).await;
            }
        });
    }
}

async fn ask_many(pool: &Pool, numbers: std::ops::Range<u16>) -> Vec<Result<Vec<u8>, ExchangeError>> {
    let questions: Vec<Question> = numbers.map(question).collect();
    join_all(questions.iter().map(|question| pool.ask(question, || ()))).await
}

#[test]
fn replies_come_in_any_order_and_foreign_ones_are_dropped() {
    local(async {
        let (pool, mut accepted) = pool();
        let (first, second) = (question(1), question(2));
        let serving = async {
            let mut stream = accepted.recv().await.unwrap();
            let (one, two) = (query(&mut stream).await.unwrap(), query(&mut stream).await.unwrap());
            assert_ne!(one[..2], two[..2], "IDs are unique");
            // The ID of one with the question of the other, an empty message, a query.
            let mixed = [&two[..2], &reply_to(&one)[2..]].concat();
            for message in [&mixed[..], &[], &one, &reply_to(&two), &reply_to(&one)] {
                send(&mut stream, message).await;
            }
            [reply_to(&one), reply_to(&two)]
        };
        let asking = async { tokio::join!(pool.ask(&first, || ()), pool.ask(&second, || ())) };
        let ((one, two), sent) = tokio::join!(asking, serving);
        for (question, reply) in [(first, one.unwrap()), (second, two.unwrap())] {
            assert!(reply[12..].starts_with(question.name()) && sent.contains(&reply));
        }
    });
}

#[test]
fn many_questions_share_four_connections_and_few_share_one() {
    local(async {
        let (pool, accepted) = pool();
        let opened = Rc::new(Cell::new(0));
        tokio::task::spawn_local(serve(accepted, usize::MAX, Rc::clone(&opened)));
        assert!(ask_many(&pool, 0..30).await.iter().all(Result::is_ok));
        assert_eq!(opened.get(), 1);
        assert!(ask_many(&pool, 0..2000).await.iter().all(Result::is_ok));
        assert_eq!(opened.get(), 4);
    });
}

#[test]
fn a_server_that_closes_after_some_replies_loses_no_question() {
    for lifetime in [1, 3, 20] {
        local(async {
            let (pool, accepted) = pool();
            let opened = Rc::new(Cell::new(0));
            tokio::task::spawn_local(serve(accepted, lifetime, Rc::clone(&opened)));
            let sends = Cell::new(0_usize);
            let questions: Vec<Question> = (0..500).map(question).collect();
            let asking = questions.iter().map(|question| pool.ask(question, || sends.set(sends.get() + 1)));
            assert!(join_all(asking).await.iter().all(Result::is_ok), "{lifetime}");
            assert!(sends.get() <= 1000, "{} sends when closing after {lifetime}", sends.get());
        });
    }
}

#[test]
fn a_server_that_answers_nothing_and_closes_is_asked_three_times() {
    local(async {
        let (pool, accepted) = pool();
        let opened = Rc::new(Cell::new(0));
        tokio::task::spawn_local(serve(accepted, 0, Rc::clone(&opened)));
        assert!(matches!(pool.ask(&question(1), || ()).await, Err(ExchangeError::Closed)));
        assert_eq!(opened.get(), 3);
    });
}

#[test]
fn a_connection_that_cannot_be_opened_is_an_error_for_all_who_wait() {
    local(async {
        let refused = || -> Opening { Box::pin(async { Err(Failure::Network(io::ErrorKind::ConnectionRefused)) }) };
        let pool = Pool::new(refused, Carrier::Tcp, Arc::default());
        let sent = Cell::new(false);
        let (one, two) = (question(1), question(2));
        let (one, two) = tokio::join!(pool.ask(&one, || sent.set(true)), pool.ask(&two, || ()));
        assert!(matches!((one, two), (Err(ExchangeError::Network(_)), Err(ExchangeError::Network(_)))));
        assert!(!sent.get());
    });
}

#[test]
fn a_server_that_is_not_trusted_is_tried_once_a_second() {
    local(async {
        let tries = Rc::new(Cell::new(0));
        let counted = Rc::clone(&tries);
        let distrusted = move || -> Opening {
            counted.set(counted.get() + 1);
            Box::pin(async { Err(Failure::Tls("a stranger".into())) })
        };
        let pool = Pool::new(distrusted, Carrier::Tls, Arc::default());
        for _ in 0..30 {
            let refused = pool.ask(&question(1), || ()).await;
            assert!(matches!(refused, Err(ExchangeError::Tls(cause)) if cause == "a stranger"));
            advance(Duration::from_millis(100)).await;
        }
        assert_eq!(tries.get(), 3);
    });
}

#[test]
fn a_question_that_nobody_waits_for_any_more_leaves_its_place() {
    local(async {
        let (pool, mut accepted) = pool();
        let asked = question(1);
        let given_up = timeout(Duration::from_millis(100), pool.ask(&asked, || ())).await;
        assert!(given_up.is_err());
        let mut stream = accepted.recv().await.unwrap();
        assert!(query(&mut stream).await.is_some());
        let began = Instant::now();
        assert_eq!(query(&mut stream).await, None);
        assert!(began.elapsed() <= Duration::from_secs(11));
    });
}

#[test]
fn where_nothing_comes_of_opening_whoever_asks_later_opens_anew() {
    local(async {
        let opened = Rc::new(Cell::new(0));
        let counted = Rc::clone(&opened);
        let connect = move || -> Opening {
            counted.set(counted.get() + 1);
            Box::pin(std::future::pending())
        };
        let pool = Rc::new(Pool::new(connect, Carrier::Tcp, Arc::default()));
        // As probes come, and go.
        for number in 0..20 {
            let (pool, before) = (Rc::clone(&pool), opened.get());
            tokio::task::spawn_local(async move {
                timeout(Duration::from_millis(1800), pool.ask(&question(number), || ())).await.unwrap_err();
            });
            sleep(Duration::from_millis(500)).await;
            assert!(opened.get() > before, "question {number}: {before} were opened before it");
        }
    });
}

async fn answer_one(stream: &mut DuplexStream) {
    let query = query(stream).await.unwrap();
    send(stream, &reply_to(&query)).await;
}

/// Answers one of two questions and hangs up.
async fn answer_half(mut stream: DuplexStream) {
    answer_one(&mut stream).await;
    query(&mut stream).await.unwrap();
}

#[test]
fn a_server_that_has_answered_others_since_is_asked_more_than_three_times() {
    local(async {
        let (pool, mut accepted) = pool();
        let serving = async {
            answer_half(accepted.recv().await.unwrap()).await;
            for _ in 0..2 {
                query(&mut accepted.recv().await.unwrap()).await.unwrap();
            }
            answer_one(&mut accepted.recv().await.unwrap()).await;
        };
        let asking = async { assert!(ask_many(&pool, 0..2).await.iter().all(Result::is_ok)) };
        tokio::join!(asking, serving);
    });
}

#[test]
fn slow_questions_where_each_needs_a_connection_keep_no_other_waiting_until_there_are_eight() {
    for (slow, waited) in [(4, 0), (8, 1)] {
        local(async {
            let registry = Registry::new(1);
            let (pool, mut accepted) = counted_pool(&registry);
            let serving = async {
                answer_half(accepted.recv().await.unwrap()).await;
                answer_one(&mut accepted.recv().await.unwrap()).await;
                let mut held = Vec::new();
                for _ in 0..slow {
                    held.push(accepted.recv().await.unwrap());
                }
                answer_one(&mut accepted.recv().await.unwrap()).await;
                std::future::pending::<()>().await;
            };
            let asking = async {
                assert!(ask_many(&pool, 0..2).await.iter().all(Result::is_ok));
                tokio::select! {
                    biased;
                    _ = ask_many(&pool, 2..2 + slow) => panic!("nothing comes for them"),
                    replies = timeout(Duration::from_millis(100), ask_many(&pool, 99..100)) => {
                        assert_eq!(replies.is_ok_and(|replies| replies[0].is_ok()), waited == 0);
                    }
                }
            };
            tokio::select! {
                () = asking => {}
                () = serving => {}
            }
            let counted = format!("zerohop_upstream_connections_full_total {waited}");
            assert!(registry.render().lines().any(|line| line == counted), "{slow} slow ones");
        });
    }
}
