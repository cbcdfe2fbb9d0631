//! `members`, `tokens`, `users`: who may do what, and with which token.

use super::{
    arguments::{Common, Members, Tokens, Users},
    client,
    failure::{Failure, usage},
    output::{Tone, ago, printable},
    session::Session,
};
use jiff::Timestamp;
use model::{Problem, Role};
use reqwest::Method;
use web::wire;

/// The word for a role.
pub(super) fn word(role: Role) -> &'static str {
    match role {
        Role::Reader => "reader",
        Role::Maintainer => "maintainer",
        Role::Owner => "owner",
    }
}

fn role(text: &str) -> Result<Role, Problem> {
    let roles = [Role::Reader, Role::Maintainer, Role::Owner];
    let found = roles.into_iter().find(|role| word(*role) == text);
    found.ok_or_else(|| usage("this is no role", "roles are reader, maintainer and owner"))
}

pub(super) async fn members(common: &Common, verb: &Members) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let tool = session.tool()?;
    let printer = &session.printer;
    match verb {
        Members::List => {
            let answer = session.client.get(&["tools", tool, "members"], &[]).await?;
            if printer.json {
                return Ok(printer.document(&answer)?);
            }
            let now = Timestamp::now();
            let members = client::read::<wire::Members>(&answer)?.members;
            let row = |member: &wire::Member| {
                vec![printable(&member.user), word(member.role).to_owned(), ago(&member.since, now)]
            };
            printer.table(&["USER", "ROLE", "SINCE"], &members.iter().map(row).collect::<Vec<_>>())?;
        }
        Members::Add { user, role: text } => {
            let role = role(text)?;
            let path = ["tools", tool, "members", user];
            session.client.send(Method::PUT, &path, &wire::NewMember { role }).await?;
            printer.line(format!("{} is {} of {tool} now", printable(user), word(role)))?;
        }
        Members::Remove { user } => {
            session.client.ask(Method::DELETE, &["tools", tool, "members", user]).await?;
            printer.line(format!("{} is no member of {tool} any more", printable(user)))?;
        }
    }
    Ok(())
}

pub(super) async fn tokens(common: &Common, verb: &Tokens) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let printer = &session.printer;
    match verb {
        Tokens::List => {
            let answer = session.client.get(&["tokens"], &[]).await?;
            if printer.json {
                return Ok(printer.document(&answer)?);
            }
            let now = Timestamp::now();
            let tokens = client::read::<wire::Tokens>(&answer)?.tokens;
            let row = |token: &wire::Token| {
                let used = token.used.as_ref().map_or_else(|| "never".to_owned(), |used| ago(used, now));
                vec![printable(&token.id), printable(&token.label), ago(&token.created, now), used]
            };
            printer.table(&["ID", "LABEL", "MADE", "USED"], &tokens.iter().map(row).collect::<Vec<_>>())?;
        }
        Tokens::Revoke { id } => {
            session.client.ask(Method::DELETE, &["tokens", id]).await?;
            printer.line("revoked: nobody can sign in with it any more")?;
        }
    }
    Ok(())
}

pub(super) async fn users(common: &Common, verb: &Users) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let printer = &session.printer;
    match verb {
        Users::List => {
            let answer = session.client.get(&["users"], &[]).await?;
            if printer.json {
                return Ok(printer.document(&answer)?);
            }
            let now = Timestamp::now();
            let users = client::read::<wire::Users>(&answer)?.users;
            let row = |user: &wire::User| {
                let rank = if user.operator { "operator" } else { "" };
                vec![printable(&user.name), rank.to_owned(), ago(&user.created, now)]
            };
            printer.table(&["NAME", "", "MADE"], &users.iter().map(row).collect::<Vec<_>>())?;
        }
        Users::Create { name } => {
            let answer =
                session.client.send(Method::POST, &["users"], &wire::NewUser { name: name.clone() }).await?;
            if printer.json {
                return Ok(printer.document(&answer)?);
            }
            let created: wire::CreatedUser = client::read(&answer)?;
            printer
                .line(format!("created {}", printer.paint(Tone::Strong, &printable(&created.user.name))))?;
            printer.field("token", &printable(&created.token))?;
            printer.field(
                "next",
                "hand it to them over a channel that nobody else reads; it is not shown again.",
            )?;
            let server = session.client.server();
            printer.field("", &format!("They run `windlass login {server}` and type it when asked."))?;
        }
    }
    Ok(())
}
