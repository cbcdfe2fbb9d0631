//! Tests that need not run: the same source passed them before, on whichever branch.

use crate::{Line, build, line::StationError, step_log::StepLog};
use model::{Digest, run::StepKind};
use serde_json::{Value, json};
use store::{Run, StoreError};

/// The outputs of the run that passed, now those of this run too; `None` when the tests must run.
pub(super) async fn passed_already(
    line: &Line,
    run: &Run,
    recipe: Option<&Digest>,
    log: &mut StepLog,
) -> Result<Option<Value>, StationError> {
    let Some(recipe) = recipe else { return Ok(None) };
    let Some(passed) = line.store.pass_of(run.tool, recipe).await? else { return Ok(None) };
    if build::reuse::asked_for(line, run).await? {
        return Ok(None);
    }
    let passed = match line.store.run(passed).await {
        Err(StoreError::NotFound(_)) => return Ok(None),
        passed => passed?,
    };
    let Some(mut outputs) = line.store.outputs(passed.id).await?.remove(&StepKind::Test) else {
        return Ok(None);
    };
    let count = outputs["passed"].as_u64().map(|passed| format!(": {passed} passed")).unwrap_or_default();
    let text = format!("the same source as run {}{count}", passed.number);
    log.say(&text);
    outputs["line"] = json!(text);
    outputs["same_as"] = json!(passed.number);
    outputs["ran"] = json!(false);
    Ok(Some(outputs))
}
