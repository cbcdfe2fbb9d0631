//! Every directory of the platform with its owner and mode. Who may write where stands here and nowhere else.

use anyhow::{Context, Result};
use model::{Instance, Paths, instance::RangeIndex};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::PathBuf,
};

/// Makes what is missing and mends what is there.
pub(super) fn prepare(paths: &Paths, instance: Instance) -> Result<()> {
    let (serve, store) = (instance.serve_id(), instance.first_id(RangeIndex::STORE));
    let (router, git) = (instance.router_id(), instance.git_id());
    let data = |name: &str| paths.data.join(name);
    let run = |name: &str| paths.run.join(name);
    // Everything of the platform's own processes has serve's group: router and git are told apart by user.
    let mut places: Vec<(PathBuf, u32, u32, u32)> = vec![
        (paths.data.clone(), 0, 0, 0o755),
        (data("db"), serve, serve, 0o700),
        (data("keys"), serve, serve, 0o700),
        // Set-group-id: what serve makes in here stays writable for the router, which adds its rows.
        (data("logs"), serve, serve, 0o2770),
        (data("router"), router, serve, 0o750),
        (data("git"), git, serve, 0o750),
        (data("base"), 0, 0, 0o755),
        (data("blobs"), store, store, 0o755),
        (paths.blobs(), store, store, 0o755),
        (paths.uploads(), serve, serve, 0o700),
        (data("layers"), store, store, 0o755),
        (data("scratch"), store, store, 0o755),
        (data("sandboxes"), 0, 0, 0o711),
        (paths.run.clone(), 0, 0, 0o755),
        (run("sandboxes"), 0, 0, 0o711),
        (run("serve"), serve, serve, 0o750),
        (run("router"), router, serve, 0o750),
    ];
    // Workers put the blobs of builds here, serve those that clients push; it also removes what nothing names.
    places.extend((0..=0xff).map(|n| (paths.blobs().join(format!("{n:02x}")), store, serve, 0o775)));
    for (place, user, group, mode) in places {
        let what = || format!("cannot prepare {}", place.display());
        fs::create_dir_all(&place).with_context(what)?;
        chown(&place, Some(user), Some(group)).with_context(what)?;
        fs::set_permissions(&place, Permissions::from_mode(mode)).with_context(what)?;
    }
    let link = paths.run_link();
    if fs::read_link(&link).ok().as_ref() != Some(&paths.run) {
        let what = || format!("cannot prepare {}", link.display());
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(what),
            _ => symlink(&paths.run, &link).with_context(what)?,
        }
    }
    Ok(())
}
