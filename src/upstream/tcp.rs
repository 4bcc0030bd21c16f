//! One question over one TCP connection (RFC 7766).

use std::net::SocketAddr;

use rand::RngExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ExchangeError;
use super::matching::{Match, classify};
use crate::dns::Question;
use crate::dns::query::write_upstream_query;
use crate::dns::response::MAX_UDP_PAYLOAD;

/// Connects, asks, and reads messages until one is the reply.
pub(super) async fn ask(server: SocketAddr, question: &Question) -> Result<Vec<u8>, ExchangeError> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let id = rand::rng().random();
    let query = write_upstream_query(question, id, MAX_UDP_PAYLOAD);
    let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
    // One write: some servers take a length alone in a segment for a broken client.
    stream.write_all(&[&length.to_be_bytes(), query.as_slice()].concat()).await?;
    loop {
        let length = match stream.read_u16().await {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(ExchangeError::Closed),
            other => other?,
        };
        let mut message = vec![0; usize::from(length)];
        stream.read_exact(&mut message).await?;
        // TC over TCP: what is there is all there is.
        if classify(&message, id, question) != Match::Foreign {
            return Ok(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::dns::RecordType;

    #[tokio::test]
    async fn a_reply_in_pieces_behind_a_foreign_one_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let question = Question::new(b"\x01a\x00", RecordType::A, false, false).unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            query[2] |= 0x80;
            let mut foreign = query.clone();
            foreign[0] ^= 1;
            stream
                .write_all(&[&length.to_be_bytes(), &foreign[..], &length.to_be_bytes()[..1]].concat())
                .await
                .unwrap();
            tokio::task::yield_now().await;
            stream.write_all(&[&length.to_be_bytes()[1..], &query[..]].concat()).await.unwrap();
            query
        };
        let (reply, sent) = tokio::join!(ask(address, &question), serving);
        assert_eq!(reply.unwrap(), sent);
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let question = Question::new(b"\x01a\x00", RecordType::A, false, false).unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            stream.read_exact(&mut vec![0; usize::from(length)]).await.unwrap();
        };
        let (reply, ()) = tokio::join!(ask(address, &question), serving);
        assert!(matches!(reply, Err(ExchangeError::Closed)));
    }
}
