//! What a path asks for. It is read from its right end, because a repository may be called `blobs` or `tags`.

use crate::answer::Refusal;
use app::registry::{Reference, is_repository_name};
use axum::http::{Method, StatusCode};
use model::Digest;
use percent_encoding::percent_decode_str;

/// A path below `/v2/`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Of the repository.
    pub(crate) name: String,
    pub(crate) target: Target,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Manifest(Reference),
    Blob(Digest),
    /// `blobs/uploads/`
    Uploads,
    Upload(String),
    Tags,
    Referrers(Digest),
}

/// # Errors
/// 404 for what no path of the specification looks like, 400 for names, tags and digests that cannot be. A tag that
/// cannot be is just not there for who does not push it.
pub(crate) fn read(path: &str, method: &Method) -> Result<Asked, Refusal> {
    let rest = path.strip_prefix("/v2/").unwrap_or(path);
    let parts = rest.split('/').map(decode).collect::<Result<Vec<String>, Refusal>>()?;
    let words: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (name, target) = match words.as_slice() {
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => (name, Target::Uploads),
        [name @ .., "blobs", "uploads", id] => (name, Target::Upload(upload_id(id)?)),
        [name @ .., "blobs", digest] => (name, Target::Blob(self::digest(digest)?)),
        [name @ .., "manifests", reference] => (name, Target::Manifest(self::reference(reference, method)?)),
        [name @ .., "tags", "list"] => (name, Target::Tags),
        [name @ .., "referrers", digest] => (name, Target::Referrers(self::digest(digest)?)),
        _ => {
            let text = "there is nothing here; repositories are TOOL/release and TOOL/import/NAME";
            return Err(Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", text));
        }
    };
    let name = name.join("/");
    if !is_repository_name(&name) {
        let text = "this cannot be a repository's name: lower-case letters and digits, separated by `/`, `.`, `_`, `-`";
        return Err(Refusal::bad("NAME_INVALID", text));
    }
    Ok(Asked { name, target })
}

fn decode(part: &str) -> Result<String, Refusal> {
    let decoded = percent_decode_str(part).decode_utf8();
    let decoded = decoded.map_err(|_| Refusal::bad("NAME_INVALID", "the path is no UTF-8"))?;
    if decoded.contains(['/', '\0']) {
        return Err(Refusal::bad("NAME_INVALID", "the path holds an encoded `/` or NUL"));
    }
    Ok(decoded.into_owned())
}

/// # Errors
/// The platform keeps SHA-256 alone; every other algorithm is refused by name. The image specification asks for no more
/// (descriptor.md, "Registered algorithms": SHA-512 is optional).
pub(crate) fn digest(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error: model::digest::BadDigest| {
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        match text.split_once(':') {
            Some((algorithm, _)) if algorithm != "sha256" && algorithm.len() <= 16 && word(algorithm) => {
                other_algorithm(algorithm)
            }
            _ => Refusal::bad("DIGEST_INVALID", error.to_string()),
        }
    })
}

/// For an algorithm that is none of ours.
pub(crate) fn other_algorithm(algorithm: &str) -> Refusal {
    let text = format!(
        "this registry keeps no `{algorithm}` digests: push and pull by `sha256:` and 64 lower-case hex digits"
    );
    Refusal::bad("DIGEST_INVALID", text)
}

/// A reference is a digest exactly if it holds a colon (distribution-spec, "Pulling manifests").
fn reference(text: &str, method: &Method) -> Result<Reference, Refusal> {
    if text.contains(':') {
        return digest(text).map(Reference::Digest);
    }
    let unknown = |_| Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "no tag can have this name");
    let tag = tag(text);
    let tag = if *method == Method::PUT { tag } else { tag.map_err(unknown) };
    tag.map(Reference::Tag)
}

/// # Errors
/// For what is not 1 to 128 letters, digits, `_`, `.`, `-`, the first neither `.` nor `-`.
pub(crate) fn tag(text: &str) -> Result<String, Refusal> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let first = text.bytes().next().is_some_and(word);
    if !first || text.len() > 128 || !text.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
        let text = "a tag is 1 to 128 letters, digits, `_`, `.` and `-`, and begins with neither `.` nor `-`";
        return Err(Refusal::bad("TAG_INVALID", text));
    }
    Ok(text.to_owned())
}

