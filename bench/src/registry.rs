//! The registry beside two others: the same small client speaks to all three over HTTP on loopback, in turns.

use crate::{
    Rounds,
    peers::{
        Peers,
        registry::{self, Registry},
    },
    table::Table,
};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use testkit::World;

/// Where all of them keep what is pushed; in Windlass below a tool.
const REPOSITORY: &str = "images/import/bench";
const TOOL: &str = "images";
/// Small pushes in a round, and how many go on at once.
const SMALL_PUSHES: u64 = 200;
const PUSHERS: u64 = 4;
const SMALL_BYTES: usize = 4096;
const LARGE_BYTES: usize = 100_000_000;
/// Pulls of the large blob that go on at once.
const PULLERS: u64 = 8;
/// How often they pull in a round, in turns with the others' clients: one time is short beside what else goes on.
const PULLS: u64 = 3;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Somebody who pushes and pulls.
#[derive(Clone)]
struct Client {
    name: &'static str,
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// One round's numbers.
#[derive(Default)]
struct Measured {
    small_per_second: Vec<f64>,
    large: Vec<Duration>,
    pulled_megabytes_per_second: Vec<f64>,
}

pub(crate) fn measure(table: &mut Table, peers: &Peers, rounds: &Rounds) -> Result<()> {
    let world = World::new();
    ensure!(world.cli(&["tools", "create", TOOL]).status == 0, "no tool for images");
    let others = [registry::DEBIAN, registry::DISTRIBUTION]
        .map(|(name, program)| Ok((name, Registry::start(peers, program)?)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let mut clients = vec![Client::of_windlass(&world).await?];
        clients.extend(others.iter().map(|(name, registry)| Client::new(name, registry.port)));
        let mut measured: Vec<Measured> = clients.iter().map(|_| Measured::default()).collect();
        for round in 0..rounds.registries {
            eprintln!("registries: round {} of {}", round + 1, rounds.registries);
            for (client, measured) in clients.iter_mut().zip(&mut measured) {
                let name = client.name;
                client.push(round, measured).await.with_context(|| name.to_owned())?;
            }
            for _ in 0..PULLS {
                for (client, measured) in clients.iter().zip(&mut measured) {
                    client.pull(round, measured).await.with_context(|| client.name.to_owned())?;
                }
            }
        }
        show(table, &clients, &measured);
        Ok(())
    })
}

fn show(table: &mut Table, clients: &[Client], measured: &[Measured]) {
    table.heading("registries on loopback, the same client for all");
    let ours = &measured[0];
    let mut rows =
        |what: &str, unit: &'static str, faster_is_more: bool, of: &dyn Fn(&Measured) -> Vec<f64>| {
            let middle = |measured: &Measured| {
                let mut sorted = of(measured);
                sorted.sort_by(f64::total_cmp);
                crate::table::median(&sorted)
            };
            for (client, measured) in clients.iter().zip(measured) {
                table.numbers(format!("{what}: {}", client.name), unit, of(measured));
            }
            for (client, measured) in clients.iter().zip(measured).skip(1) {
                let (ours, theirs) = (middle(ours), middle(measured));
                let ratio = if faster_is_more { ours / theirs } else { theirs / ours };
                table.ratio(&format!("  {what}, beside {}", client.name), ratio, 1.0);
            }
        };
    rows("small pushes", "/s", true, &|measured| measured.small_per_second.clone());
    rows("push of 100 MB", "s", false, &|measured| {
        measured.large.iter().map(Duration::as_secs_f64).collect()
    });
    rows("8 pulls at once", "MB/s", true, &|measured| measured.pulled_megabytes_per_second.clone());
}

impl Client {
    fn new(name: &'static str, port: u16) -> Self {
        let url = format!("http://localhost:{port}");
        Self { name, url, token: None, http: reqwest::Client::new() }
    }

    async fn of_windlass(world: &World) -> Result<Self> {
        let mut client = Self::new("Windlass", world.port);
        client.token = Some(client.exchange(world.token()).await?);
        Ok(client)
    }

    /// A long-lived token for one that is good for some minutes.
    async fn exchange(&self, token: &str) -> Result<String> {
        let scope = format!("repository:{REPOSITORY}:pull,push");
        let asked = self
            .http
            .get(format!("{}/v2/token", self.url))
            .query(&[("service", "windlass"), ("scope", &scope)])
            .basic_auth("bench", Some(token))
            .send()
            .await?;
        let answer: Value = expect(asked, StatusCode::OK).await?.json().await?;
        Ok(answer["token"].as_str().context("the token endpoint gave no token")?.to_owned())
    }

