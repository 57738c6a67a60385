//! `POST /api/rooms` and `GET /api/rooms/{id}`: making rooms, and how they are. Workers and other clients
//! ask, never pages, so these are no server functions.

use crate::{api, error::ApiRefusal, peer::Remote, router::Parts};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Request, header};
use rly_protocol::{
    ErrorCode, RoomId,
    api::{CreateRoom, RoomState},
};
use rly_relay::Refusal;
use std::{future::Future, sync::Arc};
use tokio::time::timeout;

/// Makes a room.
pub(crate) async fn create(State(parts): State<Arc<Parts>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let answer = async {
        api::check(&parts, &head.headers)?;
        let Some(remote) = head.extensions.get::<Remote>() else {
            return Err(ErrorCode::Internal.into());
        };
        let peer = parts.proxies.client(*remote, &head.headers);
        let body = api::read(body).await?;
        let request: CreateRoom = serde_json::from_slice(&body).map_err(|_| ErrorCode::BadRequest)?;
        ask(&parts, parts.relay.create_room(peer, request)).await
    };
    finish(answer.await)
}

/// A room as it is now.
pub(crate) async fn look(
    State(parts): State<Arc<Parts>>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Response {
    let peer = parts.proxies.client(remote, &headers);
    let room = id.ok().and_then(|Path(id)| id.parse::<RoomId>().ok());
    let answer = match room {
        Some(room) => ask(&parts, parts.relay.room_state(peer, room)).await,
        None => Err(ErrorCode::NoRoom.into()),
    };
    finish(answer)
}

async fn ask(
    parts: &Parts,
    call: impl Future<Output = Result<RoomState, Refusal>>,
) -> Result<RoomState, ApiRefusal> {
    let Ok(_permit) = parts.api_calls.try_acquire() else {
        return Err(ErrorCode::Unavailable.into());
    };
    match timeout(api::ANSWER_TIME, call).await {
        Ok(answer) => answer.map_err(ApiRefusal::from),
        Err(_) => Err(ErrorCode::Unavailable.into()),
    }
}

fn finish(answer: Result<RoomState, ApiRefusal>) -> Response {
    match answer {
        Ok(state) => {
            let mut answer = Json(state).into_response();
            let headers = answer.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            answer
        }
        Err(refusal) => refusal.into_response(),
    }
}