/// Ids are ours: what looks otherwise was never given out.
fn upload_id(text: &str) -> Result<String, Refusal> {
    match text.parse::<uuid::Uuid>() {
        Ok(id) if id.to_string() == text => Ok(text.to_owned()),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(path: &str) -> &'static str {
        read(path, &Method::PUT).map_or_else(|refusal| refusal.code(), |_| "fine")
    }

    #[test]
    fn a_path_is_read_from_its_right_end() {
        let hex = "a".repeat(64);
        let asked =
            read(&format!("/v2/a/blobs/uploads/b/manifests/sha256:{hex}"), &Method::GET).ok().unwrap();
        assert_eq!(asked.name, "a/blobs/uploads/b");
        assert_eq!(
            asked.target,
            Target::Manifest(Reference::Digest(format!("sha256:{hex}").parse().unwrap()))
        );
        assert_eq!(read("/v2/tags/tags/list", &Method::GET).ok().unwrap().name, "tags");
        assert_eq!(read("/v2/a/b/blobs/uploads/", &Method::GET).ok().unwrap().target, Target::Uploads);
        assert_eq!(read("/v2/a/b/blobs/uploads", &Method::GET).ok().unwrap().target, Target::Uploads);
        assert_eq!(
            read(&format!("/v2/a/blobs/sha256%3A{hex}"), &Method::GET).ok().unwrap().target,
            Target::Blob(format!("sha256:{hex}").parse().unwrap())
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let hex = "a".repeat(64);
        let cases = [
            ("/v2/../../etc/passwd/manifests/x".to_owned(), "NAME_INVALID"),
            ("/v2/a/%2e%2e/manifests/x".to_owned(), "NAME_INVALID"),
            ("/v2/a%2F..%2Fb/manifests/x".to_owned(), "NAME_INVALID"),
            ("/v2/A/manifests/x".to_owned(), "NAME_INVALID"),
            ("/v2/a//b/manifests/x".to_owned(), "NAME_INVALID"),
            ("/v2/a%00/manifests/x".to_owned(), "NAME_INVALID"),
            ("/v2/a%ff/manifests/x".to_owned(), "NAME_INVALID"),
            (format!("/v2/{}/manifests/x", "a".repeat(300)), "NAME_INVALID"),
            (format!("/v2/a/manifests/{}", "t".repeat(129)), "TAG_INVALID"),
            ("/v2/a/manifests/.x".to_owned(), "TAG_INVALID"),
            ("/v2/a/manifests/-x".to_owned(), "TAG_INVALID"),
            ("/v2/a/manifests/%C3%A4".to_owned(), "TAG_INVALID"),
            ("/v2/a/manifests/".to_owned(), "TAG_INVALID"),
            ("/v2/a/manifests/sha256:baddigeststring".to_owned(), "DIGEST_INVALID"),
            (format!("/v2/a/blobs/sha256:{}", &hex[1..]), "DIGEST_INVALID"),
            (format!("/v2/a/blobs/sha256:{}", hex.to_uppercase()), "DIGEST_INVALID"),
            (format!("/v2/a/blobs/md5:{hex}"), "DIGEST_INVALID"),
            (format!("/v2/a/blobs/sha256:{}", "z".repeat(64)), "DIGEST_INVALID"),
            ("/v2/a/blobs/sha256:..".to_owned(), "DIGEST_INVALID"),
            ("/v2/a/blobs/uploads/..%2f..".to_owned(), "NAME_INVALID"),
            ("/v2/a/blobs/uploads/x".to_owned(), "BLOB_UPLOAD_UNKNOWN"),
            ("/v2/_catalog".to_owned(), "NAME_UNKNOWN"),
            ("/v2/a/tags".to_owned(), "NAME_UNKNOWN"),
        ];
        for (path, expected) in cases {
            assert_eq!(code(&path), expected, "{path}");
        }
        let asked = read("/v2/a/manifests/.x", &Method::GET).map_err(|refusal| refusal.code());
        assert_eq!(asked, Err("MANIFEST_UNKNOWN"));
    }
}
