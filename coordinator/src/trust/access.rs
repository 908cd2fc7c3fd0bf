//! The check in front of every request: which token it has, and whether that allows the method.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use caviar_common::error::ErrorClass;
use caviar_common::join::{Role, Secret};
use caviar_proto::status;
use futures_core::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::Trust;
use super::audit::Entry;
use super::rules::{Rule, in_words, rule};
use super::tls::Peer;
use super::tokens::{Accepted, Denied, TokenView, now_ms};

/// Who makes a request. In the extensions of every request that a service gets.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// `None` for a coordinator without tokens.
    known: Option<Known>,
    from: Option<SocketAddr>,
    subject: Arc<OnceLock<String>>,
}

/// A caller with a token.
#[derive(Clone, Debug)]
struct Known {
    accepted: Arc<Accepted>,
    trust: Arc<Trust>,
}

impl Caller {
    /// The caller of a request to a coordinator without tokens.
    fn anybody() -> Self {
        Self { known: None, from: None, subject: Arc::default() }
    }

    /// The caller of a request.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::anybody)
    }

    /// The token of the request, with the end of the secret that was used; `None` without tokens.
    pub(crate) fn token(&self) -> Option<TokenView> {
        let Accepted { token, ends_ms, .. } = &*self.known.as_ref()?.accepted;
        Some(TokenView { expires_ms: *ends_ms, ..token.clone() })
    }

    /// Names what the request changes, for the audit log. The first name counts.
    pub(crate) fn changes(&self, subject: &str) {
        let _named_before = self.subject.set(subject.to_owned());
    }

    /// Writes a line to the audit log at once.
    pub(crate) async fn record(&self, call: &str, subject: &str) {
        if let Some(Known { accepted, trust }) = &self.known {
            let entry = Entry::new(Some(&accepted.token), self.from, call, "ok");
            trust.audit.write(entry.on(Some(subject))).await;
        }
    }

    /// Ready when the caller's token has ended, which may be never, with the status of whatever
    /// is still open.
    pub(crate) fn ended(&self) -> BoxFuture<'static, Status> {
        let Some(Known { accepted, trust }) = self.known.clone() else {
            return Box::pin(std::future::pending());
        };
        Box::pin(async move {
            status::unauthenticated(trust.tokens.until_ended(&accepted).await.to_string())
        })
    }
}

/// Checks every request. Without trust, everybody may do everything.
#[derive(Clone, Debug)]
pub(crate) struct AccessLayer(pub(crate) Option<Arc<Trust>>);

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, trust: self.0.clone() }
    }
}

/// A service behind the check.
#[derive(Clone, Debug)]
pub(crate) struct Access<S> {
    inner: S,
    trust: Option<Arc<Trust>>,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send,
    S::Future: Send + 'static,
    S: 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(trust) = self.trust.clone() else {
            request.extensions_mut().insert(Caller::anybody());
            return Box::pin(self.inner.call(request));
        };
        let from = request.extensions().get::<Peer>().and_then(|peer| peer.address);
        let (caller, rule) = match check(&trust, &request, from) {
            Ok(checked) => checked,
            Err(refused) => {
                let call = call_of(request.uri().path());
                return Box::pin(async move {
                    Ok(refuse(&trust, refused, from, &call).await.into_http())
                });
            }
        };
        let call = rule.is_change.then(|| call_of(request.uri().path()));
        request.extensions_mut().insert(caller.clone());
        let reply = self.inner.call(request);
        let Some(call) = call else {
            return Box::pin(async move {
                let reply = reply.await?;
                let ended = rule.is_stream.then(|| caller.ended());
                Ok(match ended {
                    Some(ended) => reply.map(|body| until(ended, body)),
                    None => reply,
                })
            });
        };
        // A task of its own, because a change is carried out even if its client goes away, and
        // then it must be in the audit log too.
        let audited = tokio::spawn(async move {
            let reply = reply.await?;
            write_audit(&caller, &call, reply.headers()).await;
            Ok(reply)
        });
        Box::pin(async move {
            audited.await.unwrap_or_else(|_| {
                let text = "internal error: the task of a request panicked";
                Ok(status::new(ErrorClass::Internal, text).into_http())
            })
        })
    }
}

