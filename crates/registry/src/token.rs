//! The token endpoint (distribution's token specification, and its `OAuth2` form): a long-lived token is exchanged for
//! one that is good here for some minutes, for what was asked and is allowed.

use crate::{
    Door,
    answer::{self, Refusal},
    credentials,
    query::Query,
};
use app::registry::{AskedScope, RegistryAsker};
use axum::{
    body::Body,
    extract::State,
    http::{Request, header},
    response::Response,
};
use serde_json::json;

/// Longest form, in bytes.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// `GET /v2/token?service=…&scope=…` with the token as a password.
pub(crate) async fn by_query(State(door): State<Door>, request: Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    let issued = async {
        let asker = credentials::asker(&door.app, &parts.headers).await?;
        let query = Query::of(&parts.uri);
        issue(&door, &asker, query.all("scope")).await
    };
    answer::finish(&door.app, issued.await, &[])
}

/// `POST /v2/token` with the token as a password in the form.
pub(crate) async fn by_form(State(door): State<Door>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let issued = async {
        let form = axum::body::to_bytes(body, MAX_FORM_BYTES).await;
        let form = form.map_err(|_| Refusal::bad("UNSUPPORTED", "the form is longer than 64 KiB"))?;
        let form = Query::read(&form);
        let token = match form.one("grant_type")? {
            Some("password") => form.one("password")?.map(str::to_owned),
            Some("refresh_token") => form.one("refresh_token")?.map(str::to_owned),
            _ => credentials::token(&parts.headers)?,
        };
        let asker = door.app.registry_asker(token.as_deref()).await?;
        issue(&door, &asker, form.all("scope")).await
    };
    answer::finish(&door.app, issued.await, &[])
}

async fn issue(
    door: &Door,
    asker: &RegistryAsker,
    scopes: impl Iterator<Item = &str>,
) -> Result<Response, Refusal> {
    if asker.is_anonymous() {
        return Err(Refusal::not_signed_in());
    }
    // Several stand side by side in one value, or come one by one.
    let asked: Vec<AskedScope> = scopes.flat_map(|scope| scope.split(' ')).filter_map(read).collect();
    let token = door.app.registry_token(asker, &asked).await?;
    let mut response = answer::json(&json!({
        "token": token.text,
        "access_token": token.text,
        "expires_in": token.life.as_secs(),
        "issued_at": token.issued_at.rfc3339(),
    }));
    answer::set(response.headers_mut(), header::CACHE_CONTROL, "no-store");
    Ok(response)
}

/// `repository:<name>:<action>,<action>`; other kinds grant nothing here. A name may hold a colon, so the first and
/// the last one count.
fn read(scope: &str) -> Option<AskedScope> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    (kind == "repository").then(|| AskedScope {
        name: name.to_owned(),
        actions: actions.split(',').map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_names_a_repository_and_what_to_do_with_it() {
        let scope = read("repository:shop/import/a:push,pull").unwrap();
        assert_eq!(
            (scope.name.as_str(), scope.actions.as_slice()),
            ("shop/import/a", &["push".into(), "pull".into()][..])
        );
        assert_eq!(read("repository:host:5000/a:pull").unwrap().name, "host:5000/a");
        for bad in ["", "*", "registry:catalog:*", "repository", "repository:a", ":::"] {
            assert!(read(bad).is_none_or(|scope| scope.name.is_empty()), "{bad}");
        }
    }
}
