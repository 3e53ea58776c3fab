//! When labels moved, by CloudTrail's event history.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudtrail::types::{Event, LookupAttribute, LookupAttributeKey};
use jiff::{SignedDuration, Timestamp};
use redeploy_core::arn::SecretArn;
use redeploy_core::change::{Change, Source, TrailMove};
use redeploy_core::confirm::UnconfirmedChange;
use redeploy_core::event::{self, Intent};
use redeploy_core::fact::Fact;
use redeploy_core::trail::find_move;
use serde_json::{Value, json};

use super::client::lock;
use super::memory::Moved;
use super::{ApiBucket, Aws, AwsError};

/// The event history reaches this far back.
const REACH: SignedDuration = SignedDuration::from_hours(90 * 24);
/// The event history shows an event after this time at the latest
/// (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html>).
const LAG: SignedDuration = SignedDuration::from_mins(15);
/// With fewer secrets than this, each is searched by its name; else all by the names of events.
const SEARCHED_BY_NAME: usize = 20;
/// The calls and events by which a label moves.
const MOVES: [&str; 5] = [
    "UpdateSecretVersionStage",
    "PutSecretValue",
    "UpdateSecret",
    "CreateSecret",
    "RotationSucceeded",
];

/// The answers, and what is not known to the second, in sentences.
type Answer = (Vec<(Source, Fact<Option<TrailMove>>)>, BTreeSet<String>);

/// The pages of events that may still be read, at two calls a second.
struct Budget {
    pages: usize,
}

/// Some events, and whether they are all that there are.
#[derive(Default)]
struct Found {
    records: Vec<UnconfirmedChange>,
    is_whole: bool,
    /// When the newest event that changed something happened, whatever it was.
    latest: Option<Timestamp>,
}

/// What was found of several secrets.
#[derive(Default)]
struct All {
    records: Vec<UnconfirmedChange>,
    /// The secrets of which all events were found.
    whole: BTreeSet<Source>,
    /// When the newest event of each that changed something happened.
    latest: BTreeMap<Source, Timestamp>,
    /// Whether a move may be among the events that were not read.
    is_open: bool,
}

impl Aws {
    /// When the labels of these changes moved. An answer that cannot change is kept.
    pub(super) async fn move_times(
        &self,
        changes: Vec<&Change>,
        pages: usize,
        now: Timestamp,
    ) -> Answer {
        let mut answers = Vec::new();
        let mut open = Vec::new();
        {
            let memory = lock(&self.memory);
            for change in changes {
                match memory.moves.get(&key(change)) {
                    Some(known) => {
                        answers.push((change.source.clone(), Fact::Known(Some(*known))));
                    }
                    None => open.push(change),
                }
            }
        }
        if open.is_empty() {
            return (answers, BTreeSet::new());
        }
        let reach = now.saturating_sub(REACH).unwrap_or(Timestamp::MIN);
        let mut budget = Budget { pages };
        let mut warnings = BTreeSet::new();
        let found = self.search(&open, reach, &mut budget).await;
        let found = found.unwrap_or_else(|error| {
            warnings.insert(format!(
                "when secrets changed is not known to the second: {error}"
            ));
            All::default()
        });
        let shown = now.saturating_sub(LAG).unwrap_or(Timestamp::MIN);
        let mut memory = lock(&self.memory);
        for change in open {
            // What changed the secret last is shown, or would be.
            let last_changed = change.moved().not_after;
            let latest = found.latest.get(&change.source);
            let is_shown = latest.is_some_and(|latest| *latest >= last_changed);
            let is_whole = found.whole.contains(&change.source);
            let is_complete = is_whole && (is_shown || last_changed < shown);
            let moved = find_move(change, &found.records, is_complete);
            if let Some(moved) = moved.filter(|moved| is_final(*moved, is_complete)) {
                memory.moves.insert(key(change), moved);
            } else if found.is_open {
                warnings.insert(
                    "CloudTrail has more events than were read, so some moves may be unknown"
                        .to_owned(),
                );
            }
            answers.push((change.source.clone(), Fact::Known(moved)));
        }
        (answers, warnings)
    }

