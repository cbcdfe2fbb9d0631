//! Which streams a reader asked for, and which of them there are by now.

use model::{LogStream, Problem, ProcessType};
use std::{collections::BTreeMap, fs, io, path::Path, str::FromStr};

/// Where to go on in streams that were read before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursors(BTreeMap<LogStream, u64>);

impl Cursors {
    pub(crate) fn insert(&mut self, stream: LogStream, offset: u64) {
        self.0.insert(stream, offset);
    }

    pub(super) fn get(&self, stream: &LogStream) -> Option<u64> {
        self.0.get(stream).copied()
    }
}

/// `process/web.1@1234,router@99`
impl FromStr for Cursors {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let mut cursors = Self::default();
        for part in text.split(',').filter(|part| !part.is_empty()).take(100) {
            let read = part
                .rsplit_once('@')
                .and_then(|(stream, offset)| Some((stream.parse::<LogStream>().ok()?, offset.parse().ok()?)));
            let (stream, offset) = read.ok_or_else(|| {
                crate::bad_request(
                    "this is no place in a log",
                    "write `<stream>@<offset>`, such as `router@99`",
                )
            })?;
            cursors.insert(stream, offset);
        }
        Ok(cursors)
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// These, in this order, those too that are not there yet.
    Streams(Vec<LogStream>),
    /// All copies of one process.
    Copies(ProcessType),
    /// All processes and the router.
    Running,
}

impl Source {
    /// The streams that may have rows now.
    pub(super) fn streams(&self, directory: &Path) -> io::Result<Vec<LogStream>> {
        match self {
            Self::Streams(streams) => Ok(streams.clone()),
            Self::Copies(wanted) => Ok(processes(directory)?
                .into_iter()
                .filter(|stream| matches!(stream, LogStream::Process { process, .. } if process == wanted))
                .collect()),
            Self::Running => {
                let mut streams = processes(directory)?;
                streams.push(LogStream::Router);
                Ok(streams)
            }
        }
    }
}

fn processes(directory: &Path) -> io::Result<Vec<LogStream>> {
    let entries = match fs::read_dir(directory.join("process")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut streams = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        // Side files of the log's own keeping lie beside the streams.
        if let Some(Ok(stream)) = name.strip_suffix(".log").map(|copy| format!("process/{copy}").parse()) {
            streams.push(stream);
        }
    }
    streams.sort();
    Ok(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_as_the_client_writes_them() {
        let cursors: Cursors = "process/web.1@1234,router@99".parse().unwrap();
        assert_eq!(cursors.get(&LogStream::Router), Some(99));
        assert_eq!(cursors.get(&"process/web.1".parse().unwrap()), Some(1234));
        assert_eq!(cursors.get(&"process/web.2".parse().unwrap()), None);
        assert_eq!("".parse::<Cursors>(), Ok(Cursors::default()));
        for bad in ["router", "router@", "router@-1", "elsewhere@1", "process/../x.1@1"] {
            assert_eq!(bad.parse::<Cursors>().unwrap_err().status, 422, "{bad}");
        }
    }

    #[test]
    fn the_copies_of_a_process_are_found_by_their_files() {
        let directory = tempfile::tempdir().unwrap();
        let of = |source: &Source| -> Vec<String> {
            source.streams(directory.path()).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(&Source::Running), ["router"], "nothing ran yet");
        fs::create_dir(directory.path().join("process")).unwrap();
        for name in ["web.1.log", "web.2.log", "web.1.log.start", "worker.1.log", "notes"] {
            fs::write(directory.path().join("process").join(name), "").unwrap();
        }
        assert_eq!(of(&Source::Running), ["process/web.1", "process/web.2", "process/worker.1", "router"]);
        assert_eq!(of(&Source::Copies("web".parse().unwrap())), ["process/web.1", "process/web.2"]);
    }
}
