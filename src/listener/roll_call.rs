//! Workers show that they are alive when somebody asks them to. By the clock, each would be woken some
//! times a second though nobody has a question, and would have a timer set at every packet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::metrics::WorkerSeries;

/// See the module's head. Clones are of one call.
#[derive(Clone, Debug)]
pub struct RollCall {
    asked: watch::Sender<()>,
    answered: watch::Sender<()>,
}

impl Default for RollCall {
    fn default() -> Self {
        Self { asked: watch::Sender::new(()), answered: watch::Sender::new(()) }
    }
}

impl RollCall {
    /// Has every worker say how full it is, and let go of what a reload left out. Waits for none.
    pub fn ask(&self) {
        self.asked.send_replace(());
    }

    /// Asks, and waits until all have shown that they are alive, or for so long. Returns those that have
    /// not, by index.
    pub async fn call(&self, workers: &[Arc<WorkerSeries>], clock: Clock, patience: Duration) -> Vec<usize> {
        let mut answered = self.answered.subscribe();
        let asked = clock.now();
        let missing = || {
            let late = workers.iter().enumerate().filter(|(_, worker)| worker.last_beat() < asked);
            late.map(|(index, _)| index).collect::<Vec<_>>()
        };
        self.ask();
        let all = async { while !missing().is_empty() && answered.changed().await.is_ok() {} };
        // Who is missing then is what is asked for.
        let _ = timeout(patience, all).await;
        missing()
    }

    /// Where a worker hears that it is asked.
    pub(super) fn heard(&self) -> watch::Receiver<()> {
        self.asked.subscribe()
    }

    /// A worker has been seen alive.
    pub(super) fn answered(&self) {
        self.answered.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_answers_is_there_and_who_does_not_is_waited_for_and_named() {
        let (clock, workers) = (Clock::start(), [(); 2].map(|()| Arc::new(WorkerSeries::default())));
        let (call, patience) = (RollCall::default(), Duration::from_secs(1));
        let lively = |index: usize| {
            let (call, worker, mut heard) = (call.clone(), Arc::clone(&workers[index]), call.heard());
            tokio::spawn(async move {
                while heard.changed().await.is_ok() {
                    worker.beat(clock.now());
                    call.answered();
                }
            })
        };
        let missing = async || {
            tokio::time::advance(Duration::from_millis(1)).await;
            call.call(&workers, clock, patience).await
        };
        let first = lively(0);
        assert_eq!(missing().await, [1]);
        lively(1);
        assert_eq!(missing().await, [0; 0]);
        first.abort();
        assert_eq!(missing().await, [0]);
    }
}
