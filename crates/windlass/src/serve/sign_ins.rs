//! Wrong tokens, at every door: an address that sends one after the other is told to slow down.
//!
//! Nobody guesses 256 bits; this is for the operator, who reads of it once, and for the program that asks for ever with
//! a token that was revoked. A right token is let in whatever came before it, so that nobody who shares an address with
//! others (a bastion host, a university) can lock them out.

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use model::Problem;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wrong tokens that one address may send in one [`WINDOW`].
const MAX_WRONG: u32 = 30;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; each costs about 100 bytes.
const MAX_ADDRESSES: usize = 10_000;

/// What came from each address lately.
#[derive(Default)]
struct Wrong(Mutex<HashMap<String, Count>>);

struct Count {
    since: Instant,
    wrong: u32,
}

/// The same routes, with an eye on who sends wrong tokens.
pub(super) fn limit(routes: Router) -> Router {
    routes.layer(from_fn_with_state(Arc::new(Wrong::default()), watch))
}

async fn watch(State(wrong): State<Arc<Wrong>>, request: Request, next: Next) -> Response {
    // Without a token nothing was tried: git and docker ask so first, to hear that one is needed.
    let tried = request.headers().contains_key(header::AUTHORIZATION);
    // Only the router reaches our socket, and it sets this one itself.
    let address = request.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let address = address.unwrap_or("an unknown address").to_owned();
    let answer = next.run(request).await;
    if !tried || answer.status() != StatusCode::UNAUTHORIZED {
        return answer;
    }
    match wrong.one_more(&address, Instant::now()) {
        None => answer,
        Some(left) => slow_down(left),
    }
}

impl Wrong {
    /// Counts a wrong token; when it is one too many, how long more of them are of no use.
    fn one_more(&self, address: &str, now: Instant) -> Option<Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_ADDRESSES {
            counts.retain(|_, count| now.duration_since(count.since) < WINDOW);
        }
        // So many at once come from one who has many addresses, against whom counting helps nothing.
        if counts.len() >= MAX_ADDRESSES {
            counts.clear();
        }
        let count = counts.entry(address.to_owned()).or_insert(Count { since: now, wrong: 0 });
        if now.duration_since(count.since) >= WINDOW {
            *count = Count { since: now, wrong: 0 };
        }
        count.wrong = count.wrong.saturating_add(1);
        if count.wrong == MAX_WRONG + 1 {
            tracing::warn!(
                address,
                "more than {MAX_WRONG} wrong tokens within a minute came from one address"
            );
        }
        (count.wrong > MAX_WRONG).then(|| WINDOW.saturating_sub(now.duration_since(count.since)))
    }
}

fn slow_down(left: Duration) -> Response {
    let seconds = left.as_secs().max(1);
    let problem = Problem::new(
        "auth-too-many",
        429,
        "too many wrong tokens came from your address",
        format!("the token is not valid, and {MAX_WRONG} others before it were not either"),
    )
    .hint(format!("wait {seconds} s, then run `windlass login`; a valid token is taken at once"));
    ([(header::RETRY_AFTER, seconds.to_string())], web::Refused(problem)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_told_to_slow_down_and_no_other() {
        let (wrong, began) = (Wrong::default(), Instant::now());
        assert!((0..MAX_WRONG).all(|_| wrong.one_more("192.0.2.1", began).is_none()));
        let later = began + Duration::from_secs(50);
        assert_eq!(wrong.one_more("192.0.2.1", later), Some(Duration::from_secs(10)));
        assert_eq!(wrong.one_more("192.0.2.2", later), None);
        assert_eq!(wrong.one_more("192.0.2.1", began + WINDOW), None, "a new minute");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let wrong = Wrong::default();
        for n in 0..2 * MAX_ADDRESSES {
            wrong.one_more(&n.to_string(), Instant::now());
        }
        assert!(wrong.0.lock().unwrap().len() <= MAX_ADDRESSES);
    }

    /// How many of so many wrong tokens were only told that they are wrong.
    async fn tried(routes: Router, tokens: u32) -> usize {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        let ask = move || {
            (0..tokens).filter(|number| {
                use std::io::{Read, Write};
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                let head = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-forwarded-for: 192.0.2.1";
                write!(stream, "{head}\r\nauthorization: Bearer wl_personal_{number}\r\n\r\n").unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer.starts_with("HTTP/1.1 401 ")
            }).count()
        };
        let told = tokio::task::spawn_blocking(ask).await.unwrap();
        serving.abort();
        told
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_the_limit_an_address_tries_as_many_tokens_as_it_likes() {
        let door = || Router::new().fallback(|| async { StatusCode::UNAUTHORIZED });
        assert_eq!(tried(limit(door()), 100).await, 30);
        assert_eq!(tried(door(), 100).await, 100);
    }
}
