//! The registry's requests: whose repository it is, who may do what to it, and the rows behind it.
//!
//! A door first gets an [`ImageRepository`] from [`App::open_repository`]: it can be had in no other way, so whoever
//! holds one was judged. `<tool>/release` holds the images of releases and is written by builds alone;
//! `<tool>/import/…` is for people's own pushes.

mod images;
mod tokens;
mod uploads;

pub use images::{FoundManifest, Reference};
pub use tokens::{AskedScope, RegistryAsker, RegistryToken};
pub use uploads::MAX_BLOB_BYTES;

use crate::{App, problems};
use model::{Action, Actor, Problem, ToolId, ToolName, UserId};
use store::RepositoryId;

/// Longest name of a repository; clients allow 255 together with the host.
pub const MAX_NAME_BYTES: usize = 200;
/// Repositories of one tool.
const MAX_REPOSITORIES: u32 = 100;

/// What a request does to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Pull,
    Push,
    Delete,
}

impl Want {
    /// As scopes say it (distribution's token specification, "Requesting a Token").
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }

    fn action(self) -> Action {
        match self {
            Self::Pull => Action::PullImages,
            Self::Push => Action::PushImages,
            Self::Delete => Action::DeleteImages,
        }
    }
}

/// A repository that the asker may do something with.
#[derive(Clone, Debug)]
pub struct ImageRepository {
    tool: ToolId,
    tool_name: ToolName,
    /// Without the tool's name.
    rest: String,
    actor: Actor,
    user: UserId,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Made of images and releases.
    Release,
    /// `None`: nobody pushed to it yet.
    Import(Option<RepositoryId>),
}

impl ImageRepository {
    /// `wordcount/import/redis`, as it stands in addresses.
    pub fn name(&self) -> String {
        format!("{}/{}", self.tool_name, self.rest)
    }

    /// Whose quota it counts towards.
    pub fn tool(&self) -> ToolId {
        self.tool
    }
}

/// Whether every part of a repository's name follows the grammar of distribution-spec, "Pulling manifests".
pub fn is_repository_name(name: &str) -> bool {
    let part = |part: &str| {
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = part.as_bytes();
        let ends = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
        // Separators: one dot, one or two underscores, any number of dashes.
        let mut between = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends && between.all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
    };
    name.len() <= MAX_NAME_BYTES && name.split('/').all(part)
}

impl App {
    /// The repository of that name, for whoever may do this with it. A name of somebody else's tool reads as absent.
    pub async fn open_repository(
        &self,
        asker: &RegistryAsker,
        name: &str,
        want: Want,
    ) -> Result<ImageRepository, Problem> {
        let (tool, rest) = name.split_once('/').unwrap_or((name, ""));
        let (tool, _) = self.allow_on(&asker.actor, want.action(), tool).await?;
        let user = asker.actor.user().ok_or_else(problems::not_signed_in)?;
        if !asker.grants(tool.id, rest, want) {
            return Err(Problem::new(
                "registry-scope",
                401,
                "the token is not for this",
                format!("it was not given for `{}` on {name}", want.as_str()),
            ));
        }
        let place = match rest {
            "release" if want == Want::Pull => Place::Release,
            "release" => return Err(release_is_written_by_builds(&tool.name)),
            _ if rest.strip_prefix("import/").is_some_and(|rest| !rest.is_empty()) => {
                let found = self.store.repository(tool.id, rest).await;
                Place::Import(found.map_err(|error| problems::store("looking up the repository", &error))?)
            }
            _ => return Err(no_such_repository(&tool.name, rest)),
        };
        let (tool, tool_name) = (tool.id, tool.name);
        Ok(ImageRepository { tool, tool_name, rest: rest.to_owned(), actor: asker.actor, user, place })
    }

    /// The repository's row; made for the first push.
    async fn repository_row(&self, repository: &ImageRepository) -> Result<RepositoryId, Problem> {
        match repository.place {
            Place::Import(Some(id)) => Ok(id),
            Place::Import(None) => {
                let made =
                    self.store.ensure_repository(repository.tool, &repository.rest, MAX_REPOSITORIES).await;
                made.map_err(|error| problems::store("making the repository", &error))
            }
            Place::Release => Err(release_is_written_by_builds(&repository.tool_name)),
        }
    }
}

fn release_is_written_by_builds(tool: &ToolName) -> Problem {
    Problem::new(
        "registry-release",
        403,
        "this repository is written by builds alone",
        format!("{tool}/release holds the images of releases, which are kept while a release names them"),
    )
    .hint(format!("push an image of your own to {tool}/import/NAME; `git push` makes the next release"))
}

fn no_such_repository(tool: &ToolName, rest: &str) -> Problem {
    let shown: String = rest.chars().take(60).collect();
    Problem::new(
        "registry-name",
        404,
        format!("there is no repository {tool}/{shown}"),
        format!("a tool has {tool}/release, and {tool}/import/NAME for images of your own"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_a_name_of_the_specification_or_none() {
        for good in ["a", "a/b", "wordcount/import/redis", "a.b_c__d--e/0", "a---b"] {
            assert!(is_repository_name(good), "{good}");
        }
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a.-b", "-a", "a_", "a___b", "a b", "ä", "a\0", ".",
            "..", &long,
        ] {
            assert!(!is_repository_name(bad), "{bad}");
        }
    }
}
