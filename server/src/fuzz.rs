//! Fuzz targets: headers of requests, and what the process is told at its start. See `rly_fuzzing`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::{
    PublicUrl, Remote, Task, TrustedProxies,
    content::{Content, Keep},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rly_fuzzing::{Script, ScriptWriter, Target, within};
use std::{ffi::OsString, net::IpAddr, os::unix::ffi::OsStringExt, sync::LazyLock};

/// Every target of this crate.
pub static TARGETS: &[Target] = &[
    Target {
        name: "headers",
        run: headers,
        seeds: header_seeds,
        words: &[
            ",",
            "10.0.0.1",
            "::ffff:1.2.3.4",
            "br",
            "gzip;q=0",
            ";q=",
            "W/\"",
            "*",
            ":3000",
            "localhost",
            "[::1]",
        ],
        rounds: 10_000,
    },
    Target {
        name: "start",
        run: start,
        seeds: start_seeds,
        words: &[
            "https://", "http://", "[::1]", ":0", "/0", "/128", ",", "--", "=", "RLY_", "@", "#", "?",
        ],
        rounds: 1_000,
    },
];

const MEMORY: usize = 1 << 20;

/// The client's address is what the last proxy saw, whatever the client wrote before it.
fn headers(input: &[u8]) {
    static CONTENT: LazyLock<Content> =
        LazyLock::new(|| Content::new(Bytes::from_static(b"x"), None, None, "text/plain", Keep::Ask));
    static URLS: LazyLock<[PublicUrl; 3]> = LazyLock::new(|| {
        [
            "http://127.0.0.1:3000",
            "https://chat.example.org",
            "http://[::1]",
        ]
        .map(|url| url.parse().unwrap())
    });
    let mut script = Script::new(input);
    let values: Vec<HeaderValue> = (0..3)
        .filter_map(|_| HeaderValue::from_bytes(script.chunk()).ok())
        .collect();
    within(MEMORY, || {
        let proxies: TrustedProxies = "10.0.0.0/8, fd00::/8".parse().unwrap();
        let (proxy, client): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "203.0.113.9".parse().unwrap());
        let mut asked = HeaderMap::new();
        for value in &values {
            asked.append("x-forwarded-for", value.clone());
            asked.append(header::ACCEPT_ENCODING, value.clone());
            asked.append(header::IF_NONE_MATCH, value.clone());
        }
        // From a stranger it says nothing.
        assert_eq!(proxies.client(Remote(client), &asked), client);
        proxies.client(Remote(proxy), &asked);
        let answer = CONTENT.answer(StatusCode::OK, &asked);
        assert!([StatusCode::OK, StatusCode::NOT_MODIFIED].contains(&answer.status()));
        // A proxy adds a line of its own, or adds to the client's.
        let mut appended = asked.clone();
        appended.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        assert_eq!(proxies.client(Remote(proxy), &appended), client);
        for value in &values {
            let joined = [value.as_bytes(), b", 203.0.113.9"].concat();
            let mut appended = HeaderMap::new();
            appended.insert("x-forwarded-for", HeaderValue::from_bytes(&joined).unwrap());
            assert_eq!(proxies.client(Remote(proxy), &appended), client);
        }
        for (url, value) in URLS
            .iter()
            .flat_map(|url| values.iter().map(move |value| (url, value)))
        {
            assert_eq!(url.is_origin(value), value.as_bytes() == url.as_str().as_bytes());
            assert!(!url.is_alias(value) || url.as_str().starts_with("http://"));
        }
    });
}

fn header_seeds() -> Vec<Vec<u8>> {
    [
        [
            "8.8.8.8, 9.9.9.9",
            "gzip, deflate, br;q=0.5",
            "\"abc\", W/\"def\"",
        ],
        [
            "2001:db8::1, ::ffff:10.2.2.2",
            "localhost:3000",
            "http://127.0.0.1:3000",
        ],
        ["nonsense", "*", "[::1]:80"],
    ]
    .map(|values| {
        let new = ScriptWriter::default();
        values
            .iter()
            .fold(new, |script, value| script.chunk(value.as_bytes()))
            .finish()
    })
    .into()
}

/// Options are taken or refused in one line, which never repeats what may be a password.
fn start(input: &[u8]) {
    let mut script = Script::new(input);
    let kind = script.byte() % 4;
    let rest = script.rest();
    let text = String::from_utf8_lossy(rest);
    within(MEMORY, || match kind {
        0 => {
            if let Ok(url) = text.parse::<PublicUrl>() {
                assert_eq!(url.as_str().parse::<PublicUrl>(), Ok(url.clone()), "{text}");
                assert!(HeaderValue::from_str(url.as_str()).is_ok_and(|value| url.is_origin(&value)));
                assert!(!url.as_str().contains([' ', '@', '#', '?', '\\']) && !url.as_str().ends_with('/'));
            }
        }
        1 => {
            if let Ok(proxies) = text.parse::<TrustedProxies>() {
                let nobody = HeaderMap::new();
                let remote: IpAddr = "192.0.2.1".parse().unwrap();
                assert_eq!(proxies.client(Remote(remote), &nobody), remote);
            }
        }
        2 => {
            let arguments = rest
                .split(|byte| *byte == b'\n')
                .map(|part| OsString::from_vec(part.to_vec()));
            refused_in_one_line(arguments.collect());
        }
        _ => {
            for option in ["--database-url", "--smtp-url"] {
                let secret = OsString::from_vec([rest, b":hush"].concat());
                let line = refused_in_one_line(vec![option.into(), secret]);
                assert!(line.is_none_or(|line| !line.contains("hush")));
            }
        }
    });
}

fn refused_in_one_line(mut arguments: Vec<OsString>) -> Option<String> {
    // These print to the terminal.
    let prints = |part: &OsString| {
        let text = part.to_string_lossy();
        text.contains('h') && text.starts_with('-') && !text.starts_with("--key")
            || text.contains('V')
            || text.contains("help")
            || text.contains("version")
    };
    arguments.retain(|part| !prints(part));
    arguments.insert(0, "rly-server".into());
    let error = Task::read(arguments.into_iter(), std::iter::empty(), None).err()?;
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.is_empty(), "{line:?}");
    Some(line)
}

fn start_seeds() -> Vec<Vec<u8>> {
    [
        "\0https://Chat.Example.org:443/",
        "\0http://[::1]:3000",
        "\x0110.0.0.0/8, ::1, fd00::/8",
        "\x02--addr\n127.0.0.1:3000\n--public-url=https://a.example\n--site\ns",
        "\x02--trusted-proxies\n10.0.0.0/8\n--rooms\noff\n--node-id\nn-1\n--key-file\nk",
        "\x03postgres://user:",
        "\x03smtp://user:",
        "\x03mysql://u:",
        "\x03--keyub\x03l-u:/esp",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

#[test]
fn nothing_trips_the_server() {
    rly_fuzzing::replay(TARGETS);
}
