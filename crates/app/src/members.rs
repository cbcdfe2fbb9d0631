//! Members: who belongs to a tool, and as what.

use crate::{App, problems};
use model::{Action, Actor, Problem, Role};
use store::{Member, StoreError};

impl App {
    /// By name.
    pub async fn members(&self, actor: &Actor, tool: &str) -> Result<Vec<Member>, Problem> {
        let (tool, _) = self.allow_on(actor, Action::ReadMembers, tool).await?;
        self.store.members(tool.id).await.map_err(|error| problems::store("listing members", &error))
    }

    pub async fn add_member(&self, actor: &Actor, tool: &str, user: &str, role: Role) -> Result<(), Problem> {
        let (tool, _) = self.allow_on(actor, Action::ManageMembers, tool).await?;
        let user = self.store.user_by_name(user).await.map_err(|error| no_user(user, &error))?;
        let added = self.store.add_member(tool.id, user.id, role, actor).await;
        added.map_err(|error| problems::store("adding a member", &error))
    }

    pub async fn remove_member(&self, actor: &Actor, tool: &str, user: &str) -> Result<(), Problem> {
        let (tool, _) = self.allow_on(actor, Action::ManageMembers, tool).await?;
        let known = self.store.user_by_name(user).await.map_err(|error| no_user(user, &error))?;
        self.store.remove_member(tool.id, known.id, actor).await.map_err(|error| match error {
            StoreError::NotFound(_) => Problem::new(
                "member-unknown",
                404,
                "this user is no member",
                format!("`{}` does not belong to the tool `{}`", known.name, tool.name),
            )
            .hint("`windlass members list` shows who does"),
            error => problems::store("removing a member", &error),
        })
    }
}

fn no_user(name: &str, error: &StoreError) -> Problem {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
    match error {
        StoreError::NotFound(_) => Problem::new(
            "user-unknown",
            404,
            "there is no such user",
            format!("nobody here is called `{shown}`"),
        )
        .hint("names are exact; an operator makes users with `windlass users create NAME`"),
        error => problems::store("looking up a user", error),
    }
}
