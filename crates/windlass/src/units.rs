//! The platform as units of systemd instead of children of `windlass up`: what systemd and the parts say to each other,
//! and what the units take from `windlass.toml`.

use crate::settings::Settings;
use anyhow::{Context, Result, ensure};
use model::Paths;
use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

/// The file that the package's units name.
pub(crate) const FILE: &str = "/etc/windlass/windlass.toml";
/// Before the drop-ins of an operator, which begin with higher numbers by custom.
const DROP_IN: &str = "10-windlass-toml.conf";

/// Whether a unit runs this process, and hears when it is ready.
pub(crate) fn under_systemd() -> bool {
    env::var_os("NOTIFY_SOCKET").is_some()
}

/// Tells systemd that this part answers (`sd_notify(3)`).
pub(crate) fn say_ready() -> io::Result<()> {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

/// Whether the units are what runs the platform at these places.
pub(crate) fn run_the_platform(paths: &Paths) -> bool {
    let theirs = || Settings::read(Path::new(FILE)).is_ok_and(|settings| settings.paths().data == paths.data);
    let active = || systemctl(&["--quiet", "is-active", "windlass.target"]);
    active().is_ok_and(|output| output.status.success()) && theirs()
}

/// Replaces one part by what lies at the program's path; tells how long it took until the new process answered. The
/// unit says how the old one finishes what it has.
pub(crate) fn restart(part: &str) -> Result<Duration> {
    let began = Instant::now();
    let unit = format!("windlass-{part}.service");
    let output = systemctl(&["--quiet", "restart", "--", &unit]).context("cannot ask systemd")?;
    ensure!(
        output.status.success(),
        "{}; `journalctl -u {unit}` says more",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(began.elapsed())
}

fn systemctl(words: &[&str]) -> io::Result<std::process::Output> {
    Command::new("/usr/bin/systemctl").args(words).output()
}

/// `windlass-generator <directory> …` (`systemd.generator(7)`): at each boot and `daemon-reload`, what the units need of
/// `windlass.toml` becomes drop-ins, so that an address or a path stands in one place. A file that cannot be read
/// changes nothing here: the parts refuse it by themselves and say why.
pub(crate) fn generate(directory: &Path) -> ExitCode {
    let Ok(settings) = Settings::read(Path::new(FILE)) else { return ExitCode::SUCCESS };
    for (unit, text) in drop_ins(&settings) {
        let place = directory.join(format!("{unit}.d"));
        let written =
            fs::create_dir_all(&place).and_then(|()| fs::write(place.join(DROP_IN), format!("{text}\n")));
        if let Err(error) = written {
            eprintln!("windlass-generator: {}: {error}", place.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Which unit gets which drop-in; none for what the units say already.
fn drop_ins(settings: &Settings) -> Vec<(&'static str, String)> {
    let (own, paths, usual) = (Settings::default(), settings.paths(), Settings::default().paths());
    let mut found = Vec::new();
    let listen = |address: String| format!("[Socket]\nListenStream=\nListenStream={address}");
    if settings.server.listen != own.server.listen {
        found.push(("windlass-router.socket", listen(settings.server.listen.to_string())));
    }
    if paths.run != usual.run {
        found.push(("windlass-helper.socket", listen(paths.helper_socket().display().to_string())));
        found.push(("windlass-serve.socket", listen(paths.serve_socket().display().to_string())));
    }
    if paths.run != usual.run || paths.data != usual.data {
        let (data, run) = (paths.data.display(), paths.run.display());
        let mut writable = String::from("[Service]\n");
        let _ = write!(writable, "ReadWritePaths=-{data} -{run}");
        found.push(("windlass-serve.service", writable.clone()));
        found.push(("windlass-router.service", writable));
        found.push(("windlass-base.service", format!("[Service]\nEnvironment=WINDLASS_DATA={data}")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(&'static str, String)> {
        drop_ins(&toml::from_str(text).unwrap())
    }

    #[test]
    fn what_the_units_say_already_needs_no_drop_in() {
        assert!(of("").is_empty());
        assert!(of("[server]\ndomain = \"tools.example\"").is_empty());
    }

    #[test]
    fn the_public_address_and_other_places_become_drop_ins() {
        let expected = "[Socket]\nListenStream=\nListenStream=0.0.0.0:80".to_owned();
        assert_eq!(of("[server]\nlisten = \"0.0.0.0:80\""), [("windlass-router.socket", expected)]);
        let found = of("[paths]\ndata = \"/srv/windlass\"\nrun = \"/run/two\"");
        let text = |unit: &str| &found.iter().find(|(name, _)| *name == unit).unwrap().1;
        assert!(text("windlass-serve.socket").ends_with("ListenStream=/run/two/serve/http.sock"));
        assert!(text("windlass-serve.service").ends_with("ReadWritePaths=-/srv/windlass -/run/two"));
        assert!(text("windlass-base.service").ends_with("WINDLASS_DATA=/srv/windlass"));
        assert_eq!(found.len(), 5);
    }
}
