//! Who asks: tokens and whom they stand for.
//!
//! A token is `wl_<kind>_<64 hex digits>`: 256 random bits, so its SHA-256 is all that is kept. It is found by that
//! hash in one indexed look-up; comparing hashes in whatever time tells nothing of the token.

use crate::{App, problems};
use model::{Action, Actor, Problem, Timestamp, TokenId, TokenScope, ToolName};
use sha2::{Digest, Sha256};
use store::{NewToken, Token, TokenHash, TokenKind, User};

/// Longest text that is looked up at all.
const MAX_TOKEN_BYTES: usize = 128;
/// Tokens that one user may have at a time.
const MAX_TOKENS: usize = 50;

/// A token's text: the only time it is seen. No Debug, so that it gets into no log.
pub struct IssuedToken {
    pub id: TokenId,
    pub text: String,
}

/// The asker, as they see themselves.
#[derive(Clone, Debug)]
pub struct WhoAmI {
    pub user: User,
    pub token: Token,
    /// Set when the token reaches this one tool only.
    pub only_tool: Option<ToolName>,
}

/// The hash under which a token is kept.
pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(Sha256::digest(text.as_bytes()).into())
}

/// A fresh token's text.
pub(crate) fn fresh(kind: TokenKind) -> Result<String, Problem> {
    random(match kind {
        TokenKind::Operator => "wl_operator_",
        TokenKind::Personal => "wl_personal_",
    })
}

/// The prefix and 256 random bits.
pub(crate) fn random(prefix: &str) -> Result<String, Problem> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| problems::internal("making a token", &error))?;
    Ok(format!("{prefix}{}", hex::encode(bytes)))
}

impl App {
    /// Whom this token stands for; without one, nobody.
    pub async fn identify(&self, token: Option<&str>) -> Result<Actor, Problem> {
        let Some(text) = token.filter(|text| !text.is_empty()) else { return Ok(Actor::Anonymous) };
        if !text.starts_with("wl_") || text.len() > MAX_TOKEN_BYTES {
            return Err(problems::bad_token());
        }
        let identity = self.store.identify(&hash(text), Timestamp::now()).await;
        let identity = identity.map_err(|error| problems::store("checking your token", &error))?;
        Ok(identity.ok_or_else(problems::bad_token)?.actor())
    }

    pub async fn whoami(&self, actor: &Actor) -> Result<WhoAmI, Problem> {
        self.allow(actor, Action::WhoAmI).await?;
        let failed = |error| problems::store("looking up who you are", &error);
        let Actor::User { id, token, scope, .. } = actor else { return Err(problems::not_signed_in()) };
        let user = self.store.user(*id).await.map_err(failed)?;
        let tokens = self.store.tokens_of(*id).await.map_err(failed)?;
        let token = tokens.into_iter().find(|known| known.id == *token).ok_or_else(problems::bad_token)?;
        let only_tool = match scope {
            TokenScope::All => None,
            TokenScope::Tool(tool) => Some(self.store.tool(*tool).await.map_err(failed)?.name),
        };
        Ok(WhoAmI { user, token, only_tool })
    }

    /// A further token of the same user, with all their rights, until revoked.
    pub async fn issue_token(&self, actor: &Actor, label: &str) -> Result<IssuedToken, Problem> {
        self.allow(actor, Action::ManageTokens).await?;
        let user = actor.user().ok_or_else(problems::not_signed_in)?;
        let label = label.trim();
        if label.is_empty() || label.chars().count() > 80 || label.chars().any(char::is_control) {
            return Err(problems::bad_request(
                "this cannot be a token's label",
                "a label is 1 to 80 characters in one line, such as `git on my laptop`",
            ));
        }
        let failed = |error| problems::store("making a token", &error);
        if self.store.tokens_of(user).await.map_err(failed)?.len() >= MAX_TOKENS {
            return Err(Problem::new(
                "token-quota",
                429,
                "you have too many tokens",
                format!("a user may have {MAX_TOKENS} of them"),
            )
            .hint("`windlass tokens list` shows them, `windlass tokens revoke ID` removes one"));
        }
        self.issue(user, TokenKind::Personal, label, actor).await
    }

    pub(crate) async fn issue(
        &self,
        user: model::UserId,
        kind: TokenKind,
        label: &str,
        by: &Actor,
    ) -> Result<IssuedToken, Problem> {
        let text = fresh(kind)?;
        let new = NewToken {
            hash: hash(&text),
            user,
            kind,
            scope: TokenScope::All,
            label: label.to_owned(),
            expires_at: None,
        };
        let token = self.store.add_token(&new, by).await;
        Ok(IssuedToken { id: token.map_err(|error| problems::store("making a token", &error))?.id, text })
    }

    /// The asker's own tokens, newest first.
    pub async fn tokens(&self, actor: &Actor) -> Result<Vec<Token>, Problem> {
        self.allow(actor, Action::ManageTokens).await?;
        let user = actor.user().ok_or_else(problems::not_signed_in)?;
        self.store.tokens_of(user).await.map_err(|error| problems::store("listing your tokens", &error))
    }

    /// Revokes one of the asker's own tokens: `current` is the one that was shown.
    pub async fn revoke_token(&self, actor: &Actor, which: &str) -> Result<(), Problem> {
        let Actor::User { token: shown, .. } = actor else { return Err(problems::not_signed_in()) };
        let token = if which == "current" {
            // Whoever holds a token may give it up, whatever else it lets them do.
            self.allow(actor, Action::WhoAmI).await?;
            *shown
        } else {
            let own = self.tokens(actor).await?;
            let found = own.into_iter().find(|token| token.id.to_string() == which);
            found.ok_or_else(unknown_token)?.id
        };
        self.store.revoke_token(token, actor).await.map_err(|error| match error {
            store::StoreError::NotFound(_) => unknown_token(),
            error => problems::store("revoking the token", &error),
        })
    }
}

fn unknown_token() -> Problem {
    Problem::new("token-unknown", 404, "there is no such token", "none of your tokens has this id")
        .hint("`windlass tokens list` shows the ids")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_kind_and_no_two_are_alike() {
        let (one, two) = (fresh(TokenKind::Personal).ok().unwrap(), fresh(TokenKind::Personal).ok().unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("wl_personal_") && one.len() == 12 + 64 && one.len() <= MAX_TOKEN_BYTES);
        assert_ne!(hash(&one), hash(&two));
    }
}
