//! Whether what `windlass.toml` says makes a platform: every mistake with its line, not only the first.

use super::Settings;
use anyhow::{Result, bail};
use model::Instance;
use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// For example `runs.parallel`.
    key: &'static str,
    text: String,
}

/// Reads and checks a file.
///
/// # Errors
/// What is wrong, one `file:line: text` each; or why the file cannot be read.
pub(crate) fn check_file(file: &Path) -> Result<Settings, Vec<String>> {
    let at = |line: Option<usize>, text: &str| match line {
        Some(line) => format!("{}:{line}: {text}", file.display()),
        None => format!("{}: {text}", file.display()),
    };
    let text =
        fs::read_to_string(file).map_err(|error| vec![at(None, &format!("cannot be read: {error}"))])?;
    let settings: Settings = toml::from_str(&text).map_err(|error| {
        let line =
            error.span().map(|span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        vec![at(line, error.message().trim())]
    })?;
    let mistakes = settings.mistakes();
    if mistakes.is_empty() {
        return Ok(settings);
    }
    let shown =
        |mistake: &Mistake| at(line_of(&text, mistake.key), &format!("{} {}", mistake.key, mistake.text));
    Err(mistakes.iter().map(shown).collect())
}

/// The line on which a key is set.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let mut table = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            table = format!("{}.", name.trim());
        } else if let Some((name, _)) = line.split_once('=')
            && format!("{table}{}", name.trim()) == key
        {
            return Some(number + 1);
        }
    }
    None
}

/// What was found so far.
#[derive(Default)]
struct Found(Vec<Mistake>);

impl Found {
    fn say(&mut self, key: &'static str, text: impl Into<String>) {
        self.0.push(Mistake { key, text: text.into() });
    }

    fn within(&mut self, key: &'static str, value: u64, least: u64, most: u64) {
        if !(least..=most).contains(&value) {
            self.say(key, format!("= {value} cannot be: it takes {least} to {most}"));
        }
    }
}

impl Settings {
    /// Fails with the first mistake.
    pub(crate) fn check(&self) -> Result<()> {
        match self.mistakes().first() {
            Some(Mistake { key, text }) => bail!("windlass.toml: {key} {text}"),
            None => Ok(()),
        }
    }

