//! How long connections stay: idle, in use, and silent.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, advance, sleep, timeout};

use super::{local, pool, query, question, reply_to, send, serve};
use crate::dns::Question;

/// A reply with this word on how long the connection may be idle, in units of 100 ms.
fn reply_with_keepalive(query: &[u8], units: u16) -> Vec<u8> {
    let mut reply = reply_to(query);
    // The query ends with the option, without a value.
    let end = reply.len();
    reply[end - 5] = 6;
    reply[end - 1] = 2;
    reply.extend_from_slice(&units.to_be_bytes());
    reply
}

/// How long a connection stays after a reply with this word on it.
async fn life_after(keepalive: Option<u16>) -> Duration {
    let (pool, mut accepted) = pool();
    let asked = question(1);
    let serving = async {
        let mut stream = accepted.recv().await.unwrap();
        let query = query(&mut stream).await.unwrap();
        let reply = keepalive.map_or_else(|| reply_to(&query), |units| reply_with_keepalive(&query, units));
        send(&mut stream, &reply).await;
        stream
    };
    let (reply, mut stream) = tokio::join!(pool.ask(&asked, || ()), serving);
    reply.unwrap();
    let answered = Instant::now();
    assert_eq!(query(&mut stream).await, None);
    answered.elapsed()
}

#[test]
fn idle_connections_are_closed_when_the_server_says_or_after_ten_seconds() {
    local(async {
        for (keepalive, least, most) in [(None, 10, 11), (Some(300), 30, 31), (Some(0), 0, 1), (Some(65_000), 120, 121)]
        {
            let life = life_after(keepalive).await;
            assert!((least..most).contains(&life.as_secs()), "{keepalive:?}: {life:?}");
        }
    });
}

#[test]
fn a_connection_in_use_is_renewed_by_age() {
    local(async {
        let (pool, accepted) = pool();
        let opened = Rc::new(Cell::new(0));
        tokio::task::spawn_local(serve(accepted, usize::MAX, Rc::clone(&opened)));
        pool.ask(&question(1), || ()).await.unwrap();
        let mut ages = Vec::new();
        for _ in 0..5 {
            let (before, began) = (opened.get(), Instant::now());
            while opened.get() == before {
                advance(Duration::from_secs(1)).await;
                pool.ask(&question(1), || ()).await.unwrap();
            }
            ages.push(began.elapsed().as_secs());
        }
        assert!(ages.iter().all(|age| (239..=362).contains(age)), "{ages:?}");
    });
}

#[test]
fn a_silent_connection_gets_no_more_questions_and_goes_for_a_new_one() {
    local(async {
        let (pool, mut accepted) = pool();
        let asked: Vec<Question> = (0..5).map(question).collect();
        let mut open = Vec::new();
        let serving = async {
            for _ in 0..4 {
                let mut stream = accepted.recv().await.unwrap();
                query(&mut stream).await.unwrap();
                open.push(stream);
            }
            // The fifth takes the place of the first, whose question comes again.
            let mut stream = accepted.recv().await.unwrap();
            for _ in 0..2 {
                let query = query(&mut stream).await.unwrap();
                send(&mut stream, &reply_to(&query)).await;
            }
            assert_eq!(query(&mut open[0]).await, None);
        };
        let asking = async {
            let mut asking = futures_util::stream::FuturesUnordered::new();
            for question in &asked {
                asking.push(pool.ask(question, || ()));
                let pause = timeout(Duration::from_millis(1100), futures_util::StreamExt::next(&mut asking));
                let _ = pause.await;
            }
            futures_util::StreamExt::next(&mut asking).await
        };
        let (reply, ()) = tokio::join!(asking, serving);
        assert!(reply.unwrap().is_ok());
    });
}

#[test]
fn a_question_that_is_sent_again_goes_over_another_connection() {
    local(async {
        let (pool, mut accepted) = pool();
        let asked = question(1);
        let serving = async {
            let mut stuck = accepted.recv().await.unwrap();
            query(&mut stuck).await.unwrap();
            let mut lively = accepted.recv().await.unwrap();
            let query = query(&mut lively).await.unwrap();
            send(&mut lively, &reply_to(&query)).await;
            (stuck, lively)
        };
        let asking = async {
            let first = pool.ask(&asked, || ());
            let again = async {
                sleep(Duration::from_millis(400)).await;
                pool.ask(&asked, || ()).await
            };
            tokio::select! {
                _ = first => panic!("nothing came for it"),
                reply = again => reply,
            }
        };
        let (reply, _open) = tokio::join!(asking, serving);
        assert!(reply.is_ok());
    });
}
