//! What the tasks of one worker share, all on its thread.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::connections::Connections;
use super::unanswered::Unanswered;
use crate::clock::Clock;
use crate::handler::Handler;
use crate::metrics::WorkerSeries;

/// Bounds on what clients may hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub tcp_idle: Duration,
    pub tcp_read: Duration,
    /// How long answers may be late at a stop.
    pub drain: Duration,
}

/// What the tasks of one worker share.
pub(super) struct Context {
    pub(super) handler: RefCell<Handler>,
    pub(super) series: Arc<WorkerSeries>,
    pub(super) clock: Clock,
    pub(super) connections: Arc<Connections>,
    /// For connections that come from now on.
    pub(super) limits: Cell<Limits>,
    pub(super) unanswered: Arc<Unanswered>,
    /// Where replies over TCP are written before they are copied out.
    pub(super) reply_buffer: RefCell<Vec<u8>>,
    /// Held by every task, so that the worker knows when the last one has ended.
    pub(super) busy: mpsc::Sender<Infallible>,
}

impl Context {
    /// Runs a task on this worker that a stop waits for.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let busy = self.busy.clone();
        // In a box: a task that holds another is twice as large.
        let mut task = Box::pin(task);
        tokio::task::spawn_local(async move {
            task.as_mut().await;
            drop(busy);
        });
    }
}
