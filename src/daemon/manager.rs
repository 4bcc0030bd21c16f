//! What passes between systemd and us: what was kept for us, how we are, and what is to be kept.
//!
//! Without `NOTIFY_SOCKET` nothing of this happens. With a standby beside us nothing is kept: what two
//! units share is handed over by themselves.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::status::Status;
use crate::admin::Admin;
use crate::clock;
use crate::handler::Tables;
use crate::listener::parcel::{Parcel, Question};
use crate::node::systemd::{Notify, Passed, Store, is_there, memory, watchdog};

/// The memory with questions.
const QUESTIONS: &str = "questions";
/// That with the cache.
const CACHE: &str = "cache";
/// How old a question may be: longer than that no stub waits (glibc).
const QUESTION_LIVES: Duration = Duration::from_secs(5);
/// How long every listen address may take to answer. One that the node gets later is not to hold up what is
/// started behind us.
const START: Duration = Duration::from_secs(5);
/// Between two looks at whether they do.
const LOOK: Duration = Duration::from_millis(100);
/// How often the status is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// Time to stop, beyond what is configured.
const STOP: Duration = Duration::from_secs(5);

/// What the process before has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) sockets: Vec<OwnedFd>,
    pub(super) questions: Vec<Question>,
    pub(super) cache: Option<File>,
    /// The sockets are of a process, not only of a socket unit.
    pub(super) has_served: bool,
}

/// See the module's head.
pub(super) struct Manager {
    notify: Option<Notify>,
    store: Mutex<Store>,
    /// Whether there is somebody beside us to take over.
    joins: bool,
    has_store: Cell<bool>,
    is_ready: Cell<bool>,
    status: RefCell<Status>,
    /// What it was told last.
    said: RefCell<String>,
}

impl Manager {
    pub(super) fn find(passed: &Passed, joins: bool) -> Self {
        Self {
            notify: Notify::find(),
            store: Mutex::new(Store::of(passed)),
            joins,
            has_store: Cell::new(false),
            is_ready: Cell::new(false),
            status: RefCell::default(),
            said: RefCell::default(),
        }
    }

    /// Takes what was kept for us, and out of the store what is no listener.
    pub(super) async fn receive(&self, mut passed: Passed) -> Left {
        let mut store = self.store.lock().await;
        if let Some(notify) = &self.notify {
            store.forget_memories(notify).await;
        }
        let questions = questions(&passed, clock::of_this_boot());
        if !passed.is_empty() {
            let names: Vec<&str> = passed.iter().map(|(name, _)| name).collect();
            tracing::info!(descriptors = names.join(" "), questions = questions.len(), "kept by the service manager");
        }
        let (cache, has_served) = (passed.take(CACHE), store.has_listeners());
        // What kept that keeps more: a stop may come before an older systemd has shown that it has a store.
        self.has_store.set(has_served && !self.joins);
        Left { questions, cache, has_served, sockets: passed.into_descriptors() }
    }

    /// Once we stand by: a unit has started when it does.
    pub(super) fn stand_by(self: &Rc<Self>, mut stands: watch::Receiver<bool>) -> JoinHandle<()> {
        let manager = Rc::clone(self);
        spawn_local(async move {
            let Some(notify) = &manager.notify else { return };
            if stands.wait_for(|stands| *stands).await.is_err() {
                return;
            }
            notify.tell("READY=1\nSTATUS=standing by").await;
            let Some(every) = watchdog() else { return };
            let mut ticks = interval(every / 2);
            loop {
                ticks.tick().await;
                notify.tell("WATCHDOG=1").await;
            }
        })
    }

    /// From now on we serve: this is told when it is so, and how we are as long as it is.
    pub(super) fn serves(self: &Rc<Self>, zones: usize, admin: &Rc<Admin>, tables: &Arc<ArcSwap<Tables>>) {
        self.status.borrow_mut().zones = zones;
        let (manager, admin, tables) = (Rc::clone(self), Rc::clone(admin), Arc::clone(tables));
        spawn_local(async move {
            let Some(notify) = &manager.notify else { return };
            manager.keep(notify, &admin).await;
            if timeout(START, ready(&admin)).await.is_err() {
                let lines = admin.unready().await;
                tracing::warn!("said to be ready after {START:?}, though not all is: {}", lines.trim_end());
            }
            if admin.is_stopping.get() {
                return;
            }
            manager.is_ready.set(true);
            notify.tell(&format!("READY=1\n{}", manager.status(&tables))).await;
            manager.has_store.set(!manager.joins && is_there(notify).await);
            manager.attend(notify, &admin, &tables).await;
        });
    }

