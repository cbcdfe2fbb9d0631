//! The build plan: whether what buildpacks require is provided before them and what they provide is required
//! (buildpack specification, "Build Plan"). Each alternative of each buildpack is tried, the leftmost changing last;
//! an optional buildpack whose last alternative does not fit is dropped.

use cnb::{
    build_plan::{BuildPlan, Require, Sections},
    group::Member,
    plan::{Entry, Plan, Provider},
};
use std::collections::BTreeMap;

/// The members of the group and what each has to provide.
pub(super) type Resolved = (Vec<Member>, Plan);

/// A buildpack that passed.
pub(super) struct Candidate<'a> {
    pub(super) member: Member,
    pub(super) optional: bool,
    pub(super) plan: &'a BuildPlan,
}

/// One alternative of one buildpack.
#[derive(Clone, Copy)]
struct Choice<'a> {
    member: &'a Member,
    optional: bool,
    sections: &'a Sections,
}

/// One dependency of a trial.
#[derive(Default)]
struct Dependency<'a> {
    providers: Vec<&'a Member>,
    requires: Vec<&'a Require>,
    /// Positions of choices that require it before anybody provides it.
    early: Vec<usize>,
    /// Positions of choices that provide it after the last that requires it.
    unused: Vec<usize>,
}

/// The first combination of alternatives that fits; else why the last one did not.
pub(super) fn resolve(candidates: &[Candidate]) -> Result<Resolved, String> {
    from(candidates, &mut Vec::new())
}

fn from<'a>(candidates: &'a [Candidate], chosen: &mut Vec<Choice<'a>>) -> Result<Resolved, String> {
    let Some((first, rest)) = candidates.split_first() else {
        return attempt(chosen.clone());
    };
    let count = first.plan.alternatives().count();
    let mut reason = String::new();
    for (index, sections) in first.plan.alternatives().enumerate() {
        // Better another alternative of it than to go on without it.
        let optional = first.optional && index + 1 == count;
        chosen.push(Choice { member: &first.member, optional, sections });
        let result = from(rest, chosen);
        chosen.pop();
        match result {
            Ok(resolved) => return Ok(resolved),
            Err(text) => reason = text,
        }
    }
    Err(reason)
}

/// One combination: drops optional buildpacks until all fits or a needed one does not.
fn attempt(mut choices: Vec<Choice>) -> Result<Resolved, String> {
    loop {
        let dependencies = dependencies(&choices);
        let mut dropped = Vec::new();
        for (name, dependency) in &dependencies {
            for (position, early) in dependency
                .early
                .iter()
                .map(|p| (*p, true))
                .chain(dependency.unused.iter().map(|p| (*p, false)))
            {
                let Choice { member, optional, .. } = choices[position];
                if !optional {
                    let why =
                        if early { "which none before it provides" } else { "which none after it requires" };
                    let verb = if early { "requires" } else { "provides" };
                    return Err(format!("{} {} {verb} `{name}`, {why}", member.id, member.version));
                }
                dropped.push(position);
            }
        }
        if dropped.is_empty() {
            if choices.is_empty() {
                return Err("no buildpack is left whose requirements are met".to_owned());
            }
            let plan = Plan { entries: dependencies.into_values().map(Dependency::entry).collect() };
            return Ok((choices.iter().map(|choice| choice.member.clone()).collect(), plan));
        }
        let mut position = 0;
        choices.retain(|_| {
            position += 1;
            !dropped.contains(&(position - 1))
        });
    }
}

fn dependencies<'a>(choices: &[Choice<'a>]) -> BTreeMap<&'a str, Dependency<'a>> {
    let mut all: BTreeMap<&str, Dependency> = BTreeMap::new();
    for (position, choice) in choices.iter().enumerate() {
        for provide in &choice.sections.provides {
            all.entry(&provide.name).or_default().unused.push(position);
        }
        for require in &choice.sections.requires {
            let dependency = all.entry(&require.name).or_default();
            let now_used = std::mem::take(&mut dependency.unused);
            dependency.providers.extend(now_used.into_iter().map(|position| choices[position].member));
            if dependency.providers.is_empty() {
                dependency.early.push(position);
            } else {
                dependency.requires.push(require);
            }
        }
    }
    all
}