/// A request that is not let through.
enum Refused {
    /// No valid token.
    Denied(Denied),
    /// The role does not allow the method.
    Forbidden(Box<Accepted>, &'static [Role]),
    /// The method does not exist.
    Unknown,
}

/// The caller of a request, and the rule for its method.
fn check(
    trust: &Arc<Trust>,
    request: &Request<Body>,
    from: Option<SocketAddr>,
) -> Result<(Caller, Rule), Refused> {
    let rule = rule(request.uri().path());
    if let Some(rule @ Rule { roles: None, .. }) = rule {
        return Ok((Caller::anybody(), rule));
    }
    let secret = bearer(request.headers()).map_err(Refused::Denied)?;
    let accepted = trust.tokens.accept(&secret, now_ms()).map_err(Refused::Denied)?;
    // Only a caller with a token learns which methods there are.
    let rule = rule.ok_or(Refused::Unknown)?;
    let roles = rule.roles.unwrap_or_default();
    if !roles.contains(&accepted.token.role) {
        return Err(Refused::Forbidden(Box::new(accepted), roles));
    }
    let known = Known { accepted: Arc::new(accepted), trust: trust.clone() };
    Ok((Caller { known: Some(known), from, subject: Arc::default() }, rule))
}

fn bearer(headers: &HeaderMap) -> Result<Secret, Denied> {
    let value = headers.get(AUTHORIZATION).ok_or(Denied::Missing)?;
    let text = value.to_str().map_err(|_| Denied::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Denied::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denied::Malformed);
    }
    Secret::parse(token.trim()).ok_or(Denied::Malformed)
}

/// The method of a path, in a form for people: `SweepService/CancelSweep`.
fn call_of(path: &str) -> String {
    let short = path.trim_start_matches('/').trim_start_matches("caviar.v1.");
    // A path of a stranger can be anything.
    short.chars().filter(|c| c.is_ascii_graphic()).take(100).collect()
}

/// The status of a refused request. It comes later the more often its address was refused.
async fn refuse(trust: &Trust, refused: Refused, from: Option<SocketAddr>, call: &str) -> Status {
    let (status, token) = match refused {
        Refused::Unknown => {
            return Status::unimplemented(format!("there is no method {call}"));
        }
        Refused::Denied(denied) => (status::unauthenticated(denied.to_string()), None),
        Refused::Forbidden(accepted, roles) => {
            let (token, roles) = (&accepted.token, in_words(roles));
            let text = format!(
                "the token {} ({}) has the role {}, and {call} needs {roles}; hint: make one on \
                 the coordinator's host: caviar tokens create --role {}",
                token.name,
                token.id,
                token.role,
                roles.split([',', ' ']).next().unwrap_or_default(),
            );
            (status::forbidden(text), Some(accepted))
        }
    };
    let address = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
    let failed = trust.throttle.count(address, Instant::now());
    if failed.is_logged() {
        let token = token.as_ref().map(|accepted| &accepted.token);
        let text = status.message().split("; hint: ").next().unwrap_or_default();
        let result = format!("refused (attempt {}): {text}", failed.count);
        trust.audit.write(Entry::new(token, from, call, &result)).await;
    }
    if trust.throttle.wait(failed).await {
        status
    } else {
        status::new(ErrorClass::Busy, "too many refused requests; hint: try again later")
    }
}

/// Writes a change to the audit log, with its result.
async fn write_audit(caller: &Caller, call: &str, reply: &HeaderMap) {
    let Some(Known { accepted, trust }) = &caller.known else { return };
    // A reply with a status in its headers has no messages: it failed.
    let failure = Status::from_header_map(reply).filter(|it| it.code() != Code::Ok);
    let result = failure.map_or_else(
        || "ok".to_owned(),
        |status| format!("{:?}: {}", status.code(), status.message()),
    );
    let entry = Entry::new(Some(&accepted.token), caller.from, call, &result);
    trust.audit.write(entry.on(caller.subject.get().map(String::as_str))).await;
}

/// A reply that ends with a status when `ended` is ready.
struct Until {
    ended: BoxFuture<'static, Status>,
    body: Option<Body>,
}

fn until(ended: BoxFuture<'static, Status>, body: Body) -> Body {
    Body::new(Until { ended, body: Some(body) })
}

impl http_body::Body for Until {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        let status = std::task::ready!(self.ended.as_mut().poll(context));
        // Dropping the reply tells its handler to end.
        self.body = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_change_is_audited_though_its_client_has_gone_away() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Arc::new(Trust::open(Some(folder.path()), Vec::new()).unwrap());
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let inner = {
            let (begun, go_on) = (begun.clone(), go_on.clone());
            tower::service_fn(move |_: Request<Body>| {
                let (begun, go_on) = (begun.clone(), go_on.clone());
                async move {
                    begun.notify_one();
                    go_on.notified().await;
                    Ok(Response::new(Body::empty()))
                }
            })
        };
        let secret = trust.own_join(Role::Admin).unwrap().secret.reveal();
        let request = Request::post("/caviar.v1.SweepService/CancelSweep")
            .header(AUTHORIZATION, format!("Bearer {secret}"))
            .body(Body::empty());
        let reply = AccessLayer(Some(trust)).layer(inner).oneshot(request.unwrap());
        tokio::select! {
            _ = reply => panic!("the change is not over"),
            () = begun.notified() => {}
        }
        go_on.notify_one();
        let log = folder.path().join("audit.jsonl");
        while !std::fs::read_to_string(&log).unwrap().contains("SweepService/CancelSweep") {
            tokio::task::yield_now().await;
        }
    }
}
