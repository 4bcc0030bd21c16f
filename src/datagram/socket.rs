//! A datagram socket, watched for what comes in.

use std::future::poll_fn;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::{BATCH, Batch};

/// Not watched for room to send: that comes with every packet that has left, and where questions come one
/// by one to be told of it is a second wake-up for each.
#[derive(Debug)]
pub struct Socket {
    socket: AsyncFd<UdpSocket>,
}

/// Something may have come in.
pub struct Arrival<'s> {
    ready: AsyncFdReadyGuard<'s, UdpSocket>,
}

impl Socket {
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket: watch(socket, Interest::READABLE | Interest::ERROR)? })
    }

    /// Whether it hears one peer only.
    pub fn is_connected(&self) -> bool {
        self.socket.get_ref().peer_addr().is_ok()
    }

    /// Waits for packets, or for what the network says about one that was sent.
    ///
    /// # Errors
    /// When the runtime has ended.
    pub async fn arrival(&self) -> io::Result<Arrival<'_>> {
        Ok(Arrival { ready: self.socket.ready(Interest::READABLE | Interest::ERROR).await? })
    }

    /// Waits for packets, in one task at a time. What the network says about those that were sent wakes
    /// nobody, and comes with the next: a socket without a peer hears no such thing.
    ///
    /// # Errors
    /// When the runtime has ended.
    pub async fn packets(&self) -> io::Result<Arrival<'_>> {
        Ok(Arrival { ready: poll_fn(|task| self.socket.poll_read_ready(task)).await? })
    }

    /// Waits until the kernel takes more packets to be sent.
    ///
    /// # Errors
    /// When the process is out of descriptors: for this wait it takes another.
    pub async fn room(&self) -> io::Result<()> {
        watch(self.socket.get_ref().try_clone()?, Interest::WRITABLE)?.writable().await.map(drop)
    }
}

fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a UdpSocket owns one descriptor, which it always names and closes when it is dropped; the watch
    // owns it, lends it by shared reference only, and drops it last.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest)? })
}

impl Arrival<'_> {
    /// Takes in a batch and returns how many packets it has.
    ///
    /// # Errors
    /// What the network says.
    pub fn receive(mut self, batch: &mut Batch) -> io::Result<usize> {
        let mut received = 0;
        let read = self.ready.try_io(|socket| {
            received = batch.receive(socket.as_fd())?;
            // A batch that is not full has emptied the socket; what comes later is told anew.
            if received < BATCH { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match read {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(received),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::datagram::Outbox;

    async fn pair() -> (Socket, UdpSocket) {
        let (ours, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        other.connect(ours.local_addr().unwrap()).unwrap();
        (Socket::new(ours).unwrap(), other)
    }

    #[tokio::test]
    async fn it_is_woken_by_what_comes_in_and_not_by_what_leaves() {
        let (ours, other) = pair().await;
        let mut batch = Batch::new();
        other.send(b"question").unwrap();
        assert_eq!(ours.arrival().await.unwrap().receive(&mut batch).unwrap(), 1);
        batch.packet(0).1[..5].copy_from_slice(b"reply");
        batch.queue(0, 5);
        batch.send(ours.as_fd(), &mut 0).unwrap();
        assert_eq!(other.recv(&mut [0; 16]).unwrap(), 5);
        // Room to send has come back, which nobody asked for.
        assert!(timeout(Duration::from_millis(20), ours.arrival()).await.is_err());
        other.send(b"another").unwrap();
        assert_eq!(ours.arrival().await.unwrap().receive(&mut batch).unwrap(), 1);
    }

    #[tokio::test]
    async fn what_the_network_says_is_told_once() {
        let (ours, other) = pair().await;
        let gone = other.local_addr().unwrap();
        drop(other);
        ours.socket.get_ref().connect(gone).unwrap();
        let mut outbox = Outbox::new();
        outbox.push(None, |octets| octets.push(0));
        outbox.send(ours.as_fd()).unwrap();
        let refused = ours.arrival().await.unwrap().receive(&mut Batch::new()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn room_to_send_can_be_waited_for() {
        let (ours, _other) = pair().await;
        ours.room().await.unwrap();
    }
}
