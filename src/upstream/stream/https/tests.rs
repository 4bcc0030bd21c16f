//! DNS over HTTPS over pipes, with simulated time. The far end speaks HTTP/2 as each test says.

use std::future::Future;
use std::time::Duration;

use h2::server::{Connection, SendResponse};
use hyper::http::Response;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::*;
use crate::dns::stream_query::Carrier;
use crate::upstream::ExchangeError;
use crate::upstream::stream::Pool;
use crate::upstream::stream::tests::{local, question, reply_to};

const PIPE: usize = 1 << 20;
const URI: &str = "https://dns.b.example/dns-query";

type Far = Connection<DuplexStream, Bytes>;
type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// A pool, and the far ends of the connections that it opens.
fn pool() -> (Pool, UnboundedReceiver<DuplexStream>) {
    let (accept, accepted) = unbounded_channel();
    let connect = move || -> Opening {
        let (near, far) = duplex(PIPE);
        accept.send(far).unwrap();
        Box::pin(async move {
            let link = link(near, URI.parse().ok(), |error| panic!("{error}")).await?;
            Ok(Opened { link, permit: None, tls: None })
        })
    };
    (Pool::new(connect, Carrier::Multiplexed, Arc::default()), accepted)
}

async fn begin(accepted: &mut UnboundedReceiver<DuplexStream>) -> Far {
    h2::server::handshake(accepted.recv().await.unwrap()).await.unwrap()
}

async fn query(request: Request<RecvStream>) -> Vec<u8> {
    read(request.into_body()).await.unwrap()
}

fn send(respond: &mut SendResponse<Bytes>, status: u16, media_type: &str, body: Vec<u8>) {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, media_type).body(()).unwrap();
    respond.send_response(response, false).unwrap().send_data(body.into(), true).unwrap();
}

/// Answers each question in a task of its own, `limit` of them, then says goodbye and finishes.
async fn answer(mut far: Far, limit: usize) {
    let mut count = 0;
    while let Some(asked) = far.accept().await {
        let Ok((request, mut respond)): Result<Asked, _> = asked else { return };
        tokio::task::spawn_local(async move {
            let reply = reply_to(&query(request).await);
            send(&mut respond, 200, MEDIA_TYPE, reply);
        });
        count += 1;
        if count == limit {
            far.graceful_shutdown();
        }
    }
}

/// What comes of a question that is served so, once.
fn outcome<F: Future<Output = ()>>(serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F) -> String {
    local(async {
        let (pool, mut accepted) = pool();
        let asked = question(1);
        let serving = async {
            let mut far = begin(&mut accepted).await;
            let (request, respond) = far.accept().await.unwrap().unwrap();
            serve(request, respond).await;
            while far.accept().await.is_some() {}
        };
        tokio::select! {
            reply = pool.ask(&asked, || ()) => match reply {
                Ok(_) => "a reply".to_owned(),
                Err(ExchangeError::NoReply(cause)) => cause,
                Err(other) => format!("not expected: {other}"),
            },
            () = serving => "served".to_owned(),
        }
    })
}

#[test]
fn a_question_is_a_post_of_a_padded_message_with_id_zero() {
    let reply = outcome(|request, mut respond| async move {
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::POST, URI));
        for name in [header::ACCEPT, header::CONTENT_TYPE] {
            assert_eq!(request.headers()[name], MEDIA_TYPE);
        }
        assert_eq!(request.headers()[header::CONTENT_LENGTH], "128");
        let query = query(request).await;
        assert_eq!((query.len(), &query[..2]), (128, &[0, 0][..]));
        send(&mut respond, 200, "Application/DNS-Message; charset=x", reply_to(&query));
    });
    assert_eq!(reply, "a reply");
}

#[test]
fn what_is_no_reply_is_said_plainly_and_not_asked_again() {
    for (status, media_type, cause) in [
        (404, MEDIA_TYPE, "it answers with the HTTP status 404 Not Found"),
        (204, MEDIA_TYPE, "it answers with the HTTP status 204 No Content"),
        (301, "text/html", "it answers with the HTTP status 301 Moved Permanently"),
        (
            200,
            "text/html; charset=utf-8",
            "it answers with text/html, where application/dns-message is expected: is the path right?",
        ),
        (
            200,
            "",
            "it answers with nothing that has a type, where application/dns-message is expected: is the path right?",
        ),
    ] {
        let said = outcome(|request, mut respond| async move {
            let reply = reply_to(&query(request).await);
            send(&mut respond, status, media_type, reply);
        });
        assert_eq!(said, cause);
    }
}

