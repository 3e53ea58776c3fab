//! What the documents and the Terraform module state about the source, held to the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use redeploy_core::config::VARIABLES;
use redeploy_core::emf::LogContext;
use redeploy_core::event::TriggerKind;
use redeploy_core::report::{Outcome, Report};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Where the command line asks AWS what only a person wants to know.
const OPERATOR: [&str; 2] = ["cli/src/operator", "cli/src/operator"];

fn is_of_the_operator(path: &Path) -> bool {
    OPERATOR.iter().any(|directory| path.starts_with(directory))
}

/// Every source file of the three packages, with its text up to its tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut directories: Vec<_> = ["core/src", "src", "cli/src"]
        .map(|source| root().join(source))
        .into();
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
        let names_sdk = ["aws_sdk_", "aws_config", "aws_smithy"]
            .iter()
            .any(|name| code.contains(name));
        assert!(
            !names_sdk || path.starts_with("src/aws") || is_of_the_operator(&path),
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_pure_code_does_no_io_and_reads_no_clock_and_no_environment() {
    let is_pure = |(path, _): &(PathBuf, String)| {
        path.starts_with("core/src")
            || (path.starts_with("cli/src/doctor") && !path.ends_with("command.rs"))
    };
    for (path, code) in sources().into_iter().filter(is_pure) {
        let impure = [
            "std::env",
            "std::fs",
            "std::net",
            "std::io",
            "std::time::Instant",
            "SystemTime",
            "::now()",
        ];
        for word in impure.into_iter().chain([
            "tokio",
            "async ",
            "println!",
            "tracing",
            "redeploy_on_rotation::",
        ]) {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn no_code_path_can_read_a_value() {
    const CALLS: [&str; 3] = ["get_secret_value", "get_parameter", ".decrypt("];
    for (path, code) in sources() {
        // The doctor is pure and can call nothing; it names, in the words of IAM, the permissions that a task needs.
        let in_words = if path.starts_with("cli/src/doctor") {
            [].as_slice()
        } else {
            &["getsecretvalue", "getparameter"]
        };
        let code = code.to_lowercase();
        for call in CALLS.iter().chain(in_words) {
            assert!(!code.contains(call), "{} names {call}", path.display());
        }
    }
}

#[test]
fn no_file_has_more_than_400_lines_of_code() {
    let tests = ["tests.rs", "testing.rs", "properties.rs", "account.rs"];
    for (path, code) in sources() {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        if !is_rust || tests.iter().any(|test| path.ends_with(test)) {
            continue;
        }
        let lines = code.lines().map(str::trim);
        let lines = lines
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count();
        assert!(lines <= 400, "{} has {lines} lines of code", path.display());
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

/// What people read.
const PAGES: [&str; 19] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/RELIABILITY.md",
    "docs/cli.md",
    "docs/function.md",
    "docs/operations.md",
    "docs/rollout.md",
    "docs/strategies.md",
    "docs/upgrade.md",
    "events/README.md",
    "infra/README.md",
    "infra/modules/forward/README.md",
    "infra/examples/minimal/README.md",
    "infra/examples/complete/README.md",
    "infra/examples/multi-region/README.md",
    "infra/examples/two-accounts/README.md",
    ".github/workflows/README.md",
];

#[test]
fn every_reason_is_in_the_readme() {
    let source = read("core/src/reason.rs");
    let reasons = between(&source, "pub enum Reason {", "\n}")
        .lines()
        .map(str::trim);
    let reasons: BTreeSet<_> = reasons
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|variant| kebab(variant.trim_end_matches(',')))
        .collect();
    let readme = read("README.md");
    let table = between(&readme, "\n| a service is |", "\n\n");
    let named: BTreeSet<_> = table
        .lines()
        .skip(2)
        .filter_map(|row| row.split('|').nth(3))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned))
        .collect();
    assert_eq!(named, reasons);
}

/// `TwoWords` as `two-words`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

/// The clients of `src/aws` by their fields, and what their actions begin with.
const CLIENTS: [(&str, &str); 6] = [
    ("ecs", "ecs"),
    ("secrets", "secretsmanager"),
    ("tagging", "tag"),
    ("cloudtrail", "cloudtrail"),
    ("ssm", "ssm"),
    ("ecr", "ecr"),
];

/// What a role needs without any call of ours: for the log, the destinations, the traces, the key
/// and the VPC.
const PLUMBING: [&str; 14] = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "events:PutEvents",
    "kms:Decrypt",
    "kms:GenerateDataKey",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:SendMessage",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
];

/// The operations that a piece of code calls, as actions: `self.ecs.list_tasks()` is `ecs:ListTasks`.
fn operations(code: &str) -> Vec<String> {
    let code: String = code.split_whitespace().collect();
    let mut operations = Vec::new();
    for (client, service) in CLIENTS {
        let field = format!("self.{client}.");
        let calls = code
            .split(&field)
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("()")?.0));
        // A client also says how it is configured, which is no call.
        for name in calls.filter(|name| *name != "config") {
            let words = name
                .split('_')
                .map(|word| word[..1].to_uppercase() + &word[1..]);
            operations.push(format!("{service}:{}", words.collect::<String>()));
        }
    }
    operations
}

