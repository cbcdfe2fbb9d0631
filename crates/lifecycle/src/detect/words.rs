//! How a failed detection is told: whom was asked, what each looked for, what each said.

use super::{Nothing, Outcome, Probe};
use std::fmt;

impl fmt::Display for Nothing {
    /// Words of buildpacks stand at the start of lines, as they were printed: the platform knows some by their marks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "No buildpack groups passed detection. These were asked:")?;
        for probe in &self.probes {
            writeln!(f, "{probe}")?;
            let said = probe.said.trim_end();
            if !said.is_empty() && probe.outcome != Outcome::Passed {
                writeln!(f, "{said}")?;
            }
        }
        for reason in &self.reasons {
            writeln!(f, "They do not fit together: {reason}")?;
        }
        f.write_str(if self.error {
            "A buildpack could not judge this source."
        } else {
            "None of them fits this source."
        })
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "- {}", self.name)?;
        if !self.description.is_empty() {
            write!(f, " ({})", self.description)?;
        }
        match &self.outcome {
            Outcome::Passed => f.write_str(": passed"),
            Outcome::Failed => f.write_str(": found nothing to do"),
            Outcome::Error(text) => write!(f, ": {text}"),
        }
    }
}
