//! As much of EventBridge's event patterns as our rules use
//! (<https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html>).

use serde_json::{Map, Value};

/// Whether an event matches a pattern; `None` for a pattern with an operator that is not known
/// here.
pub(super) fn matches(pattern: &Value, event: &Value) -> Option<bool> {
    fields(pattern.as_object()?, Some(event))
}

/// Every field of the pattern must match.
fn fields(pattern: &Map<String, Value>, event: Option<&Value>) -> Option<bool> {
    let mut all = true;
    for (name, pattern) in pattern {
        let value = event.and_then(|event| event.get(name));
        all &= match pattern {
            Value::Object(pattern) => fields(pattern, value)?,
            Value::Array(any) => any_of(any, value)?,
            _ => return None,
        };
    }
    Some(all)
}

/// One of the alternatives must match the value or, where that is an array, one of its elements.
fn any_of(alternatives: &[Value], value: Option<&Value>) -> Option<bool> {
    let mut any = false;
    for alternative in alternatives {
        any |= match alternative {
            Value::Object(operator) => match operator.iter().next()? {
                // Only a leaf exists.
                (name, exists) if name == "exists" => {
                    value.is_some_and(|value| !value.is_object()) == exists.as_bool()?
                }
                (name, Value::Array(excluded)) if name == "anything-but" => {
                    value.is_some_and(|value| {
                        elements(value)
                            .iter()
                            .any(|element| !excluded.contains(element))
                    })
                }
                (name, excluded) if name == "anything-but" => {
                    let prefix = excluded.get("prefix")?.as_str()?;
                    let is_excluded = |element: &Value| {
                        element.as_str().is_none_or(|text| text.starts_with(prefix))
                    };
                    value.is_some_and(|value| {
                        elements(value).iter().any(|element| !is_excluded(element))
                    })
                }
                _ => return None,
            },
            literal => value.is_some_and(|value| elements(value).contains(literal)),
        };
    }
    Some(any)
}

/// The elements of an array, or the value itself.
fn elements(value: &Value) -> &[Value] {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pattern_matches_as_eventbridge_does() {
        let cases = [
            (json!({"a": ["x"]}), json!({"a": "x"}), Some(true)),
            (json!({"a": ["x"]}), json!({"a": ["w", "x"]}), Some(true)),
            (json!({"a": ["x", "y"]}), json!({"a": "z"}), Some(false)),
            (
                json!({"a": {"b": [true]}}),
                json!({"a": {"b": true}}),
                Some(true),
            ),
            (json!({"a": {"b": [true]}}), json!({"a": null}), Some(false)),
            (json!({"a": [{"exists": false}]}), json!({}), Some(true)),
            (
                json!({"a": [{"exists": false}]}),
                json!({"a": null}),
                Some(false),
            ),
            (
                json!({"a": [{"exists": true}]}),
                json!({"a": {"b": 1}}),
                Some(false),
            ),
            (
                json!({"a": {"b": [{"exists": false}, true]}}),
                json!({"a": {"b": false}}),
                Some(false),
            ),
            (
                json!({"a": [{"anything-but": ["x"]}]}),
                json!({"a": "y"}),
                Some(true),
            ),
            (
                json!({"a": [{"anything-but": ["x"]}]}),
                json!({"a": "x"}),
                Some(false),
            ),
            (
                json!({"a": [{"anything-but": ["x"]}]}),
                json!({}),
                Some(false),
            ),
            (
                json!({"a": [{"anything-but": {"prefix": "x!"}}]}),
                json!({"a": "x!y"}),
                Some(false),
            ),
            (
                json!({"a": [{"anything-but": {"prefix": "x!"}}]}),
                json!({"a": "xy"}),
                Some(true),
            ),
            (
                json!({"a": [{"anything-but": {"suffix": "x"}}]}),
                json!({"a": "x"}),
                None,
            ),
            (json!({"a": [{"prefix": "x"}]}), json!({"a": "x"}), None),
        ];
        for (pattern, event, expected) in cases {
            assert_eq!(matches(&pattern, &event), expected, "{pattern} {event}");
        }
    }
}
