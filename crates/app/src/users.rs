//! Users: people and robots that may sign in. Made by operators until there is a way to register.

use crate::{App, identity::IssuedToken, problems};
use model::{Action, Actor, Problem};
use store::{TokenKind, User};

impl App {
    /// All, by name.
    pub async fn users(&self, actor: &Actor) -> Result<Vec<User>, Problem> {
        self.allow(actor, Action::ManageUsers).await?;
        self.store.users().await.map_err(|error| problems::store("listing users", &error))
    }

    /// A user and their first token, which is to be handed to them.
    pub async fn create_user(&self, actor: &Actor, name: &str) -> Result<(User, IssuedToken), Problem> {
        self.allow(actor, Action::ManageUsers).await?;
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || !(2..=40).contains(&name.len()) || !name.chars().all(letters) {
            return Err(problems::bad_request(
                "this cannot be a user's name",
                "use 2 to 40 lower-case letters, digits, dots, dashes and underscores, starting with a letter",
            ));
        }
        let user = self.store.create_user(name, actor).await;
        let user = user.map_err(|error| problems::store("making a user", &error))?;
        let token =
            self.issue(user.id, TokenKind::Personal, "first sign-in, made by an operator", actor).await?;
        Ok((user, token))
    }
}
