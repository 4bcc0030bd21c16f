//! Questions that tell whether a server leads back to us.
//!
//! A loop is a matter of a zone and a server: kube-dns may well ask us for the names of the world
//! while we ask it for those of the cluster. So the question is for a name in the zone that nobody
//! has. RFC 6761 keeps `invalid` on every resolver that follows it, and would hide the loop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::sync::oneshot;

use crate::dns::{Moment, Name, Question, RecordType};

/// What operators of other servers see of us, between the secret and the zone.
const SIGN: &str = "zerohop-loop";
/// Letters of a secret: 75 bits.
const LETTERS: usize = 16;

type Label = [u8; LETTERS];

/// The questions that are out, of the whole process.
#[derive(Debug)]
pub struct Loops {
    /// The second label of their names, which nobody else can ask for.
    secret: Label,
    /// By their first label. Each counts once, and while it is waited for: one that was overheard
    /// and is sent again says nothing.
    out: Mutex<HashMap<Label, oneshot::Sender<()>>>,
}

impl Default for Loops {
    fn default() -> Self {
        Self { secret: random_label(), out: Mutex::default() }
    }
}

impl Loops {
    /// Whether a name is of one of our own questions, which has come back, then. Such a question is
    /// not a client's. `name` is in lower-case wire form.
    pub fn came_back(&self, name: &[u8]) -> bool {
        let Some((label, rest)) = first_label(name) else { return false };
        let ours = first_label(rest).is_some_and(|(secret, _)| *secret == self.secret);
        if ours && let Some(told) = self.lock().remove(label) {
            // Whoever waited may have given up just now.
            let _ = told.send(());
        }
        ours
    }

    /// A question in this zone that is out from now on; `None` when the zone's name is too long.
    pub(super) fn ask(self: &Arc<Self>, zone: &Name) -> Option<Out> {
        let label = random_label();
        let text = |label: &Label| String::from_utf8_lossy(label).into_owned();
        let name = Name::from_text(&format!("{}.{}.{SIGN}", text(&label), text(&self.secret)), zone).ok()?;
        // TXT: no filter of addresses, and no synthesis of them, is in its way.
        let question = Question::new(name.wire(), RecordType::TXT, false, false)?;
        let (told, back) = oneshot::channel();
        self.lock().insert(label, told);
        Some(Out { question, back, label, loops: Arc::clone(self) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Label, oneshot::Sender<()>>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question that is out, until it is dropped.
pub(super) struct Out {
    pub(super) question: Question,
    /// Told when it has come back.
    pub(super) back: oneshot::Receiver<()>,
    label: Label,
    loops: Arc<Loops>,
}

impl Drop for Out {
    fn drop(&mut self) {
        self.loops.lock().remove(&self.label);
    }
}

fn random_label() -> Label {
    let octets: Label = rand::rng().random();
    octets.map(|octet| b'a' + octet % 26)
}

/// The first label, if it has the length of ours, and what is behind it.
fn first_label(name: &[u8]) -> Option<(&Label, &[u8])> {
    let rest = name.strip_prefix(&[16])?;
    rest.split_first_chunk()
}

/// The zones whose questions come back to us from one server.
#[derive(Debug, Default)]
pub struct Returning {
    any: AtomicBool,
    zones: Mutex<Vec<Name>>,
}

impl Returning {
    /// Whether this zone's questions do. Locks only where there is a loop.
    pub fn has(&self, zone: &Name) -> bool {
        self.any() && self.lock().contains(zone)
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Notes whether this zone's questions do, and returns whether that is new.
    pub(super) fn note(&self, zone: &Name, comes_back: bool) -> bool {
        let mut zones = self.lock();
        let before = zones.len();
        if !comes_back {
            zones.retain(|other| other != zone);
        } else if !zones.contains(zone) {
            zones.push(zone.clone());
        }
        self.any.store(!zones.is_empty(), Relaxed);
        zones.len() != before
    }

    /// Forgets zones that are not asked there any more.
    pub(super) fn keep_only(&self, asked: &[Name]) {
        let mut zones = self.lock();
        zones.retain(|zone| asked.contains(zone));
        self.any.store(!zones.is_empty(), Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Name>> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When something was last used, in nanoseconds since the origin; 0 if never.
#[derive(Debug, Default)]
pub struct LastUse(AtomicU64);

impl LastUse {
    pub fn note(&self, now: Moment) {
        let nanos = u64::try_from(now.since(Moment::ORIGIN).as_nanos()).unwrap_or(u64::MAX);
        self.0.store(nanos.max(1), Relaxed);
    }

    pub(super) fn at(&self) -> Option<Moment> {
        let nanos = self.0.load(Relaxed);
        (nanos > 0).then(|| Moment::after_origin(Duration::from_nanos(nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(text: &str) -> Name {
        Name::from_text(text, &Name::root()).unwrap()
    }

    #[test]
    fn each_question_counts_once_and_only_while_it_is_out() {
        let loops = Arc::new(Loops::default());
        let mut out = loops.ask(&zone("cluster.local.")).unwrap();
        let name = out.question.name().to_vec();
        assert!(zone(&Name::from_wire(&name).unwrap().to_string()).is_within(&zone("zerohop-loop.cluster.local.")));
        assert!(out.back.try_recv().is_err());
        assert!(loops.came_back(&name));
        assert!(out.back.try_recv().is_ok());
        // Again, it is still ours, and says nothing; so when nobody waits any more.
        let late = loops.ask(&Name::root()).unwrap();
        let late_name = late.question.name().to_vec();
        drop(late);
        assert!(loops.came_back(&name) && loops.came_back(&late_name));
        assert!(loops.lock().is_empty());
    }

    #[test]
    fn what_others_ask_is_not_ours() {
        let loops = Arc::new(Loops::default());
        let out = loops.ask(&Name::root()).unwrap();
        let mut guessed = out.question.name().to_vec();
        guessed[20] ^= 1;
        let other = Arc::new(Loops::default());
        for name in [&guessed[..], other.ask(&Name::root()).unwrap().question.name(), &[0], b"\x10short\x00"] {
            assert!(!loops.came_back(name), "{name:?}");
        }
        assert!(loops.ask(&zone(&format!("{0}.{0}.{0}.{0}.", "x".repeat(60)))).is_none(), "no room in the name");
    }

    #[test]
    fn a_server_may_return_one_zone_and_not_another() {
        let returning = Returning::default();
        let (a, b) = (zone("a."), zone("b."));
        assert!(returning.note(&a, true) && !returning.note(&a, true) && !returning.note(&b, false));
        assert!(returning.has(&a) && !returning.has(&b));
        returning.keep_only(std::slice::from_ref(&b));
        assert!(!returning.any());
        assert!(returning.note(&b, true) && returning.note(&b, false) && !returning.has(&b));
    }
}
