//! The token that goes with every request.

use caviar_common::join::Secret;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Adds a token to requests, or nothing.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    pub(crate) fn new(secret: Option<&Secret>) -> Self {
        let value = secret.and_then(|secret| {
            // Hexadecimal digits are always a legal value.
            let mut value: MetadataValue<Ascii> =
                format!("Bearer {}", secret.reveal()).parse().ok()?;
            // Debug output and HTTP/2's shared compression tables leave it out.
            value.set_sensitive(true);
            Some(value)
        });
        Self(value)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}
