//! The TOML and JSON files of buildpacks: what is read can be written and is read again as the same.

use cnb::{
    Api, analyzed::Analyzed, build::Build, build_plan::BuildPlan, buildpack::Descriptor, exec_d, file,
    group::Group, label::lifecycle::LifecycleMetadata, launch::Launch, layer::Layer, order::OrderFile,
    plan::Plan, project::Project, store::Store, system::System,
};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

pub(crate) fn run(bytes: &[u8]) {
    let Some((choice, bytes)) = crate::choose(bytes, 14) else { return };
    match choice {
        0 => round_trip::<Project>(bytes),
        1 => {
            if let Ok(descriptor) = Descriptor::read("buildpack.toml", bytes) {
                // Its directory: two words of a path.
                let id = cnb::id::escape(&descriptor.buildpack.id);
                assert!(
                    !id.contains('/') && !id.starts_with('.') && !descriptor.buildpack.version.contains('/')
                );
            }
        }
        2 => {
            let Ok(layer) = Layer::read("layer.toml", bytes) else { return };
            let again = layer.write("layer.toml").unwrap();
            assert_eq!(Layer::read("layer.toml", again.as_bytes()).unwrap(), layer);
            let restored = Layer::restored("layer.toml", &layer.data()).unwrap();
            assert_eq!(
                Layer::read("layer.toml", restored.as_bytes()).unwrap().types,
                cnb::layer::Types::default()
            );
        }
        3 | 4 => {
            let api = if choice == 3 { Api::new(0, 10) } else { Api::new(0, 8) };
            let Ok(launch) = Launch::read("launch.toml", bytes, api, "example/x") else { return };
            for process in &launch.processes {
                assert!(cnb::id::is_process_type(&process.kind) && !process.command[0].is_empty());
            }
            let again = launch.write().unwrap();
            if choice == 3 {
                assert_eq!(Launch::read("launch.toml", again.as_bytes(), api, "example/x").unwrap(), launch);
            }
        }
        5 => round_trip::<Build>(bytes),
        6 => {
            if let Ok(plan) = BuildPlan::read("plan.toml", bytes) {
                assert!(plan.alternatives().all(|s| s.requires.iter().all(|r| !r.name.is_empty())));
            }
        }
        7 => {
            let Ok(store) = Store::read("store.toml", bytes) else { return };
            let again = store.write("store.toml").unwrap();
            assert_eq!(Store::read("store.toml", again.as_bytes()).unwrap(), store);
        }
        8 => {
            let Ok(variables) = exec_d::read("x", bytes) else { return };
            assert!(
                variables.iter().all(|(name, value)| !name.contains(['=', '\0']) && !value.contains('\0'))
            );
        }
        9 => round_trip::<Group>(bytes),
        10 => round_trip::<OrderFile>(bytes),
        11 => round_trip::<Plan>(bytes),
        12 => {
            round_trip::<Analyzed>(bytes);
            round_trip::<System>(bytes);
        }
        _ => {
            let Ok(label) = serde_json::from_slice::<LifecycleMetadata>(bytes) else { return };
            let again = serde_json::to_vec(&label).unwrap();
            assert_eq!(serde_json::from_slice::<LifecycleMetadata>(&again).unwrap(), label);
        }
    }
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = file::read::<T>("file", bytes) else { return };
    let written = file::write("file", &value).unwrap();
    assert_eq!(file::read::<T>("file", written.as_bytes()).unwrap(), value, "{written}");
}
