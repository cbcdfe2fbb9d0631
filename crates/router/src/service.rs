//! One request: whose it is, which backend answers it, what is said when none does.

use crate::{
    access::{AccessSender, Row},
    body::{self, Activity, Body, Download, Upload},
    file, headers,
    host::{self, Host},
    pages::Page,
    server::Life,
    table::{Route, State},
    tables::{Choice, Tables, Target},
    tunnel::Tunnel,
    upstream::{self, Failure, Patience, Way},
};
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH},
    request::Parts,
};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use model::{BlobPart, Fault, Paths, ToolId, blob_part::BLOB};
use std::{
    collections::HashMap,
    error::Error as _,
    fs::File,
    io,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
};

/// Open requests of one tool: so many that only a flood or a tool that hangs reaches it.
const TOOL_REQUESTS: usize = 512;

/// What all requests share.
pub(crate) struct Service {
    pub(crate) tables: Arc<Tables>,
    pub(crate) access: AccessSender,
    pub(crate) paths: Paths,
    pub(crate) patience: Patience,
    counts: Arc<Counts>,
    life: watch::Receiver<Life>,
    places: Mutex<HashMap<ToolId, Arc<Semaphore>>>,
    turn: AtomicUsize,
    /// Connections that changed their protocol. They end with the service.
    tunnels: Mutex<JoinSet<()>>,
}

/// What is counted from the router's start.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) requests: AtomicU64,
    /// Connections tried once more before a byte was sent, and questions to serve asked twice.
    pub(crate) retries: AtomicU64,
}

/// A request that may go on, as its client sent it.
struct Asked {
    parts: Parts,
    body: Incoming,
    host: Host,
    client: IpAddr,
    request_id: HeaderValue,
    /// Ours to the client, when the request wants to change the protocol.
    upgrade: Option<OnUpgrade>,
    /// Hears that the answer was cut.
    severed: Arc<Notify>,
}

impl Service {
    pub(crate) fn new(
        tables: Arc<Tables>,
        access: AccessSender,
        paths: Paths,
        patience: Patience,
        counts: Arc<Counts>,
        life: watch::Receiver<Life>,
    ) -> Self {
        let (places, turn, tunnels) = (Mutex::default(), AtomicUsize::new(0), Mutex::default());
        Self { tables, access, paths, patience, counts, life, places, turn, tunnels }
    }

    /// Answers one request; every trouble is a page. `files`: those that its connection sends; `severed` hears when the
    /// answer was cut, which a client that stands still does not.
    pub(crate) async fn answer(
        &self,
        mut request: Request<Incoming>,
        client: IpAddr,
        files: &file::Queue,
        severed: &Arc<Notify>,
    ) -> Response<Body> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let request_id = headers::request_id(request.headers());
        let accept = request.headers().clone();
        let answer = match check(&request) {
            Err(page) => Err(page),
            Ok(host) => {
                let upgrade = headers::upgrade(request.headers()).map(|_| hyper::upgrade::on(&mut request));
                let (parts, body) = request.into_parts();
                let (request_id, severed) = (request_id.clone(), Arc::clone(severed));
                let asked = Asked { parts, body, host, client, request_id, upgrade, severed };
                match self.tables.find(&asked.host.name) {
                    Target::Platform => self.ask_platform(asked, files).await,
                    Target::Tool(route) => self.ask_tool(asked, &route, &accept).await,
                    Target::Unknown => Err(Page::UnknownHost(asked.host.name)),
                }
            }
        };
        let mut response = answer.unwrap_or_else(|page| page.response(&accept));
        response.headers_mut().insert(headers::REQUEST_ID, request_id);
        if *self.life.borrow() != Life::Serving && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            // The client's next connection finds the router that took over.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// A tool's answer. Pages about a tool get a row in its log too.
    async fn ask_tool(
        &self,
        asked: Asked,
        route: &Route,
        accept: &http::HeaderMap,
    ) -> Result<Response<Body>, Page> {
        let Parts { method, uri, .. } = &asked.parts;
        let (method, path, request_id) = (method.clone(), uri.path(), asked.request_id.clone());
        let mut row = Row::new(self.access.clone(), route.tool_id, method, path, request_id);
        let answer = match self.place(route) {
            Ok(place) => self.ask_backends(asked, route, &mut row).await.map(|answer| (answer, place)),
            Err(page) => Err(page),
        };
        match answer {
            Ok((Answer { response, tunnel }, place)) => {
                row.status = response.status();
                let Some(tunnel) = tunnel else {
                    return Ok(response.map(|body| Download { body, row, _place: place }.boxed_unsync()));
                };
                self.keep(carry(tunnel, row, place));
                Ok(response.map(BodyExt::boxed_unsync))
            }
            Err(page) => {
                let response = page.response(accept);
                row.status = response.status();
                row.complete = true;
                Ok(response)
            }
        }
    }