#[test]
fn a_reply_to_another_question_is_none() {
    let said = outcome(|request, mut respond| async move {
        let mut reply = reply_to(&query(request).await);
        reply[13] ^= 1;
        send(&mut respond, 200, MEDIA_TYPE, reply);
    });
    assert_eq!(said, "what it says is no reply to the question");
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    let said = outcome(|request, mut respond| async move {
        query(request).await;
        send(&mut respond, 200, MEDIA_TYPE, vec![0; MAX_MESSAGE + 1]);
    });
    assert_eq!(said, "it answers with more than 65535 octets");
}

#[test]
fn a_call_that_is_broken_off_ends_nothing_else() {
    let said = outcome(|_, mut respond| async move { respond.send_reset(Reason::INTERNAL_ERROR) });
    assert_eq!(said, "it breaks off: unexpected internal error encountered");
}

#[test]
fn questions_share_a_connection() {
    local(async {
        let (pool, mut accepted) = pool();
        let questions: Vec<_> = (0..20).map(question).collect();
        let asking = futures_util::future::join_all(questions.iter().map(|question| pool.ask(question, || ())));
        let serving = async {
            let far = begin(&mut accepted).await;
            answer(far, usize::MAX).await;
        };
        tokio::select! {
            replies = asking => assert!(replies.iter().all(Result::is_ok)),
            () = serving => panic!("nobody hung up"),
        }
        assert!(accepted.try_recv().is_err());
    });
}

#[test]
fn a_server_that_says_goodbye_loses_no_question() {
    local(async {
        let (pool, mut accepted) = pool();
        let questions: Vec<_> = (0..50).map(question).collect();
        let asking = async {
            for burst in questions.chunks(10) {
                let replies = futures_util::future::join_all(burst.iter().map(|question| pool.ask(question, || ())));
                assert!(replies.await.iter().all(Result::is_ok));
            }
        };
        let serving = async {
            let mut connections = 0;
            loop {
                tokio::task::spawn_local(answer(begin(&mut accepted).await, 7));
                connections += 1;
                if connections > 50 {
                    return;
                }
            }
        };
        tokio::select! {
            () = asking => {}
            () = serving => panic!("more connections than questions"),
        }
    });
}

#[test]
fn a_connection_that_ends_in_between_loses_no_question() {
    local(async {
        let (pool, mut accepted) = pool();
        let asked = question(1);
        let serving = async {
            for _ in 0..2 {
                let mut far = begin(&mut accepted).await;
                // It hangs up with the question on it.
                let _asked = far.accept().await.unwrap().unwrap();
            }
            answer(begin(&mut accepted).await, usize::MAX).await;
        };
        tokio::select! {
            reply = pool.ask(&asked, || ()) => assert!(reply.is_ok()),
            () = serving => panic!("nobody answered"),
        }
    });
}

#[test]
fn a_connection_that_nobody_needs_is_closed_and_opened_again() {
    local(async {
        let (pool, mut accepted) = pool();
        let (first, second) = (question(1), question(2));
        let asking = async {
            assert!(pool.ask(&first, || ()).await.is_ok());
            sleep(Duration::from_secs(11)).await;
            assert!(pool.ask(&second, || ()).await.is_ok());
        };
        let serving = async {
            answer(begin(&mut accepted).await, usize::MAX).await;
            // The first has ended, in good order.
            answer(begin(&mut accepted).await, usize::MAX).await;
        };
        tokio::select! {
            () = asking => {}
            () = serving => panic!("both have ended"),
        }
    });
}

#[test]
fn a_connection_that_has_gone_silent_gets_no_more_questions() {
    local(async {
        let (pool, mut accepted) = pool();
        let (first, second) = (question(1), question(2));
        let asking = async {
            let given_up = tokio::time::timeout(Duration::from_millis(400), pool.ask(&first, || ())).await;
            assert!(given_up.is_err());
            let began = tokio::time::Instant::now();
            assert!(pool.ask(&second, || ()).await.is_ok());
            assert_eq!(began.elapsed(), Duration::ZERO, "it was not waited for again");
        };
        let serving = async {
            let mut silent = begin(&mut accepted).await;
            let silent = async {
                let mut held = Vec::new();
                while let Some(asked) = silent.accept().await {
                    held.push(asked);
                }
            };
            let lively = async { answer(begin(&mut accepted).await, usize::MAX).await };
            tokio::join!(silent, lively);
        };
        tokio::select! {
            () = asking => {}
            () = serving => panic!("they have ended"),
        }
    });
}