impl Dependency<'_> {
    fn entry(self) -> Entry {
        let provider = |member: &Member| Provider {
            id: member.id.clone(),
            version: member.version.clone(),
            extension: false,
        };
        Entry {
            providers: self.providers.into_iter().map(provider).collect(),
            requires: self.requires.into_iter().cloned().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cnb::Api;

    /// `a provides x`, `b? requires x | requires y`: buildpacks in order, `?` for optional, `|` between alternatives.
    fn solve(text: &str) -> Result<String, String> {
        let mut plans = Vec::new();
        for line in text.split(';') {
            let (name, plan) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            let toml = plan.split('|').enumerate().map(|(index, alternative)| {
                let prefix = if index == 0 { "" } else { "or." };
                let head = if index == 0 { "" } else { "[[or]]\n" };
                let words: Vec<&str> = alternative.split_whitespace().collect();
                let entries =
                    words.chunks(2).map(|pair| format!("[[{prefix}{}]]\nname = \"{}\"\n", pair[0], pair[1]));
                head.to_owned() + &entries.collect::<String>()
            });
            let toml: String = toml.collect();
            plans.push((name, BuildPlan::read("plan", toml.as_bytes()).unwrap()));
        }
        let candidates: Vec<Candidate> = plans
            .iter()
            .map(|(name, plan)| Candidate {
                member: Member {
                    id: name.trim_end_matches('?').to_owned(),
                    version: "1".to_owned(),
                    api: Api::BUILDPACK,
                    homepage: String::new(),
                },
                optional: name.ends_with('?'),
                plan,
            })
            .collect();
        resolve(&candidates).map(|(members, plan)| {
            let members: Vec<String> = members.into_iter().map(|member| member.id).collect();
            let entries = plan.entries.iter().map(|entry| {
                let providers: Vec<&str> = entry.providers.iter().map(|p| p.id.as_str()).collect();
                format!("{}={}x{}", entry.requires[0].name, providers.join("+"), entry.requires.len())
            });
            format!("{} / {}", members.join(" "), entries.collect::<Vec<_>>().join(" "))
        })
    }

    #[test]
    fn plans_resolve_as_the_specification_says() {
        for (plan, expected) in [
            ("a", "a / "),
            ("a provides x requires x", "a / x=ax1"),
            ("a provides x; b requires x", "a b / x=ax1"),
            ("a provides x; b requires x; c requires x", "a b c / x=ax2"),
            ("a provides x; b provides x; c requires x", "a b c / x=a+bx1"),
            ("a; b? provides x", "a / "),
            ("a; b? requires x", "a / "),
            ("a?; b? provides x", "a / "),
            // Who needed a dropped one is dropped, too.
            ("a; b? requires q provides x; c? requires x", "a / "),
            ("a; b? provides x; c? requires x requires y", "a / "),
            // Alternatives: the first that fits, the leftmost changing last.
            ("a provides x | provides y; b requires y", "a b / y=ax1"),
            ("a provides x | provides y; b requires x | requires y", "a b / x=ax1"),
            ("a provides x; b? requires y | requires x", "a b / x=ax1"),
            ("a; b? requires y | requires x", "a / "),
            // Provided after it was required is too late, required again is not.
            ("a provides x; b requires x; c? provides x", "a b / x=ax1"),
            ("a provides x; b requires x; c provides x; d requires x", "a b c d / x=a+cx2"),
        ] {
            assert_eq!(solve(plan).as_deref(), Ok(expected), "{plan}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_by_name() {
        for (plan, words) in [
            ("a requires x; b provides x requires x", "a 1 requires `x`, which none before it provides"),
            ("a provides x", "a 1 provides `x`, which none after it requires"),
            ("a provides x; b requires x; c provides x", "c 1 provides `x`"),
            ("a? provides x", "no buildpack is left"),
            ("a requires x | requires y", "a 1 requires `y`"),
        ] {
            assert!(solve(plan).unwrap_err().contains(words), "{plan}: {:?}", solve(plan));
        }
    }
}
