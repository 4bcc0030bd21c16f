//! Asks the daemon that runs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Reply, Request, line};

/// How long an answer may take: a reload reads and builds everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a request to the daemon that serves with this socket, and waits for what becomes of it.
///
/// # Errors
/// A sentence for whoever typed the command.
pub fn ask(path: &Path, request: &Request) -> Result<Reply, String> {
    exchange(path, request).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "no zerohop serves with it: start it, or name its configuration with --config"
            }
            io::ErrorKind::PermissionDenied => "only root and the user that serves may: run this as one of them",
            // Which of them it is, depends on who was faster.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                let why = "only root and the user that serves may ask, and it may be stopping";
                return format!("{} does not answer: the daemon hung up; {why}", path.display());
            }
            _ => "look into the daemon's log",
        };
        format!("{} does not answer: {error}; {remedy}", path.display())
    })
}

fn exchange(path: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&line::written(request)?)?;
    let (mut come, mut buffer) = (Vec::new(), [0; line::MAX_LINE]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => come.extend_from_slice(&buffer[..read]),
        }
        if let Some(reply) = line::next(&mut come)? {
            return Ok(reply);
        }
    }
}