    /// Every value that cannot be.
    pub(crate) fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Found::default();
        self.check_places(&mut found);
        self.check_network(&mut found);
        self.check_numbers(&mut found);
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log.level) {
            found.say("log.level", format!("is no filter such as `info`: {error}"));
        }
        found.0
    }

    fn check_places(&self, found: &mut Found) {
        for (key, path) in [("paths.data", &self.paths.data), ("paths.run", &self.paths.run)] {
            if !path.is_absolute() || path.parent().is_none() {
                found.say(key, format!("= \"{}\" is no absolute path of a directory", path.display()));
            }
        }
        if self.paths.data == self.paths.run {
            found.say("paths.run", "is paths.data: what survives a reboot lies apart from what does not");
        }
        let runtime = &self.sandbox.runtime;
        let runs = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        if !runtime.is_absolute() || !runs(runtime) {
            let text = format!(
                "= \"{}\" is no program with its absolute path; `apt install runc` gives /usr/sbin/runc",
                runtime.display()
            );
            found.say("sandbox.runtime", text);
        }
        if let Some(bundle) = &self.egress.ca_bundle {
            let holds = fs::read_to_string(bundle).map(|text| text.contains("-----BEGIN CERTIFICATE-----"));
            match holds {
                Ok(true) => {}
                Ok(false) => found.say("egress.ca_bundle", "names a file without a certificate (PEM)"),
                Err(error) => {
                    found.say("egress.ca_bundle", format!("= \"{}\": {error}", bundle.display()));
                }
            }
        }
    }

    fn check_network(&self, found: &mut Found) {
        if !is_domain(&self.server.domain) {
            let text = format!(
                "= \"{}\" is no domain: labels of letters, digits and dashes, with dots between",
                self.server.domain
            );
            found.say("server.domain", text);
        }
        for group in &self.egress.groups {
            if egress::policy::group(group).is_none() {
                found.say("egress.groups", format!("names `{group}`, which is no group of hosts"));
            }
        }
        let policy = |hosts: &[String], networks: &[String]| egress::Policy {
            hosts: hosts.iter().map(|host| egress::HostRule::host(host)).collect(),
            allow_networks: networks.to_vec(),
            resolver: None,
        };
        for host in &self.egress.hosts {
            if let Err(error) = policy(std::slice::from_ref(host), &[]).check() {
                found.say("egress.hosts", format!("cannot be used: {error}"));
            }
        }
        for network in &self.egress.allow_networks {
            if let Err(error) = policy(&[], std::slice::from_ref(network)).check() {
                found.say("egress.allow_networks", format!("cannot be used: {error}"));
            }
        }
        if let Err(error) = policy(&self.egress.hosts, &self.egress.allow_networks).check()
            && !found.0.iter().any(|mistake| mistake.key.starts_with("egress."))
        {
            found.say("egress.hosts", format!("cannot be used: {error}"));
        }
        if let Some(IpAddr::V6(resolver)) = self.egress.resolver {
            let text =
                format!("= \"{resolver}\" is of IPv6, but running tools speak IPv4 only; name an IPv4 one");
            found.say("egress.resolver", text);
        }
        let pool = &self.network.pool;
        if sandbox::network::tool::ToolNetwork::new(Instance(0), pool, Vec::new()).is_err() {
            found.say(
                "network.pool",
                format!("= \"{pool}\" is no IPv4 network with a prefix of 8 to 16 bits"),
            );
        }
    }

    fn check_numbers(&self, found: &mut Found) {
        const ANY: u64 = u32::MAX as u64;
        let (sandbox, runs, storage, git) = (&self.sandbox, &self.runs, &self.storage, &self.git);
        found.within("sandbox.service_memory_mebibytes", sandbox.service_memory_mebibytes, 16, ANY);
        found.within("sandbox.build_memory_mebibytes", sandbox.build_memory_mebibytes, 64, ANY);
        found.within("runs.parallel", runs.parallel.into(), 1, 256);
        found.within("runs.per_tool", runs.per_tool.into(), 1, 256);
        found.within("runs.wait_hours", runs.wait_hours.into(), 1, 24 * 30);
        if runs.per_tool > runs.parallel {
            let text = format!(
                "= {} is more than runs.parallel = {}, which counts the steps of all tools",
                runs.per_tool, runs.parallel
            );
            found.say("runs.per_tool", text);
        }
        found.within("releases.keep", self.releases.keep.into(), 1, ANY);
        found.within("releases.drain_seconds", self.releases.drain_seconds, 0, 86_400);
        found.within("storage.reserve_mebibytes", storage.reserve_mebibytes.unwrap_or(1), 0, ANY);
        found.within("storage.max_mebibytes", storage.max_mebibytes.unwrap_or(1), 1, ANY);
        found.within("storage.per_tool_mebibytes", storage.per_tool_mebibytes, 1, ANY);
        found.within("storage.keep_builds_days", storage.keep_builds_days, 0, 100_000);
        found.within("storage.collect_seconds", storage.collect_seconds, 1, 86_400);
        found.within("storage.scrub_days", storage.scrub_days, 1, 100_000);
        found.within("storage.scrub_mebibytes_per_second", storage.scrub_mebibytes_per_second, 0, ANY);
        found.within("git.max_pack_mebibytes", git.max_pack_mebibytes, 1, ANY);
        found.within("git.max_repository_mebibytes", git.max_repository_mebibytes, 1, ANY);
        found.within("git.max_objects", git.max_objects.into(), 1, ANY);
        found.within("git.max_upload_seconds", git.max_upload_seconds, 1, 86_400);
        found.within("git.max_stalled_seconds", git.max_stalled_seconds, 5, 86_400);
        found.within("git.keep_red_pushes_days", git.keep_red_pushes_days, 0, 100_000);
        found.within("git.maintenance_seconds", git.maintenance_seconds, 1, 86_400);
        found.within("git.max_source_mebibytes", git.max_source_mebibytes, 1, ANY);
    }
}

