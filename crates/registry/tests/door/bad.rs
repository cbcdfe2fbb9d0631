//! What strangers and broken clients send: every answer is a 4xx of ours, or what the specification says to ignore.

use crate::{
    images::manifest,
    world::{World, digest},
};
use serde_json::{Value, json};

/// Request line, headers, body, and the status and code that come back.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, u16, &'static str);

const CASES: &[Case] = &[
    ("GET /v2/../../etc/passwd/manifests/x", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/shop/%2e%2e/manifests/x", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/shop%2F..%2Fother/import/a/tags/list", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/Shop/import/a/tags/list", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/shop/import/%00/tags/list", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/shop/import/LONG/tags/list", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/shop/import/a/manifests/LONG", &[], "", 404, "MANIFEST_UNKNOWN"),
    ("HEAD /v2/shop/import/a/manifests/.tag", &[], "", 404, "MANIFEST_UNKNOWN"),
    ("DELETE /v2/shop/import/a/manifests/-tag", &[], "", 404, "MANIFEST_UNKNOWN"),
    ("PUT /v2/shop/import/a/manifests/LONG", &[], "", 400, "TAG_INVALID"),
    ("GET /v2/shop/import/a/manifests/sha256:..%2f..%2fx", &[], "", 400, "NAME_INVALID"),
    ("GET /v2/shop/import/a/manifests/sha256:baddigeststring", &[], "", 400, "DIGEST_INVALID"),
    ("GET /v2/shop/import/a/blobs/md5:HEX", &[], "", 400, "DIGEST_INVALID"),
    ("GET /v2/shop/import/a/blobs/sha256:UPPER", &[], "", 400, "DIGEST_INVALID"),
    ("GET /v2/shop/import/a/blobs/uploads/..%2f..", &[], "", 400, "NAME_INVALID"),
    (
        "GET /v2/shop/import/a/blobs/uploads/0198c1b0-0000-7000-8000-000000000000",
        &[],
        "",
        404,
        "BLOB_UPLOAD_UNKNOWN",
    ),
    ("GET /v2/shop/import/b/blobs/uploads/ID", &[], "", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("PUT SESSION", &[], "", 400, "DIGEST_INVALID"),
    ("PUT SESSION?digest=OWN&digest=OWN", &[], "", 400, "UNSUPPORTED"),
    ("POST /v2/shop/import/a/blobs/uploads/?digest-algorithm=sha512", &[], "", 400, "DIGEST_INVALID"),
    ("PATCH SESSION", &[("content-range", "0-9"), ("content-length", "3")], "abc", 400, "SIZE_INVALID"),
    ("PATCH SESSION", &[("content-range", "bytes 0-2/3")], "abc", 400, "BLOB_UPLOAD_INVALID"),
    ("PATCH SESSION", &[("content-range", "5-7")], "abc", 416, "BLOB_UPLOAD_INVALID"),
    ("PATCH SESSION", &[("content-range", "9-3")], "abc", 400, "BLOB_UPLOAD_INVALID"),
    ("PATCH SESSION", &[("content-range", "0-18446744073709551616")], "abc", 400, "BLOB_UPLOAD_INVALID"),
    ("PATCH SESSION", &[("content-range", "-1-2")], "abc", 400, "BLOB_UPLOAD_INVALID"),
    ("PATCH SESSION", &[("content-length", "2")], "abc", 400, "SIZE_INVALID"),
    ("PATCH SESSION", &[("content-length", "99999999999999")], "abc", 400, "SIZE_INVALID"),
    ("HEAD /v2/shop/import/a/blobs/FOREIGN", &[], "", 404, "BLOB_UNKNOWN"),
    ("GET /v2/other/import/a/blobs/FOREIGN", &[], "", 404, "NAME_UNKNOWN"),
    ("POST /v2/shop/import/a/blobs/uploads/?mount=FOREIGN&from=other/import/a", &[], "", 202, ""),
    ("POST /v2/shop/import/a/blobs/uploads/?mount=FOREIGN", &[], "", 202, ""),
    ("POST /v2/shop/import/a/blobs/uploads/?mount=garbage&from=shop/import/b", &[], "", 202, ""),
    ("GET /v2/shop/import/a/tags/list?n=-1", &[], "", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET /v2/shop/import/a/tags/list?n=abc", &[], "", 400, "PAGINATION_NUMBER_INVALID"),
    ("GET /v2/shop/import/a/tags/list?n=9000000000000000000&last=%0d%0aX:%00", &[], "", 200, ""),
    ("GET /v2/shop/import/a/referrers/sha256:x", &[], "", 400, "DIGEST_INVALID"),
    ("GET /v2/shop/import/a/referrers/OWN?artifactType=LONGLONGLONGLONGLONG", &[], "", 400, "UNSUPPORTED"),
    ("GET /v2/shop/import/a/blobs/OWN", &[("range", "bytes=99999999999999999999-")], "", 416, "SIZE_INVALID"),
    ("GET /v2/shop/import/a/blobs/OWN", &[("range", "bytes=0-0,0-0,0-0,0-0")], "", 200, ""),
    ("GET /v2/_catalog", &[], "", 404, "NAME_UNKNOWN"),
    ("BREW /v2/shop/import/a/tags/list", &[], "", 405, "UNSUPPORTED"),
];

#[tokio::test]
async fn nothing_that_is_sent_breaks_the_door() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    world.push_blob("other", "other/import/a", b"secret").await;
    let (own, foreign) = (digest(b"{}"), digest(b"secret"));
    let begun = world.send("shop", "POST /v2/shop/import/a/blobs/uploads/", &[], "").await;
    let session = begun.header("location").to_owned();
    let words = [
        ("SESSION", session.as_str()),
        ("OWN", &own),
        ("FOREIGN", &foreign),
        ("UPPER", &own[7..].to_uppercase()),
        ("HEX", &own[7..]),
        ("LONG", &"a".repeat(300)),
        ("ID", session.rsplit('/').next().unwrap()),
    ];
    for (line, headers, body, status, code) in CASES {
        // Longer words first: none is a part of one that comes after it.
        let line = words.iter().fold((*line).to_owned(), |line, (word, value)| line.replace(word, value));
        let got = world.send("shop", &line, headers, *body).await;
        let said = if line.starts_with("HEAD") { (*code).to_owned() } else { got.code() };
        assert_eq!((got.status, said.as_str()), (*status, *code), "{line} {headers:?}: {}", got.text());
        assert!(!got.text().contains("secret"), "{line}");
    }
    assert!(std::fs::read_dir(world.paths.uploads()).unwrap().count() <= 5, "only what was begun");
}

#[tokio::test]
async fn no_manifest_of_nonsense_is_kept() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    world.push_blob("other", "other/import/a", b"secret").await;
    let good = manifest(b"{}", &[]);
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut body: Value = serde_json::from_str(&good).unwrap();
        change(&mut body);
        body.to_string()
    };
    let size = |size: Value| edit(&|body| body["config"]["size"] = size.clone());
    for (body, status, code) in [
        (String::new(), 400, "MANIFEST_INVALID"),
        ("[".repeat(100_000), 400, "MANIFEST_INVALID"),
        (" ".repeat(5 << 20), 413, "SIZE_INVALID"),
        (format!("\u{feff}{good}"), 400, "MANIFEST_INVALID"),
        (good.replace("\"layers\"", "\"config\":null,\"layers\""), 400, "MANIFEST_INVALID"),
        (edit(&|body| body["manifests"] = json!([])), 400, "MANIFEST_INVALID"),
        (
            edit(&|body| body["mediaType"] = "application/vnd.oci.image.index.v1+json".into()),
            400,
            "MANIFEST_INVALID",
        ),
        (edit(&|body| body["schemaVersion"] = 1.into()), 400, "MANIFEST_INVALID"),
        (size(json!(-1)), 400, "MANIFEST_INVALID"),
        (size(json!("2")), 400, "MANIFEST_INVALID"),
        (size(json!(3)), 400, "MANIFEST_BLOB_UNKNOWN"),
        (size(json!(u64::MAX)), 400, "MANIFEST_BLOB_UNKNOWN"),
        (manifest(b"{}", &[b"secret"]), 400, "MANIFEST_BLOB_UNKNOWN"),
    ] {
        let put = world.put_manifest("bad", &body).await;
        let shown: String = body.chars().take(120).collect();
        assert_eq!((put.status, put.code().as_str()), (status, code), "{shown}: {}", put.text());
    }
    let as_old = [("content-type", "application/vnd.docker.distribution.manifest.v1+json")];
    let old = world.send("shop", "PUT /v2/shop/import/a/manifests/bad", &as_old, good.clone()).await;
    assert_eq!(old.code(), "MANIFEST_INVALID");
    assert_eq!(world.send("shop", "GET /v2/shop/import/a/manifests/bad", &[], "").await.status, 404);

    // A layer that lies elsewhere by its own word need not be here; where it points is nobody's to follow.
    let elsewhere = edit(&|body| {
        body["layers"] = json!([{
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "digest": digest(b"far away"), "size": 5, "urls": ["http://169.254.169.254/"],
        }]);
    });
    assert_eq!(world.put_manifest("elsewhere", &elsewhere).await.status, 201);
}

