use std::os::unix::fs::MetadataExt;

use super::*;
use crate::cache::{Cached, Lookup};
use crate::dns::stored_answer::{AnswerBuilder, Owner, Section};
use crate::dns::{Question, Rcode, RecordType};

#[test]
fn it_says_what_to_do_about_a_file_that_cannot_be_written() {
    let said = |errno: i32| unwritten(Path::new("/var/lib/zerohop/cache"), &io::Error::from_raw_os_error(errno));
    insta::assert_snapshot!(said(28), @"the cache cannot be written to /var/lib/zerohop/cache: No space left on device (os error 28); make room there");
    insta::assert_snapshot!(said(13), @"the cache cannot be written to /var/lib/zerohop/cache: Permission denied (os error 13); give the user that serves a directory that it may write to");
    insta::assert_snapshot!(said(21), @"the cache cannot be written to /var/lib/zerohop/cache: Is a directory (os error 21); name another file in `persist` of [cache]");
}

fn question() -> Question {
    Question::new(b"\x01a\x07example\0", RecordType::A, false, false).unwrap()
}

fn snapshots(path: Option<PathBuf>) -> Snapshots {
    let (store, _) = Store::start(1 << 20, 20).unwrap();
    Snapshots::new(path, store, Clock::start(), Arc::new(Registry::new(1)))
}

/// One answer for 300 s.
fn fill(snapshots: &Snapshots) {
    let (question, now) = (question(), snapshots.clock.now());
    let mut builder = AnswerBuilder::for_question(Rcode::NOERROR, question.name());
    builder.push(Section::Answer, Owner::Question, RecordType::A, 300, &[10, 0, 0, 1]).unwrap();
    let cached = Cached::new(Arc::new(builder.finish(Some(now))), now, Duration::from_secs(300), Duration::ZERO);
    snapshots.store.put(crate::cache::Keyed::to_key(&Lookup::new(7, &question)), cached, Box::new(()));
}

fn series(snapshots: &Snapshots, name: &str) -> f64 {
    let text = snapshots.registry.render();
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    value.trim().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_is_written_every_five_minutes_and_what_goes_wrong_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut snapshots = snapshots(Some(path.clone()));
    fill(&snapshots);
    for turn in [1.0, 2.0] {
        let early = EVERY - Duration::from_secs(1);
        assert!(timeout(early, snapshots.due()).await.is_err(), "too early");
        assert!(timeout(Duration::from_secs(1), snapshots.due()).await.is_ok(), "too late");
        snapshots.write();
        snapshots.writing.take().unwrap().await.unwrap_err();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(series(&snapshots, "zerohop_cache_snapshots_total{result=\"success\"}"), turn);
    }
    assert!(series(&snapshots, "zerohop_cache_snapshot_timestamp_seconds") > 1.7e9);
    snapshots.follow(Some(path.join("cache")));
    snapshots.write();
    snapshots.writing.take().unwrap().await.unwrap_err();
    assert_eq!(series(&snapshots, "zerohop_cache_snapshots_total{result=\"failure\"}"), 1.0);
    // Without a file there is nothing to be done, ever.
    snapshots.follow(None);
    assert!(timeout(10 * EVERY, snapshots.due()).await.is_err());
    snapshots.write_last().await;
    assert_eq!(series(&snapshots, "zerohop_cache_snapshots_total{result=\"success\"}"), 2.0);
}

#[tokio::test(start_paused = true)]
async fn one_write_waits_for_none_that_hangs_and_a_stop_for_none_too_long() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut snapshots = snapshots(Some(path.clone()));
    let (_hangs, writing) = oneshot::channel();
    snapshots.writing = Some(writing);
    snapshots.write();
    assert_eq!(series(&snapshots, "zerohop_cache_snapshots_total{result=\"failure\"}"), 1.0);
    assert!(timeout(LAST + Duration::from_secs(1), snapshots.write_last()).await.is_ok());
    assert!(!path.exists());
}

#[tokio::test]
async fn what_was_handed_over_counts_and_the_file_only_if_that_is_of_no_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut old = snapshots(Some(path.clone()));
    old.write_last().await;
    fill(&old);
    let handed = old.for_heir().await.unwrap();
    let begin = async |handed: Option<File>, most: Duration| {
        let new = snapshots(Some(path.clone()));
        new.begin_within(handed, most).await;
        new
    };
    let has = |snapshots: &Snapshots| snapshots.store.get(&Lookup::new(7, &question())).is_some();
    let long = Duration::from_secs(60);
    // Whoever serves behind it finds it.
    assert!(has(&begin(Some(handed.try_clone().unwrap()), long).await));
    // Without waiting it is found later, and for what is too large nobody waits.
    let without = begin(Some(handed), Duration::ZERO).await;
    let large = tempfile::tempfile().unwrap();
    large.set_len(5 << 20).unwrap();
    let with_large = begin(Some(large), long).await;
    old.write_last().await;
    let new = begin(Some(tempfile::tempfile().unwrap()), long).await;
    while !has(&without) || !has(&new) {
        tokio::task::yield_now().await;
    }
    while series(&with_large, "zerohop_cache_snapshots_refused_total") == 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(series(&new, "zerohop_cache_snapshots_refused_total"), 1.0);
}