/// The actions that a text names between such marks.
fn actions(text: &str, mark: char) -> BTreeSet<String> {
    let is_action = |text: &&str| {
        let name = text.split_once(':').map_or(
            "",
            |(service, name)| if service.is_empty() { "" } else { name },
        );
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphabetic())
    };
    text.split(mark)
        .filter(is_action)
        .map(str::to_owned)
        .collect()
}

/// What stands between two texts.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("there is no {start:?}"));
    rest.split_once(end)
        .unwrap_or_else(|| panic!("there is no {end:?} after {start:?}"))
        .0
}

/// The actions that the role's statements of this effect name, whatever they are.
fn statements(effect: &str) -> Vec<String> {
    let iam = read("infra/iam.tf");
    let lines = between(&iam, "  statements = [\n", "\n  ]\n").lines();
    let statements: Vec<_> = lines
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let mut actions = Vec::new();
    for statement in statements.join("\n").split("Sid ").skip(1) {
        let value = |key: &str| {
            let values: Vec<_> = statement.split(&format!(" {key} ")).skip(1).collect();
            let [value] = values.as_slice() else {
                panic!("not one {key} in {statement}")
            };
            value.trim_start().trim_start_matches("= ").to_owned()
        };
        let list = between(&value("Action"), "[", "]").to_owned();
        assert!(
            value("Action").starts_with('['),
            "the actions are no list of texts in {statement}"
        );
        if value("Effect").starts_with(&format!("\"{effect}\"")) {
            actions.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    actions.sort_unstable();
    actions
}

/// The section of `infra/README.md` that lists the permissions.
fn permissions() -> String {
    let readme = read("infra/README.md");
    between(&readme, "\n## Permissions\n", "\n## ").to_owned()
}

/// The actions of its table.
fn permitted() -> BTreeSet<String> {
    let text = permissions();
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    cells.flat_map(|cell| actions(cell, '`')).collect()
}

/// Whether a file makes calls of the function, and not only of the command line.
fn is_of_the_function((path, _): &(PathBuf, String)) -> bool {
    path.starts_with("src/aws")
}

#[test]
fn every_call_names_its_action() {
    for (path, code) in sources().into_iter().filter(is_of_the_function) {
        let called = operations(&code);
        // A call by another way than a field of `self` would not be seen here.
        let sent = code
            .split_whitespace()
            .collect::<String>()
            .matches(".send()")
            .count();
        assert_eq!(called.len(), sent, "{}: {called:?}", path.display());
        assert_eq!(
            BTreeSet::from_iter(called),
            actions(&code, '"'),
            "{}",
            path.display()
        );
        for function in code.split("fn ") {
            let labels = actions(function, '"');
            for action in operations(function) {
                assert!(
                    labels.contains(&action),
                    "{}: {action} is called by another name",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_call_of_the_command_line_is_in_its_table() {
    let operator = sources()
        .into_iter()
        .filter(|(path, _)| is_of_the_operator(path));
    let called: BTreeSet<_> = operator.flat_map(|(_, code)| actions(&code, '"')).collect();
    let page = read("docs/cli.md");
    let table = between(&page, "\n## Permissions\n", "A denied action");
    let named: BTreeSet<_> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| actions(line, '`'))
        .collect();
    assert_eq!(named, called.difference(&permitted()).cloned().collect());
}

#[test]
fn every_operation_has_its_permission_and_none_is_for_nothing() {
    let aws = sources().into_iter().filter(is_of_the_function);
    let called: BTreeSet<_> = aws.flat_map(|(_, code)| operations(&code)).collect();
    let allowed = statements("Allow");
    let needed: BTreeSet<_> = called
        .into_iter()
        .chain(PLUMBING.map(str::to_owned))
        .collect();
    assert_eq!(allowed, Vec::from_iter(needed));
    assert_eq!(Vec::from_iter(permitted()), allowed);
    let permissions = permissions();
    let denied = permissions
        .lines()
        .find(|line| line.starts_with("Denied"))
        .unwrap();
    // UpdateService is denied under two conditions.
    let denials: BTreeSet<_> = statements("Deny").into_iter().collect();
    assert_eq!(actions(denied, '`'), denials);
}

#[test]
fn the_role_has_no_other_permissions() {
    let module = ["events", "iam", "main", "observability"]
        .map(|name| read(&format!("infra/{name}.tf")))
        .concat();
    assert_eq!(module.matches("\"aws_iam_role_policy\"").count(), 1);
    for other in [
        "NotAction",
        "aws_iam_policy",
        "policy_attachment",
        "managed_policy",
        "inline_policy",
    ] {
        assert!(!module.contains(other), "{other}");
    }
}

/// The blocks of this kind in a file of the module: their names and texts, sorted.
fn blocks(kind: &str, file: &str) -> Vec<(String, String)> {
    let text = format!("\n{}", read(file));
    let start = format!("\n{kind} \"");
    let block = |block: &str| {
        let (name, body) = block.split_once("\" {\n").unwrap();
        (
            name.to_owned(),
            body.split("\n}\n").next().unwrap().to_owned(),
        )
    };
    let mut blocks: Vec<_> = text.split(&start).skip(1).map(block).collect();
    blocks.sort_unstable();
    blocks
}

/// What a block says of a name, on one line, or nothing. What stands deeper is said of something else.
fn argument(block: &str, name: &str) -> Option<String> {
    let is_it = |line: &&str| {
        line.split_once('=')
            .is_some_and(|(key, _)| key.trim_end().strip_prefix("  ") == Some(name))
    };
    let mut lines = block.lines().skip_while(|line| !is_it(line));
    let mut value = lines.next()?.split_once('=')?.1.trim().to_owned();
    let inner: Vec<_> = lines
        .take_while(|line| value.ends_with('{') && line.starts_with("   "))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    if value.ends_with('{') {
        let end = "}".to_owned() + &")".repeat(value.matches('(').count());
        value = format!("{value} {} {end}", inner.join(", "));
    }
    Some(value)
}

#[test]
fn the_modules_tables_say_what_its_files_say() {
    let text = |block: &str| {
        argument(block, "description")
            .unwrap()
            .trim_matches('"')
            .to_owned()
    };
    for module in ["infra", "infra/modules/forward", "infra/examples/complete"] {
        let variables = blocks("variable", &format!("{module}/variables.tf"));
        assert!(variables.len() <= 20);
        let input = |(name, block): &(String, String)| {
            let default = argument(block, "default");
            let required = if default.is_none() { "yes" } else { "no" };
            let default = default.map_or("n/a".to_owned(), |default| format!("`{default}`"));
            let kind = argument(block, "type").unwrap();
            format!(
                "| `{name}` | {} | `{kind}` | {default} | {required} |\n",
                text(block)
            )
        };
        let outputs = blocks("output", &format!("{module}/outputs.tf"));
        let output = |(name, block): &(String, String)| format!("| `{name}` | {} |\n", text(block));
        let inputs: String = variables.iter().map(input).collect();
        let outputs: String = outputs.iter().map(output).collect();
        let readme = read(&format!("{module}/README.md")) + "\n\n";
        for (heading, rows) in [("Inputs", inputs), ("Outputs", outputs)] {
            let table = between(&readme, &format!("\n## {heading}\n\n"), "\n\n")
                .lines()
                .skip(2);
            assert!(
                table.eq(rows.lines()),
                "the rows of {heading} in {module}/README.md must be:\n{rows}"
            );
        }
    }
}

#[test]
fn the_readmes_name_the_patterns_that_there_are() {
    let patterns = fs::read_dir(root().join("infra/patterns")).unwrap();
    let patterns: BTreeSet<_> = patterns
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let matched = read("events/README.md");
    let matched = matched
        .lines()
        .filter(|line| line.contains(".json` |"))
        .map(|line| line.split('|').nth(4).unwrap());
    let matched = matched.flat_map(|cell| {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(|name| format!("{name}.json"))
    });
    assert_eq!(matched.collect::<BTreeSet<_>>(), patterns);

    let page = read("docs/function.md");
    assert!(page.contains("](../infra/patterns/secret-label-updated.json)"));
}

#[test]
fn the_page_of_the_function_names_every_metric() {
    let page = read("docs/function.md");
    let sentence = between(&page, "with the metrics ", "in the namespace");
    let named: BTreeSet<_> = sentence.split('`').skip(1).step_by(2).collect();
    let line = report_line();
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array();
    let emitted: BTreeSet<_> = metrics
        .unwrap()
        .iter()
        .map(|metric| metric["Name"].as_str().unwrap())
        .collect();
    assert_eq!(named, emitted);
}

#[test]
fn the_readme_is_short_and_has_one_sentence_a_line() {
    assert!(read("README.md").lines().count() <= 200);
    for page in PAGES {
        let text = read(page);
        // What stands between fences is no text.
        let prose = text.split("```").step_by(2).flat_map(str::lines);
        let is_sentence = |line: &&str| line.starts_with(|c: char| c.is_uppercase());
        for line in prose.filter(is_sentence) {
            let next = line.match_indices(". ").map(|(at, _)| &line[at + 2..]);
            let starts = next.filter(|next| next.starts_with(|c: char| c.is_uppercase()));
            assert_eq!(starts.count(), 0, "{page}: {line}");
        }
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for page in PAGES {
        let text = read(page);
        let directory = root().join(page).parent().unwrap().to_owned();
        let links = text.split("](").skip(1);
        let links = links.filter_map(|rest| Some(rest.split_once(')')?.0));
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                root().join(page)
            } else {
                directory.join(path)
            };
            assert!(target.exists(), "{page} links to {link}");
            if !heading.is_empty() {
                let target = fs::read_to_string(target).unwrap();
                let headings = target.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| {
                    let line = line.trim_start_matches('#').trim().to_lowercase();
                    line.replace(' ', "-").replace(['`', ',', '?'], "")
                });
                assert!(
                    anchors.any(|anchor| anchor == heading),
                    "{page} links to {link}"
                );
            }
        }
    }
}

/// The log line of a report, which is also a metric document.
fn report_line() -> Value {
    let report = Report::new(TriggerKind::Sweep, Outcome::NothingToDo, "");
    let context = LogContext {
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        request_id: "",
        function_name: "",
        duration_ms: 0,
    };
    serde_json::from_str(&report.log_line(&context)).unwrap()
}

#[test]
fn the_dashboard_and_the_alarms_name_only_metrics_that_a_report_has() {
    let line = report_line();
    let emitted = &line["_aws"]["CloudWatchMetrics"][0];
    let emitted: Vec<_> = emitted["Metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| &metric["Name"])
        .collect();
    let dashboard: Value = serde_json::from_str(&read("infra/dashboard.json")).unwrap();
    let widgets = dashboard["widgets"].as_array().unwrap().iter();
    let metrics: Vec<_> = widgets
        .filter_map(|widget| widget["properties"]["metrics"].as_array())
        .flatten()
        .collect();
    for metric in &metrics {
        assert_eq!(
            (&metric[0], &metric[2]),
            (&"RedeployOnRotation".into(), &"FunctionName".into())
        );
        assert!(
            emitted.contains(&&metric[1]) && line[metric[1].as_str().unwrap()].is_number(),
            "{metric}"
        );
    }
    assert!(metrics.len() >= emitted.len());
    let query = between(&read("infra/dashboard.json"), "SOURCE", "limit").replace('\\', "");
    let named: Vec<_> = query
        .split("/\"")
        .skip(1)
        .map(|key| key.split('"').next().unwrap())
        .collect();
    assert_eq!(named, ["trigger", "outcome", "reason", "rotations"]);
    assert!(named.iter().all(|key| line.get(*key).is_some()), "{line}");
    let observability = read("infra/observability.tf");
    let alarms: Vec<_> = observability
        .split("\"RedeployOnRotation\"\n")
        .skip(1)
        .collect();
    assert!(alarms.len() >= 2);
    for alarm in alarms {
        let metric = alarm.split('"').nth(1).unwrap();
        assert!(emitted.iter().any(|name| *name == metric), "{metric}");
    }
}
