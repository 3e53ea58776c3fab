//! What `ARCHITECTURE.md` states about the source, held to the source.

use std::fs;
use std::path::{Path, PathBuf};

use redeploy_on_rotation::config::VARIABLES;
use redeploy_on_rotation::event::Kind;
use redeploy_on_rotation::report::{LogContext, Outcome, Report};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every source file below `src`, with its text up to its tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut directories = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                sources.push((path.strip_prefix(root()).unwrap().to_owned(), code));
            }
        }
    }
    assert!(sources.len() > 10);
    sources
}

#[test]
fn only_the_aws_module_names_the_sdk() {
    for (path, code) in sources() {
        let names_sdk = ["aws_sdk_", "aws_config", "aws_smithy"].iter().any(|name| code.contains(name));
        assert!(!names_sdk || path.starts_with("src/aws"), "{}", path.display());
    }
}

#[test]
fn the_pure_core_does_no_io_and_reads_no_clock_and_no_environment() {
    let pure = ["arn", "secret", "service", "event", "plan", "report", "config"];
    for module in pure {
        let code = read(&format!("src/{module}.rs"));
        let code = code.split("#[cfg(test)]").next().unwrap();
        let impure = ["std::env", "std::fs", "std::net", "std::io", "std::time::Instant", "SystemTime", "::now()"];
        let impure =
            impure.into_iter().chain(["tokio", "async ", "println!", "tracing", "crate::aws", "crate::handler"]);
        for word in impure {
            assert!(!code.contains(word), "src/{module}.rs names {word}");
        }
    }
}

#[test]
fn no_code_path_can_read_a_value() {
    for (path, code) in sources() {
        let code = code.to_lowercase();
        for call in ["get_secret_value", "getsecretvalue", "get_parameter", "getparameter", ".decrypt("] {
            assert!(!code.contains(call), "{} names {call}", path.display());
        }
    }
}

#[test]
fn every_variable_is_in_the_readme() {
    let readme = read("README.md");
    for variable in VARIABLES {
        assert!(readme.contains(&format!("| `{variable}` |")), "{variable}");
    }
    let named = readme
        .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("REDEPLOY_") && *word != "REDEPLOY_");
    for word in named {
        assert!(VARIABLES.contains(&word), "the README names {word}");
    }
}

/// What a text has between quotes, as far as it is an action of AWS that the function might call.
fn actions<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let is_action = |text: &&str| {
        let services = ["ecs", "secretsmanager", "tag", "ssm", "cloudtrail"];
        let name = text.split_once(':').filter(|(service, _)| services.contains(service));
        name.is_some_and(|(_, name)| name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains(' '))
    };
    let mut actions: Vec<_> = texts.filter(is_action).collect();
    actions.sort_unstable();
    actions
}

#[test]
fn every_operation_has_its_permission_and_none_is_for_nothing() {
    let aws = sources().into_iter().filter(|(path, _)| path.starts_with("src/aws"));
    let aws: String = aws.map(|(_, code)| code).collect();
    let mut called = actions(aws.split('"').skip(1).step_by(2));
    called.dedup();
    let readme = read("README.md");
    assert_eq!(actions(readme.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next())), called);
    let iam = read("infra/iam.tf");
    let allowed = iam
        .split("Effect")
        .filter(|statement| statement.trim_start().trim_start_matches(['=', ' ']).starts_with("\"Allow"));
    assert_eq!(actions(allowed.flat_map(|statement| statement.split('"').skip(1).step_by(2))), called);
}

#[test]
fn the_dashboard_and_the_alarms_name_only_metrics_that_a_report_has() {
    let report = Report::new(Kind::Sweep, Outcome::NothingToDo, "");
    let context =
        LogContext { timestamp: jiff::Timestamp::UNIX_EPOCH, request_id: "", function_name: "", duration_ms: 0 };
    let line: Value = serde_json::from_str(&report.log_line(&context)).unwrap();
    let emitted = &line["_aws"]["CloudWatchMetrics"][0];
    let emitted: Vec<_> = emitted["Metrics"].as_array().unwrap().iter().map(|metric| &metric["Name"]).collect();
    let dashboard: Value = serde_json::from_str(&read("infra/dashboard.json")).unwrap();
    let widgets = dashboard["widgets"].as_array().unwrap().iter();
    let metrics: Vec<_> = widgets.filter_map(|widget| widget["properties"]["metrics"].as_array()).flatten().collect();
    for metric in &metrics {
        assert_eq!((&metric[0], &metric[2]), (&"RedeployOnRotation".into(), &"FunctionName".into()));
        assert!(emitted.contains(&&metric[1]) && line[metric[1].as_str().unwrap()].is_number(), "{metric}");
    }
    assert!(metrics.len() >= emitted.len());
    let observability = read("infra/observability.tf");
    let alarms: Vec<_> = observability.split("\"RedeployOnRotation\"\n").skip(1).collect();
    assert!(alarms.len() >= 2);
    for alarm in alarms {
        let metric = alarm.split('"').nth(1).unwrap();
        assert!(emitted.iter().any(|name| *name == metric), "{metric}");
    }
}

#[test]
fn the_core_is_small() {
    let pure = ["arn", "secret", "service", "event", "plan", "report", "config"];
    let is_code = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let code = |module| {
        read(&format!("src/{module}.rs")).split("#[cfg(test)]").next().unwrap().lines().filter(is_code).count()
    };
    let lines: usize = pure.map(code).iter().sum();
    assert!(lines < 1500, "the pure core has {lines} lines of code");
}
