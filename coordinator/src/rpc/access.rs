//! `AccessService`: the authority and the tokens.

use std::sync::Arc;
use std::time::Duration;

use caviar_common::error::{ErrorClass, Problem};
use caviar_common::ids::Name;
use caviar_common::join::{Role, SERVER_NAME};
use caviar_common::message::PROTOCOL;
use caviar_common::text::quoted;
use caviar_proto::v1::access_service_server::AccessService;
use caviar_proto::{status, v1};
use tonic::{Request, Response, Status};

use super::api::invalid;
use crate::trust::{Caller, NewToken, TokenError, TokenView, Trust};

/// Longest time that can be asked for: 100 years. Without a time, a token does not expire.
const MAX_SECONDS: u64 = 100 * 366 * 86_400;

/// Implements `AccessService`. Without trust, every call about it is refused.
#[derive(Clone, Debug)]
pub(crate) struct Access(pub(crate) Option<Arc<Trust>>);

impl Access {
    fn trust(&self) -> Result<Arc<Trust>, Status> {
        self.0.clone().ok_or_else(|| {
            status::new(
                ErrorClass::Refused,
                "this coordinator was started with --insecure and has no tokens; hint: start it \
                 without --insecure",
            )
        })
    }

    /// Changes the tokens. Their file is written, so this is not done on a thread of the runtime.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Trust) -> Result<T, TokenError> + Send + 'static,
    ) -> Result<T, Status> {
        let trust = self.trust()?;
        let changed = tokio::task::spawn_blocking(move || change(&trust)).await;
        let changed = changed.map_err(|error| {
            status::new(ErrorClass::Internal, format!("internal error: {error}"))
        })?;
        changed.map_err(|error| status::new(class_of(&error), error.to_string()))
    }
}

const fn class_of(error: &TokenError) -> ErrorClass {
    match error {
        TokenError::NoSuchToken(_) => ErrorClass::NotFound,
        TokenError::Ambiguous(_) => ErrorClass::Invalid,
        TokenError::Ended(_) | TokenError::Own(_) => ErrorClass::Refused,
        TokenError::TooMany => ErrorClass::Busy,
        TokenError::NoRandomness | TokenError::File(_) => ErrorClass::Unavailable,
        TokenError::Damaged { .. } => ErrorClass::Corrupt,
    }
}

#[tonic::async_trait]
impl AccessService for Access {
    async fn get_authority(
        &self,
        _request: Request<v1::GetAuthorityRequest>,
    ) -> Result<Response<v1::Authority>, Status> {
        let trust = self.trust()?;
        Ok(Response::new(v1::Authority {
            certificate: trust.authority.pem().to_owned(),
            pin: trust.pin().to_string(),
            server_name: SERVER_NAME.to_owned(),
        }))
    }

    async fn get_coordinator(
        &self,
        request: Request<v1::GetCoordinatorRequest>,
    ) -> Result<Response<v1::CoordinatorInfo>, Status> {
        Ok(Response::new(v1::CoordinatorInfo {
            protocol: PROTOCOL,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            token: Caller::of(&request).token().as_ref().map(encode),
        }))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        let caller = Caller::of(&request);
        let v1::CreateTokenRequest { role, name, ttl_seconds } = request.into_inner();
        let role: Role = role.parse().map_err(|_| {
            let right = "expected view, submit, worker or admin";
            invalid(Problem::with_value("role", quoted(&role), right))
        })?;
        let name = if name.is_empty() { role.name() } else { &name };
        let name = Name::parse("name", name).map_err(invalid)?;
        let ttl = ttl_seconds.map(|seconds| seconds_of("ttl_seconds", seconds, 1)).transpose()?;
        let new = self.change(move |trust| trust.create(name, role, ttl)).await?;
        caller.changes(&subject(&new.view));
        Ok(Response::new(encode_new(&new)))
    }

    async fn list_tokens(
        &self,
        _request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let tokens = self.trust()?.tokens.views();
        Ok(Response::new(v1::ListTokensResponse { tokens: tokens.iter().map(encode).collect() }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::Token>, Status> {
        let caller = Caller::of(&request);
        let token = request.into_inner().token;
        caller.changes(&quoted(&token));
        let view = self.change(move |trust| trust.revoke(&token)).await?;
        Ok(Response::new(encode(&view)))
    }

    async fn rotate_token(
        &self,
        request: Request<v1::RotateTokenRequest>,
    ) -> Result<Response<v1::CreatedToken>, Status> {
        let caller = Caller::of(&request);
        let v1::RotateTokenRequest { token, grace_seconds } = request.into_inner();
        caller.changes(&quoted(&token));
        let grace = seconds_of("grace_seconds", grace_seconds, 0)?;
        let new = self.change(move |trust| trust.rotate(&token, grace)).await?;
        Ok(Response::new(encode_new(&new)))
    }
}

fn seconds_of(field: &str, seconds: u64, least: u64) -> Result<Duration, Status> {
    if (least..=MAX_SECONDS).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    let right = format!("expected {least} to {MAX_SECONDS} seconds");
    Err(invalid(Problem::with_value(field, seconds, right)))
}

/// A token in the audit log.
fn subject(view: &TokenView) -> String {
    format!("{} ({}, {})", view.name, view.id, view.role)
}

fn encode(view: &TokenView) -> v1::Token {
    v1::Token {
        id: view.id.to_string(),
        name: view.name.to_string(),
        role: view.role.to_string(),
        created_ms: view.created_ms,
        expires_ms: view.expires_ms,
        revoked_ms: view.revoked_ms,
        earlier_until_ms: view.earlier_until_ms,
    }
}

fn encode_new(new: &NewToken) -> v1::CreatedToken {
    v1::CreatedToken { token: Some(encode(&new.view)), join: new.join.reveal() }
}
