//! One invocation, from the payload to the report.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::aws::{Aws, AwsError, Class, Redeployed, Unexamined};
use crate::config::{Config, OnPending};
use crate::event::{self, Hint, InvalidEvent, Kind, Problem, Verdict};
use crate::plan::{Action, Decision, plan};
use crate::report::{Done, Failure, Outcome, Report, ServiceReport, Why};
use crate::secret::{AWSCURRENT, ParameterArn, Rotation, Subject};
use crate::service::Service;

/// How many services are redeployed at once.
const REDEPLOYS_AT_ONCE: usize = 5;
/// An event cannot have happened later than now, unless clocks differ by this much.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The time of one invocation, which comes in as data.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_at: Timestamp,
    began: Instant,
    deadline: Option<Timestamp>,
}

impl Clock {
    /// An invocation that begins `now` and must be done by the deadline, if there is one.
    #[must_use]
    pub fn new(now: Timestamp, deadline: Option<Timestamp>) -> Self {
        Self { began_at: now, began: Instant::now(), deadline }
    }

    /// The time, UTC.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.began_at.saturating_add(self.elapsed()).unwrap_or(Timestamp::MAX)
    }

    /// The time since the invocation began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Handles one event or request: parse, gather, plan, act, report.
pub async fn handle(aws: &Aws, config: &Config, payload: &Value, clock: &Clock) -> Report {
    let trigger = match event::parse(payload) {
        Ok(trigger) => trigger,
        Err(invalid) => {
            return Report::failed(invalid.kind, Failure::InvalidEvent, invalid.to_string());
        }
    };
    let kind = trigger.kind;
    let dry_run = config.dry_run || matches!(trigger.hint, Hint::Request { dry_run: true, .. });
    let rotations = match rotations(aws, config, kind, trigger.hint, clock).await {
        Ok(rotations) => rotations,
        Err(report) => return report,
    };
    if !dry_run && let Err(reason) = settle(config, &rotations, clock).await {
        return Report {
            rotations: rotations.iter().map(Into::into).collect(),
            ..Report::failed(kind, Failure::TimeLeft, reason)
        };
    }
    let inventory = match aws.inventory(config, &rotations).await {
        Ok(inventory) => inventory,
        Err(error) => {
            return Report { rotations: rotations.iter().map(Into::into).collect(), ..unavailable(kind, &error) };
        }
    };
    let decisions = plan(&rotations, &inventory.services);
    let mut services: Vec<_> = inventory.unexamined.into_iter().map(unexamined).collect();
    services.extend(act(aws, &rotations, &inventory.services, decisions, dry_run).await);
    Report::of_services(kind, &rotations, services, inventory.warnings)
}

