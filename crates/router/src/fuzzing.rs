//! What the fuzz targets reach of this room (`fuzz/`); for nobody else.

use crate::{headers, host};
use http::{HeaderMap, Uri};
use std::net::IpAddr;

/// A request's head as a backend gets it.
pub struct Forwarded {
    /// What the table is asked for.
    pub host: String,
    pub headers: HeaderMap,
}

/// Makes a client's head the backend's, or says why the request is refused.
pub fn forward(uri: &Uri, mut headers: HeaderMap, client: IpAddr) -> Result<Forwarded, &'static str> {
    let host = host::read(uri, &headers)?;
    let id = headers::request_id(&headers);
    headers::to_backend(&mut headers, &host, client, &id);
    Ok(Forwarded { host: host.name, headers })
}

/// Makes a backend's headers the client's.
pub fn answer(mut headers: HeaderMap, switched: bool) -> HeaderMap {
    let id = headers::request_id(&headers);
    headers::to_client(&mut headers, &id, switched);
    headers
}
