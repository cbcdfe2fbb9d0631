//! What people push: blobs, manifests, uploads, and what all of a tool's storage adds up to.

use super::town::{PLATFORM, Town, digest};
use crate::{BuildMemory, Conflict, Manifest, NewManifest, RepositoryId, StoreError, Tool, Upload, Usage};
use futures_util::future::join_all;
use model::{Digest, Timestamp};
use serde_json::json;
use std::{sync::Mutex, time::Duration};

const HOUR: Duration = Duration::from_hours(1);

impl Town {
    async fn repository(&self, tool: &Tool, name: &str) -> RepositoryId {
        self.store.ensure_repository(tool.id, name, 10).await.unwrap()
    }

    async fn blob(&self, repository: RepositoryId, byte: u8, size_bytes: u64) -> Result<(), StoreError> {
        let until = Timestamp::now().plus(HOUR);
        self.store.add_blob(repository, &digest(byte), size_bytes, until, None).await
    }

    async fn usage(&self, tool: &Tool) -> Usage {
        let usage = self.store.usage(tool.id).await.unwrap();
        assert_eq!(usage.used_bytes(), self.store.count_anew(tool.id).await.unwrap(), "the ledger adds up");
        usage
    }
}

fn manifest(byte: u8, blobs: &[(u8, u64)], tags: &[&str]) -> NewManifest {
    NewManifest {
        manifest: Manifest { digest: digest(byte), media_type: "m".into(), body: vec![byte; 50] },
        blobs: blobs.iter().map(|(byte, size)| (digest(*byte), *size)).collect(),
        foreign: Vec::new(),
        children: Vec::new(),
        subject: None,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    }
}

fn over(result: Result<(), StoreError>) -> bool {
    match result {
        Ok(()) => false,
        Err(StoreError::Conflict(Conflict::QuotaExceeded { .. })) => true,
        Err(other) => panic!("{other:?}"),
    }
}

pub async fn a_manifest_needs_its_blobs_and_keeps_them(town: &Town) {
    let tool = town.tool("shop").await;
    let (here, there) = (town.repository(&tool, "import/a").await, town.repository(&tool, "import/b").await);
    town.blob(there, 1, 10).await.unwrap();
    let put = |new: NewManifest| async move { town.store.put_manifest(here, &new, Timestamp::now()).await };
    let lacking = put(manifest(9, &[(1, 10)], &["one"])).await;
    let is_lacking = |result, byte| matches!(result, Err(StoreError::Conflict(Conflict::BlobUnknown(found))) if found == digest(byte));
    assert!(is_lacking(lacking, 1), "a blob of another repository is none of this one");
    town.blob(here, 1, 10).await.unwrap();
    assert!(is_lacking(put(manifest(9, &[(1, 11)], &["one"])).await, 1), "nor is one of another length");
    assert!(town.store.tagged(here, "one").await.unwrap().is_none(), "all or nothing");
    put(manifest(9, &[(1, 10)], &["one", "two"])).await.unwrap();
    assert_eq!(town.store.tagged(here, "two").await.unwrap(), Some(digest(9)));
    assert_eq!(town.store.tags(here, "one", 10).await.unwrap(), ["two"]);

    // Its lease is over, and a manifest needs it.
    let later = Timestamp::now().plus(HOUR * 3);
    town.store.expire_uploads(later).await.unwrap();
    assert_eq!(town.store.blob(here, &digest(1)).await.unwrap(), Some(10));
    assert_eq!(town.store.blob(there, &digest(1)).await.unwrap(), None, "nothing needed it here");
    let refused = town.store.remove_blob(here, &digest(1)).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::BlobInUse(_)))));

    let index = NewManifest { children: vec![digest(9)], subject: Some(digest(7)), ..manifest(8, &[], &[]) };
    put(index).await.unwrap();
    let listed = town.store.delete_manifest(here, &digest(9), &PLATFORM).await;
    assert!(matches!(listed, Err(StoreError::Conflict(Conflict::ManifestInUse(_)))));
    assert_eq!(town.store.referrers(here, &digest(7), "", 10).await.unwrap()[0].digest, digest(8));
    town.store.delete_manifest(here, &digest(8), &PLATFORM).await.unwrap();
    town.store.delete_tag(here, "two", &PLATFORM).await.unwrap();
    town.store.delete_manifest(here, &digest(9), &PLATFORM).await.unwrap();
    assert!(town.store.tagged(here, "one").await.unwrap().is_none());
    assert_eq!(town.usage(&tool).await.used_bytes(), 0, "deletion falls in the ledger at once");
}

