//! The program of `make fuzz`: libFuzzer around one target, which `WINDLASS_FUZZ_TARGET` names.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<windlass_fuzz::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var("WINDLASS_FUZZ_TARGET").unwrap_or_default();
        windlass_fuzz::named(&name).unwrap_or_else(|| panic!("there is no target `{name}`"))
    });
    (target.run)(bytes);
});