    /// Runs a tunnel until it, or the service, ends.
    fn keep(&self, tunnel: impl Future<Output = ()> + Send + 'static) {
        self.open_tunnels().spawn(tunnel);
    }

    /// How many tunnels are open.
    pub(crate) fn tunnels(&self) -> usize {
        self.open_tunnels().len()
    }

    fn open_tunnels(&self) -> MutexGuard<'_, JoinSet<()>> {
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        // The set keeps the outcome of every task until somebody asks.
        while tunnels.try_join_next().is_some() {}
        tunnels
    }

    /// A place among the tool's open requests, or the page that stands for its state.
    fn place(&self, route: &Route) -> Result<OwnedSemaphorePermit, Page> {
        if let Some(page) = page_of_state(route) {
            return Err(page);
        }
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() > 10_000 {
            // Nobody is served from these: their tools are gone or quiet.
            places.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = places.entry(route.tool_id).or_insert_with(|| Arc::new(Semaphore::new(TOOL_REQUESTS)));
        Arc::clone(places).try_acquire_owned().map_err(|_| Page::Busy(route.tool.clone()))
    }

    /// The first backend that accepts the connection answers. Before each try the table is asked again: a copy that
    /// was replaced meanwhile is not waited for.
    async fn ask_backends(&self, asked: Asked, route: &Route, row: &mut Row) -> Result<Answer, Page> {
        let mut tried = Vec::new();
        let mut last = None;
        loop {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let Choice::Backend(backend, passage) = self.tables.choose(&route.host, &tried, turn) else {
                return Err(self.nobody(route, last));
            };
            if !tried.is_empty() {
                self.counts.retries.fetch_add(1, Ordering::Relaxed);
            }
            match upstream::connect_tool(backend.address, self.patience.connect, passage).await {
                Ok(way) => {
                    row.release = Some(backend.release);
                    let patience = self.patience.tool_answer;
                    let sent = send(asked, way, patience, headers::to_backend).await;
                    return sent.map_err(|failure| page_of(&failure, &route.tool));
                }
                // Nothing was sent: another copy may get the request.
                Err(failure) => last = Some(page_of(&failure, &route.tool)),
            }
            tried.push(backend.address);
        }
    }

    /// What is said when no backend is left to try: the tool may have been stopped at this very moment.
    fn nobody(&self, route: &Route, last: Option<Page>) -> Page {
        if let Target::Tool(present) = self.tables.find(&route.host)
            && let Some(page) = page_of_state(&present)
        {
            return page;
        }
        last.unwrap_or_else(|| {
            let what = format!("{} is to be served, and the table names no copy", route.tool);
            Page::NoWay(route.tool.clone(), Fault::caused_by("a request to a tool", &what))
        })
    }

    /// Serve's answer. While serve is restarted a request waits; one that can be asked twice is, when the answer was
    /// lost with the old process.
    async fn ask_platform(&self, asked: Asked, files: &file::Queue) -> Result<Response<Body>, Page> {
        let until = Instant::now() + self.patience.platform_restart;
        let again = asked.body.is_end_stream()
            && asked.upgrade.is_none()
            && matches!(asked.parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let repeat = again.then(|| (asked.parts.clone(), asked.host.clone()));
        let (client, request_id, severed) =
            (asked.client, asked.request_id.clone(), Arc::clone(&asked.severed));
        let patience = self.patience.platform_answer;
        let socket = self.paths.serve_socket();
        let connect = || upstream::connect_platform(&socket, until);
        let mut answer = match connect().await {
            Ok(way) => send(asked, way, patience, headers::to_platform).await,
            Err(failure) => Err(failure),
        };
        while let (Err(Failure::Broken(_)), Some((parts, host))) = (&answer, &repeat) {
            if Instant::now() >= until {
                break;
            }
            self.counts.retries.fetch_add(1, Ordering::Relaxed);
            let mut parts = parts.clone();
            headers::to_platform(&mut parts.headers, host, client, &request_id);
            let request = Request::from_parts(to_origin(parts), body::empty());
            answer = match connect().await {
                Ok(way) => {
                    let (activity, severed) = (Activity::new(), Arc::clone(&severed));
                    let sent = upstream::exchange(way, request, &activity, patience, severed).await;
                    sent.map(|mut response| {
                        headers::to_client(response.headers_mut(), &request_id, false);
                        Answer { response, tunnel: None }
                    })
                }
                Err(failure) => Err(failure),
            };
        }
        match answer {
            Ok(Answer { response, tunnel }) => {
                if let Some(tunnel) = tunnel {
                    self.keep(async move {
                        let _ = tunnel.carry(&mut 0).await;
                    });
                }
                self.with_blob(response, files)
            }
            Err(Failure::Request(_)) => Err(Page::BROKEN_BODY),
            Err(failure) => Err(Page::PlatformAway(Fault::of("asking serve", &failure))),
        }
    }

    /// Serve's answer with its body, which serve may have left to us: it has looked the blob up, and we open it.
    fn with_blob(&self, response: Response<Incoming>, files: &file::Queue) -> Result<Response<Body>, Page> {
        let (mut parts, body) = response.into_parts();
        let Some(part) = parts.headers.remove(BLOB) else {
            return Ok(Response::from_parts(parts, body.boxed_unsync()));
        };
        let away = |error: &(dyn std::error::Error + 'static)| {
            Page::PlatformAway(Fault::of("sending a blob", error))
        };
        let part: Option<BlobPart> = part.to_str().ok().and_then(|text| text.parse().ok());
        let part = part.ok_or_else(|| away(&io::Error::other("serve's answer names no part of a blob")))?;
        let file = File::open(self.paths.blob(&part.digest)).map_err(|error| away(&error))?;
        let part = file::Part::new(file, part.first, part.length_bytes).map_err(|error| away(&error))?;
        let body = files.body(part);
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.size_hint().lower()));
        Ok(Response::from_parts(parts, body.boxed_unsync()))
    }
}