    /// Tells how we are, again and again; that we are alive, only while every worker is.
    async fn attend(&self, notify: &Notify, admin: &Admin, tables: &ArcSwap<Tables>) {
        let watchdog = watchdog();
        let mut ticks = interval(watchdog.map_or(PERIOD, |every| PERIOD.min(every / 2)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if admin.is_stopping.get() {
                return;
            }
            self.keep(notify, admin).await;
            loop {
                let stuck = admin.stuck_workers().await;
                let is_alive = stuck.is_empty();
                self.status.borrow_mut().stuck = stuck;
                let before = self.said.borrow().clone();
                let now = self.status(tables);
                if now != before {
                    notify.tell(&now).await;
                }
                if is_alive {
                    break;
                }
            }
            if watchdog.is_some() {
                notify.tell("WATCHDOG=1").await;
            }
        }
    }

    /// Has the store as we listen.
    async fn keep(&self, notify: &Notify, admin: &Admin) {
        let listening = if self.joins { Vec::new() } else { admin.succession.offered() };
        self.store.lock().await.keep_only(notify, &listening).await;
    }

    fn status(&self, tables: &ArcSwap<Tables>) -> String {
        let line = format!("STATUS={}", self.status.borrow().line(&tables.load()));
        self.said.replace(line.clone());
        line
    }

    /// A reload begins.
    pub(super) async fn reloads(&self) {
        if let Some(notify) = self.notify.as_ref().filter(|_| self.is_ready.get()) {
            notify.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", clock::of_this_boot().as_micros())).await;
        }
    }

    /// A reload has ended.
    pub(super) async fn has_reloaded(&self, is_good: bool, zones: usize, tables: &ArcSwap<Tables>) {
        {
            let mut status = self.status.borrow_mut();
            (status.reload, status.zones) = (Some(is_good), zones);
        }
        if let Some(notify) = self.notify.as_ref().filter(|_| self.is_ready.get()) {
            notify.tell(&format!("READY=1\n{}", self.status(tables))).await;
        }
    }

    /// We were told to stop, and that may take so long.
    pub(super) async fn stops(&self, longest: Duration) {
        if let Some(notify) = &self.notify {
            let longest = (longest + STOP).as_micros();
            notify.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={longest}\nSTATUS=stopping")).await;
        }
    }

    /// Whether what is left is kept for the next process.
    pub(super) fn keeps(&self) -> bool {
        self.has_store.get()
    }

    /// Leaves the cache to the next process.
    pub(super) async fn leave_cache(&self, cache: &File) {
        if let Some(notify) = &self.notify {
            self.store.lock().await.put(notify, CACHE, cache).await;
        }
    }

    /// Leaves these questions to the next process. Returns how many it gets.
    pub(super) async fn leave(&self, questions: Vec<Question>) -> usize {
        let Some(notify) = &self.notify else { return 0 };
        let count = questions.len();
        let parcel = Parcel { written: clock::of_this_boot(), questions };
        let left = match memory("zerohop-questions", &parcel.write()) {
            Ok(memory) if count > 0 => {
                self.store.lock().await.put(notify, QUESTIONS, &memory).await;
                count
            }
            Ok(_) => 0,
            Err(error) => {
                tracing::error!(count, %error, "questions cannot be left to the next process");
                0
            }
        };
        notify.settled().await;
        left
    }

    /// Has nothing kept: somebody else serves with our sockets.
    pub(super) async fn forget(&self) {
        if let Some(notify) = &self.notify {
            self.store.lock().await.keep_only(notify, &[]).await;
            notify.settled().await;
        }
    }
}

/// Returns when every listen address answers.
async fn ready(admin: &Admin) {
    while !admin.unready().await.is_empty() {
        sleep(LOOK).await;
    }
}

/// What the process before has not answered, unless nobody waits for that any more.
fn questions(passed: &Passed, now: Duration) -> Vec<Question> {
    let parcel = match passed.memory(QUESTIONS) {
        None => return Vec::new(),
        Some(octets) => octets.ok().and_then(|octets| Parcel::read(&octets)),
    };
    match parcel {
        Some(parcel) if now.saturating_sub(parcel.written) < QUESTION_LIVES => parcel.questions,
        Some(_) => Vec::new(),
        None => {
            tracing::warn!("the questions that an earlier process has left cannot be read; clients ask again");
            Vec::new()
        }
    }
}
