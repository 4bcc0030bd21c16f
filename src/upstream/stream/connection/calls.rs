//! A connection of a protocol that keeps questions apart itself: each is a call.

use std::rc::Rc;

use tokio::time::{Instant, timeout};

use super::{CLOSING, Connection, State};
use crate::dns::Question;
use crate::dns::stream_query::write_stream_query;
use crate::upstream::matching::{Match, classify};
use crate::upstream::stream::Failure;
use crate::upstream::stream::link::{Calls, Ended};

impl Connection {
    /// Keeps a link of calls until it ends, by itself or for being of no use.
    pub(super) async fn serve_calls(&self, calls: Rc<dyn Calls>, mut ended: Ended) {
        self.calls.replace(Some(calls));
        self.state.send_replace(State::Open);
        let over = tokio::select! {
            said = &mut ended => Some(said),
            () = self.idle() => None,
        };
        let is_over = over.is_some();
        self.end(over.flatten().unwrap_or(Failure::Lost { answered: self.answered.get() }));
        if !is_over {
            let _ = timeout(CLOSING, ended).await;
        }
    }

    /// Asks by a call. RFC 8484, section 4.1, and RFC 9250, section 4.2.1: the ID is zero.
    pub(super) async fn call(&self, calls: &dyn Calls, question: &Question) -> Result<Vec<u8>, Failure> {
        let query = write_stream_query(question, 0, self.carrier);
        let mut state = self.state.subscribe();
        let reply = tokio::select! {
            // What came before the end is still to be had.
            biased;
            reply = calls.call(query) => reply,
            _ = state.wait_for(|state| matches!(state, State::Ended(_))) => Err(self.failure()),
        };
        let reply = reply.and_then(|reply| match classify(&reply, 0, question) {
            Match::Foreign => Err(Failure::NoReply("what it says is no reply to the question".into())),
            Match::Reply | Match::Truncated => Ok(reply),
        });
        match &reply {
            Ok(_) => {
                self.answered();
                if let Some((server, tls)) = self.tls.get() {
                    tls.works(*server);
                }
            }
            // It takes no more, whatever becomes of the others on it.
            Err(Failure::Lost { .. }) => {
                self.retires.set(Instant::now());
                self.eased.notify_one();
                // Those that were answered before it ended are awake by now, and most of them count
                // first: by them it is known how many it answers.
                tokio::task::yield_now().await;
                return Err(Failure::Lost { answered: self.answered.get() });
            }
            Err(Failure::NoReply(cause)) => {
                self.quiet_since.set(Instant::now());
                if let Some((server, tls)) = self.tls.get() {
                    tls.complain(*server, format!("upstream gives no reply: {cause}"));
                }
            }
            Err(_) => {}
        }
        reply
    }
}
