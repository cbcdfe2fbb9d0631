//! What a module runs on and what an image is: operating system, architecture, distribution
//! (buildpack specification, "Targets"; platform specification, "analyzed.toml (TOML)").

use serde::{Deserialize, Serialize};

/// One `[[targets]]` of buildpack.toml. Empty text matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arch: String,
    /// `arch-variant` in the reference, `variant` in the specification; read both, write the latter.
    #[serde(alias = "arch-variant", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distros: Vec<Distro>,
}

/// A distribution; an empty version matches any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Distro {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// The run image's target in analyzed.toml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ImageTarget {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    pub os: String,
    pub arch: String,
    #[serde(alias = "variant", skip_serializing_if = "String::is_empty")]
    pub arch_variant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distro: Option<Distro>,
}

impl ImageTarget {
    /// The `CNB_TARGET_*` variables: system and architecture always, the rest when known
    /// (buildpack specification, "Targets").
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let mut env = vec![("CNB_TARGET_OS", self.os.clone()), ("CNB_TARGET_ARCH", self.arch.clone())];
        let distro = self.distro.clone().unwrap_or_default();
        let known = [
            ("CNB_TARGET_ARCH_VARIANT", self.arch_variant.clone()),
            ("CNB_TARGET_DISTRO_NAME", distro.name),
            ("CNB_TARGET_DISTRO_VERSION", distro.version),
        ];
        env.extend(known.into_iter().filter(|(_, value)| !value.is_empty()));
        env
    }
}

impl Target {
    /// Whether a module for this target runs on that image. A module that names distributions needs one of them.
    pub fn matches(&self, image: &ImageTarget) -> bool {
        let same = |ours: &str, theirs: &str| ours.is_empty() || theirs.is_empty() || ours == theirs;
        let distro = image.distro.as_ref();
        same(&self.os, &image.os)
            && same(&self.arch, &image.arch)
            && same(&self.variant, &image.arch_variant)
            && (self.distros.is_empty()
                || self
                    .distros
                    .iter()
                    .any(|d| distro.is_some_and(|i| same(&d.name, &i.name) && same(&d.version, &i.version))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> ImageTarget {
        let distro = Distro { name: "debian".into(), version: "13".into() };
        ImageTarget { os: "linux".into(), arch: "amd64".into(), distro: Some(distro), ..Default::default() }
    }

    #[test]
    fn a_target_matches_what_it_does_not_name() {
        let target = |text: &str| toml::from_str::<Target>(text).unwrap();
        assert!(target("").matches(&debian()));
        assert!(target("os = 'linux'\narch = 'amd64'").matches(&debian()));
        assert!(!target("arch = 'arm64'").matches(&debian()));
        assert!(target("[[distros]]\nname = 'debian'").matches(&debian()));
        assert!(!target("[[distros]]\nname = 'debian'\nversion = '12'").matches(&debian()));
        assert!(!target("[[distros]]\nname = 'debian'").matches(&ImageTarget::default()));
        assert_eq!(target("arch-variant = 'v8'").variant, "v8");
    }

    #[test]
    fn variables_that_are_not_known_are_not_set() {
        let names: Vec<_> = debian().env().into_iter().map(|(name, _)| name).collect();
        let all = ["CNB_TARGET_OS", "CNB_TARGET_ARCH", "CNB_TARGET_DISTRO_NAME", "CNB_TARGET_DISTRO_VERSION"];
        assert_eq!(names, all);
    }
}
