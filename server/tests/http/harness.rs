//! A server without sockets, and what it answers.

use crate::common::{Key, ORIGIN, make_site};
use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use rly_protocol::{
    ErrorCode,
    api::{Registered, Shared},
};
use rly_relay::{Keyring, Limits, Relay, RelayConfig, SqliteStore, SystemClock};
use rly_server::{Parts, PublicUrl, Remote, Site, TrustedProxies, admin_router, public_router};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;

/// The server functions.
pub const API: [&str; 3] = ["/api/register_sim", "/api/share_contact", "/api/import_contact"];

pub struct Server {
    pub public: Router,
    pub admin: Router,
    pub relay: Relay,
    _folder: TempDir,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub fn ok<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, StatusCode::OK, "{:?}", self.body);
        self.json()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that this is exactly an error as the contract has it.
    pub fn refused(&self, code: ErrorCode) -> Value {
        let value: Value = self.json();
        assert_eq!(value["error"]["code"], code.name());
        assert_eq!(self.status.as_u16(), code.status());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(value["error"]["message"], code.message());
        assert_eq!(self.header("serverfnerror"), None);
        value["error"].clone()
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(ORIGIN, Limits::default()).await
    }

    pub async fn with(origin: &str, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        make_site(&site);
        let store = SqliteStore::open(&folder.path().join("rly.sqlite"))
            .await
            .unwrap();
        let config = RelayConfig {
            origin: origin.into(),
            limits,
            rooms: rly_relay::RoomMakers::Anyone,
        };
        let keyring = Keyring::from_secret(Keyring::generate()).unwrap();
        let relay = Relay::start(config, keyring, Arc::new(store), Arc::new(SystemClock))
            .await
            .unwrap();
        let public: PublicUrl = origin.parse().unwrap();
        let site = Site::load(&site).unwrap();
        let parts = Parts::new(relay.clone(), public, TrustedProxies::default(), site)
            .await
            .unwrap();
        Self {
            public: public_router(Arc::new(parts)),
            admin: admin_router(relay.clone()),
            relay,
            _folder: folder,
        }
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Remote([192, 0, 2, 1].into()));
        Answer::of(self.public.clone().oneshot(request).await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| {
            request.header(*name, *value)
        });
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(post(path, body)).await
    }

    pub async fn admin(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        Answer::of(self.admin.clone().oneshot(request).await.unwrap()).await
    }

    pub async fn register(&self, key: &Key) -> Registered {
        self.post("/api/register_sim", &json!({"reader_key": key.json()}))
            .await
            .ok()
    }

    pub async fn share(&self, mailbox: &Registered) -> Shared {
        self.post("/api/share_contact", &share(&mailbox.address_token, 60))
            .await
            .ok()
    }

    pub async fn claim(&self, invite: &str, key: &Key) -> Answer {
        self.post(
            "/api/import_contact",
            &json!({"invite": invite, "claim_key": key.json()}),
        )
        .await
    }
}

pub fn post(path: &str, body: &Value) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub fn share(token: &str, ttl: u64) -> Value {
    json!({"address_token": token, "card": "Y2FyZA", "ttl_seconds": ttl})
}
