//! Bytes that are the same for everybody: held in memory, compressed once, served by ETag.

use axum::{body::Body, response::Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// The encodings that an answer may come in, as `Content-Encoding` names them; `identity` is none.
pub(crate) const ENCODINGS: [&str; 3] = ["identity", "br", "gzip"];

/// How long a browser may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The name contains a hash: for ever.
    Forever,
    /// Ask each time whether it is still the same.
    Ask,
}

/// An answer's content in each encoding there is.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
    etag: String,
    media_type: HeaderValue,
    keep: Keep,
}

impl Content {
    /// Content that was compressed elsewhere, or is not compressed.
    pub(crate) fn new(
        plain: Bytes,
        brotli: Option<Bytes>,
        gzip: Option<Bytes>,
        media_type: &'static str,
        keep: Keep,
    ) -> Self {
        let etag = rly_protocol::to_base64url(&Sha256::digest(&plain)[..16]);
        Self {
            plain,
            brotli,
            gzip,
            etag,
            media_type: HeaderValue::from_static(media_type),
            keep,
        }
    }

    /// Compresses now, as well as can be: this happens once.
    pub(crate) fn compressed(plain: Bytes, media_type: &'static str, keep: Keep) -> io::Result<Self> {
        let mut brotli = Vec::new();
        let level = brotli::enc::BrotliEncoderParams {
            quality: 11,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &plain[..], &mut brotli, &level)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&plain)?;
        let gzip = gzip.finish()?;
        Ok(Self::new(
            plain,
            Some(brotli.into()),
            Some(gzip.into()),
            media_type,
            keep,
        ))
    }

    /// The same, to be kept otherwise.
    pub(crate) fn keep(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// The bytes in one of [`ENCODINGS`], if it comes in that one.
    pub(crate) fn encoded(&self, encoding: &str) -> Option<&Bytes> {
        match encoding {
            "br" => self.brotli.as_ref(),
            "gzip" => self.gzip.as_ref(),
            _ => Some(&self.plain),
        }
    }

    /// The `Content-Type`.
    pub(crate) fn media_type(&self) -> &str {
        // It was made of a `str`.
        self.media_type.to_str().unwrap_or_default()
    }

    /// The answer to a GET with these headers.
    pub(crate) fn answer(&self, status: StatusCode, asked: &HeaderMap) -> Response {
        let brotli = self.brotli.as_ref().filter(|_| accepts(asked, "br"));
        let gzip = self.gzip.as_ref().filter(|_| accepts(asked, "gzip"));
        let (bytes, encoding) = match (brotli, gzip) {
            (Some(bytes), _) => (bytes, Some("br")),
            (None, Some(bytes)) => (bytes, Some("gzip")),
            (None, None) => (&self.plain, None),
        };
        let etag = format!(
            "\"{}{}\"",
            self.etag,
            encoding.map_or("", |e| if e == "br" { "-b" } else { "-g" })
        );
        let unchanged = status == StatusCode::OK && matches(asked, &etag);
        let mut answer = Response::new(if unchanged {
            Body::empty()
        } else {
            Body::from(bytes.clone())
        });
        *answer.status_mut() = if unchanged {
            StatusCode::NOT_MODIFIED
        } else {
            status
        };
        let headers = answer.headers_mut();
        let keep = match self.keep {
            Keep::Forever => "public, max-age=31536000, immutable",
            Keep::Ask => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, etag);
        }
        if !unchanged {
            headers.insert(header::CONTENT_TYPE, self.media_type.clone());
            if let Some(encoding) = encoding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
        }
        answer
    }
}

/// Does `Accept-Encoding` admit it? (RFC 9110, section 12.5.3; `q=0` refuses.)
fn accepts(asked: &HeaderMap, encoding: &str) -> bool {
    let list = asked.get_all(header::ACCEPT_ENCODING).iter();
    list.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(encoding))
                && parts.all(|part| match part.split_once('=') {
                    Some((q, value)) if q.eq_ignore_ascii_case("q") => {
                        value.parse::<f32>().is_ok_and(|q| q > 0.0)
                    }
                    _ => true,
                })
        })
}

fn matches(asked: &HeaderMap, etag: &str) -> bool {
    let list = asked.get_all(header::IF_NONE_MATCH).iter();
    list.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == etag || known == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_best_encoding_admitted_is_served() {
        let content =
            Content::compressed(Bytes::from("words ".repeat(100)), "text/plain", Keep::Ask).unwrap();
        for (accept, encoding) in [
            ("", None),
            ("gzip, deflate, br, zstd", Some("br")),
            ("gzip", Some("gzip")),
            ("br;q=0, GZIP;q=0.5", Some("gzip")),
            ("identity, bread", None),
        ] {
            let answer = content.answer(StatusCode::OK, &asked(header::ACCEPT_ENCODING, accept));
            let got = answer.headers().get(header::CONTENT_ENCODING);
            assert_eq!(got.map(|v| v.to_str().unwrap()), encoding, "{accept}");
        }
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let content = Content::new(Bytes::from_static(b"x"), None, None, "text/plain", Keep::Ask);
        let first = content.answer(StatusCode::OK, &HeaderMap::new());
        let etag = first.headers()[header::ETAG].to_str().unwrap();
        let again = content.answer(
            StatusCode::OK,
            &asked(header::IF_NONE_MATCH, &format!("\"z\", W/{etag}")),
        );
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = content.answer(StatusCode::OK, &asked(header::IF_NONE_MATCH, "\"z\""));
        assert_eq!(other.status(), StatusCode::OK);
    }
}
