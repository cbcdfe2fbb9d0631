//! `tools create|list|set|delete`, `stop`, `start`, `restart`.

use super::{
    arguments::{Common, Mebibytes, Tools},
    client,
    failure::{Failure, local, usage},
    output::{Tone, printable},
    session::{Session, tool_name},
};
use model::{Problem, limits::MIB, run::OnNewPush};
use reqwest::Method;
use serde_json::json;
use std::io::{self, BufRead, IsTerminal};
use store::quotas::size;
use web::wire;

pub(super) async fn tools(common: &Common, verb: &Tools) -> Result<(), Failure> {
    let session = Session::open(common)?;
    match verb {
        Tools::Create { name } => create(&session, name).await,
        Tools::List => list(&session).await,
        Tools::Set { production_branch, on_new_push, quota_mebibytes } => {
            set(&session, production_branch.as_deref(), on_new_push.as_deref(), *quota_mebibytes).await
        }
        Tools::Delete { name, yes } => delete(&session, name, *yes).await,
    }
}

async fn create(session: &Session, name: &str) -> Result<(), Failure> {
    let answer =
        session.client.send(Method::POST, &["tools"], &wire::NewTool { name: name.to_owned() }).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let tool: wire::Tool = client::read(&answer)?;
    printer.line(format!("created {}", printer.paint(Tone::Strong, tool.name.as_str())))?;
    printer.field("will be", &printable(&tool.url))?;
    printer.field("now", &format!("git remote add windlass {}", printable(&tool.git_url)))?;
    Ok(printer.field("then", "git push windlass main")?)
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client.get(&["tools"], &[]).await?;
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&answer)?);
    }
    let tools = client::read::<wire::Tools>(&answer)?.tools;
    if tools.is_empty() {
        return Ok(printer.line("You are a member of no tool yet. `windlass tools create NAME` makes one.")?);
    }
    let row = |tool: &wire::Tool| {
        let role =
            tool.role.map_or_else(|| "operator".to_owned(), |role| super::people::word(role).to_owned());
        vec![
            printer.paint(Tone::Strong, tool.name.as_str()),
            role,
            wanted(tool).to_owned(),
            printable(&tool.url),
        ]
    };
    Ok(printer.table(&["NAME", "YOU", "WANTED", "URL"], &tools.iter().map(row).collect::<Vec<_>>())?)
}

fn wanted(tool: &wire::Tool) -> &str {
    if tool.wanted == "stopped" { "stopped" } else { "running" }
}

async fn set(
    session: &Session,
    production_branch: Option<&str>,
    on_new_push: Option<&str>,
    quota: Option<Mebibytes>,
) -> Result<(), Failure> {
    let (tool, printer) = (session.tool()?, &session.printer);
    let mut answer = json!(null);
    if let Some(branch) = production_branch {
        let new = wire::ProductionBranch { branch: branch.to_owned() };
        answer = session.client.send(Method::PUT, &["tools", tool, "production-branch"], &new).await?;
        if !printer.json {
            let branch = printer.paint(Tone::Strong, &printable(branch));
            printer.line(format!("the next push of {branch} to {tool} is deployed"))?;
        }
    }
    if let Some(rule) = on_new_push {
        // What clap let through and is no rule is `default`.
        let rule: Option<OnNewPush> = serde_json::from_value(json!(rule)).ok();
        let new = wire::NewPushRule { on_new_push: rule };
        answer = session.client.send(Method::PUT, &["tools", tool, "on-new-push"], &new).await?;
        if !printer.json {
            printer.line(match rule {
                Some(OnNewPush::Supersede) => format!("a new push to {tool} ends earlier runs of its branch"),
                Some(OnNewPush::Queue) => {
                    format!("a new push to {tool} waits for earlier runs of its branch")
                }
                None => format!("a new push to {tool} does what the platform is set to"),
            })?;
        }
    }
    if let Some(Mebibytes(mebibytes)) = quota {
        let new = wire::NewQuota { bytes: mebibytes.map(|count| count.saturating_mul(MIB)) };
        answer = session.client.send(Method::PUT, &["tools", tool, "quota"], &new).await?;
        if !printer.json {
            let quota: wire::Quota = client::read(&answer)?;
            let (used, limit) = (size(quota.used_bytes), size(quota.limit_bytes));
            printer.line(format!("{tool} uses {used} and may use {limit}"))?;
        }
    }
    if printer.json {
        printer.document(&answer)?;
    }
    Ok(())
}

async fn delete(session: &Session, name: &str, yes: bool) -> Result<(), Failure> {
    let name = tool_name(name)?;
    if !yes {
        confirm(name.as_str())?;
    }
    session.client.ask(Method::DELETE, &["tools", name.as_str()]).await?;
    done(session, name.as_str(), "deleted")
}

/// Nothing brings a deleted tool back, so its name is typed once more.
fn confirm(name: &str) -> Result<(), Problem> {
    if !io::stdin().is_terminal() {
        return Err(usage("not deleted", "nobody can be asked, since standard input is no terminal")
            .hint("say `--yes` if you mean it"));
    }
    eprint!("This deletes {name} with its code, images, releases and logs.\nType its name to go on: ");
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).map_err(|error| local("the terminal cannot be read", &error))?;
    if typed.trim() == name { Ok(()) } else { Err(usage("not deleted", "that was not its name")) }
}

/// `stop`, `start`, `restart`: on disk when this returns; the processes follow within a moment.
pub(super) async fn control(common: &Common, verb: &str, said: &str) -> Result<(), Failure> {
    let session = Session::open(common)?;
    let tool = session.tool()?;
    session.client.ask(Method::POST, &["tools", tool, verb]).await?;
    done(&session, tool, said)
}

fn done(session: &Session, tool: &str, said: &str) -> Result<(), Failure> {
    let printer = &session.printer;
    if printer.json {
        return Ok(printer.document(&json!({ "tool": tool, "done": said }))?);
    }
    Ok(printer.line(format!("{said} {}", printer.paint(Tone::Strong, tool)))?)
}
