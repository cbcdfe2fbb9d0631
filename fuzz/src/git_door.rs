//! What git's hooks, git's own answers and git's clients send to the git door.

use git::{
    fuzzing,
    hook::{Question, Reply},
};

/// Most that a body may unpack to here.
const MAX_BODY_BYTES: usize = 64 * 1024;

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = crate::choose(bytes, 6) else { return };
    match choice {
        0 => {
            let Ok((commands, options, answer)) = fuzzing::proc_receive(bytes) else { return };
            assert!(answer.starts_with(b"00") && answer.ends_with(b"0000"));
            // Each took a packet of at least four bytes.
            assert!((commands.len() + options.len()) * 4 <= bytes.len());
        }
        1 => {
            let Ok(commands) = fuzzing::pre_receive(bytes) else { return };
            for command in commands {
                assert!(!command.old.contains(' ') && !command.new.contains(' '));
                assert!(!command.name.contains('\n'));
            }
        }
        2 => {
            if let Ok(question) = serde_json::from_slice::<Question>(bytes) {
                let again = serde_json::to_string(&question).unwrap();
                // The protocol is one line.
                assert!(!again.contains('\n'));
                let read: Question = serde_json::from_str(&again).unwrap();
                assert_eq!((read.commands, read.options), (question.commands, question.options));
            }
            if let Ok(reply) = serde_json::from_slice::<Reply>(bytes) {
                assert!(!serde_json::to_string(&reply).unwrap().contains('\n'));
            }
        }
        3 => {
            let names = ["Procfile", "project.toml", "app.py"];
            let Some(files) = fuzzing::batch(bytes, &names, 1000) else { return };
            assert!(files.values().all(|file| file.len() <= 1000));
            assert!(files.values().map(Vec::len).sum::<usize>() <= bytes.len());
        }
        4 => {
            let token = model::authorization::token([bytes]);
            assert!(token.is_err() || token.is_ok_and(|token| token.is_some_and(|token| !token.is_empty())));
            let reason = fuzzing::reason(&String::from_utf8_lossy(bytes));
            assert!(reason.chars().count() <= 120);
            crate::is_harmless(&reason);
        }
        _ => {
            if let Some(body) = fuzzing::unzipped(bytes, MAX_BODY_BYTES) {
                assert!(body.len() <= MAX_BODY_BYTES);
            }
        }
    }
}
