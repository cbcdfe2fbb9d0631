//! What a phase is told: flags before variables before defaults (platform specification, "Build", "Detector",
//! "Builder").

use crate::environment::Variables;
use cnb::{
    Api, FormatError,
    analyzed::Analyzed,
    file,
    target::{Distro, ImageTarget},
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The inputs of detection and build.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub platform_api: Api,
    pub app_dir: PathBuf,
    pub layers_dir: PathBuf,
    pub platform_dir: PathBuf,
    pub buildpacks_dir: PathBuf,
    pub build_config_dir: PathBuf,
    pub order_path: PathBuf,
    pub system_path: PathBuf,
    pub group_path: PathBuf,
    pub plan_path: PathBuf,
    /// What the image will run on.
    pub target: ImageTarget,
    /// `production` unless said otherwise (Platform API 0.15).
    pub exec_env: String,
    /// Tell what went well, too.
    pub debug: bool,
    /// What buildpacks get to see of the lifecycle's own environment.
    pub environment: Variables,
}

/// The inputs cannot be used.
#[derive(Debug, Error)]
pub enum InputError {
    #[error("please set 'CNB_PLATFORM_API' to specify the desired platform API version")]
    NoPlatformApi,
    #[error(
        "platform API `{0}` is incompatible with the lifecycle: it speaks {oldest} to {newest}",
        oldest = Api::OLDEST_PLATFORM,
        newest = Api::PLATFORM
    )]
    PlatformApi(String),
    #[error("failed to parse arguments: {0}")]
    Arguments(String),
    #[error("the value of {0} is not UTF-8 text")]
    NotText(String),
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// Of the lifecycle's environment buildpacks see these and the search paths. The last three are not in the reference:
/// what a build prints or sorts should not depend on who runs it.
const PASSED: [&str; 19] = [
    "CNB_STACK_ID",
    "HOSTNAME",
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "NO_PROXY",
    "no_proxy",
    "PATH",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "CPATH",
    "PKG_CONFIG_PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SOURCE_DATE_EPOCH",
];

/// Flags with the variable that means the same.
const FLAGS: [(&str, &str); 13] = [
    ("analyzed", "CNB_ANALYZED_PATH"),
    ("app", "CNB_APP_DIR"),
    ("build-config", "CNB_BUILD_CONFIG_DIR"),
    ("buildpacks", "CNB_BUILDPACKS_DIR"),
    ("group", "CNB_GROUP_PATH"),
    ("layers", "CNB_LAYERS_DIR"),
    ("log-level", "CNB_LOG_LEVEL"),
    ("order", "CNB_ORDER_PATH"),
    ("plan", "CNB_PLAN_PATH"),
    ("platform", "CNB_PLATFORM_DIR"),
    ("run", "CNB_RUN_PATH"),
    ("system", "CNB_SYSTEM_PATH"),
    ("exec-env", "CNB_EXEC_ENV"),
];

impl Inputs {
    /// Reads flags (`-app /workspace`, `-app=/workspace`, `--app …`) over variables.
    pub fn read(arguments: &[String], variables: &Variables) -> Result<Self, InputError> {
        let given = Given { flags: flags(arguments)?, variables };
        let api =
            given.text("CNB_PLATFORM_API")?.filter(|api| !api.is_empty()).ok_or(InputError::NoPlatformApi)?;
        let platform_api: Api = api.parse().map_err(|_| InputError::PlatformApi(api.clone()))?;
        if !platform_api.is_platform() {
            return Err(InputError::PlatformApi(api));
        }
        let layers_dir = given.path("CNB_LAYERS_DIR", Path::new("/layers"));
        let in_layers = |name: &str| layers_dir.join(name);
        let own_order = in_layers("order.toml");
        let default_order = if own_order.exists() { own_order } else { PathBuf::from("/cnb/order.toml") };
        let analyzed = given.path("CNB_ANALYZED_PATH", &in_layers("analyzed.toml"));
        Ok(Self {
            platform_api,
            app_dir: given.path("CNB_APP_DIR", Path::new("/workspace")),
            platform_dir: given.path("CNB_PLATFORM_DIR", Path::new("/platform")),
            buildpacks_dir: given.path("CNB_BUILDPACKS_DIR", Path::new("/cnb/buildpacks")),
            build_config_dir: given.path("CNB_BUILD_CONFIG_DIR", Path::new("/cnb/build-config")),
            order_path: given.path("CNB_ORDER_PATH", &default_order),
            system_path: given.path("CNB_SYSTEM_PATH", Path::new("/cnb/system.toml")),
            group_path: given.path("CNB_GROUP_PATH", &in_layers("group.toml")),
            plan_path: given.path("CNB_PLAN_PATH", &in_layers("plan.toml")),
            target: target(&given, &analyzed)?,
            exec_env: given.text("CNB_EXEC_ENV")?.unwrap_or_else(|| "production".to_owned()),
            debug: given.text("CNB_LOG_LEVEL")?.as_deref() == Some("debug"),
            environment: PASSED
                .iter()
                .filter_map(|name| variables.get_key_value(OsStr::new(name)))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            layers_dir,
        })
    }
}

struct Given<'a> {
    /// By the name of the variable.
    flags: BTreeMap<&'static str, String>,
    variables: &'a Variables,
}

impl Given<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, InputError> {
        if let Some(value) = self.flags.get(name) {
            return Ok(Some(value.clone()));
        }
        let value = self.variables.get(OsStr::new(name)).cloned().map(OsString::into_string);
        value.transpose().map_err(|_| InputError::NotText(name.to_owned()))
    }

    fn path(&self, name: &str, default: &Path) -> PathBuf {
        let flag = self.flags.get(name).map(OsString::from);
        let value = flag.or_else(|| self.variables.get(OsStr::new(name)).cloned());
        value.filter(|value| !value.is_empty()).map_or_else(|| default.to_owned(), PathBuf::from)
    }
}

