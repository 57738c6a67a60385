//! The messenger's requests.

use rly_browser::worker::{Refused, ask};
use rly_client::{HttpError, HttpOk, HttpRequest, HttpResult};
use serde::{Serialize, de::DeserializeOwned};

/// Makes a request.
pub(crate) async fn request(request: HttpRequest) -> HttpResult {
    match request {
        HttpRequest::Register(body) => post("/api/register_sim", &body).await.map(HttpOk::Registered),
        HttpRequest::Share(body) => post("/api/share_contact", &body).await.map(HttpOk::Shared),
    }
}

async fn post<T: DeserializeOwned>(path: &str, body: &impl Serialize) -> Result<T, HttpError> {
    ask(path, Some(body)).await.map_err(|refused| match refused {
        Refused::Network => HttpError::Network,
        Refused::Code(code, wait) => HttpError::Code(code, wait),
    })
}
