//! The variables of a build for tests, and of the tests' process. Neither holds a secret.

use lifecycle::testing::{EXEC_ENV, REPORT};
use pipeline::Plan;
use store::{Run, Tool};

type Variables = Vec<(String, String)>;

/// What buildpacks see. Those of a Buildpack API before 0.12 are told the execution environment like this.
pub(super) fn of_build(plan: &Plan) -> Variables {
    let mut variables = plan.build_env.clone();
    variables.push(("CNB_EXEC_ENV".to_owned(), EXEC_ENV.to_owned()));
    variables
}

/// What the tests see: project.toml's variables, then ours, which win.
pub(super) fn of_tests(tool: &Tool, run: &Run, plan: &Plan) -> Variables {
    let mut variables = plan.build_env.clone();
    variables.extend(plan.launch_env.iter().cloned());
    let own = variables.iter().rev().find(|(name, _)| name == "PYTEST_ADDOPTS");
    // xunit1 alone says in which file a test stands.
    let report = format!("--junit-xml={REPORT} -o junit_family=xunit1");
    let pytest = own.map_or_else(|| report.clone(), |(_, own)| format!("{own} {report}"));
    let ours = [
        ("PYTEST_ADDOPTS", pytest.as_str()),
        ("WINDLASS_TEST_REPORT", REPORT),
        ("CI", "true"),
        ("CNB_EXEC_ENV", EXEC_ENV),
        ("WINDLASS_ENVIRONMENT", EXEC_ENV),
        ("WINDLASS_TOOL", tool.name.as_str()),
        ("WINDLASS_COMMIT", run.commit.as_str()),
        ("PYTHONUNBUFFERED", "1"),
        // Bytecode of tests is nobody's afterwards.
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    variables.retain(|(name, _)| !ours.iter().any(|(other, _)| other == name));
    variables.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}
