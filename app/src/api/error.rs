//! What a server function answers when it does not do what was asked.

use rly_protocol::{
    ErrorCode, Timestamp,
    api::{ErrorBody, ErrorDetail},
};
use serde::{Deserialize, Serialize};
use server_fn::{
    codec::JsonEncoding,
    error::{FromServerFnError, ServerFnErrorErr},
};
use thiserror::Error;

/// Why a request was not carried out. In JSON: `{"error":{"code","message"[,"opened_at"]}}`.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "ErrorBody", from = "ErrorBody")]
pub enum ApiError {
    /// The server refused.
    #[error("{message}")]
    Refused {
        /// An [`ErrorCode`] by name; it may be one that this build does not know.
        code: String,
        /// Words for a person, in English.
        message: String,
        /// With `invite_used`: when the invite was opened.
        opened_at: Option<Timestamp>,
    },
    /// The server was not reached, or what answered was not ours. Only seen by clients.
    #[error("the server cannot be reached")]
    Network,
}

/// The name under which [`ApiError::Network`] would travel; no server sends it.
const NETWORK: &str = "network";

impl ApiError {
    /// The error for a code.
    pub fn new(code: ErrorCode) -> Self {
        ErrorBody::new(code).into()
    }

    /// The code, if the server refused with one that this build knows.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => ErrorCode::from_name(code),
            Self::Network => None,
        }
    }
}

impl From<ErrorBody> for ApiError {
    fn from(ErrorBody { error }: ErrorBody) -> Self {
        if error.code == NETWORK {
            return Self::Network;
        }
        Self::Refused {
            code: error.code,
            message: error.message,
            opened_at: error.opened_at,
        }
    }
}

impl From<ApiError> for ErrorBody {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        let (code, opened_at) = match error {
            ApiError::Refused { code, opened_at, .. } => (code, opened_at),
            ApiError::Network => (NETWORK.into(), None),
        };
        Self {
            error: ErrorDetail {
                code,
                message,
                opened_at,
            },
        }
    }
}

#[cfg(feature = "ssr")]
impl From<rly_relay::Refusal> for ApiError {
    fn from(refusal: rly_relay::Refusal) -> Self {
        Self::Refused {
            code: refusal.code.name().into(),
            message: refusal.code.message().into(),
            opened_at: refusal.opened_at,
        }
    }
}

impl FromServerFnError for ApiError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        use ServerFnErrorErr as E;
        match error {
            // On the server: the body was not what the function takes.
            E::Args(_) | E::MissingArg(_) => Self::new(ErrorCode::BadRequest),
            // In the browser: nothing answered, or a proxy's page did.
            E::Request(_) | E::Deserialization(_) => Self::Network,
            _ => Self::new(ErrorCode::Internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_the_contract_s() {
        let used = ApiError::Refused {
            code: "invite_used".into(),
            message: "This link has already been opened.".into(),
            opened_at: Some(Timestamp(951_827_696_000)),
        };
        let text = String::from_utf8(used.ser().to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"error":{"code":"invite_used","message":"This link has already been opened.","opened_at":"2000-02-29T12:34:56Z"}}"#
        );
        assert_eq!(ApiError::de(used.ser()), used);
        assert_eq!(used.code(), Some(ErrorCode::InviteUsed));
    }

    #[test]
    fn without_a_time_there_is_no_field_for_it() {
        let text = String::from_utf8(ApiError::new(ErrorCode::InviteExpired).ser().to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"error":{"code":"invite_expired","message":"This link has expired."}}"#
        );
    }

    #[test]
    fn a_bad_body_and_a_foreign_answer_are_told_apart() {
        let bad = ApiError::from_server_fn_error(ServerFnErrorErr::Args("x".into()));
        assert_eq!(bad.code(), Some(ErrorCode::BadRequest));
        assert_eq!(
            ApiError::de("<html>a proxy</html>".as_bytes().to_vec().into()),
            ApiError::Network
        );
        let newer = ApiError::de(br#"{"error":{"code":"new","message":"m"}}"#.to_vec().into());
        assert_eq!((newer.code(), newer.to_string()), (None, "m".into()));
    }
}
