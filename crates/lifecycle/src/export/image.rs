//! The image's documents: its config with environment, entrypoint and labels, and its manifest
//! (platform specification, "Exporter", outputs).

use super::{
    ExportError, LAYERS_DIRECTORY, Previous, ProcessRow, Report, Request,
    content::Content,
    layer::{LAUNCHER, Made, PROCESS_DIRECTORY},
};
use cnb::{
    Api,
    label::{self, build, lifecycle},
};
use layers::{Published, Store};
use lifecycle::LifecycleMetadata;
use model::Digest;
use oci::{History, ImageConfig};

/// The time of every image and layer, so that equal inputs make equal images (platform specification, "Exporter").
const CREATED: &str = "1980-01-01T00:00:01Z";
/// Registries and our store accept documents of 4 MiB; the rest of a config is small.
const MAX_LABEL_BYTES: usize = 2 * 1024 * 1024;
/// When the run image says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The documents in the store.
pub(super) struct Written {
    digest: Digest,
    manifest_bytes: u64,
    config: Digest,
    config_bytes: u64,
}

/// Writes config and manifest; gives back the metadata that now stands in the image's label.
pub(super) fn write(
    request: &Request,
    store: &Store,
    content: &Content,
    made: &Made,
    mut metadata: LifecycleMetadata,
    default_process: Option<&str>,
) -> Result<(Written, LifecycleMetadata), ExportError> {
    let mut config = base_config(request)?;
    metadata.run_image = Some(lifecycle::RunImage {
        top_layer: request.run_image.layers.last().map(|top| top.diff_id.0.to_string()).unwrap_or_default(),
        reference: request.run_image.digest.to_string(),
        image: request.run_image.name.clone(),
        mirrors: Vec::new(),
    });
    let names = lifecycle::StackRunImage { image: request.run_image.name.clone(), mirrors: Vec::new() };
    metadata.stack = Some(lifecycle::Stack { run_image: names });

    set_start(&mut config, request, default_process);
    set_labels(&mut config, request, content, &metadata)?;
    config.history.extend(made.layers.iter().map(|(_, text)| history(text)));

    let base = request.run_image.layers.iter().map(|l| published(l.diff_id, l.blob, l.blob_bytes));
    let own = made.layers.iter().map(|(row, _)| published(row.diff_id, row.blob, row.blob_bytes));
    let image = store.write_image(config, &base.chain(own).collect::<Vec<_>>())?;
    let written = Written {
        digest: image.digest,
        manifest_bytes: oci::canonical_json(&image.manifest)?.len() as u64,
        config: image.manifest.config.digest,
        config_bytes: image.manifest.config.size,
    };
    Ok((written, metadata))
}

/// What an image's documents say of a layer; they do not ask for its tree.
fn published(diff_id: model::DiffId, blob_digest: Digest, blob_bytes: u64) -> Published {
    Published { diff_id, blob_digest, blob_bytes, tree_bytes: 0, inodes: 0 }
}

fn base_config(request: &Request) -> Result<ImageConfig, ExportError> {
    let base = &request.run_image;
    let mut config: ImageConfig = serde_json::from_value(base.config.clone())
        .map_err(|error| ExportError::RunImage(format!("its config is not one: {error}")))?;
    let layers: Vec<_> = base.layers.iter().map(|layer| layer.diff_id).collect();
    if layers.is_empty() || config.rootfs.diff_ids != layers {
        let text = format!(
            "its config names {} layers, and they are not the {} that it has",
            config.rootfs.diff_ids.len(),
            layers.len()
        );
        return Err(ExportError::RunImage(text));
    }
    config.created = Some(CREATED.to_owned());
    // One entry for each layer, or tools that read histories count wrong.
    if config.history.iter().filter(|entry| !entry.empty_layer).count() != layers.len() {
        config.history = layers.iter().map(|_| history("")).collect();
    }
    Ok(config)
}

fn history(text: &str) -> History {
    History { created: Some(CREATED.to_owned()), created_by: text.to_owned(), ..History::default() }
}

