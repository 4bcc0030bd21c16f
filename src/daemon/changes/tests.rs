use std::fs;
use std::fs::{File, create_dir, create_dir_all, remove_dir_all, rename, write};
use std::io::Write;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// Longer than it takes for changes to settle, shorter than until the next look.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory in which one file is watched.
struct Place {
    directory: TempDir,
    file: PathBuf,
    watch: Watch,
}

impl Place {
    /// `make` puts into the directory what there is before anything is watched.
    async fn new(file: &str, make: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let mut place = Self { file: directory.path().join(file), directory, watch: Watch::start() };
        place.follow();
        assert!(place.is_told().await, "what came before is made good");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn follow(&mut self) {
        self.watch.follow(std::iter::once(self.file.as_path()));
    }

    async fn is_told(&mut self) -> bool {
        timeout(PATIENCE, self.watch.settled()).await.is_ok()
    }

    /// That something is heard of what `change` does, and that it can be heard of again.
    async fn hears(&mut self, what: &str, change: impl FnOnce(&Self)) {
        change(self);
        assert!(self.is_told().await, "{what}");
        self.follow();
        // A directory that is new may have been changed before it was watched.
        if self.watch.is_behind {
            assert!(self.is_told().await);
        }
        self.is_quiet(what);
    }

    /// That nothing has been said which is of interest. The kernel says it before the change returns.
    fn is_quiet(&self, what: &str) {
        let queue = self.watch.inotify.as_ref().unwrap();
        while let Ok(events) = queue.get_ref().0.read_events() {
            let told = events.iter().find(|event| self.watch.is_relevant(event));
            assert!(told.is_none(), "{what}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_file_is_written_replaced_removed_and_made_again() {
    let mut place = Place::new("a", |directory| write(directory.join("a"), "1").unwrap()).await;
    place.hears("a plain write", |place| write(&place.file, "2").unwrap()).await;
    place
        .hears("an editor", |place| {
            write(place.at("a.swp"), "3").unwrap();
            rename(place.at("a.swp"), &place.file).unwrap();
        })
        .await;
    place.hears("removal", |place| fs::remove_file(&place.file).unwrap()).await;
    place.hears("it is made again", |place| write(&place.file, "4").unwrap()).await;
    place
        .hears("a second name for another", |place| {
            fs::remove_file(&place.file).unwrap();
            write(place.at("b"), "5").unwrap();
            fs::hard_link(place.at("b"), &place.file).unwrap();
        })
        .await;
}

#[tokio::test]
async fn what_happens_to_others_is_not_told_and_nothing_is_read_while_it_is_written() {
    let mut place = Place::new("a", |directory| write(directory.join("a"), "1").unwrap()).await;
    write(place.at("b"), "1").unwrap();
    fs::remove_file(place.at("b")).unwrap();
    fs::read(&place.file).unwrap();
    place.is_quiet("others");
    let mut file = File::create(&place.file).unwrap();
    file.write_all(b"first half").unwrap();
    place.is_quiet("half of it");
    file.write_all(b"second half").unwrap();
    place.hears("the rest", |_| drop(file)).await;
    fs::remove_file(&place.file).unwrap();
    assert!(place.is_told().await);
    let mut file = File::create(&place.file).unwrap();
    file.write_all(b"first half").unwrap();
    place.is_quiet("half of a new one");
    place.hears("the rest of it", |_| drop(file)).await;
}

#[tokio::test]
async fn a_config_map_is_swapped() {
    let generation = |directory: &Path, name: &str| {
        create_dir(directory.join(name)).unwrap();
        write(directory.join(name).join("a"), name).unwrap();
    };
    let mut place = Place::new("a", |directory| {
        generation(directory, "..1");
        symlink("..1", directory.join("..data")).unwrap();
        symlink("..data/a", directory.join("a")).unwrap();
    })
    .await;
    for number in 2..5 {
        let what = format!("generation {number}");
        place
            .hears(&what, |place| {
                generation(place.directory.path(), &format!("..{number}"));
                symlink(format!("..{number}"), place.at("..data_tmp")).unwrap();
                rename(place.at("..data_tmp"), place.at("..data")).unwrap();
                remove_dir_all(place.at(&format!("..{}", number - 1))).unwrap();
            })
            .await;
    }
}

#[tokio::test]
async fn a_link_leads_elsewhere_and_directories_come_and_go() {
    let mut place = Place::new("etc/resolv.conf", |directory| {
        create_dir(directory.join("etc")).unwrap();
        symlink("../run/resolve/stub", directory.join("etc/resolv.conf")).unwrap();
    })
    .await;
    let resolve = "run/resolve";
    place.hears("a directory comes", |place| create_dir(place.at("run")).unwrap()).await;
    place.hears("what is below it", |place| create_dir_all(place.at(resolve)).unwrap()).await;
    place.hears("the file", |place| write(place.at("run/resolve/stub"), "1").unwrap()).await;
    place.hears("another", |place| write(place.at("run/resolve/stub"), "2").unwrap()).await;
    place.hears("the end of the directory", |place| remove_dir_all(place.at(resolve)).unwrap()).await;
    place
        .hears("all of it again", |place| {
            create_dir_all(place.at(resolve)).unwrap();
            write(place.at("run/resolve/stub"), "3").unwrap();
        })
        .await;
    create_dir(place.at("else")).unwrap();
    write(place.at("else/conf"), "4").unwrap();
    place
        .hears("the link leads elsewhere", |place| {
            symlink("../else/conf", place.at("etc/new")).unwrap();
            rename(place.at("etc/new"), &place.file).unwrap();
        })
        .await;
    place.hears("where it leads now", |place| write(place.at("else/conf"), "5").unwrap()).await;
    write(place.at("run/resolve/stub"), "6").unwrap();
    place.is_quiet("where it led before");
}

#[tokio::test]
async fn whoever_stops_waiting_while_changes_settle_is_told_the_next_time() {
    let mut place = Place::new("file", |directory| write(directory.join("file"), "1").unwrap()).await;
    place.follow();
    write(&place.file, "2").unwrap();
    // As something else that the daemon waits for comes in between, again and again.
    let deadline = Instant::now() + PATIENCE;
    while !place.watch.is_behind {
        assert!(Instant::now() < deadline, "nobody is told any more");
        tokio::select! {
            biased;
            () = place.watch.settled() => panic!("changes have to settle first"),
            () = tokio::task::yield_now() => {}
        }
    }
    place.is_quiet("it was taken in already");
    assert!(place.is_told().await);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_to_watch_with_files_are_looked_at_all_the_same() {
    let mut blind = Watch { inotify: None, watched: HashMap::new(), is_behind: false, is_full: false };
    blind.follow(std::iter::once(Path::new("/etc/resolv.conf")));
    let start = Instant::now();
    blind.settled().await;
    blind.settled().await;
    assert_eq!(start.elapsed(), 2 * LOOK_INSTEAD);
    let mut watch = Watch::start();
    watch.settled().await;
    assert_eq!(start.elapsed(), 2 * LOOK_INSTEAD + LOOK);
}
