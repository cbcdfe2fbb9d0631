//! Problems as HTTP answers.

use crate::wire::Refusal;
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use model::Problem;
use serde::de::DeserializeOwned;

/// A [`Problem`] on its way out: `application/problem+json` (RFC 9457, section 3).
#[derive(Debug)]
pub struct Refused(pub Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Refusal { kind: format!("/help/{}", problem.id), problem };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            // Basic comes last, so that a program that knows both shows its token as a bearer.
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"windlass\""));
            headers.append(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"windlass\", charset=\"UTF-8\""),
            );
        }
        response
    }
}

/// A JSON body of ours; what does not fit is told with its place.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(Refused(unreadable_body(&error))),
        }
    }
}

fn unreadable_body(error: &JsonRejection) -> Problem {
    let status = match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => 413,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => 415,
        _ => 422,
    };
    Problem::new("request-body", status, "the request's body cannot be read", error.body_text())
        .hint("send JSON with `Content-Type: application/json`")
}

/// The values in the path; a number that is none is a thing that does not exist.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(error) => {
                Err(Refused(Problem::new("not-found", 404, "there is nothing here", error.body_text())))
            }
        }
    }
}

/// The values after `?`; unknown ones are refused, so that a misspelt one is not silently without effect.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(Refused(Problem::new(
                "request-query",
                422,
                "the query cannot be read",
                error.body_text(),
            ))),
        }
    }
}

/// For paths and methods that no route has.
pub(crate) async fn nothing_here(request: Request) -> Refused {
    Refused(
        Problem::new(
            "not-found",
            404,
            "there is nothing here",
            format!("{} {}", request.method(), request.uri().path()),
        )
        .hint("the API lies beneath /api/v1"),
    )
}

/// A path that exists, asked with a method that it has not.
pub(crate) async fn wrong_method(request: Request) -> Refused {
    Refused(Problem::new(
        "request-method",
        405,
        "this cannot be asked so",
        format!("{} {}", request.method(), request.uri().path()),
    ))
}
