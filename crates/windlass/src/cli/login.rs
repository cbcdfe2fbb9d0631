//! `login`, `logout`, `whoami`.
//!
//! A token comes from a file, from `WINDLASS_TOKEN`, from the platform's own keys (as root on its machine) or from the
//! terminal, never from the command line, where others could read it. It is exchanged for a token of this machine's
//! own, which `logout` revokes.

mod git_settings;
mod token;

use super::{
    arguments::{Common, Login},
    client::{self, Client},
    credentials::{self, Credential, Credentials},
    failure::{Failure, usage},
    output::{Printer, Tone},
    server::Server,
    session::Session,
};
use model::Problem;
use reqwest::Method;
use serde_json::json;
use web::wire;

pub(super) async fn login(common: &Common, login: &Login) -> Result<(), Failure> {
    let printer = Printer::new(common.json);
    let file = credentials::file()?;
    let mut credentials = Credentials::load(&file)?;
    let server = address(common, login, &credentials)?;
    let shown = token::find(&server, login)?;
    let client = Client::new(server.clone(), Some(shown.clone()))?;
    let who: wire::Identity = client::read(&client.get(&["whoami"], &[]).await?)?;

    // A token for one tool cannot make another: it is kept as it is.
    let token = if who.only_tool.is_some() { shown } else { own_token(&client).await? };
    let credential = Credential { user: who.user.clone(), token };
    let former = credentials.servers.insert(server.clone(), credential);
    credentials.default = Some(server.clone());
    credentials.save(&file)?;
    if let Some(former) = former {
        // The former token of this machine: nobody shows it any more. If it is invalid already, all is well.
        let _ = Client::new(server.clone(), Some(former.token))?
            .ask(Method::DELETE, &["tokens", "current"])
            .await;
    }
    if !login.no_git {
        git_settings::install(&server)?;
    }
    if printer.json {
        let document =
            json!({ "server": server, "user": who.user, "operator": who.operator, "git": !login.no_git });
        return Ok(printer.document(&document)?);
    }
    let name = printer.paint(Tone::Strong, &super::output::printable(&who.user));
    printer.line(format!("signed in to {server} as {name}"))?;
    if !login.no_git {
        printer.field("git", "will ask for no password at this address")?;
    }
    Ok(printer.field("next", "windlass tools create NAME")?)
}

fn address(common: &Common, login: &Login, credentials: &Credentials) -> Result<Server, Problem> {
    if let Some(url) = login.url.as_ref().or(common.server.as_ref()) {
        return url.parse();
    }
    credentials.default.clone().ok_or_else(|| {
        usage("where to sign in?", "no platform is known on this machine yet")
            .hint("say its address: `windlass login http://localhost:8080`")
    })
}

async fn own_token(client: &Client) -> Result<String, Problem> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let label: String =
        format!("windlass login on {host}").chars().filter(|c| !c.is_control()).take(80).collect();
    let issued = client.send(Method::POST, &["tokens"], &wire::NewToken { label }).await?;
    Ok(client::read::<wire::IssuedToken>(&issued)?.token)
}

pub(super) async fn logout(common: &Common) -> Result<(), Failure> {
    let printer = Printer::new(common.json);
    let file = credentials::file()?;
    let mut credentials = Credentials::load(&file)?;
    let server = match common.server.as_deref() {
        Some(url) => url.parse()?,
        None => credentials
            .default
            .clone()
            .ok_or_else(|| usage("not signed in", "there is nothing to sign out of"))?,
    };
    let Some(credential) = credentials.servers.remove(&server) else {
        return Err(super::session::not_signed_in(&server).into());
    };
    if credentials.default.as_ref() == Some(&server) {
        credentials.default = credentials.servers.keys().next().cloned();
    }
    let revoked = Client::new(server.clone(), Some(credential.token))?
        .ask(Method::DELETE, &["tokens", "current"])
        .await;
    // Forgotten here in any case; that the platform could not be told is said.
    credentials.save(&file)?;
    git_settings::remove(&server)?;
    match revoked {
        Ok(_) => {}
        Err(problem) if problem.status == 401 => {}
        Err(problem) => {
            return Err(problem
                .hint("the token is forgotten here but still valid there; revoke it with `windlass tokens revoke`")
                .into());
        }
    }
    if printer.json {
        return Ok(printer.document(&json!({ "server": server }))?);
    }
    Ok(printer.line(format!("signed out of {server}"))?)
}

pub(super) async fn whoami(common: &Common) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let answer = session.client.get(&["whoami"], &[]).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let who: wire::Identity = client::read(&answer)?;
    let user = printer.paint(Tone::Strong, &super::output::printable(&who.user));
    let rank = if who.operator { ", an operator" } else { "" };
    printer.line(format!("{user}{rank} on {}", session.client.server()))?;
    if let Some(tool) = &who.only_tool {
        printer.field("reaches", &format!("only the tool {tool}"))?;
    }
    if let Some(until) = &who.token_expires {
        printer.field("until", &super::output::printable(until))?;
    }
    Ok(printer.field("version", &super::output::printable(&who.version))?)
}