pub async fn a_file_goes_only_when_nothing_names_its_blob(town: &Town) {
    let tool = town.tool("shop").await;
    let repository = town.repository(&tool, "import/a").await;
    town.blob(repository, 1, 10).await.unwrap();
    town.blob(repository, 2, 10).await.unwrap();
    town.blob(repository, 3, 10).await.unwrap();
    for byte in [1, 2, 3] {
        town.store.remove_blob(repository, &digest(byte)).await.unwrap();
    }
    town.blob(repository, 2, 10).await.unwrap();
    let removed = Mutex::new(Vec::new());
    let later = Timestamp::now().plus(HOUR);
    let sweep = async |too_new: Option<Digest>| {
        let remove = |digest: &Digest| {
            if Some(*digest) == too_new {
                return Ok(false);
            }
            removed.lock().unwrap().push(*digest);
            Ok(true)
        };
        town.store.remove_loose_blobs(later, 10, &remove).await.unwrap()
    };
    assert_eq!(sweep(Some(digest(3))).await, 3);
    assert_eq!(*removed.lock().unwrap(), [digest(1)], "one is named again, one is too new");
    assert_eq!(sweep(None).await, 1, "and is asked about again");
    assert_eq!(*removed.lock().unwrap(), [digest(1), digest(3)]);
    assert_eq!(sweep(None).await, 0);
}

pub async fn what_releases_name_can_be_pulled_and_nothing_else(town: &Town) {
    let (tool, other) = (town.tool("shop").await, town.tool("other").await);
    let release = town.release(&tool, 5).await;
    let run = town.push(&tool, "other", 6).await.run;
    town.image(tool.id, run, 6).await;
    assert_eq!(town.store.released_images(tool.id).await.unwrap(), [(release.number, digest(5))]);
    assert!(town.store.is_released(tool.id, &digest(5)).await.unwrap());
    assert!(!town.store.is_released(tool.id, &digest(6)).await.unwrap(), "built, and never released");
    assert!(!town.store.is_released(other.id, &digest(5)).await.unwrap());
    assert_eq!(town.store.released_blob(tool.id, &digest(5)).await.unwrap(), Some(Some(10)));
    assert_eq!(town.store.released_blob(tool.id, &digest(5 ^ 0xff)).await.unwrap(), Some(None));
    assert_eq!(town.store.released_blob(tool.id, &digest(6)).await.unwrap(), None);
    assert_eq!(town.store.released_blob(other.id, &digest(5)).await.unwrap(), None);
}

pub async fn an_upload_ends_once(town: &Town) {
    let tool = town.tool("shop").await;
    let repository = town.repository(&tool, "import/a").await;
    let user = town.store.members(tool.id).await.unwrap()[0].user.id;
    let now = Timestamp::now();
    let upload = |id: &str| Upload {
        id: id.to_owned(),
        repository,
        user,
        received_bytes: 0,
        expires_at: now.plus(HOUR),
    };
    town.store.open_upload(&upload("a"), 2).await.unwrap();
    town.store.open_upload(&upload("b"), 2).await.unwrap();
    let third = town.store.open_upload(&upload("c"), 2).await;
    assert!(matches!(third, Err(StoreError::Conflict(Conflict::TooManyUploads(2)))));
    town.store.upload_received("a", 70, now.plus(HOUR)).await.unwrap();
    assert_eq!(town.usage(&tool).await.uploads_bytes, 70);
    let until = now.plus(HOUR);
    town.store.add_blob(repository, &digest(1), 70, until, Some("a")).await.unwrap();
    assert_eq!((town.usage(&tool).await.uploads_bytes, town.usage(&tool).await.pushed_bytes), (0, 70));
    let again = town.store.add_blob(repository, &digest(1), 70, until, Some("a")).await;
    assert!(matches!(again, Err(StoreError::NotFound("upload"))));
    // A process whose clock is a day ahead finds what this one left; nothing is lost, and nothing stays a day longer.
    let tomorrow = now.plus(HOUR * 24);
    town.store.renew_leases(tomorrow.plus(HOUR)).await.unwrap();
    town.store.upload_received("b", 1, now.plus(HOUR)).await.unwrap();
    assert_eq!(town.store.expire_uploads(tomorrow).await.unwrap(), [""; 0]);
    assert_eq!(town.store.blob(repository, &digest(1)).await.unwrap(), Some(70));
    town.store.renew_leases(now.plus(HOUR)).await.unwrap();
    assert_eq!(town.store.expire_uploads(now.plus(HOUR)).await.unwrap(), ["b"]);
    assert_eq!(town.store.blob(repository, &digest(1)).await.unwrap(), None, "no manifest came for it");
    assert!(matches!(town.store.end_upload("b").await, Err(StoreError::NotFound("upload"))));
}

