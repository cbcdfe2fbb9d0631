//! Manifests, tags, referrers and downloads.

use crate::world::{World, answer, digest, request};
use serde_json::{Value, json};

pub(crate) fn descriptor(bytes: &[u8]) -> Value {
    json!({ "mediaType": "application/octet-stream", "digest": digest(bytes), "size": bytes.len() })
}

/// An image of these blobs.
pub(crate) fn manifest(config: &[u8], layers: &[&[u8]]) -> String {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(layer)).collect();
    json!({
        "schemaVersion": 2, "mediaType": oci::media_type::MANIFEST, "config": descriptor(config), "layers": layers,
    })
    .to_string()
}

impl World {
    pub(crate) async fn put_manifest(&self, at: &str, body: &str) -> crate::world::Answer {
        let headers = [("content-type", oci::media_type::MANIFEST)];
        self.send("shop", &format!("PUT /v2/shop/import/a/manifests/{at}"), &headers, body.to_owned()).await
    }
}

#[tokio::test]
async fn a_manifest_is_served_as_it_came_and_goes_with_its_tags() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    world.push_blob("shop", "shop/import/a", b"layer").await;
    // Spaces and order are the client's.
    let body = manifest(b"{}", &[b"layer"]).replace(",\"", " , \"");
    let named = digest(body.as_bytes());
    let put = world.put_manifest("one", &body).await;
    assert_eq!(
        (put.status, put.header("location")),
        (201, format!("/v2/shop/import/a/manifests/{named}").as_str())
    );
    let tagged = world.put_manifest(&format!("{named}?tag=two&tag=three"), &body).await;
    assert_eq!((tagged.status, tagged.header("oci-tag")), (201, "two, three"));
    for reference in ["one", "two", &named] {
        let got =
            world.send("reader", &format!("GET /v2/shop/import/a/manifests/{reference}"), &[], "").await;
        assert_eq!((got.status, got.text()), (200, body.clone()));
        assert_eq!(got.header("content-type"), oci::media_type::MANIFEST);
        assert_eq!(got.header("docker-content-digest"), named);
        let etag = got.header("etag").to_owned();
        let line = format!("GET /v2/shop/import/a/manifests/{reference}");
        assert_eq!(world.send("reader", &line, &[("if-none-match", &etag)], "").await.status, 304);
    }
    let page = world.send("reader", "GET /v2/shop/import/a/tags/list?n=2", &[], "").await;
    assert_eq!(page.text(), r#"{"name":"shop/import/a","tags":["one","three"]}"#);
    assert_eq!(page.header("link"), "</v2/shop/import/a/tags/list?n=2&last=three>; rel=\"next\"");
    let page = world.send("reader", "GET /v2/shop/import/a/tags/list?n=2&last=three", &[], "").await;
    assert_eq!((page.text().contains("[\"two\"]"), page.header("link")), (true, ""));

    assert_eq!(world.send("shop", "DELETE /v2/shop/import/a/manifests/two", &[], "").await.status, 202);
    assert_eq!(
        world.send("shop", "GET /v2/shop/import/a/manifests/two", &[], "").await.code(),
        "MANIFEST_UNKNOWN"
    );
    assert_eq!(world.send("shop", "GET /v2/shop/import/a/manifests/one", &[], "").await.status, 200);
    assert_eq!(
        world.send("shop", &format!("DELETE /v2/shop/import/a/manifests/{named}"), &[], "").await.status,
        202
    );
    assert_eq!(world.send("shop", "GET /v2/shop/import/a/manifests/one", &[], "").await.status, 404);
    let shop = world.store.tool_by_name(&"shop".parse().unwrap()).await.unwrap().id;
    assert_eq!(world.store.usage(shop).await.unwrap().used_bytes(), 0);
}

#[tokio::test]
async fn what_speaks_of_a_manifest_is_listed_also_before_it_is_there() {
    let world = World::new().await;
    let subject = digest(b"not there yet");
    let path = format!("GET /v2/shop/import/a/referrers/{subject}");
    let none = world.send("reader", &path, &[], "").await;
    assert_eq!((none.status, none.header("content-type")), (200, "application/vnd.oci.image.index.v1+json"));
    world.push_blob("shop", "shop/import/a", b"{}").await;
    for kind in ["text/a", "text/b"] {
        let mut body: Value = serde_json::from_str(&manifest(b"{}", &[])).unwrap();
        body["artifactType"] = kind.into();
        body["annotations"] = json!({ "k": kind });
        body["subject"] = json!({ "mediaType": oci::media_type::MANIFEST, "digest": subject, "size": 3 });
        let put = world.put_manifest(kind.rsplit('/').next().unwrap(), &body.to_string()).await;
        assert_eq!((put.status, put.header("oci-subject")), (201, subject.as_str()));
    }
    let all: Value = serde_json::from_slice(&world.send("reader", &path, &[], "").await.body).unwrap();
    assert_eq!(all["manifests"].as_array().unwrap().len(), 2);
    let one = world.send("reader", &format!("{path}?artifactType=text%2Fb"), &[], "").await;
    let listed: Value = serde_json::from_slice(&one.body).unwrap();
    assert_eq!(listed["manifests"][0]["annotations"]["k"], "text/b");
    assert_eq!(
        (listed["manifests"].as_array().unwrap().len(), one.header("oci-filters-applied")),
        (1, "artifactType")
    );
}

