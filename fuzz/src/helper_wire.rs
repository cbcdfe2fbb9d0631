//! Requests to the helper: what it accepts reads back as it was, and nothing a caller names becomes an option of git
//! or steers a linker.

use sandbox::{
    fuzzing,
    request::{MAX_MESSAGE_BYTES, Request, Worker},
};

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = crate::choose(bytes, 2) else { return };
    let framed = if choice == 0 {
        let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        framed.extend(bytes);
        framed
    } else {
        bytes.to_vec()
    };
    let Ok(Some(request)) = fuzzing::receive(&framed) else { return };
    assert!(framed.len() >= 4);
    if let Ok(again) = fuzzing::send(&request) {
        assert!(again.len() <= MAX_MESSAGE_BYTES + 4);
        assert_eq!(fuzzing::receive(&again).unwrap().unwrap(), request);
    }
    match request {
        Request::Create(spec) if fuzzing::check(&spec).is_ok() => {
            assert!(spec.user_id != 0 && spec.group_id != 0);
            assert!(spec.cwd.starts_with('/') && !spec.cwd.split('/').any(|part| part == ".."));
            assert!(spec.env.iter().all(|(name, _)| !name.starts_with("LD_") && !name.contains('=')));
        }
        Request::Worker(Worker::Git { service, config, env, .. }) => {
            if let Ok(arguments) = fuzzing::git_arguments(&service) {
                let ours = |word: &str| {
                    matches!(word, "--" | "-r" | "-l" | "-z" | "-v" | "--quiet" | "--bare" | "--strict")
                        || matches!(word, "--stateless-rpc" | "--http-backend-info-refs" | "--no-deref")
                        || matches!(word, "--batch" | "--full-tree" | "--is-ancestor" | "--format=tar")
                        || matches!(word, "--initial-branch=main" | "--prefix=workspace/")
                };
                assert!(arguments.iter().all(|word| !word.starts_with('-') || ours(word)), "{arguments:?}");
                assert!(!arguments.iter().any(|word| word.contains(['\0', '\n', ' '])), "{arguments:?}");
            }
            if let Ok(environment) = fuzzing::git_environment(&config, &env) {
                let programs = ["core.fsmonitor", "core.sshcommand", "uploadpack.packobjectshook"];
                for (name, value) in environment {
                    assert!(!name.starts_with("LD_") && !name.contains('='), "{name}");
                    assert!(!name.contains('\0') && !value.contains('\0'));
                    let key = name.starts_with("GIT_CONFIG_KEY_");
                    assert!(!key || !programs.contains(&value.to_ascii_lowercase().as_str()), "{value}");
                }
            }
        }
        _ => {}
    }
}
