//! `Procfile`: one `<type>: <command>` a line, as Heroku reads it (devcenter.heroku.com/articles/procfile).
//! Unlike there, a line that is neither a process, a comment nor empty is an error: silence would hide a typing slip.

use crate::text::{decode, problem, shown};
use model::{Problem, ProcessType};

/// Most processes of one Procfile.
const MAX_PROCESSES: usize = 64;
/// Longest command in bytes.
const MAX_COMMAND_BYTES: usize = 8 * 1024;

/// One line of a Procfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub process_type: ProcessType,
    /// Trimmed, never empty, without NUL.
    pub command: String,
}

/// Reads a Procfile: its processes in the order of the file.
///
/// # Errors
/// `plan-procfile` with the line, `plan-file-encoding`.
pub fn parse(bytes: &[u8]) -> Result<Vec<Process>, Problem> {
    let mut processes: Vec<Process> = Vec::new();
    for (index, line) in decode("Procfile", bytes)?.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let process = parse_line(line).map_err(|what| bad(index + 1, &what))?;
        if processes.iter().any(|other| other.process_type == process.process_type) {
            return Err(bad(index + 1, &format!("`{}` stands here a second time", process.process_type)));
        }
        processes.push(process);
        if processes.len() > MAX_PROCESSES {
            return Err(bad(index + 1, &format!("there are more than {MAX_PROCESSES} processes")));
        }
    }
    Ok(processes)
}

fn parse_line(line: &str) -> Result<Process, String> {
    let Some((name, command)) = line.split_once(':') else {
        return Err(format!("`{}` is not `<type>: <command>`", shown(line, 60)));
    };
    // Heroku's grammar has no dot, and a trailing blank before the colon is not part of the name.
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let process_type = Some(name.trim_end())
        .filter(|name| name.bytes().all(letters))
        .and_then(|name| name.parse::<ProcessType>().ok())
        .ok_or_else(|| {
            format!("`{}` is not a process type: use letters, digits, `-` and `_`", shown(name, 60))
        })?;
    let command = command.trim();
    if command.is_empty() {
        return Err(format!("`{process_type}` has no command"));
    }
    if command.len() > MAX_COMMAND_BYTES || command.contains('\0') {
        return Err(format!("the command of `{process_type}` is too long or holds a NUL character"));
    }
    Ok(Process { process_type, command: command.to_owned() })
}

fn bad(line: usize, what: &str) -> Problem {
    problem("plan-procfile", "Procfile cannot be read", format!("Procfile line {line}: {what}"))
        .hint("a line reads `web: gunicorn app:app`; a comment starts with `#`")
}

/// The program that a command line starts, for people: `gunicorn` of `exec env/bin/gunicorn app:app`.
pub(crate) fn program(command: &str) -> String {
    let assignment = |word: &&str| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let word =
        command.split_whitespace().find(|word| *word != "exec" && !assignment(word)).unwrap_or(command);
    shown(word.rsplit('/').next().unwrap_or(word), 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Vec<(String, String)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|p| (p.process_type.to_string(), p.command)).collect()
    }

    fn error(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().detail
    }

    #[test]
    fn processes_come_in_the_order_of_the_file_whatever_its_line_ends() {
        let text =
            "\u{feff}# a comment\r\n\r\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\r\nworker:python w.py\r\n";
        let expected = [("web", "gunicorn app:app --bind 0.0.0.0:$PORT"), ("worker", "python w.py")];
        assert_eq!(types(text), expected.map(|(t, c)| (t.to_owned(), c.to_owned())));
        assert_eq!(types("redis-cli: /layers/bin/redis-cli")[0].1, "/layers/bin/redis-cli");
        assert!(types("").is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        assert_eq!(error("web: a\n\nweb: b"), "Procfile line 3: `web` stands here a second time");
        assert_eq!(error("web: a\nnpm start"), "Procfile line 2: `npm start` is not `<type>: <command>`");
        assert_eq!(error("web:  "), "Procfile line 1: `web` has no command");
        assert!(error("../x: a").starts_with("Procfile line 1: `../x` is not a process type"));
        assert!(error("-x: a").contains("not a process type"));
        assert!(error(&format!("web: {}", "x".repeat(9000))).contains("too long"));
        assert_eq!(parse(b"web: a\nw\xff: b").unwrap_err().detail, "`Procfile` line 2 is not UTF-8");
        assert!(!error("we\x1b[31mb: a").contains('\x1b'));
    }

    #[test]
    fn the_program_of_a_command_is_its_last_path_part() {
        assert_eq!(program("gunicorn app:app"), "gunicorn");
        assert_eq!(program("exec env/bin/gunicorn app:app"), "gunicorn");
        assert_eq!(program("WORKERS=2 ./scripts/start.sh"), "start.sh");
    }
}
