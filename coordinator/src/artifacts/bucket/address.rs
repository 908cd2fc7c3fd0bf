//! The address of a bucket, and how to reach it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, RetryConfig};
use tokio_rustls::rustls::crypto::ring;

/// How long a failed request is repeated. A coordinator starts with a few requests, and must not
/// hang on an address at which nothing answers.
const RETRY: Duration = Duration::from_secs(20);

/// How long one request may take. A part of an upload has 8 MiB.
const REQUEST: Duration = Duration::from_secs(60);

/// A service that keeps buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    S3,
    Google,
    Azure,
}

impl Service {
    const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure => "az",
        }
    }

    /// What the names of the environment variables begin with that this service reads.
    const fn variables(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Google => "GOOGLE_",
            Self::Azure => "AZURE_",
        }
    }

    /// What is usually missing if a bucket cannot be reached.
    const fn usual(self) -> &'static str {
        match self {
            Self::S3 => {
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; for a server other than \
                 Amazon's AWS_ENDPOINT_URL, and AWS_ALLOW_HTTP=true if it has no TLS"
            }
            Self::Google => "GOOGLE_APPLICATION_CREDENTIALS",
            Self::Azure => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        }
    }
}

/// `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`. It has no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    service: Service,
    bucket: String,
    prefix: Path,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("expected s3://BUCKET/PREFIX".to_owned());
        };
        let services = [Service::S3, Service::Google, Service::Azure];
        let service = services.into_iter().find(|service| service.scheme() == scheme);
        let Some(service) = service else {
            return Err(format!(
                "{scheme}:// is not supported: expected the path of a folder, s3://BUCKET/PREFIX, \
                 gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
            ));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['@', '?', '#']) {
            return Err(format!(
                "it has more than a bucket and a prefix: expected {scheme}://BUCKET/PREFIX, with \
                 the credentials in the environment variables {}...",
                service.variables()
            ));
        }
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(is_legal) {
            return Err(format!(
                "the name of the bucket is {bucket:?}: expected letters, digits, '.', '_' and '-'"
            ));
        }
        let prefix = Path::parse(prefix).map_err(|error| format!("the prefix: {error}"))?;
        Ok(Self { service, bucket: bucket.to_owned(), prefix })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.service.scheme(), self.bucket, self.prefix)
    }
}

impl Address {
    /// What the names of all objects begin with.
    pub(super) const fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// What to check if the bucket cannot be used.
    pub(super) fn hint(&self, error: &Error) -> String {
        let name = &self.bucket;
        let usual = self.service.usual();
        if matches!(error, Error::NotFound { .. }) {
            format!("create the bucket {name:?}, or correct the name")
        } else if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) {
            format!(
                "the credentials must allow to list, read, write and delete objects in {name:?}; \
                 they come from the environment: {usual}"
            )
        } else {
            format!("credentials and server come from the environment: {usual}")
        }
    }

    /// A client with the credentials of the environment. Sends nothing.
    ///
    /// # Errors
    /// A variable is missing or has a wrong value.
    pub(super) fn connect(&self) -> object_store::Result<Arc<dyn ObjectStore>> {
        // The client panics without a provider. If one is installed already, that one is used.
        let _installed = ring::default_provider().install_default();
        let begins = self.service.variables();
        let variables = std::env::vars_os().filter_map(move |(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with(begins))?;
            Some((name.to_ascii_lowercase(), value.into_string().ok()?))
        });
        let backoff = BackoffConfig {
            init_backoff: RETRY / 40,
            max_backoff: RETRY / 4,
            ..BackoffConfig::default()
        };
        // The time ends the repetitions, and not their number.
        let retry = RetryConfig { backoff, max_retries: 1_000, retry_timeout: RETRY };
        let bucket = self.bucket.as_str();
        Ok(match self.service {
            Service::S3 => {
                let mut builder = AmazonS3Builder::new().with_client_options(options());
                for (name, value) in variables {
                    // Variables that are about something else have names that are not options.
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                Arc::new(builder.with_bucket_name(bucket).with_retry(retry).build()?)
            }
            Service::Google => {
                let mut builder = GoogleCloudStorageBuilder::new().with_client_options(options());
                for (name, value) in variables {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                Arc::new(builder.with_bucket_name(bucket).with_retry(retry).build()?)
            }
            Service::Azure => {
                let mut builder = MicrosoftAzureBuilder::new().with_client_options(options());
                for (name, value) in variables {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                Arc::new(builder.with_container_name(bucket).with_retry(retry).build()?)
            }
        })
    }
}

fn options() -> ClientOptions {
    ClientOptions::new().with_timeout(REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_service_a_bucket_and_a_prefix() {
        for (text, shown) in [
            ("s3://b", "s3://b/"),
            ("s3://b/", "s3://b/"),
            ("s3://b/caviar/x", "s3://b/caviar/x"),
            ("gs://my.bucket_1/x", "gs://my.bucket_1/x"),
            ("az://container/x/", "az://container/x"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn an_address_with_credentials_or_without_a_bucket_is_refused() {
        for (text, problem) in [
            ("s3://user:secret@b/x", "credentials in the environment variables AWS_"),
            ("gs://b/x?token=secret", "credentials in the environment variables GOOGLE_"),
            ("az://b/x#secret", "credentials in the environment variables AZURE_"),
            ("s3://", "the name of the bucket is \"\""),
            ("s3:///x", "the name of the bucket is \"\""),
            ("s3://b c/x", "the name of the bucket is \"b c\""),
            ("s3://b/x//y", "the prefix: "),
            ("s3://b/../y", "the prefix: "),
            ("ftp://b/y", "ftp:// is not supported: expected the path of a folder, s3://BUCKET"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(problem) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