fn flags(arguments: &[String]) -> Result<BTreeMap<&'static str, String>, InputError> {
    let mut flags = BTreeMap::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let Some(flag) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            return Err(InputError::Arguments(format!("received unexpected argument `{argument}`")));
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let Some((_, variable)) = FLAGS.iter().find(|(known, _)| *known == name) else {
            return Err(InputError::Arguments(format!("flag provided but not defined: -{name}")));
        };
        let value = value
            .or_else(|| rest.next().cloned())
            .ok_or_else(|| InputError::Arguments(format!("flag needs an argument: -{name}")))?;
        flags.insert(*variable, value);
    }
    Ok(flags)
}

/// What analysis found out about the run image; where no analyzer ran, what the platform says; else this machine.
fn target(given: &Given, analyzed: &Path) -> Result<ImageTarget, InputError> {
    if let Some(bytes) = read_if_there(analyzed)? {
        let analyzed: Analyzed = file::read("analyzed.toml", &bytes)?;
        if let Some(target) = analyzed.run_image.and_then(|image| image.target).filter(|t| !t.os.is_empty()) {
            return Ok(target);
        }
    }
    let text = |name: &str| given.text(name).map(Option::unwrap_or_default);
    let os = text("CNB_TARGET_OS")?;
    if os.is_empty() {
        let arch = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let distro = read_if_there(Path::new("/etc/os-release"))?.and_then(|bytes| distro(&bytes));
        return Ok(ImageTarget {
            os: "linux".to_owned(),
            arch: arch.to_owned(),
            distro,
            ..ImageTarget::default()
        });
    }
    let name = text("CNB_TARGET_DISTRO_NAME")?;
    Ok(ImageTarget {
        id: String::new(),
        os,
        arch: text("CNB_TARGET_ARCH")?,
        arch_variant: text("CNB_TARGET_ARCH_VARIANT")?,
        distro: if name.is_empty() {
            None
        } else {
            Some(Distro { name, version: text("CNB_TARGET_DISTRO_VERSION")? })
        },
    })
}

/// `ID` and `VERSION_ID` of an os-release file.
fn distro(bytes: &[u8]) -> Option<Distro> {
    let text = String::from_utf8_lossy(bytes);
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    Some(Distro { name: value("ID")?, version: value("VERSION_ID").unwrap_or_default() })
}

/// A file's bytes; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, InputError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InputError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn arguments(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_variable_over_the_default() {
        let told = variables(&[
            ("CNB_PLATFORM_API", "0.14"),
            ("CNB_APP_DIR", "/from-variable"),
            ("CNB_PLATFORM_DIR", "/platform-from-variable"),
            ("CNB_TARGET_OS", "linux"),
            ("CNB_TARGET_ARCH", "amd64"),
            ("CNB_TARGET_DISTRO_NAME", "debian"),
            ("CNB_TARGET_DISTRO_VERSION", "13"),
            ("PATH", "/bin"),
            ("SECRET", "x"),
        ]);
        let inputs =
            Inputs::read(&arguments("-app /from-flag --layers=/elsewhere -log-level debug"), &told).unwrap();
        assert_eq!(inputs.app_dir, Path::new("/from-flag"));
        assert_eq!(inputs.platform_dir, Path::new("/platform-from-variable"));
        assert_eq!(inputs.buildpacks_dir, Path::new("/cnb/buildpacks"));
        assert_eq!(inputs.group_path, Path::new("/elsewhere/group.toml"));
        assert_eq!(inputs.target.distro, Some(Distro { name: "debian".into(), version: "13".into() }));
        assert!(inputs.debug);
        assert_eq!(inputs.environment, variables(&[("PATH", "/bin")]), "nothing else reaches buildpacks");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_sentence() {
        let api = |api: &str| variables(&[("CNB_PLATFORM_API", api)]);
        for (line, told, words) in [
            ("", variables(&[]), "please set 'CNB_PLATFORM_API'"),
            ("", api(""), "please set 'CNB_PLATFORM_API'"),
            ("", api("0.3"), "`0.3` is incompatible with the lifecycle"),
            ("", api("many"), "`many` is incompatible"),
            ("-colour red", api("0.14"), "flag provided but not defined: -colour"),
            ("-app", api("0.14"), "flag needs an argument: -app"),
            ("stray", api("0.14"), "unexpected argument `stray`"),
        ] {
            let error = Inputs::read(&arguments(line), &told).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_analyzed_run_image_says_what_the_target_is() {
        let layers = tempfile::tempdir().unwrap();
        fs::write(
            layers.path().join("analyzed.toml"),
            "[run-image.target]\nos = \"linux\"\narch = \"arm64\"\n[run-image.target.distro]\nname = \"ubuntu\"\nversion = \"24.04\"\n",
        )
        .unwrap();
        let told = variables(&[
            ("CNB_PLATFORM_API", "0.12"),
            ("CNB_TARGET_OS", "linux"),
            ("CNB_TARGET_ARCH", "amd64"),
        ]);
        let flags = vec!["-layers".to_owned(), layers.path().display().to_string()];
        assert_eq!(Inputs::read(&flags, &told).unwrap().target.arch, "arm64");
        let os_release = b"PRETTY_NAME=\"x\"\nID=debian\nVERSION_ID=\"13\"\n";
        assert_eq!(distro(os_release), Some(Distro { name: "debian".into(), version: "13".into() }));
    }
}
