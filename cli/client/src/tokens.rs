//! Requests about access: the authority and the tokens.

use std::time::Duration;

use caviar_proto::v1;
use caviar_proto::v1::access_service_client::AccessServiceClient;
use tonic::Code;

use crate::client::Client;
use crate::dial::Channel;
use crate::error::Request;

pub use caviar_proto::v1::{Authority, CoordinatorInfo, CreatedToken, Token};

impl Client {
    fn access(&self) -> AccessServiceClient<Channel> {
        self.access.clone()
    }

    /// The coordinator's certificate authority.
    ///
    /// # Errors
    /// The request failed.
    pub fn authority(&self) -> Request<'_, Authority> {
        Box::pin(async move {
            self.reply(self.access().get_authority(v1::GetAuthorityRequest {}).await)
        })
    }

    /// What the coordinator is, and the token of this client. `None` from an earlier release,
    /// which does not tell.
    ///
    /// # Errors
    /// The request failed.
    pub fn coordinator(&self) -> Request<'_, Option<CoordinatorInfo>> {
        Box::pin(async move {
            let reply = self.access().get_coordinator(v1::GetCoordinatorRequest {}).await;
            if reply.as_ref().is_err_and(|status| status.code() == Code::Unimplemented) {
                return Ok(None);
            }
            self.reply(reply).map(Some)
        })
    }

    /// Makes a token. If `name` is empty, its name is the role.
    ///
    /// # Errors
    /// The role or the name is wrong, or the request failed.
    pub fn create_token<'a>(
        &'a self,
        role: &'a str,
        name: &'a str,
        ttl: Option<Duration>,
    ) -> Request<'a, CreatedToken> {
        Box::pin(async move {
            let request = v1::CreateTokenRequest {
                role: role.to_owned(),
                name: name.to_owned(),
                ttl_seconds: ttl.map(|ttl| ttl.as_secs()),
            };
            self.reply(self.access().create_token(request).await)
        })
    }

    /// Every token, the ended ones of the last 90 days included.
    ///
    /// # Errors
    /// The request failed.
    pub fn list_tokens(&self) -> Request<'_, Vec<Token>> {
        Box::pin(async move {
            let reply = self.access().list_tokens(v1::ListTokensRequest {}).await;
            Ok(self.reply(reply)?.tokens)
        })
    }

    /// Ends a token, by its id or its name.
    ///
    /// # Errors
    /// No valid token has this id or name, or the request failed.
    pub fn revoke_token<'a>(&'a self, token: &'a str) -> Request<'a, Token> {
        Box::pin(async move {
            let request = v1::RevokeTokenRequest { token: token.to_owned() };
            self.reply(self.access().revoke_token(request).await)
        })
    }

    /// Gives a token a new secret. The old one stays valid for `grace`.
    ///
    /// # Errors
    /// No valid token has this id or name, or the request failed.
    pub fn rotate_token<'a>(
        &'a self,
        token: &'a str,
        grace: Duration,
    ) -> Request<'a, CreatedToken> {
        Box::pin(async move {
            let request =
                v1::RotateTokenRequest { token: token.to_owned(), grace_seconds: grace.as_secs() };
            self.reply(self.access().rotate_token(request).await)
        })
    }
}
