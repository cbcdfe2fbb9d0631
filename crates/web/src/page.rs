//! The page at the platform's own address, until the dashboard stands there.

use app::App;
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use std::sync::Arc;

/// Says what this is and how to begin. It shows nothing of any tool.
pub(crate) async fn root(State(app): State<Arc<App>>) -> Response {
    let address = escape(&app.addresses().platform());
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Windlass</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\"></head><body>\n\
         <h1>Windlass</h1>\n\
         <p>This is a platform that builds and runs what is pushed to it with git. \
         It is used from a terminal; pages will follow.</p>\n\
         <h2>Begin</h2>\n\
         <pre>windlass login {address}\nwindlass tools create NAME\n\
         git remote add windlass {address}/git/NAME.git\ngit push windlass main</pre>\n\
         <p>Have no account? An operator of this platform makes one.</p>\n\
         </body></html>\n"
    );
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
