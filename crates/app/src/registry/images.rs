//! What a repository holds: manifests, tags, blobs.

use super::{ImageRepository, Place};
use crate::{App, problems};
use model::{Digest, Problem, Timestamp};
use std::time::Duration;
use store::{Manifest, NewManifest, StoreError};

/// A blob that a client was told of stays for so long without a manifest.
pub(super) const LEASE: Duration = Duration::from_hours(1);

/// Which manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Tag(String),
    Digest(Digest),
}

/// Where a manifest's bytes are.
#[derive(Clone, Debug)]
pub enum FoundManifest {
    /// Pushed by a client.
    Pushed(Manifest),
    /// A release's: a blob of that digest.
    Released(Digest),
}

fn no_manifest(repository: &ImageRepository, reference: &Reference) -> Problem {
    let what = match reference {
        Reference::Tag(tag) => format!("tag {tag}"),
        Reference::Digest(digest) => format!("manifest {digest}"),
    };
    let name = repository.name();
    Problem::new("registry-manifest", 404, format!("there is no {what}"), format!("not in {name}"))
}

impl App {
    pub async fn manifest(
        &self,
        repository: &ImageRepository,
        reference: &Reference,
    ) -> Result<FoundManifest, Problem> {
        let failed = |error| problems::store("looking up the manifest", &error);
        let absent = || no_manifest(repository, reference);
        match (repository.place, reference) {
            (Place::Release, Reference::Tag(tag)) => {
                let images = self.store.released_images(repository.tool).await.map_err(failed)?;
                let found = images.into_iter().find(|(number, _)| *tag == format!("v{number}"));
                Ok(FoundManifest::Released(found.ok_or_else(absent)?.1))
            }
            (Place::Release, Reference::Digest(digest)) => {
                let released = self.store.is_released(repository.tool, digest).await.map_err(failed)?;
                released.then_some(FoundManifest::Released(*digest)).ok_or_else(absent)
            }
            (Place::Import(None), _) => Err(absent()),
            (Place::Import(Some(id)), _) => {
                let digest = match reference {
                    Reference::Tag(tag) => self.store.tagged(id, tag).await.map_err(failed)?,
                    Reference::Digest(digest) => Some(*digest),
                };
                let found = match digest {
                    Some(digest) => self.store.manifest(id, &digest).await.map_err(failed)?,
                    None => None,
                };
                found.map(FoundManifest::Pushed).ok_or_else(absent)
            }
        }
    }

    /// Tags after `after` in the order of their bytes; `None`: there is no such repository yet.
    pub async fn tags(
        &self,
        repository: &ImageRepository,
        after: &str,
        limit: u32,
    ) -> Result<Option<Vec<String>>, Problem> {
        let failed = |error| problems::store("listing tags", &error);
        match repository.place {
            Place::Release => {
                let images = self.store.released_images(repository.tool).await.map_err(failed)?;
                let mut tags: Vec<_> = images.iter().map(|(number, _)| format!("v{number}")).collect();
                tags.sort_unstable();
                tags.retain(|tag| tag.as_str() > after);
                tags.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
                Ok(Some(tags))
            }
            Place::Import(None) => Ok(None),
            Place::Import(Some(id)) => Ok(Some(self.store.tags(id, after, limit).await.map_err(failed)?)),
        }
    }

    /// Whether the repository has the blob, and its length where rows know it. Asking keeps it for a while, so that
    /// a manifest that names it can follow.
    pub async fn image_blob(
        &self,
        repository: &ImageRepository,
        digest: &Digest,
    ) -> Result<Option<Option<u64>>, Problem> {
        let failed = |error| problems::store("looking up the blob", &error);
        match repository.place {
            Place::Release => self.store.released_blob(repository.tool, digest).await.map_err(failed),
            Place::Import(None) => Ok(None),
            Place::Import(Some(id)) => {
                let found = self.store.blob(id, digest).await.map_err(failed)?;
                if found.is_some() {
                    self.store
                        .lease_blob(id, digest, Timestamp::steady().plus(LEASE))
                        .await
                        .map_err(failed)?;
                }
                Ok(found.map(Some))
            }
        }
    }

    /// Keeps a manifest and points its tags at it.
    pub async fn put_manifest(&self, repository: &ImageRepository, new: &NewManifest) -> Result<(), Problem> {
        let id = self.repository_row(repository).await?;
        let put = self.store.put_manifest(id, new, Timestamp::now()).await;
        put.map_err(|error| problems::store("keeping the manifest", &error))
    }

    /// Deletes a manifest with its tags, or a tag alone.
    pub async fn delete_manifest(
        &self,
        repository: &ImageRepository,
        reference: &Reference,
    ) -> Result<(), Problem> {
        let absent = || no_manifest(repository, reference);
        let Place::Import(Some(id)) = repository.place else { return Err(absent()) };
        let deleted = match reference {
            Reference::Tag(tag) => self.store.delete_tag(id, tag, &repository.actor).await,
            Reference::Digest(digest) => self.store.delete_manifest(id, digest, &repository.actor).await,
        };
        deleted.map_err(|error| match error {
            StoreError::NotFound(_) => absent(),
            error => problems::store("deleting it", &error),
        })
    }

    /// Takes a blob from the repository.
    pub async fn delete_blob(&self, repository: &ImageRepository, digest: &Digest) -> Result<(), Problem> {
        let Place::Import(Some(id)) = repository.place else { return Err(no_blob(digest)) };
        self.store.remove_blob(id, digest).await.map_err(|error| match error {
            StoreError::NotFound(_) => no_blob(digest),
            error => problems::store("deleting the blob", &error),
        })
    }

    /// Manifests of which this one is the subject, after `after`.
    pub async fn referrers(
        &self,
        repository: &ImageRepository,
        subject: &Digest,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Manifest>, Problem> {
        let Place::Import(Some(id)) = repository.place else { return Ok(Vec::new()) };
        let found = self.store.referrers(id, subject, after, limit).await;
        found.map_err(|error| problems::store("listing referrers", &error))
    }
}

fn no_blob(digest: &Digest) -> Problem {
    Problem::new("registry-blob", 404, "there is no such blob", digest.to_string())
}
