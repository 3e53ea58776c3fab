//! What is known of something that AWS can be asked about.

use crate::reason::Reason;

/// A fact that nobody asked for, one that is known, and one that AWS does not give are three
/// different values; so is a known fact that is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fact<T> {
    /// Not asked for yet.
    #[default]
    Unasked,
    /// AWS answered.
    Known(T),
    /// AWS was asked and gave no answer.
    Unavailable(Gap),
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What kind of failure it is.
    pub kind: GapKind,
    /// What happened and what to do, in a sentence.
    pub error: String,
}

/// Why AWS gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// The calls were throttled. The next attempt may succeed.
    Throttled,
    /// The calls failed. The next attempt may succeed.
    Failed,
    /// AWS refuses the call. Only a person can change that.
    Denied,
    /// It does not exist.
    NotFound,
    /// The request makes no sense to AWS.
    Invalid,
}

impl Gap {
    /// The same about a service itself: nobody knows whether it is stale, so the invocation fails.
    #[must_use]
    pub fn of_a_service(self) -> Self {
        let kind = match self.kind {
            GapKind::Denied | GapKind::Invalid => GapKind::Failed,
            kind => kind,
        };
        Self { kind, ..self }
    }

    /// Whether the next attempt meets the same.
    #[must_use]
    pub fn stays(&self) -> bool {
        !matches!(self.kind, GapKind::Throttled | GapKind::Failed)
    }

    /// The reason that a report gives.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.kind {
            GapKind::Throttled | GapKind::Failed => Reason::LookupFailed,
            GapKind::Denied | GapKind::Invalid => Reason::Unknown,
            GapKind::NotFound => Reason::NotFound,
        }
    }
}

impl<T> Fact<T> {
    /// The fact, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(fact) => Some(fact),
            Self::Unasked | Self::Unavailable(_) => None,
        }
    }

    /// Whether nobody has asked yet.
    pub fn is_unasked(&self) -> bool {
        matches!(self, Self::Unasked)
    }

    /// Why it is not known, where AWS was asked.
    pub fn gap(&self) -> Option<&Gap> {
        match self {
            Self::Unavailable(gap) => Some(gap),
            Self::Unasked | Self::Known(_) => None,
        }
    }
}

/// An answer is a fact, whichever way it went.
impl<T> From<Result<T, Gap>> for Fact<T> {
    fn from(answer: Result<T, Gap>) -> Self {
        answer.map_or_else(Self::Unavailable, Self::Known)
    }
}
