//! Waits for the instance that serves to leave or die, with all that it listens on in hand.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::server::is_one_of_us;
use super::{News, Request, Seat, SeatError, line};
use crate::listener::hand_over::receive;

/// How long to wait before the one that serves is looked for again.
const RETRY: Duration = Duration::from_millis(100);
/// How long it may take to hear of us.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a standby has when it is to serve.
#[derive(Debug)]
pub struct Inheritance {
    pub seat: Seat,
    /// Listening sockets of whatever address; none when nobody has served.
    pub sockets: Vec<OwnedFd>,
    /// A snapshot of the cache of whoever has served, if that told us to serve.
    pub cache: Option<OwnedFd>,
    /// Waits to hear that we serve; `None` when it is dead.
    predecessor: Option<UnixStream>,
}

impl Inheritance {
    /// Tells the one before us that we serve. Returns what is left.
    pub async fn accept(&mut self) {
        if let (Some(mut stream), Ok(line)) = (self.predecessor.take(), line::written(&Request::Serving)) {
            // It may be dead by now.
            let _ = timeout(PATIENCE, stream.write_all(&line)).await;
        }
    }
}

/// Returns when it is time to serve: at once if nobody does. `stands` is true from when we stand by, or wait
/// behind somebody who does.
///
/// # Errors
/// When there can be no control socket here, or it is somebody else's.
pub async fn stand_by(path: &Path, stands: &watch::Sender<bool>) -> Result<Inheritance, SeatError> {
    let mut said = None;
    loop {
        let problem = match UnixStream::connect(path).await {
            Ok(stream) if !is_one_of_us(&stream) => {
                let error = io::Error::from(io::ErrorKind::PermissionDenied);
                return Err(SeatError::Failed { path: path.to_owned(), what: "is served by another user", error });
            }
            Ok(stream) => match join(stream, path, stands).await {
                Ok(Some(inheritance)) => return Ok(inheritance),
                Ok(None) => "it has ended before it handed anything over".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(_) => match Seat::take(path) {
                Ok(seat) => return Ok(Inheritance { seat, sockets: Vec::new(), cache: None, predecessor: None }),
                Err(taken @ SeatError::Taken { .. }) => taken.to_string(),
                Err(error) => return Err(error),
            },
        };
        if said.as_ref() != Some(&problem) {
            tracing::info!(control = %path.display(), "cannot stand by yet, trying on: {problem}");
        }
        said = Some(problem);
        sleep(RETRY).await;
    }
}

/// `None` when the other side has ended with us empty-handed.
async fn join(mut stream: UnixStream, path: &Path, stands: &watch::Sender<bool>) -> io::Result<Option<Inheritance>> {
    let pid = std::process::id();
    timeout(PATIENCE, stream.write_all(&line::written(&Request::Join { pid })?)).await??;
    let (mut come, mut coming, mut descriptors) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_whole = false;
    let is_told = loop {
        match news(&stream, &mut come, &mut coming).await {
            Ok(Some(News::Wait { pid })) => {
                tracing::info!(pid, "another instance stands by: waiting behind it");
                stands.send_replace(true);
            }
            Ok(Some(News::Sockets { left })) => {
                if left > 0 {
                    continue;
                }
                descriptors = std::mem::take(&mut coming);
                let message = if is_whole { "standing by, with other sockets" } else { "standing by" };
                is_whole = true;
                tracing::info!(control = %path.display(), descriptors = descriptors.len(), message);
                stands.send_replace(true);
            }
            Ok(Some(News::Serve)) if is_whole => break true,
            Ok(Some(News::Serve)) => return Err(io::ErrorKind::InvalidData.into()),
            // Whatever the kernel calls it, the other one is gone.
            Ok(None) | Err(_) if is_whole => break false,
            Ok(None) => return Ok(None),
            Err(error) => return Err(error),
        }
    };
    // It comes with the word.
    let cache = coming.pop().filter(|_| is_told);
    let mut descriptors = descriptors.into_iter();
    let (Some(lock), Some(listener)) = (descriptors.next(), descriptors.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    tracing::info!(
        "{}",
        if is_told { "taking over: told to" } else { "taking over: the instance that served is gone" }
    );
    let seat = Seat::inherited(path, lock, listener);
    Ok(Some(Inheritance { seat, sockets: descriptors.collect(), cache, predecessor: is_told.then_some(stream) }))
}

/// The next that there is; `None` at the end.
async fn news(stream: &UnixStream, come: &mut Vec<u8>, descriptors: &mut Vec<OwnedFd>) -> io::Result<Option<News>> {
    loop {
        if let Some(news) = line::next(come)? {
            return Ok(Some(news));
        }
        let mut room = [0; line::MAX_LINE];
        let (length, more) = stream.async_io(Interest::READABLE, || receive(stream.as_fd(), &mut room)).await?;
        descriptors.extend(more);
        if length == 0 {
            return Ok(None);
        }
        come.extend_from_slice(&room[..length]);
    }
}