    /// The events of these secrets: of each by its name and, where that finds none, by its ARN; or of
    /// all secrets by what happened, where there are many, or some that are read all the time.
    async fn search(
        &self,
        changes: &[&Change],
        reach: Timestamp,
        budget: &mut Budget,
    ) -> Result<All, AwsError> {
        let time = |change: &Change| {
            let moved = change.moved();
            (moved.not_before.max(reach), moved.not_after)
        };
        let mut all = All::default();
        let mut open: Vec<_> = changes.iter().map(|change| time(change)).collect();
        if changes.len() < SEARCHED_BY_NAME {
            open.clear();
            for change in changes {
                let found = self.search_by_name(change, time(change), budget).await?;
                let moved = find_move(change, &found.records, found.is_whole);
                if found.is_whole {
                    all.whole.insert(change.source.clone());
                } else if !matches!(moved, Some(TrailMove::At(_))) {
                    open.push(time(change));
                }
                all.records.extend(found.records);
                let latest = found.latest.map(|latest| (change.source.clone(), latest));
                all.latest.extend(latest);
            }
        }
        let from = open.iter().map(|(from, _)| *from).min();
        let to = open.iter().map(|(_, to)| *to).max();
        let Some(time) = from.zip(to) else {
            return Ok(all);
        };
        all.is_open = true;
        if budget.pages < MOVES.len() {
            return Ok(all);
        }
        let mut is_whole = true;
        for name in MOVES {
            let key = LookupAttributeKey::EventName;
            let found = self.lookup_events(key, name, time, usize::MAX, budget);
            let found = found.await?;
            is_whole &= found.is_whole;
            all.records.extend(found.records);
        }
        if is_whole {
            let sources = changes.iter().map(|change| change.source.clone());
            all.whole.extend(sources);
        }
        all.is_open = !is_whole;
        Ok(all)
    }

    /// The newest events of a secret. One of which a page does not reach back far enough is read all
    /// the time.
    async fn search_by_name(
        &self,
        change: &Change,
        time: (Timestamp, Timestamp),
        budget: &mut Budget,
    ) -> Result<Found, AwsError> {
        let Source::Secret { arn, .. } = &change.source else {
            return Ok(Found::default());
        };
        let mut all = Found::default();
        for name in [SecretArn::name(arn).to_owned(), arn.to_string()] {
            let key = LookupAttributeKey::ResourceName;
            let found = self.lookup_events(key, &name, time, 1, budget).await?;
            all.is_whole = found.is_whole;
            all.records.extend(found.records);
            all.latest = all.latest.max(found.latest);
            if !found.is_whole || find_move(change, &all.records, true).is_some() {
                break;
            }
        }
        Ok(all)
    }

    /// The newest events with this attribute in that time, on so many pages at most.
    async fn lookup_events(
        &self,
        key: LookupAttributeKey,
        value: &str,
        (from, to): (Timestamp, Timestamp),
        pages: usize,
        budget: &mut Budget,
    ) -> Result<Found, AwsError> {
        const ACTION: &str = "cloudtrail:LookupEvents";
        let seconds = aws_sdk_cloudtrail::primitives::DateTime::from_secs;
        let attribute = LookupAttribute::builder()
            .attribute_key(key)
            .attribute_value(value);
        let attribute = attribute
            .build()
            .map_err(|error| AwsError::not_made(ACTION, &error))?;
        let call = self
            .cloudtrail
            .lookup_events()
            .lookup_attributes(attribute)
            .max_results(50);
        let call = call.start_time(seconds(from.as_second()));
        let call = call.end_time(seconds(to.as_second() + 1));
        let mut found = Found::default();
        let mut token = None;
        for _ in 0..pages.min(budget.pages) {
            budget.pages -= 1;
            let page = async || call.clone().set_next_token(token.clone()).send().await;
            let page = self.read(ApiBucket::CloudTrail, ACTION, page).await?;
            let events = page.events.unwrap_or_default();
            // What only reads may be shown earlier than the change before it.
            let writes = events
                .iter()
                .filter(|event| event.read_only() != Some("true"));
            let times = writes.filter_map(|event| end_of_second(event.event_time()?));
            found.latest = found.latest.max(times.max());
            found.records.extend(events.into_iter().filter_map(record));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                found.is_whole = true;
                break;
            }
        }
        Ok(found)
    }
}

/// Whether nothing can be found later that says otherwise.
fn is_final(moved: TrailMove, is_complete: bool) -> bool {
    is_complete || matches!(moved, TrailMove::At(_))
}

fn key(change: &Change) -> Moved {
    let last_changed = change.reported.not_after;
    (change.source.clone(), change.version.clone(), last_changed)
}

/// The end of the second of an event, because CloudTrail cuts its times.
fn end_of_second(time: &aws_sdk_cloudtrail::primitives::DateTime) -> Option<Timestamp> {
    Timestamp::from_second(time.secs() + 1).ok()
}

/// What an event claims, read as EventBridge would have delivered it.
fn record(event: Event) -> Option<UnconfirmedChange> {
    let detail: Value = serde_json::from_str(&event.cloud_trail_event?).ok()?;
    let kind = "AWS API Call via CloudTrail";
    let event = json!({"detail-type": kind, "source": "aws.secretsmanager", "detail": detail});
    match event::parse(&event).ok()?.intent {
        Intent::MayHaveChanged(claimed) => Some(claimed),
        _ => None,
    }
}