/// What a backend answered, with the client's headers.
struct Answer {
    response: Response<Incoming>,
    /// What is to be connected through, when the protocol changes.
    tunnel: Option<Tunnel>,
}

/// Sends a request on and gives the answer.
async fn send(
    asked: Asked,
    way: Way,
    patience: std::time::Duration,
    prepare: fn(&mut http::HeaderMap, &Host, IpAddr, &HeaderValue),
) -> Result<Answer, Failure> {
    let Asked { mut parts, body, host, client, request_id, upgrade, severed } = asked;
    let cut = way.cut.clone();
    prepare(&mut parts.headers, &host, client, &request_id);
    let activity = Activity::new();
    let body = Upload { body, activity: activity.clone() }.boxed_unsync();
    let request = Request::from_parts(to_origin(parts), body);
    let mut response = upstream::exchange(way, request, &activity, patience, severed).await?;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let tunnel = if switched {
        // Without an upgrade nobody asked for another protocol.
        let client = upgrade.ok_or(Failure::Protocol)?;
        Some(Tunnel { client, backend: hyper::upgrade::on(&mut response), cut })
    } else {
        None
    };
    headers::to_client(response.headers_mut(), &request_id, switched);
    Ok(Answer { response, tunnel })
}

/// Carries a tool's tunnel; as with a [`Download`], its row is written and its place given back when it has ended.
async fn carry(tunnel: Tunnel, mut row: Row, _place: OwnedSemaphorePermit) {
    row.complete = tunnel.carry(&mut row.sent_bytes).await;
}

fn check(request: &Request<Incoming>) -> Result<Host, Page> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Page::Method);
    }
    host::read(request.uri(), request.headers()).map_err(Page::BadRequest)
}

/// The request line that a backend gets: path and query alone, as the client wrote them.
fn to_origin(mut parts: Parts) -> Parts {
    let path = parts.uri.path_and_query().cloned();
    parts.uri = path.map_or_else(|| http::Uri::from_static("/"), http::Uri::from);
    parts.version = http::Version::HTTP_11;
    parts.extensions.clear();
    parts
}

/// The page that stands for a tool that is not serving.
fn page_of_state(route: &Route) -> Option<Page> {
    let tool = route.tool.clone();
    match route.state {
        State::Serving => None,
        State::Starting => Some(Page::Starting(tool)),
        State::Stopped => Some(Page::Stopped(tool)),
        State::Failed => Some(Page::Failed(tool)),
        State::Empty => Some(Page::Empty(tool)),
    }
}

fn page_of(failure: &Failure, tool: &str) -> Page {
    if failure.is_the_platforms() {
        return Page::NoWay(tool.to_owned(), Fault::of("a request to a tool", failure));
    }
    tracing::info!(tool, failure = %failure, cause = ?failure.source(), "a tool did not answer");
    match failure {
        Failure::Unreachable(_) | Failure::Broken(_) | Failure::Protocol => {
            Page::Unreachable(tool.to_owned())
        }
        Failure::Request(_) => Page::BROKEN_BODY,
        Failure::Slow => Page::Slow(tool.to_owned()),
        Failure::Cut => Page::Cut(tool.to_owned()),
    }
}
