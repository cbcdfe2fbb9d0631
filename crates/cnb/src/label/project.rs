//! `io.buildpacks.project.metadata`: project-metadata.toml as JSON (platform specification).

use crate::project_metadata::ProjectMetadata;

/// The label's text.
pub fn text(project: &ProjectMetadata) -> String {
    serde_json::json!(project).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_label_is_the_file_as_json() {
        let project = ProjectMetadata::git("3f2a9c1", "main");
        let label: serde_json::Value = serde_json::from_str(&text(&project)).unwrap();
        assert_eq!(
            label,
            json!({"source": {"type": "git", "version": {"commit": "3f2a9c1"}, "metadata": {"refs": ["main"]}}})
        );
    }
}
