//! Manifests as clients write them (OCI image specification, manifest.md and image-index.md; Docker's schema 2).
//! What a manifest names is read; what it says besides is kept as it came and never acted on.

use crate::{answer::Refusal, path::digest};
use model::Digest;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::Manifest;

/// Largest manifest that is taken, in bytes: what distribution-spec asks for.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// Blobs or manifests that one manifest may name.
const MAX_PARTS: usize = 2000;

const IMAGES: [&str; 2] = [oci::media_type::MANIFEST, "application/vnd.docker.distribution.manifest.v2+json"];
const INDEXES: [&str; 2] = [INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"];
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What the platform reads of a manifest.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) media_type: String,
    pub(crate) blobs: Vec<(Digest, u64)>,
    pub(crate) foreign: Vec<Digest>,
    pub(crate) children: Vec<Digest>,
    pub(crate) subject: Option<Digest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    schema_version: u64,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::bad("MANIFEST_INVALID", message)
}

impl Document {
    /// # Errors
    /// 400 with what is wrong. Depth, length and number of parts are bounded.
    pub(crate) fn read(content_type: Option<&str>, body: &[u8]) -> Result<Self, Refusal> {
        let raw: Raw =
            serde_json::from_slice(body).map_err(|error| invalid(format!("this is no manifest: {error}")))?;
        let sent = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
        let media_type = match (sent, raw.media_type.as_deref()) {
            (Some(sent), Some(written)) if sent != written => {
                return Err(invalid("Content-Type and the manifest's mediaType do not agree"));
            }
            (Some(known), _) | (None, Some(known)) => known.to_owned(),
            (None, None) => return Err(invalid("neither Content-Type nor mediaType says what this is")),
        };
        if raw.schema_version != 2 {
            return Err(invalid("schemaVersion is 2; older manifests are not taken"));
        }
        let (config, layers, manifests) = (raw.config, raw.layers, raw.manifests);
        if manifests.is_some() && (layers.is_some() || config.is_some()) {
            return Err(invalid("a manifest is an image or an index, not both"));
        }
        let subject = raw.subject.map(|subject| digest(&subject.digest)).transpose()?;
        let mut document =
            Self { media_type, blobs: Vec::new(), foreign: Vec::new(), children: Vec::new(), subject };
        if IMAGES.contains(&document.media_type.as_str()) {
            let config = config.ok_or_else(|| invalid("an image has a `config`"))?;
            let layers = layers.ok_or_else(|| invalid("an image has `layers`"))?;
            bounded(&layers)?;
            document.blobs.push((digest(&config.digest)?, config.size));
            for layer in layers {
                let named = digest(&layer.digest)?;
                if is_foreign(&layer.media_type) {
                    document.foreign.push(named);
                } else {
                    document.blobs.push((named, layer.size));
                }
            }
        } else if INDEXES.contains(&document.media_type.as_str()) {
            let manifests = manifests.ok_or_else(|| invalid("an index has `manifests`"))?;
            bounded(&manifests)?;
            document.children =
                manifests.iter().map(|child| digest(&child.digest)).collect::<Result<_, _>>()?;
        } else {
            return Err(invalid("this kind of manifest is not taken; OCI's and Docker's schema 2 are"));
        }
        Ok(document)
    }
}

fn bounded(parts: &[Descriptor]) -> Result<(), Refusal> {
    if parts.len() > MAX_PARTS {
        return Err(invalid(format!("it names {} parts, and {MAX_PARTS} are the most", parts.len())));
    }
    Ok(())
}

/// Layers that need not be here (image specification, layer.md "Non-Distributable Layers"; Docker's foreign layers).
fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.")
}

/// How a list of referrers names a manifest (distribution-spec, "Listing Referrers").
pub(crate) fn referrer(manifest: &Manifest) -> (Option<String>, Value) {
    let raw: Option<Raw> = serde_json::from_slice(&manifest.body).ok();
    let (written, config, annotations) =
        raw.map_or((None, None, None), |raw| (raw.artifact_type, raw.config, raw.annotations));
    let artifact_type = written.filter(|kind| !kind.is_empty()).or(config.map(|config| config.media_type));
    let mut descriptor = json!({
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": manifest.body.len(),
    });
    if let Some(kind) = &artifact_type {
        descriptor["artifactType"] = kind.as_str().into();
    }
    if let Some(annotations) = annotations {
        descriptor["annotations"] = annotations.into();
    }
    (artifact_type, descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(fill: char, more: &str) -> String {
        let hex = fill.to_string().repeat(64);
        format!(r#"{{"mediaType":"m","digest":"sha256:{hex}","size":1{more}}}"#)
    }

    fn image(more: &str) -> String {
        let config = descriptor('a', "");
        format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{config}]{more}}}"#)
    }

    fn read(body: &str) -> Result<Document, Refusal> {
        Document::read(Some(oci::media_type::MANIFEST), body.as_bytes())
    }

    #[test]
    fn an_image_names_its_parts_and_may_say_anything_else() {
        let document = read(&image(
            r#","subject":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":0},"what":{"ever":[1]}"#,
        ));
        let document = document.ok().unwrap();
        assert_eq!(document.blobs.len(), 2);
        assert!(document.subject.is_some());
        let with_charset = Document::read(
            Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
            image("").as_bytes(),
        );
        assert_eq!(with_charset.ok().unwrap().media_type, oci::media_type::MANIFEST);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let digest = descriptor('a', "");
        let many = vec![digest.as_str(); MAX_PARTS + 1].join(",");
        for bad in [
            String::new(),
            "[".repeat(100_000),
            "\u{feff}{}".to_owned(),
            "NaN".to_owned(),
            image(r#","layers":[]"#),
            image(r#","manifests":[]"#),
            image(r#","mediaType":"application/vnd.oci.image.index.v1+json""#),
            image("").replace("\"schemaVersion\":2", "\"schemaVersion\":1"),
            image("").replace("\"size\":1", "\"size\":-1"),
            image("").replace("\"size\":1", "\"size\":9223372036854775808000"),
            image("").replace("\"size\":1", "\"size\":\"1\""),
            image("").replace("sha256:a", "sha256:A"),
            format!(r#"{{"schemaVersion":2,"config":{digest},"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,"config":{digest}}}"#),
            format!(r#"{{"schemaVersion":2,"config":{digest},"layers":[{many}]}}"#),
        ] {
            assert!(read(&bad).is_err(), "{}", bad.chars().take(200).collect::<String>());
        }
        assert!(Document::read(None, image("").as_bytes()).is_err());
        assert!(
            Document::read(
                Some("application/vnd.docker.distribution.manifest.v1+json"),
                image("").as_bytes()
            )
            .is_err()
        );
    }
}
