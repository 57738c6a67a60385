//! Requests over every route and method.

use super::{Known, METHODS, TARGETS, Tally, bend, noise, one_in, peer, pick};
use crate::{
    below,
    common::process::{Answer, PATIENCE},
};
use rand_chacha::ChaCha20Rng;
use rly_protocol::ErrorCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A value of a type that nobody expects there.
fn foreign(rng: &mut ChaCha20Rng) -> Value {
    match below(rng, 9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(u64::MAX),
        4 => json!(1.5e300),
        5 => json!([[], {}, ""]),
        6 => json!({"a": {"b": {"c": []}}}),
        7 => json!("\u{202e}\u{0}\u{feff}\u{1f600}"),
        _ => json!("A".repeat(below(rng, 200_000))),
    }
}

fn body(rng: &mut ChaCha20Rng, known: &Known, target: &str) -> Vec<u8> {
    let mut value = match target {
        "/api/share_contact" => json!({
            "address_token": known.mailbox.address_token, "card": "Y2FyZA", "ttl_seconds": 60
        }),
        "/api/import_contact" => json!({"invite": known.shared.invite, "claim_key": known.key.json()}),
        _ => json!({"reader_key": known.key.json()}),
    };
    let fields: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    let field = &fields[below(rng, fields.len())];
    match below(rng, 12) {
        0 => return Vec::new(),
        1 => return noise(rng, 300),
        2 => {
            return [r#"{"a":"#, "["][below(rng, 2)]
                .repeat(below(rng, 20_000))
                .into_bytes();
        }
        3 => {
            // A field twice.
            let text = value.to_string();
            let again = json!({ field: foreign(rng) }).to_string();
            return format!("{},{}", text.trim_end_matches('}'), &again[1..]).into_bytes();
        }
        4 => return foreign(rng).to_string().into_bytes(),
        5 => {
            let lone = pick(
                rng,
                &[
                    r#"{"reader_key":"\ud800"}"#,
                    "\u{feff}{}",
                    "{}{}",
                    "{'a':1}",
                    "NaN",
                    "{\"a\":01}",
                ],
            );
            return lone.as_bytes().to_vec();
        }
        6 => {
            value.as_object_mut().unwrap().remove(field);
        }
        7 => value["more"] = foreign(rng),
        8 | 9 => value[field] = foreign(rng),
        _ => {
            let mut text = value[field].to_string().into_bytes();
            bend(rng, &mut text);
            value[field] = String::from_utf8_lossy(&text).trim_matches('"').into();
        }
    }
    let mut text = value.to_string().into_bytes();
    if one_in(rng, 4) {
        bend(rng, &mut text);
    }
    text
}

/// A request as bytes; whether it is whole, so that an answer is owed; and what it is called.
pub(super) fn request(rng: &mut ChaCha20Rng, known: &Known, host: &str) -> (Vec<u8>, bool, String) {
    let (target, method) = (pick(rng, &TARGETS), pick(rng, &METHODS));
    // Where most of the code is.
    let (target, method) = if one_in(rng, 3) {
        (TARGETS[10 + below(rng, 3)], "POST")
    } else {
        (target, method)
    };
    let name = format!("{method} {target}");
    let mut whole = true;
    let mut path = target.as_bytes().to_vec();
    if one_in(rng, 6) {
        match below(rng, 8) {
            0 => path.extend_from_slice(b"/../../etc/passwd"),
            1 => path.extend_from_slice(b"%00%ff%2e%2e%2f"),
            2 => path.extend_from_slice(b"?invite=x&%zz=%"),
            3 => path.extend(b"/x".repeat(below(rng, 6_000))),
            4 => path = b"*".to_vec(),
            5 => path = format!("http://evil.example{target}").into_bytes(),
            6 => {
                path.extend(noise(rng, 20));
                whole = false;
            }
            _ => path.extend_from_slice("/\u{202e}ü".as_bytes()),
        }
    }
    let body = body(rng, known, target);
    let mut head = [method.as_bytes(), b" ", &path, b" HTTP/1.1\r\n"].concat();
    let mut add = |name: &str, value: &[u8]| {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    if !one_in(rng, 40) {
        let host = if one_in(rng, 20) { "localhost:1" } else { host };
        add("Host", host.as_bytes());
    }
    add("Connection", b"close");
    add("X-Forwarded-For", peer(rng).as_bytes());
    let kinds = [
        "application/json; charset=utf-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ];
    let kind = if one_in(rng, 6) {
        pick(rng, &kinds)
    } else {
        "application/json"
    };
    add("Content-Type", kind.as_bytes());
    if one_in(rng, 6) {
        let origins = [
            "https://evil.example",
            "null",
            "http://127.0.0.1:1",
            "file://",
            "\u{fc}",
        ];
        add("Origin", pick(rng, &origins).as_bytes());
    }
    if one_in(rng, 5) {
        match below(rng, 12) {
            0 => add("Accept", b"text/html"),
            1 => add("Referer", b"http://127.0.0.1/letter"),
            2 => add("If-None-Match", b"\"\", W/*, \x80"),
            3 => add("Accept-Encoding", b"br;q=x, gzip;q=-1, ,;;=,*"),
            4 => add("Range", b"bytes=9-1,-"),
            5 => add(
                "X-Forwarded-For",
                &noise(rng, 60)
                    .into_iter()
                    .map(|b| b.clamp(32, 126))
                    .collect::<Vec<_>>(),
            ),
            6 => add("Cookie", &b"a=b; ".repeat(below(rng, 2_000))),
            7 => (0..below(rng, 200)).for_each(|n| add(&format!("X-{n}"), b"x")),
            8 => add("Expect", b"100-continue"),
            9 => add("Upgrade", b"h2c, websocket"),
            10 => add("Sec-WebSocket-Key", b"nonsense"),
            _ => add("Content-Encoding", b"br"),
        }
    }
    match below(rng, 14) {
        0 => {
            // More is promised than comes.
            add(
                "Content-Length",
                (body.len() + 1 + below(rng, 99)).to_string().as_bytes(),
            );
            whole = false;
        }
        1 => {
            let lengths = ["-1", "x", "0x10", "18446744073709551616", "1, 2", " "];
            add("Content-Length", pick(rng, &lengths).as_bytes());
            whole = false;
        }
        2 => {
            add("Content-Length", b"3");
            add("Transfer-Encoding", b"chunked");
            whole = false;
        }
        3 => {
            add("Transfer-Encoding", b"chunked");
            let mut text = [head, b"\r\n".to_vec()].concat();
            for part in body.chunks(1 + below(rng, 4_000)) {
                text.extend(format!("{:x}\r\n", part.len()).into_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            if one_in(rng, 2) {
                bend(rng, &mut text);
                return (text, false, name);
            }
            text.extend_from_slice(b"0\r\n\r\n");
            return (text, whole, name);
        }
        _ => add("Content-Length", body.len().to_string().as_bytes()),
    }
    head.extend_from_slice(b"\r\n");
    let mut text = [head, body].concat();
    if one_in(rng, 8) {
        bend(rng, &mut text);
        whole = false;
    }
    (text, whole, name)
}

/// Sends it and judges what comes back.
pub(super) async fn ask(host: &str, text: &[u8], whole: bool, tally: &Tally) {
    let mut stream = TcpStream::connect(host).await.unwrap();
    let sent = stream.write_all(text).await;
    if !whole && sent.is_ok() {
        // Nothing more comes: otherwise the server rightly waits for the rest.
        let _ = stream.shutdown().await;
    }
    let mut bytes = Vec::new();
    // Who refuses early may reset what it did not read; what it said before counts.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap_or_else(|_| panic!("no end after {:?}", String::from_utf8_lossy(text)));
    let shown = || String::from_utf8_lossy(&text[..text.len().min(2_000)]).into_owned();
    // Asked whether to go on, then the answer.
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let bytes = bytes.strip_prefix(go_on).unwrap_or(&bytes);
    let Some(answer) = Answer::parse(bytes) else {
        assert!(
            !whole || sent.is_err() || bytes.is_empty() && text.len() > 16_000,
            "no answer to {}",
            shown()
        );
        tally.count("closed");
        return;
    };
    tally.count(format!("status {}", answer.status));
    assert!(answer.status < 500, "{answer:?} to {}", shown());
    let kind = answer.header("content-type").unwrap_or_default();
    if answer.status >= 400 && kind == "application/json" && !answer.body.is_empty() {
        assert_ne!(answer.code(), ErrorCode::Internal, "{}", shown());
    } else if answer.status >= 400 {
        // A page; no content after HEAD; or no HTTP that could be answered otherwise.
        let finished = answer.body.ends_with("</html><!>");
        assert!(finished || answer.body.is_empty(), "{answer:?} to {}", shown());
    }
}