pub async fn storage_counts_each_thing_once_and_what_does_not_fit_is_not_kept(town: &Town) {
    let tool = town.tool("shop").await;
    let run = town.push(&tool, "main", 1).await.run;
    let base = town.layer(100).await;
    town.store.hold_layers("base:run", &[base.diff_id]).await.unwrap();
    town.image(tool.id, run, 100).await;
    assert_eq!(town.usage(&tool).await.used_bytes(), 0, "base layers cost nobody anything");
    // A layer is 10 bytes of blob and 100 of directory.
    let image = town.image(tool.id, run, 1).await.digest;
    assert_eq!(town.usage(&tool).await.images_bytes, 110);
    let cache = [town.layer(1).await.diff_id, town.layer(2).await.diff_id];
    let build = BuildMemory { image, metadata: json!({}) };
    town.store.remember_build(tool.id, "refs/heads/main", &build, &cache).await.unwrap();
    let usage = town.usage(&tool).await;
    assert_eq!((usage.images_bytes, usage.caches_bytes), (110, 110), "what an image has anyway costs once");
    let repository = town.repository(&tool, "import/a").await;
    town.blob(repository, 1, 10).await.unwrap();
    assert_eq!(town.usage(&tool).await.used_bytes(), 220);

    town.store.set_quota(tool.id, Some(250), &PLATFORM).await.unwrap();
    assert!(over(town.blob(repository, 9, 31).await));
    assert_eq!(town.store.blob(repository, &digest(9)).await.unwrap(), None);
    assert!(!over(town.blob(repository, 9, 30).await));
    let more = [cache[0], cache[1], town.layer(3).await.diff_id];
    assert!(over(town.store.remember_build(tool.id, "refs/heads/main", &build, &more).await));
    town.store.set_quota(tool.id, Some(1), &PLATFORM).await.unwrap();
    town.store.remember_build(tool.id, "refs/heads/main", &build, &cache).await.unwrap();
    town.store.remember_build(tool.id, "refs/heads/main", &build, &[]).await.unwrap();
    assert_eq!(town.usage(&tool).await.used_bytes(), 140, "less always fits");
    town.store.set_default_quota(7).await.unwrap();
    town.store.set_quota(tool.id, None, &PLATFORM).await.unwrap();
    assert_eq!(town.usage(&tool).await.limit_bytes, 7);
}

/// A small generator (Knuth's MMIX constants), so that every database walks the same histories.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn byte(&mut self, sides: u64) -> u8 {
        u8::try_from(self.roll(sides)).unwrap()
    }
}

pub async fn the_ledger_adds_up_after_any_history(town: &Town) {
    let tool = town.tool("shop").await;
    let run = town.push(&tool, "main", 1).await.run;
    let repositories = [town.repository(&tool, "import/a").await, town.repository(&tool, "import/b").await];
    let image = town.image(tool.id, run, 50).await.digest;
    town.store.set_quota(tool.id, Some(900), &PLATFORM).await.unwrap();
    let mut dice = Dice(4);
    let (mut refused, mut kept) = (0, 0);
    for _ in 0..400 {
        let repository = repositories[usize::from(dice.byte(2))];
        let (byte, other) = (dice.byte(12), dice.byte(12));
        let size = |byte: u8| u64::from(byte) * 9 + 1;
        let now = Timestamp::now();
        let done = match dice.roll(7) {
            0 | 1 => town.blob(repository, byte, size(byte)).await,
            2 => {
                let blobs = [(byte, size(byte)), (other, size(other))];
                town.store.put_manifest(repository, &manifest(byte + 100, &blobs, &["t"]), now).await
            }
            3 => town.store.delete_manifest(repository, &digest(byte + 100), &PLATFORM).await,
            4 => town.store.remove_blob(repository, &digest(byte)).await,
            5 => {
                let layers = [town.layer(byte + 60).await.diff_id, town.layer(other + 60).await.diff_id];
                let memory = BuildMemory { image, metadata: json!({}) };
                let branch = format!("refs/heads/{}", dice.roll(3));
                town.store.remember_build(tool.id, &branch, &memory, &layers).await
            }
            _ => town.store.expire_uploads(now.plus(HOUR * 2)).await.map(drop),
        };
        match done {
            Ok(()) => kept += 1,
            Err(StoreError::Conflict(Conflict::QuotaExceeded { .. })) => refused += 1,
            Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
        let usage = town.usage(&tool).await;
        assert!(usage.used_bytes() <= usage.limit_bytes, "{usage}");
    }
    assert!(kept > 100 && refused > 10, "the history met its limit: kept {kept}, refused {refused}");
}

pub async fn sixty_four_at_once_never_exceed_the_quota(town: &Town) {
    let tool = town.tool("shop").await;
    let repository = town.repository(&tool, "import/a").await;
    town.store.set_quota(tool.id, Some(1000), &PLATFORM).await.unwrap();
    let pushes = join_all((0..64).map(|byte| town.blob(repository, byte, 99))).await;
    let kept = pushes.into_iter().map(over).filter(|over| !over).count();
    assert_eq!(kept, 10, "ten of 99 bytes fit into 1000");
    assert_eq!(town.usage(&tool).await.used_bytes(), 990);
}
