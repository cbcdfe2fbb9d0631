//! Every target over its seeds, so that none rots between two runs of `make fuzz`.

#![allow(clippy::unwrap_used, reason = "helpers of tests: they fail by panicking")]

use std::{collections::BTreeSet, fs, path::Path};
use windlass_fuzz::TARGETS;

#[test]
fn every_target_holds_its_promises_for_every_seed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        let mut seeds = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            println!("{}", path.display());
            (target.run)(&bytes);
            // Cut anywhere and with one byte changed: the shortest way from a seed to something damaged.
            for place in 0..bytes.len().min(2048) {
                (target.run)(&bytes[..place]);
                let mut changed = bytes.clone();
                changed[place] ^= 1 << (place % 8);
                (target.run)(&changed);
            }
            seeds += 1;
        }
        assert!(seeds > 0, "{} has no seed", target.name);
    }
}

#[test]
fn every_folder_of_seeds_has_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let folders: BTreeSet<String> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, targets);
}