#[tokio::test]
async fn an_index_keeps_its_children_and_a_manifest_its_blobs() {
    let world = World::new().await;
    world.push_blob("shop", "shop/import/a", b"{}").await;
    let child = manifest(b"{}", &[]);
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor(child.as_bytes())] }).to_string();
    let headers = [("content-type", "application/vnd.oci.image.index.v1+json")];
    let put = "PUT /v2/shop/import/a/manifests/all";
    assert_eq!(world.send("shop", put, &headers, index.clone()).await.code(), "MANIFEST_BLOB_UNKNOWN");
    world.put_manifest("child", &child).await;
    assert_eq!(world.send("shop", put, &headers, index.clone()).await.status, 201);
    let delete = format!("DELETE /v2/shop/import/a/manifests/{}", digest(child.as_bytes()));
    assert_eq!(world.send("shop", &delete, &[], "").await.code(), "DENIED");
    let blob = format!("DELETE /v2/shop/import/a/blobs/{}", digest(b"{}"));
    assert_eq!(world.send("shop", &blob, &[], "").await.code(), "DENIED");
    let whole = format!("DELETE /v2/shop/import/a/manifests/{}", digest(index.as_bytes()));
    for line in [&whole, &delete] {
        assert_eq!(world.send("shop", line, &[], "").await.status, 202);
    }
    assert_eq!(world.send("shop", &blob, &[], "").await.status, 404, "it went with its manifest");
}

#[tokio::test]
async fn a_large_blob_is_left_to_a_router_that_can_send_it_after_the_same_checks() {
    let world = World::new().await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    assert_eq!(world.push_blob("shop", "shop/import/a", &bytes).await.status, 201);
    let path = format!("/v2/shop/import/a/blobs/{}", digest(&bytes));
    let (line, accepts) = (format!("GET {path}"), ("x-windlass-accepts-blob", "1"));
    for (range, status, part) in [
        ("none", 200, "0 300000"),
        ("bytes=1000-200999", 206, "1000 200000"),
        ("bytes=0-9", 206, ""),
        ("bytes=300000-", 416, ""),
    ] {
        let got = world.send("reader", &line, &[accepts, ("range", range)], "").await;
        assert_eq!(got.status, status, "{range}");
        let left = if part.is_empty() { String::new() } else { format!("{} {part}", digest(&bytes)) };
        assert_eq!(got.header("x-windlass-blob"), left, "{range}");
        assert_eq!(got.body.is_empty(), !left.is_empty(), "{range}");
        assert_eq!(got.header("content-range").is_empty(), status == 200, "{range}");
    }
    // One that this process has not seen whole is hashed by it first.
    let asked = || request("reader", &line, &[accepts], "");
    let anew = world.restarted().routes();
    let hashed = answer(anew.clone(), asked()).await;
    assert_eq!((hashed.header("x-windlass-blob"), hashed.body.len()), ("", 300_000));
    assert_eq!(answer(anew, asked()).await.header("x-windlass-blob"), format!("{} 0 300000", digest(&bytes)));
    let head = world.send("reader", &format!("HEAD {path}"), &[accepts], "").await;
    assert_eq!((head.header("content-length"), head.header("x-windlass-blob")), ("300000", ""));
    for (who, header, status) in [("other", accepts, 404), ("reader", ("if-none-match", "W/\"DIGEST\""), 304)]
    {
        let tag = header.1.replace("DIGEST", &digest(&bytes));
        let got = world.send(who, &line, &[accepts, (header.0, &tag)], "").await;
        assert_eq!((got.status, got.header("x-windlass-blob")), (status, ""), "{who}");
    }
    std::fs::write(world.paths.blob(&digest(&bytes).parse().unwrap()), &bytes[..299_999]).unwrap();
    let got = world.send("reader", &line, &[accepts], "").await;
    assert_eq!((got.code().as_str(), got.header("x-windlass-blob")), ("BLOB_UNKNOWN", ""));
}

#[tokio::test]
async fn a_part_of_a_blob_is_served_and_a_damaged_one_is_not() {
    let world = World::new().await;
    let bytes: Vec<u8> = (0..4000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    assert_eq!(world.push_blob("shop", "shop/import/a", &bytes).await.status, 201);
    let line = format!("GET /v2/shop/import/a/blobs/{}", digest(&bytes));
    for (range, status, part) in [
        ("bytes=500-1499", 206, &bytes[500..1500]),
        ("bytes=-500", 206, &bytes[3500..]),
        ("bytes=2000-5000", 206, &bytes[2000..]),
        ("bytes=0-0,1-1", 200, &bytes[..]),
        ("bytes=5000-", 416, &[]),
    ] {
        let got = world.send("reader", &line, &[("range", range)], "").await;
        assert_eq!(got.status, status, "{range}");
        assert!(status == 416 || got.body == part, "{range}");
        assert!(status != 206 || got.header("content-range").ends_with("/4000"), "{range}");
    }
    let file = world.paths.blob(&digest(&bytes).parse().unwrap());
    std::fs::write(&file, &bytes[..3999]).unwrap();
    assert_eq!(world.send("reader", &line, &[], "").await.code(), "BLOB_UNKNOWN");
    assert_eq!(world.push_blob("shop", "shop/import/a", &bytes).await.status, 201, "a push mends it");
    assert_eq!(world.send("reader", &line, &[], "").await.body, bytes);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(world.send("reader", &line, &[], "").await.status, 404);
}
