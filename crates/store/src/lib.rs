//! What must survive: business verbs, one transaction each, and the contract every database must keep.
//!
//! One trait per noun, all under [`Store`], so that others hold an `Arc<dyn Store>`. An `Ok` is on disk. Verbs that
//! a person sets off take the [`model::Actor`] and write their audit row in the same transaction. The run and step
//! rows are the queue ([`Queue`]); which state may follow which is [`model::run`]'s alone. [`contract`] is the suite
//! that every database's tests run.

pub mod audit;
pub mod blobs;
pub mod contract;
pub mod environments;
pub mod error;
pub mod images;
pub mod layers;
pub mod manifests;
pub mod members;
pub mod queue;
pub mod quotas;
pub mod releases;
pub mod replicas;
pub mod repositories;
pub mod runs;
pub mod scrubs;
pub mod test_builds;
pub mod tokens;
pub mod tools;
pub mod uploads;
pub mod users;

pub use audit::{Audit, AuditEntry, AuditOutcome};
pub use blobs::{Blobs, RemoveBlob};
pub use environments::{Deployment, Environment, Environments};
pub use error::{Conflict, StoreError};
pub use images::{BuildMemory, IdleBuild, Image, ImageLayer, Images};
pub use layers::{Layer, LayerTotals, Layers};
pub use manifests::{Manifest, Manifests, NewManifest};
pub use members::{Member, Members};
pub use queue::{Beat, Claim, ClaimedStep, Claiming, NewPush, Queue, Recorded};
pub use quotas::{Quotas, Usage};
pub use releases::{NewRelease, Release, ReleaseProcess, ReleaseState, Releases};
pub use replicas::{Replica, ReplicaState, Replicas};
pub use repositories::{Repositories, RepositoryId};
pub use runs::{Run, Runs, Step};
pub use scrubs::{Damage, DamageOutcome, Scrub, Scrubs};
pub use test_builds::{KEPT_PASSES, TestBuilds};
pub use tokens::{Identity, NewToken, Token, TokenHash, TokenKind, Tokens};
pub use tools::{NewTool, Tool, Tools, Wanted};
pub use uploads::{RegistryGrant, RegistryTokens, Upload, Uploads};
pub use users::{User, Users};

/// All that the platform remembers.
pub trait Store:
    Users
    + Tokens
    + Tools
    + Members
    + Queue
    + Runs
    + Images
    + TestBuilds
    + Releases
    + Environments
    + Replicas
    + Layers
    + Repositories
    + Blobs
    + Manifests
    + Uploads
    + RegistryTokens
    + Scrubs
    + Quotas
    + Audit
{
}

impl<T> Store for T where
    T: Users
        + Tokens
        + Tools
        + Members
        + Queue
        + Runs
        + Images
        + TestBuilds
        + Releases
        + Environments
        + Replicas
        + Layers
        + Repositories
        + Blobs
        + Manifests
        + Uploads
        + RegistryTokens
        + Scrubs
        + Quotas
        + Audit
{
}