fn set_start(config: &mut ImageConfig, request: &Request, default_process: Option<&str>) {
    for (name, value) in &request.env {
        config.set_env(name, value);
    }
    let path = config.env("PATH").unwrap_or(DEFAULT_PATH).to_owned();
    for (name, value) in [
        ("CNB_LAYERS_DIR", LAYERS_DIRECTORY),
        ("CNB_APP_DIR", &request.app_dir),
        ("CNB_PLATFORM_API", &Api::PLATFORM.to_string()),
        ("CNB_DEPRECATION_MODE", "quiet"),
        // Process types first, so that a process can start another by its name.
        ("PATH", &format!("{PROCESS_DIRECTORY}:/cnb/lifecycle:{path}")),
    ] {
        config.set_env(name, value);
    }
    let execution = &mut config.config;
    let entrypoint =
        default_process.map_or(LAUNCHER.to_owned(), |kind| format!("{PROCESS_DIRECTORY}/{kind}"));
    execution.entrypoint = Some(vec![entrypoint]);
    execution.cmd = None;
    request.app_dir.clone_into(&mut execution.working_dir);
    if execution.user.is_empty() {
        execution.user = format!("{}:{}", request.user_id, request.group_id);
    }
}

/// Ours last: a buildpack may label the image, but not forge what a rebase and a rebuild go by.
fn set_labels(
    config: &mut ImageConfig,
    request: &Request,
    content: &Content,
    metadata: &LifecycleMetadata,
) -> Result<(), ExportError> {
    for (key, value) in &request.labels {
        config.set_label(key, value);
    }
    for label in &content.metadata.labels {
        config.set_label(&label.key, &label.value);
    }
    config.set_label(label::LIFECYCLE_METADATA, serde_json::to_string(metadata)?);
    config.set_label(label::BUILD_METADATA, serde_json::to_string(&build_metadata(content))?);
    match &request.project {
        Some(project) => config.set_label(label::PROJECT_METADATA, label::project::text(project)),
        None => config.set_label(label::PROJECT_METADATA, "{}"),
    }
    let labels = config.config.labels.iter().flatten();
    let found_bytes = labels.map(|(key, value)| key.len() + value.len()).sum();
    if found_bytes > MAX_LABEL_BYTES {
        return Err(ExportError::Labels { found_bytes, max_bytes: MAX_LABEL_BYTES });
    }
    Ok(())
}

fn build_metadata(content: &Content) -> build::BuildMetadata {
    let module = |member: &cnb::group::Member| build::Module {
        id: member.id.clone(),
        version: member.version.clone(),
        homepage: member.homepage.clone(),
    };
    let process = |process: &cnb::process::Process| build::LabelProcess {
        kind: process.kind.clone(),
        command: process.command.clone(),
        args: process.args.clone(),
        direct: process.direct,
        buildpack_id: process.buildpack_id.clone(),
        working_dir: process.working_dir.clone(),
        exec_env: process.exec_env.clone(),
    };
    build::BuildMetadata {
        buildpacks: content.metadata.buildpacks.iter().map(module).collect(),
        extensions: content.metadata.extensions.iter().map(module).collect(),
        launcher: build::Launcher {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            source: build::Source::default(),
        },
        processes: content.metadata.processes.iter().map(process).collect(),
        default_process: content.metadata.buildpack_default_process_type.clone(),
    }
}

impl Written {
    /// The answer of the export.
    pub(super) fn report(
        self,
        request: &Request,
        made: Made,
        content: Content,
        default_process: Option<String>,
        next: Previous,
    ) -> Report {
        let layers: Vec<_> = made.layers.into_iter().map(|(row, _)| row).collect();
        let own_bytes: u64 = layers.iter().map(|row| row.blob_bytes).sum();
        let base_bytes: u64 = request.run_image.layers.iter().map(|layer| layer.blob_bytes).sum();
        let processes = content.metadata.processes.into_iter().map(|process| ProcessRow {
            kind: process.kind,
            command: process.command,
            args: process.args,
            direct: process.direct,
            working_dir: process.working_dir,
            buildpack: process.buildpack_id,
        });
        let buildpacks = content.metadata.buildpacks.iter();
        Report {
            digest: self.digest,
            manifest_bytes: self.manifest_bytes,
            config: self.config,
            config_bytes: self.config_bytes,
            new_bytes: layers.iter().filter(|row| !row.reused).map(|row| row.blob_bytes).sum(),
            layers,
            cache_layers: made.cache_layers,
            processes: processes.collect(),
            default_process,
            buildpacks: buildpacks.map(|member| format!("{}@{}", member.id, member.version)).collect(),
            total_bytes: base_bytes + own_bytes,
            next,
        }
    }
}