    /// Small pushes and one large push.
    async fn push(&self, round: u64, measured: &mut Measured) -> Result<()> {
        let config = self.push_blob(Bytes::from_static(b"{}")).await?;
        let began = Instant::now();
        let pushers = (0..PUSHERS).map(|pusher| {
            let (client, config) = (self.clone(), config.clone());
            tokio::spawn(async move {
                for number in 0..SMALL_PUSHES / PUSHERS {
                    let seed = (round * PUSHERS + pusher) * SMALL_PUSHES + number;
                    let layer = client.push_blob(content(seed, SMALL_BYTES)).await?;
                    client.push_manifest(&format!("small-{seed}"), &config, &layer, SMALL_BYTES).await?;
                }
                anyhow::Ok(())
            })
        });
        for pusher in pushers.collect::<Vec<_>>() {
            pusher.await??;
        }
        measured.small_per_second.push(per_second(SMALL_PUSHES, began.elapsed()));

        let large = content(u64::MAX - round, LARGE_BYTES);
        let began = Instant::now();
        let digest = self.push_blob(large).await?;
        measured.large.push(began.elapsed());
        // What no manifest names may be removed, and may not be pulled.
        self.push_manifest(&format!("large-{round}"), &config, &digest, LARGE_BYTES).await
    }

    /// Pulls at once of what was pushed.
    async fn pull(&self, round: u64, measured: &mut Measured) -> Result<()> {
        let content = content(u64::MAX - round, LARGE_BYTES);
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&content)));
        drop(content);
        let began = Instant::now();
        let pullers = (0..PULLERS).map(|_| {
            let (client, digest) = (self.clone(), digest.clone());
            tokio::spawn(async move { client.pull_blob(&digest).await })
        });
        for puller in pullers.collect::<Vec<_>>() {
            puller.await??;
        }
        measured
            .pulled_megabytes_per_second
            .push(per_second(PULLERS * LARGE_BYTES as u64 / 1_000_000, began.elapsed()));
        Ok(())
    }

    /// `POST`, then one `PUT` with all of it (distribution-spec v1.1, end-4a and end-6). Gives the digest.
    async fn push_blob(&self, bytes: Bytes) -> Result<String> {
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let opened =
            self.ask(Method::POST, &format!("/v2/{REPOSITORY}/blobs/uploads/")).body("").send().await?;
        let opened = expect(opened, StatusCode::ACCEPTED).await?;
        let location =
            opened.headers().get(header::LOCATION).context("an upload without Location")?.to_str()?;
        let path = location.strip_prefix(&self.url).unwrap_or(location);
        let put = self.ask(Method::PUT, path).query(&[("digest", &digest)]);
        let put = put.header(header::CONTENT_TYPE, "application/octet-stream").body(bytes).send().await?;
        expect(put, StatusCode::CREATED).await?;
        Ok(digest)
    }

    async fn push_manifest(&self, tag: &str, config: &str, layer: &str, layer_bytes: usize) -> Result<()> {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
            "layers": [
                { "mediaType": "application/octet-stream", "digest": layer, "size": layer_bytes },
            ],
        });
        let path = format!("/v2/{REPOSITORY}/manifests/{tag}");
        let put = self.ask(Method::PUT, &path).header(header::CONTENT_TYPE, MANIFEST);
        expect(put.body(manifest.to_string()).send().await?, StatusCode::CREATED).await.map(drop)
    }

    async fn pull_blob(&self, digest: &str) -> Result<()> {
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        let mut answer = expect(self.ask(Method::GET, &path).send().await?, StatusCode::OK).await?;
        let mut bytes = 0;
        while let Some(part) = answer.chunk().await? {
            bytes += part.len();
        }
        ensure!(bytes == LARGE_BYTES, "{bytes} bytes came");
        Ok(())
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// The answer if it has this status, else its text.
async fn expect(answer: Response, status: StatusCode) -> Result<Response> {
    if answer.status() == status {
        return Ok(answer);
    }
    let (found, url) = (answer.status(), answer.url().clone());
    anyhow::bail!("{url}: {found} instead of {status}: {}", answer.text().await.unwrap_or_default())
}

/// Bytes that differ by seed and do not compress (xorshift64, Marsaglia 2003).
fn content(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(bytes);
    content.into()
}

fn per_second(times: u64, elapsed: Duration) -> f64 {
    f64::from(u32::try_from(times).unwrap_or(u32::MAX)) / elapsed.as_secs_f64()
}
