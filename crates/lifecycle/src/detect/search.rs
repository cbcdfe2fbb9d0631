//! The search through the order: groups one after the other, composite buildpacks unfolded depth first
//! (platform specification, "Order Resolution").

use super::{DetectError, Detected, Nothing, Outcome, Probe, resolve};
use crate::{buildpack::Buildpack, inputs::Inputs};
use cnb::{
    group::{Group, Member},
    order::{OrderElement, OrderGroup},
};
use std::{collections::BTreeMap, thread};

/// Composite buildpacks inside each other; more are a circle.
const MAX_DEPTH: usize = 32;

/// A buildpack of the group that is being put together.
#[derive(Clone)]
struct Chosen {
    buildpack: Buildpack,
    optional: bool,
}

impl Chosen {
    fn key(&self) -> String {
        self.buildpack.name()
    }

    fn member(&self) -> Member {
        let Buildpack { descriptor, .. } = &self.buildpack;
        Member {
            id: descriptor.buildpack.id.clone(),
            version: descriptor.buildpack.version.clone(),
            api: descriptor.api,
            homepage: descriptor.buildpack.homepage.clone(),
        }
    }
}

struct Search<'a> {
    inputs: &'a Inputs,
    probes: BTreeMap<String, Probe>,
    /// Keys of `probes` in the order in which they were asked.
    asked: Vec<String>,
    reasons: Vec<String>,
}

/// What came of one group or order: `Err(true)`, not passed because of an error of a buildpack.
type Verdict = Result<resolve::Resolved, bool>;

pub(super) fn run(inputs: &Inputs, order: &[OrderGroup]) -> Result<Detected, DetectError> {
    let mut search = Search { inputs, probes: BTreeMap::new(), asked: Vec::new(), reasons: Vec::new() };
    let verdict = search.order(order, &[], &[], false, 0)?;
    let Search { mut probes, asked, mut reasons, .. } = search;
    let probes = asked.iter().filter_map(|key| probes.remove(key)).collect();
    match verdict {
        Ok((group, plan)) => Ok(Detected { group: Group { group, ..Group::default() }, plan, probes }),
        Err(error) => {
            reasons.dedup();
            Err(DetectError::Nothing(Nothing { probes, reasons, error }))
        }
    }
}

impl Search<'_> {
    /// The first group of `order`, each followed by `rest`, that passes; when `optional`, also `rest` alone.
    fn order(
        &mut self,
        order: &[OrderGroup],
        done: &[Chosen],
        rest: &[OrderElement],
        optional: bool,
        depth: usize,
    ) -> Result<Verdict, DetectError> {
        let mut error = false;
        for group in order {
            let elements: Vec<OrderElement> = group.group.iter().chain(rest).cloned().collect();
            match self.group(&elements, done.to_vec(), depth)? {
                Err(failed) => error |= failed,
                found => return Ok(found),
            }
        }
        if optional {
            return self.group(rest, done.to_vec(), depth);
        }
        Ok(Err(error))
    }

    fn group(
        &mut self,
        elements: &[OrderElement],
        mut done: Vec<Chosen>,
        depth: usize,
    ) -> Result<Verdict, DetectError> {
        for (index, element) in elements.iter().enumerate() {
            if done.iter().any(|chosen| chosen.buildpack.descriptor.buildpack.id == element.id) {
                continue;
            }
            let buildpack = Buildpack::load(&self.inputs.buildpacks_dir, &element.id, &element.version)?;
            if !buildpack.descriptor.order.is_empty() {
                if depth == MAX_DEPTH {
                    return Err(DetectError::Endless(element.id.clone()));
                }
                let order = buildpack.descriptor.order;
                return self.order(&order, &done, &elements[index + 1..], element.optional, depth + 1);
            }
            if self.counts(element, &buildpack) {
                done.push(Chosen { buildpack, optional: element.optional });
            }
        }
        self.ask(&done)?;
        Ok(self.judge(&done))
    }

    /// Whether an element is meant for this execution environment (Platform API 0.15, Buildpack API 0.12).
    fn counts(&self, element: &OrderElement, buildpack: &Buildpack) -> bool {
        if !self.inputs.platform_api.at_least(0, 15) {
            return true;
        }
        let wanted = &self.inputs.exec_env;
        let named = element.exec_env.is_empty() || element.exec_env.iter().any(|e| e == "*" || e == wanted);
        named && (!buildpack.descriptor.api.at_least(0, 12) || buildpack.descriptor.is_for(wanted))
    }

    /// Runs those that were not asked yet, all at the same time.
    fn ask(&mut self, done: &[Chosen]) -> Result<(), DetectError> {
        let inputs = self.inputs;
        let new: Vec<&Chosen> =
            done.iter().filter(|chosen| !self.probes.contains_key(&chosen.key())).collect();
        let answers: Vec<(String, Result<Probe, DetectError>)> = thread::scope(|scope| {
            let ask = |chosen: &Chosen| {
                if chosen.optional || chosen.buildpack.matches(inputs) {
                    Probe::run(&chosen.buildpack, inputs)
                } else {
                    Ok(Probe::error(&chosen.buildpack, "is not made for this image's system".to_owned()))
                }
            };
            let running: Vec<_> =
                new.into_iter().map(|chosen| (chosen.key(), scope.spawn(move || ask(chosen)))).collect();
            let answer = |thread: thread::ScopedJoinHandle<_>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().map(|(key, thread)| (key, answer(thread))).collect()
        });
        for (key, probe) in answers {
            self.probes.insert(key.clone(), probe?);
            self.asked.push(key);
        }
        Ok(())
    }

    /// Whether the group passes: all that are not optional did, at least one did, and their plans fit together.
    fn judge(&mut self, done: &[Chosen]) -> Verdict {
        let mut passed = Vec::new();
        let (mut complete, mut error) = (true, false);
        for chosen in done {
            let Some(probe) = self.probes.get(&chosen.key()) else { continue };
            match probe.outcome {
                Outcome::Passed => passed.push(resolve::Candidate {
                    member: chosen.member(),
                    optional: chosen.optional,
                    plan: &probe.plan,
                }),
                Outcome::Failed => complete &= chosen.optional,
                Outcome::Error(_) => {
                    complete &= chosen.optional;
                    error = true;
                }
            }
        }
        if !complete || passed.is_empty() {
            return Err(error);
        }
        resolve::resolve(&passed).map_err(|reason| {
            self.reasons.push(reason);
            false
        })
    }
}
