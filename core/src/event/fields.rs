//! The fields of a payload, read one by one.

use jiff::Timestamp;
use serde_json::Value;

use super::TriggerKind;

/// The longest identifier that is looked at; AWS accepts a `SecretId` of at most 2048 characters.
const MAX_IDENTIFIER_LENGTH: usize = 2048;

/// A payload that is known but lacks what is needed. Its text names the field and repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field `{field}` {problem}")]
pub struct InvalidEvent {
    /// Which kind of payload it claims to be.
    pub kind: TriggerKind,
    /// The path of the field, such as `detail.labelUpdated`.
    pub field: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// It is absent, null or empty.
    #[error("is missing")]
    Missing,
    /// It carries an event in an envelope that is not known.
    #[error("carries an event in an envelope that is not supported: send the event itself")]
    Wrapped,
    /// It has another type.
    #[error("must be {0}")]
    MustBe(&'static str),
}

/// The fields of a payload, by paths such as `detail.labelUpdated` and `resources[0]`.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) kind: TriggerKind,
    pub(super) payload: &'a Value,
}

impl<'a> Fields<'a> {
    pub(super) fn invalid(&self, path: &str, problem: FieldProblem) -> InvalidEvent {
        InvalidEvent {
            kind: self.kind,
            field: path.to_owned(),
            problem,
        }
    }

    /// The value; null when the field, or one on the way to it, is missing.
    pub(super) fn at(&self, path: &str) -> Result<&'a Value, InvalidEvent> {
        let (mut value, mut parent) = (self.payload, 0);
        for name in path.split('.') {
            let (member, first) = name
                .strip_suffix("[0]")
                .map_or((name, false), |name| (name, true));
            value = match value {
                Value::Object(members) => members.get(member).unwrap_or(&Value::Null),
                Value::Null => &Value::Null,
                _ => {
                    return Err(self.invalid(
                        path[..parent].trim_end_matches('.'),
                        FieldProblem::MustBe("an object"),
                    ));
                }
            };
            value = match value {
                Value::Array(elements) if first => elements.first().unwrap_or(&Value::Null),
                Value::Null => &Value::Null,
                _ if first => return Err(self.invalid(member, FieldProblem::MustBe("an array"))),
                value => value,
            };
            parent += name.len() + 1;
        }
        Ok(value)
    }

    /// The text; nothing when the field is missing or empty.
    pub(super) fn text(&self, path: &str) -> Result<Option<&'a str>, InvalidEvent> {
        match self.at(path)? {
            Value::Null => Ok(None),
            Value::String(text) if text.len() > MAX_IDENTIFIER_LENGTH => {
                Err(self.invalid(path, FieldProblem::MustBe("a string of at most 2048 bytes")))
            }
            Value::String(text) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            _ => Err(self.invalid(path, FieldProblem::MustBe("a string"))),
        }
    }

    pub(super) fn required_text(&self, path: &str) -> Result<&'a str, InvalidEvent> {
        self.text(path)?
            .ok_or_else(|| self.invalid(path, FieldProblem::Missing))
    }

    /// The flag; false when the field is missing.
    pub(super) fn flag(&self, path: &str) -> Result<bool, InvalidEvent> {
        match self.at(path)? {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.invalid(path, FieldProblem::MustBe("true or false"))),
        }
    }

    /// The first text that is not missing.
    pub(super) fn first_text(&self, paths: &[&str]) -> Result<Option<&'a str>, InvalidEvent> {
        paths
            .iter()
            .find_map(|path| self.text(path).transpose())
            .transpose()
    }

    /// The texts of an array; nothing when the field is missing.
    pub(super) fn texts(&self, path: &str) -> Result<Option<Vec<String>>, InvalidEvent> {
        let invalid = || self.invalid(path, FieldProblem::MustBe("an array of strings"));
        let elements = match self.at(path)? {
            Value::Null => return Ok(None),
            elements => elements.as_array().ok_or_else(invalid)?.iter(),
        };
        elements
            .map(|element| element.as_str().map(str::to_owned).ok_or_else(invalid))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The end of the second of a time, because AWS cuts it: the thing happened at the latest then.
    /// Nothing when the field is missing.
    pub(super) fn end_of_second(&self, path: &str) -> Result<Option<Timestamp>, InvalidEvent> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        let time = text.parse::<Timestamp>().ok();
        let end = time.and_then(|time| Timestamp::from_second(time.as_second() + 1).ok());
        end.map(Some)
            .ok_or_else(|| self.invalid(path, FieldProblem::MustBe("an RFC 3339 time")))
    }
}
