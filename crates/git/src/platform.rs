//! What the git door asks of the platform behind it.

use async_trait::async_trait;
use model::{Actor, ToolId, ToolName};
use serde::{Deserialize, Serialize};
use std::io;
use tokio::sync::mpsc;

/// What a client wants of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Clone and fetch.
    Read,
    /// Push.
    Write,
}

/// A client that may do what it asked for.
#[derive(Clone, Debug)]
pub struct Grant {
    pub tool: ToolId,
    pub name: ToolName,
    /// Who pushes: judged again when the push is recorded.
    pub actor: Actor,
    pub user_name: String,
    /// Bytes that one push may still upload under the tool's quota; 0 lets only deletions and known commits through.
    pub max_input_bytes: u64,
    /// Told to whoever uploads more than that: which limit it is, and what to do.
    pub too_large: String,
}

/// Why a request stops before git is started. On `GET info/refs` the client prints `text` as `remote:` lines.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// 401, 403, 404 or 429: the statuses whose body git shows.
    pub status: u16,
    pub text: String,
}

/// One line of a push: this ref from this object to that one. Ids are 40 zeros for "none".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub old: String,
    pub new: String,
    pub name: String,
}

impl Command {
    /// Reads `<old> <new> <ref>`, as it stands on the wire and in what git gives its hooks.
    ///
    /// # Errors
    /// `InvalidData` when it is no UTF-8 or has fewer words.
    pub fn parse(line: &[u8]) -> io::Result<Self> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let text = std::str::from_utf8(line).map_err(|_| bad("a ref name is not UTF-8"))?;
        let mut words = text.trim_end_matches('\n').splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(old), Some(new), Some(name)) => {
                Ok(Self { old: old.to_owned(), new: new.to_owned(), name: name.to_owned() })
            }
            _ => Err(bad("a command of a push is none")),
        }
    }

    /// True when the ref is to be deleted.
    pub fn deletes(&self) -> bool {
        self.new.bytes().all(|b| b == b'0')
    }
}

/// A push that git has received and checked; its objects are in the repository, its refs not yet moved.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub grant: Grant,
    pub commands: Vec<Command>,
    /// `git push -o …`
    pub options: Vec<String>,
}

/// The answer for one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub name: String,
    /// `None`: the ref has been moved. `Some`: why not, one line of at most 120 characters.
    pub refused: Option<String>,
    /// The ref that was moved in place of the named one, and from where to where.
    pub instead: Option<Command>,
}

/// Where the lines for the pusher go. Sending fails when the client has gone; the run goes on all the same.
pub type Lines = mpsc::Sender<String>;

/// Serve's side of the door.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// Who is it, and may they? `token` is what the client sent as its password or bearer token.
    async fn open(&self, token: Option<&str>, tool: &str, access: Access) -> Result<Grant, Refusal>;

    /// The cheap refusals of `pre-receive`: one sentence for the pusher, and git throws the objects away.
    async fn refuse(&self, grant: &Grant, commands: &[Command]) -> Option<String>;

    /// Records the push and follows its run to the end; one verdict for each command, in their order.
    async fn receive(&self, arrival: Arrival, lines: Lines) -> Vec<Verdict>;
}
