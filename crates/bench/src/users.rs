//! Users: numbers for the ceilings, mailboxes for the product.

use crate::{
    Failure,
    keys::public,
    party::{Mailbox, User},
    server::Server,
};
use p256::ecdsa::SigningKey;
use rly_protocol::api::{RegisterSim, Registered};
use std::{cell::Cell, rc::Rc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Requests at one time: they share commits.
const AT_ONCE: usize = 32;

/// Makes users, with a mailbox each where there are mailboxes.
pub(crate) async fn make(server: &Server, count: usize) -> Result<Vec<Rc<User>>, Failure> {
    if !server.target.confirms() {
        let numbers = (1u32..).take(count);
        return Ok(numbers
            .map(|number| {
                Rc::new(User {
                    number,
                    mailbox: None,
                })
            })
            .collect());
    }
    // One key for all: making keys is not what is measured, and the server cannot tell.
    let key = Rc::new(SigningKey::random(&mut rand_core::OsRng));
    let each = count.div_ceil(AT_ONCE);
    let registering = (0..count.div_ceil(each)).map(|n| register(server, &key, each.min(count - n * each)));
    let users = futures_util::future::try_join_all(registering).await?;
    Ok(users.into_iter().flatten().collect())
}

async fn register(server: &Server, key: &Rc<SigningKey>, count: usize) -> Result<Vec<Rc<User>>, Failure> {
    let reader_key = public(key)?;
    let body = serde_json::to_string(&RegisterSim { reader_key })?;
    let mut stream = TcpStream::connect(server.address).await?;
    let mut users = Vec::with_capacity(count);
    for _ in 0..count {
        let answer = post(server, &mut stream, "/api/register_sim", &body).await?;
        let made: Registered = serde_json::from_slice(&answer)
            .map_err(|_| format!("no mailbox: {}", String::from_utf8_lossy(&answer)))?;
        users.push(Rc::new(User {
            number: 0,
            mailbox: Some(Mailbox {
                queue: made.queue,
                address: made.address,
                key: key.clone(),
                ticket: Cell::new(None),
            }),
        }));
    }
    Ok(users)
}

/// The product's answer to a request with this JSON.
pub(crate) async fn post(
    server: &Server,
    stream: &mut TcpStream,
    path: &str,
    json: &str,
) -> Result<Vec<u8>, Failure> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{json}",
        server.address,
        json.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err("the server closed the connection".into());
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head_len = head.len() + 4;
        let len = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then_some(value)
        });
        let len: usize = len.ok_or("an answer without a length")?.trim().parse()?;
        if bytes.len() >= head_len + len {
            return Ok(bytes.split_off(head_len));
        }
    }
}