/// Handles every record of an SQS batch, and says which ones failed, by message id.
///
/// `done` hears of each record's report as soon as there is one.
pub async fn handle_batch(
    aws: &Aws,
    config: &Config,
    records: &[event::SqsRecord<'_>],
    clock: &Clock,
    mut done: impl FnMut(&Report),
) -> Vec<String> {
    let mut failed = Vec::new();
    for record in records {
        let report = if let Some(body) = record.body {
            match serde_json::from_str(body) {
                Ok(payload) => handle(aws, config, &payload, clock).await,
                Err(_) => Report::new(Kind::Unknown, Outcome::Ignored, "the body is not JSON"),
            }
        } else {
            let field = format!("Records[{}].body", record.index);
            invalid_event(Kind::Unknown, &field, "a string")
        };
        done(&report);
        if report.failure.is_some() {
            failed.push(record.message_id.to_owned());
        }
    }
    failed
}

/// What changed, or the report that ends the invocation.
async fn rotations(aws: &Aws, config: &Config, kind: Kind, hint: Hint, clock: &Clock) -> Result<Vec<Rotation>, Report> {
    let ignored = |reason: String| Report::new(kind, Outcome::Ignored, reason);
    let rotations = match hint {
        Hint::Ignored { reason, warning } => {
            let warnings = if warning { vec![reason.clone()] } else { Vec::new() };
            return Err(Report { warnings, ..ignored(reason) });
        }
        Hint::Rotation(rotation) => vec![rotation],
        Hint::Secret(hint) => {
            let facts = aws.describe_secret(&hint.secret_id, hint.region.as_deref()).await;
            let facts = facts.map_err(|error| unavailable(kind, &error))?;
            let facts = facts.ok_or_else(|| ignored("the secret no longer exists".to_owned()))?;
            match hint.confirm(&facts, clock.now()) {
                Verdict::Rotations(rotations) => rotations,
                Verdict::Pending(reason) if config.on_pending == OnPending::Retry => {
                    return Err(Report::failed(kind, Failure::RotationPending, reason));
                }
                Verdict::Pending(reason) | Verdict::Nothing(reason) => {
                    return Err(ignored(reason));
                }
            }
        }
        Hint::Request { secret, .. } => vec![requested(aws, kind, &secret, clock.now()).await?],
    };
    let latest = clock.now().saturating_add(CLOCK_TOLERANCE).unwrap_or(Timestamp::MAX);
    if rotations.iter().any(|rotation| rotation.at > latest) {
        return Err(invalid_event(kind, "time", "a time that is not in the future"));
    }
    Ok(rotations)
}

/// The secret or parameter of a request, as if it had changed now.
async fn requested(aws: &Aws, kind: Kind, secret: &str, now: Timestamp) -> Result<Rotation, Report> {
    if let Some(arn) = ParameterArn::parse(secret) {
        return Ok(Rotation { subject: Subject::Parameter(arn), version: None, at: now });
    }
    let facts = aws.describe_secret(secret, None).await.map_err(|error| unavailable(kind, &error))?;
    let facts =
        facts.ok_or_else(|| invalid_event(kind, "secret", "the name or ARN of a secret that exists in this Region"))?;
    let version = facts.labels.get(AWSCURRENT).cloned();
    Ok(Rotation { subject: Subject::Secret { arn: facts.arn, label: AWSCURRENT.to_owned() }, version, at: now })
}

/// Waits until whatever is started is certainly newer than the changes, and Secrets Manager's readers see them.
async fn settle(config: &Config, rotations: &[Rotation], clock: &Clock) -> Result<(), String> {
    let Some(at) = rotations.iter().map(|rotation| rotation.at).max() else {
        return Ok(());
    };
    let until = at.saturating_add(config.settle).unwrap_or(Timestamp::MAX);
    if clock.deadline.is_some_and(|deadline| until >= deadline) {
        return Err(format!("nothing may be redeployed before {until}, and the invocation ends earlier"));
    }
    sleep(Duration::try_from(until.duration_since(clock.now())).unwrap_or_default()).await;
    Ok(())
}

/// Carries out the decisions; one failure never stops the others.
async fn act(
    aws: &Aws,
    rotations: &[Rotation],
    services: &[Service],
    decisions: Vec<Decision>,
    dry_run: bool,
) -> Vec<ServiceReport> {
    let act = async |decision: Decision| {
        let service = services.iter().find(|service| service.arn == decision.service);
        let (done, deployment, error) = match (decision.reason.action(), service) {
            (Action::Redeploy, Some(service)) if !dry_run => match aws.redeploy(service, rotations).await {
                Ok(Redeployed::Yes(deployment)) => (Done::Redeployed, deployment, None),
                Ok(Redeployed::No(reason)) => return decided(Decision { reason, ..decision }),
                Err(error) => (Done::Failed, None, Some(error.to_string())),
            },
            _ => return decided(decision),
        };
        ServiceReport { action: done, deployment, error, ..decided(decision) }
    };
    stream::iter(decisions.into_iter().map(act)).buffer_unordered(REDEPLOYS_AT_ONCE).collect().await
}

/// The report of a decision that is not carried out.
fn decided(decision: Decision) -> ServiceReport {
    ServiceReport {
        action: match decision.reason.action() {
            Action::Redeploy => Done::Planned,
            Action::Skip => Done::Skipped,
            Action::Block => Done::Blocked,
        },
        service: decision.service,
        reason: Why::Planned(decision.reason),
        secrets: decision.secrets,
        deployment: None,
        error: None,
    }
}

fn unexamined(unexamined: Unexamined) -> ServiceReport {
    ServiceReport {
        service: unexamined.name,
        action: Done::Failed,
        reason: Why::Lookup(unexamined.problem),
        secrets: unexamined.secrets,
        deployment: None,
        error: Some(unexamined.error),
    }
}

/// The report of a known event with a field that makes no sense.
fn invalid_event(kind: Kind, field: &str, must_be: &'static str) -> Report {
    let problem = Problem::MustBe(must_be);
    let field = field.to_owned();
    let invalid = InvalidEvent { kind, field, problem };
    Report::failed(kind, Failure::InvalidEvent, invalid.to_string())
}

/// The report of an invocation that could not even find out what there is to do.
fn unavailable(kind: Kind, error: &AwsError) -> Report {
    let failure = if error.class == Class::Throttled { Failure::Throttled } else { Failure::PartialFailure };
    Report::failed(kind, failure, error.to_string())
}
