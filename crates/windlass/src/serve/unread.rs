//! What a door leaves unread of a request's body is read on and thrown away, within limits.
//!
//! A door that refuses answers before the body has come. If the connection ended there, whoever still sends (the router,
//! for its client) would see it broken, and the refusal would be lost with it, now and then.

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::map_request,
};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Whoever sends more than this, or for longer, is cut off.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
const MAX_TIME: Duration = Duration::from_secs(10);

/// The same routes; none of their answers is lost with its request's body.
pub(super) fn read_on(routes: Router) -> Router {
    routes.layer(map_request(|request: Request| async {
        request.map(|body| if body.is_end_stream() { body } else { Body::new(Rest(Some(body))) })
    }))
}

/// What has not come yet.
struct Rest(Option<Body>);

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        // Outside of a runtime nothing is connected any more.
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(throw_away(rest));
        }
    }
}

async fn throw_away(mut body: Body) {
    let until = Instant::now() + MAX_TIME;
    let mut left = MAX_BYTES;
    let mut next = async || std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
    while let Ok(Some(Ok(frame))) = timeout_at(until, next()).await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        left = left.saturating_sub(bytes as u64);
        if left == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{http::StatusCode, routing::post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{UnixListener, UnixStream},
    };

    /// A client that sends all of its body before it reads, as many do, and what it gets to read.
    async fn refused(routes: Router) -> std::io::Result<String> {
        let directory = tempfile::tempdir()?;
        let listener = UnixListener::bind(directory.path().join("socket"))?;
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        let mut client = UnixStream::connect(directory.path().join("socket")).await?;
        let body = vec![0; 4 << 20];
        let head = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes()).await?;
        client.write_all(&body).await?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        serving.abort();
        Ok(answer)
    }

    #[tokio::test]
    async fn a_refusal_is_read_by_whoever_still_sends_and_without_this_it_is_lost() {
        let routes = || Router::new().route("/", post(|| async { StatusCode::UNAUTHORIZED }));
        let answer = refused(read_on(routes())).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(refused(routes()).await.is_err(), "the twin: the connection broke while the body was sent");
    }
}