/// A host name as DNS and the router know it: small letters, no dot at the end.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 200 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `config check` says of a file with this text, the file's name cut off.
    fn said(text: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("windlass.toml");
        fs::write(&file, text).unwrap();
        let prefix = file.display().to_string();
        let lines = check_file(&file).err().unwrap_or_default();
        lines.iter().map(|line| line.replace(&prefix, "")).collect()
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "[runs]\nparallel = 2\nper_tool = 3\n\n[server]\ndomain = \"Tools_\"\n\n[egress]\ngroups = [\"pyhton\"]\nhosts = [\"*.example\"]\nallow_networks = [\"10.0.0.0\"]\nresolver = \"::1\"\nca_bundle = \"/none\"\n[network]\npool = \"10.0.0.0/30\"\n";
        let said = said(text);
        for line in [
            ":3: runs.per_tool = 3 is more than runs.parallel = 2",
            ":6: server.domain = \"Tools_\"",
            ":9: egress.groups names `pyhton`",
            ":10: egress.hosts",
            ":11: egress.allow_networks",
            ":12: egress.resolver",
            ":13: egress.ca_bundle",
            ":15: network.pool",
        ] {
            assert!(said.iter().any(|said| said.starts_with(line)), "{line}: {said:#?}");
        }
        assert_eq!(said.len(), 8, "{said:#?}");
    }

    #[test]
    fn a_key_that_is_not_known_and_a_value_of_another_kind_are_told_with_their_line() {
        let unknown = said("[server]\nlisten = \"127.0.0.1:80\"\nlisen = 1\n");
        assert!(unknown[0].starts_with(":3: unknown field `lisen`"), "{unknown:?}");
        let kind = said("\n[runs]\nparallel = \"four\"\n");
        assert!(kind[0].starts_with(":3: "), "{kind:?}");
        assert!(said("[server\n")[0].starts_with(":1: "));
    }

    #[test]
    fn a_key_may_be_set_with_its_table_in_its_name() {
        assert_eq!(line_of("runs.parallel = 0", "runs.parallel"), Some(1));
        assert_eq!(line_of("# [runs]\n[ runs ]\n  parallel=0", "runs.parallel"), Some(3));
        assert_eq!(line_of("[run]\nparallel = 0", "runs.parallel"), None);
    }

    /// The file that the package installs: every key with its default, switched off by `#`.
    const SHIPPED: &str = include_str!("../../../../deploy/windlass.toml");

    /// It with every key switched on.
    fn switched_on() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(key) if key.contains(" = ") && !key.starts_with(' ') => format!("{key}\n"),
            _ => format!("{line}\n"),
        };
        SHIPPED.lines().map(on).collect()
    }

    #[test]
    fn the_installed_file_is_right_and_says_every_key_with_its_default() {
        let shipped: Settings = toml::from_str(SHIPPED).unwrap();
        assert_eq!(format!("{shipped:?}"), format!("{:?}", Settings::default()));
        let on: Settings = toml::from_str(&switched_on()).unwrap();
        // These have no default to write down; the file shows an example.
        let mut expected = Settings::default();
        expected.egress.resolver = on.egress.resolver;
        expected.egress.ca_bundle = on.egress.ca_bundle.clone();
        expected.storage.reserve_mebibytes = on.storage.reserve_mebibytes;
        expected.storage.max_mebibytes = on.storage.max_mebibytes;
        assert_eq!(format!("{on:?}"), format!("{expected:?}"));
        assert!(on.egress.resolver.is_some() && on.egress.ca_bundle.is_some());
        assert!(on.storage.reserve_mebibytes.is_some() && on.storage.max_mebibytes.is_some());
    }

    #[test]
    fn the_installed_file_and_the_page_name_the_same_keys() {
        let page = include_str!("../../../../docs/configuration.md");
        let table: toml::Table = toml::from_str(&switched_on()).unwrap();
        let keys: Vec<String> = table
            .iter()
            .flat_map(|(table, keys)| {
                keys.as_table().unwrap().keys().map(move |key| format!("{table}.{key}")).collect::<Vec<_>>()
            })
            .collect();
        for key in &keys {
            assert!(page.contains(&format!("| `{key}` |")), "docs/configuration.md lacks {key}");
        }
        let in_page =
            page.lines().filter(|line| line.starts_with("| `") && line.contains('.')).filter(|line| {
                line.split('`')
                    .nth(1)
                    .is_some_and(|key| key.split_once('.').is_some_and(|(name, _)| table.contains_key(name)))
            });
        assert_eq!(in_page.count(), keys.len());
    }
}