#[tokio::test]
async fn tokens_that_are_none_are_refused() {
    let world = World::new().await;
    let long = format!("Bearer {}", "x".repeat(8000));
    for value in [
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJzaG9wIn0.",
        "Bearer wl_registry_0000000000000000000000000000000000000000000000000000000000000000",
        "Bearer ",
        "Basic Og==",
        "Basic !!!",
        "Digest username=shop",
        "wl_personal_shop",
        &long,
    ] {
        for line in ["GET /v2/", "GET /v2/token", "GET /v2/shop/import/a/tags/list"] {
            let got = world.send("", line, &[("authorization", value)], "").await;
            assert_eq!((got.status, got.code().as_str()), (401, "UNAUTHORIZED"), "{line} {value}");
        }
    }
}

/// The specification leaves SHA-512 open; here it is refused everywhere by a sentence that says what to do.
#[tokio::test]
async fn another_algorithm_than_sha256_is_refused_by_name() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    let other = format!("sha512:{}", "ab".repeat(64));
    let begun = world.send("shop", "POST /v2/shop/import/a/blobs/uploads/", &[], "").await;
    let session = begun.header("location");
    let with = |part: &str| {
        let mut body: Value = serde_json::from_str(&manifest(b"{}", &[])).unwrap();
        body[part] = json!({ "mediaType": "application/octet-stream", "digest": other, "size": 2 });
        body.to_string()
    };
    for (line, body) in [
        (format!("GET /v2/shop/import/a/blobs/{other}"), String::new()),
        (format!("POST /v2/shop/import/a/blobs/uploads/?digest={other}"), "{}".to_owned()),
        ("POST /v2/shop/import/a/blobs/uploads/?digest-algorithm=sha512".to_owned(), String::new()),
        (format!("PUT {session}?digest={other}"), "{}".to_owned()),
        (format!("PUT /v2/shop/import/a/manifests/{other}"), manifest(b"{}", &[])),
        ("PUT /v2/shop/import/a/manifests/tag".to_owned(), with("config")),
        ("PUT /v2/shop/import/a/manifests/tag".to_owned(), with("subject")),
        (format!("GET /v2/shop/import/a/referrers/{other}"), String::new()),
    ] {
        let headers = [("content-type", oci::media_type::MANIFEST)];
        let got = world.send("shop", &line, &headers, body).await;
        assert_eq!((got.status, got.code().as_str()), (400, "DIGEST_INVALID"), "{line}: {}", got.text());
        assert!(
            got.text().contains("keeps no `sha512` digests: push and pull by `sha256:`"),
            "{}",
            got.text()
        );
    }
    // The session is still there for the digest that is kept.
    let put = format!("PUT {session}?digest={}", digest(b"{}"));
    assert_eq!(world.send("shop", &put, &[], "{}").await.status, 201);
}
