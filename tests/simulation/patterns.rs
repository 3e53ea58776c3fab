//! EventBridge's side of the rules that this repository ships: `infra/patterns/*.json`
//! (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html>).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// The patterns by their names.
static SHIPPED: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/patterns");
    let paths = std::fs::read_dir(directory).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let pattern = std::fs::read_to_string(&path).unwrap();
            (name, serde_json::from_str(&pattern).unwrap())
        })
        .collect()
});

/// How many of the shipped rules an event matches: each brings it once.
pub(crate) fn matching(event: &Value) -> usize {
    matching_names(event).len()
}

/// The names of the shipped rules that an event matches.
pub(crate) fn matching_names(event: &Value) -> Vec<&'static str> {
    let matching = SHIPPED
        .iter()
        .filter(|(_, pattern)| matches(pattern, Some(event)));
    matching.map(|(name, _)| name.as_str()).collect()
}

/// Whether an event, or what stands at a field of it, matches a pattern.
pub(crate) fn matches(pattern: &Value, event: Option<&Value>) -> bool {
    match pattern {
        Value::Object(fields) => fields.iter().all(|(name, pattern)| {
            let field = event
                .and_then(|event| event.get(name))
                .filter(|field| !field.is_null());
            matches(pattern, field)
        }),
        Value::Array(any) => any.iter().any(|one| match event {
            Some(Value::Array(values)) => values.iter().any(|value| meets(one, Some(value))),
            value => meets(one, value),
        }),
        _ => panic!("{pattern} is no pattern"),
    }
}

/// Whether a value meets one element of a pattern's list.
fn meets(one: &Value, value: Option<&Value>) -> bool {
    let Value::Object(rule) = one else {
        return value == Some(one);
    };
    let (rule, with) = rule.iter().next().unwrap();
    let text = value.and_then(Value::as_str);
    let begins =
        |prefix: &Value| text.is_some_and(|text| text.starts_with(prefix.as_str().unwrap()));
    match (rule.as_str(), with) {
        ("exists", wanted) => value.is_some() == (wanted == true),
        ("prefix", prefix) => begins(prefix),
        ("anything-but", Value::Object(rule)) => value.is_some() && !begins(&rule["prefix"]),
        ("anything-but", Value::Array(values)) => {
            value.is_some_and(|value| !values.contains(value))
        }
        ("anything-but", other) => value.is_some_and(|value| value != other),
        _ => panic!("{one} is not among the rules that the shipped patterns use"),
    }
}
