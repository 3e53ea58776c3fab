//! One invocation, from the payload to the report.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep, timeout_at};

use crate::aws::{Aws, AwsError, Class, Inventory, Redeployed, Scope, Unexamined};
use crate::config::{Config, OnPending};
use crate::event::{self, Hint, InvalidEvent, Kind, Problem, Verdict};
use crate::plan::{Action, Decision, Reason, needs_history, plan};
use crate::report::{Done, Failure, LookupProblem, Outcome, Report, ServiceReport, Why};
use crate::secret::{AWSCURRENT, ParameterArn, Rotation, Subject};
use crate::service::Service;

/// How many services are redeployed at once.
const REDEPLOYS_AT_ONCE: usize = 5;
/// How many histories are asked for at once.
const CALLS_AT_ONCE: usize = 8;
/// What a service's report says when its turn did not come.
const NO_TIME: &str = "the invocation's time ran out before it was done; the next attempt goes on with it";
/// With less time than this left, nothing new is started.
const TIME_FOR_THE_REST: Duration = Duration::from_secs(20);
/// An event cannot have happened later than now, unless clocks differ by this much.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The time of one invocation, which comes in as data.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_at: Timestamp,
    began: Instant,
    deadline: Option<Timestamp>,
    /// When this invocation was first attempted, UTC: what a request means by "now".
    pub asked_at: Timestamp,
}

impl Clock {
    /// An invocation that begins `now` and must be done by the deadline, if there is one.
    #[must_use]
    pub fn new(now: Timestamp, deadline: Option<Timestamp>) -> Self {
        Self { began_at: now, began: Instant::now(), deadline, asked_at: now }
    }

    /// The time, UTC.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.began_at.saturating_add(self.elapsed()).unwrap_or(Timestamp::MAX)
    }

    /// When to stop starting things, so that the report is still made.
    #[must_use]
    pub fn stop_at(&self) -> Option<Instant> {
        let left = Duration::try_from(self.deadline?.duration_since(self.began_at)).unwrap_or_default();
        Some(self.began + left.saturating_sub(TIME_FOR_THE_REST))
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
        Err(invalid) => return Report::failed(invalid.kind, Failure::InvalidEvent, invalid.to_string()),
    };
    let kind = trigger.kind;
    let dry_run = config.dry_run || matches!(trigger.hint, Hint::Request { dry_run: true, .. });
    let world = match trigger.hint {
        Hint::Sweep => examine(aws, config, kind, Scope::All, clock).await,
        Hint::Service { arn } => examine(aws, config, kind, Scope::One(&arn), clock).await,
        hint => follow(aws, config, kind, hint, dry_run, clock).await,
    };
    let World { rotations, mut inventory } = match world {
        Ok(world) => world,
        Err(report) => return report,
    };
    let decisions = recall(aws, config, &rotations, &mut inventory, clock).await;
    // Of a service that could not be read whole, what was read may be enough: it cannot become less stale.
    let suffices = |decision: &Decision| !matches!(decision.reason, Reason::PinnedVersion | Reason::ImagePullOnly);
    let decided: BTreeSet<_> = decisions.iter().filter(|d| suffices(d)).map(|d| d.service.clone()).collect();
    inventory.unexamined.retain(|unexamined| !decided.contains(&unexamined.name));
    let unread: BTreeSet<_> = inventory.unexamined.iter().map(|unexamined| &unexamined.name).collect();
    let decisions = decisions.into_iter().filter(|decision| !unread.contains(&decision.service)).collect();
    let mut services = act(aws, &rotations, &inventory.services, decisions, dry_run, clock).await;
    services.extend(inventory.unexamined.into_iter().map(unexamined));
    let left = services.iter().filter(|service| service.error.as_deref() == Some(NO_TIME)).count();
    let report = Report::of_services(kind, &rotations, services, inventory.warnings);
    if left == 0 {
        return report;
    }
    let reason = format!("{}; {left} of these are left for the next attempt", report.reason);
    Report { reason, failure: Some(Failure::TimeLeft), ..report }
}

/// What changed, and who may have to do with it.
struct World {
    rotations: Vec<Rotation>,
    inventory: Inventory,
}

/// Gathers what one change needs: waits until it has settled, then looks for the services.
async fn follow(
    aws: &Aws,
    config: &Config,
    kind: Kind,
    hint: Hint,
    dry_run: bool,
    clock: &Clock,
) -> Result<World, Report> {
    let rotations = rotations(aws, config, kind, hint, clock).await?;
    let about = |report: Report| Report { rotations: rotations.iter().map(Into::into).collect(), ..report };
    if !dry_run {
        settle(config, &rotations, clock)
            .await
            .map_err(|reason| about(Report::failed(kind, Failure::TimeLeft, reason)))?;
    }
    let inventory = within(clock, aws.inventory(config, Scope::Changed(&rotations))).await;
    let mut inventory = inventory.map_err(|stop| about(stop.report(kind)))?;
    aws.settle_partial_arns(&rotations, &mut inventory).await;
    Ok(World { rotations, inventory })
}

/// Gathers what there is to know without an event: the services, and when each secret that they follow last changed.
///
/// Each step costs more calls than the one before, and asks only about what that one left open.
async fn examine(aws: &Aws, config: &Config, kind: Kind, scope: Scope<'_>, clock: &Clock) -> Result<World, Report> {
    let gather = async {
        let mut inventory = aws.inventory(config, scope).await?;
        let (mut rotations, warnings) = aws.last_changes(&inventory.services, clock.now()).await;
        inventory.warnings.extend(warnings);
        aws.settle_partial_arns(&rotations, &mut inventory).await;
        let doubtful = open(&mut rotations, &inventory.services, |reason| reason.action() != Action::Skip);
        inventory.warnings.extend(aws.add_lower_bounds(doubtful).await);
        let doubtful = open(&mut rotations, &inventory.services, |reason| reason == Reason::Unknown);
        inventory.warnings.extend(aws.ask_cloudtrail(doubtful, clock.now()).await);
        Ok(World { rotations, inventory })
    };
    let mut world = within(clock, gather).await.map_err(|stop| stop.report(kind))?;
    // A change of this moment is left to its own event, and to the next sweep.
    let settled = clock.now().saturating_sub(config.settle).unwrap_or(Timestamp::MIN);
    world.rotations.retain(|rotation| rotation.at <= settled);
    Ok(world)
}
/// The rotations for which the plan, as far as it is known, comes to such a reason.
fn open<'a>(
    rotations: &'a mut [Rotation],
    services: &[Service],
    is_open: impl Fn(Reason) -> bool,
) -> Vec<&'a mut Rotation> {
    let decisions = plan(rotations, services).into_iter().filter(|decision| is_open(decision.reason));
    let subjects: BTreeSet<_> = decisions.flat_map(|decision| decision.secrets).collect();
    rotations.iter_mut().filter(|rotation| subjects.contains(&rotation.subject.to_string())).collect()
}

/// Plans, once it is known of every service to be redeployed what became of its deployments since the change.
async fn recall(
    aws: &Aws,
    config: &Config,
    rotations: &[Rotation],
    inventory: &mut Inventory,
    clock: &Clock,
) -> Vec<Decision> {
    let decisions: BTreeMap<_, _> =
        plan(rotations, &inventory.services).into_iter().map(|decision| (decision.service.clone(), decision)).collect();
    let settle = SignedDuration::try_from(config.settle).unwrap_or_default();
    let ask = async |mut service: Service| {
        let decision = decisions.get(&service.arn);
        let before = aws.has_redeployed(&service.arn);
        match decision.and_then(|decision| needs_history(decision, &service, clock.now(), settle, before)) {
            Some(since) => match aws.deployments_since(&service, since).await {
                Ok(history) => Ok(Service { history, ..service }),
                Err(error) => Err((std::mem::take(&mut service.arn), error)),
            },
            None => Ok(service),
        }
    };
    let services = std::mem::take(&mut inventory.services);
    let mut answers = stream::iter(services.into_iter().map(ask)).buffered(CALLS_AT_ONCE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(service) => inventory.services.push(service),
            Err((service, error)) => inventory.unexamined.push(Unexamined {
                secrets: decisions.get(&service).map(|decision| decision.secrets.clone()).unwrap_or_default(),
                name: service,
                problem: LookupProblem::LookupFailed,
                error: error.to_string(),
            }),
        }
    }
    drop(answers);
    plan(rotations, &inventory.services)
}

/// Why the facts could not be gathered.
enum Stop {
    Time,
    Aws(AwsError),
}

impl Stop {
    fn report(self, kind: Kind) -> Report {
        match self {
            Self::Time => {
                Report::failed(kind, Failure::TimeLeft, "the invocation's time did not suffice for the lookup")
            }
            Self::Aws(error) => unavailable(kind, &error),
        }
    }
}

/// Gathers while there is time.
async fn within<T>(clock: &Clock, gather: impl Future<Output = Result<T, AwsError>>) -> Result<T, Stop> {
    match clock.stop_at() {
        None => gather.await.map_err(Stop::Aws),
        Some(stop) => match timeout_at(stop, gather).await {
            Ok(answer) => answer.map_err(Stop::Aws),
            Err(_) => Err(Stop::Time),
        },
    }
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
            match read(body) {
                Ok(payload) => handle(aws, config, &payload, clock).await,
                Err(report) => report,
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

/// Reads JSON.
///
/// # Errors
/// The report of a text that is no JSON and is ignored, or of JSON that cannot be read and may have been an event.
pub fn read(text: &str) -> Result<Value, Report> {
    if serde_json::from_str::<&RawValue>(text).is_err() {
        return Err(Report::new(Kind::Unknown, Outcome::Ignored, "the payload is not JSON"));
    }
    serde_json::from_str(text).map_err(|_| {
        let reason = "the payload is JSON that is nested too deeply, or that holds a number or text that cannot be";
        Report::failed(Kind::Unknown, Failure::InvalidEvent, reason)
    })
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
            let facts = facts.map_err(|error| match error.class {
                Class::Invalid => {
                    invalid_event(kind, "detail.requestParameters.secretId", "the name or ARN of a secret")
                }
                _ => unavailable(kind, &error),
            })?;
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
        Hint::Sweep | Hint::Service { .. } => Vec::new(),
        Hint::Request { secret, .. } => vec![requested(aws, kind, &secret, clock.asked_at).await?],
    };
    let latest = clock.now().saturating_add(CLOCK_TOLERANCE).unwrap_or(Timestamp::MAX);
    if rotations.iter().any(|rotation| rotation.at > latest) {
        return Err(invalid_event(kind, "time", "a time that is not in the future"));
    }
    Ok(rotations)
}

/// The secret or parameter of a request, as if it had changed when it was made.
async fn requested(aws: &Aws, kind: Kind, secret: &str, at: Timestamp) -> Result<Rotation, Report> {
    if let Some(arn) = ParameterArn::parse(secret) {
        return Ok(Rotation { subject: Subject::Parameter(arn), version: None, at, not_before: None });
    }
    let unknown = || invalid_event(kind, "secret", "the name or ARN of a secret that exists in this Region");
    let facts = aws.describe_secret(secret, None).await.map_err(|error| match error.class {
        Class::Invalid => unknown(),
        _ => unavailable(kind, &error),
    })?;
    let facts = facts.ok_or_else(unknown)?;
    let version = facts.labels.get(AWSCURRENT).cloned();
    let subject = Subject::Secret { arn: facts.arn, label: AWSCURRENT.to_owned() };
    Ok(Rotation { subject, version, at, not_before: None })
}

/// Waits until whatever is started is certainly newer than the changes, and Secrets Manager's readers see them.
async fn settle(config: &Config, rotations: &[Rotation], clock: &Clock) -> Result<(), String> {
    let Some(at) = rotations.iter().map(|rotation| rotation.at).max() else {
        return Ok(());
    };
    // From the end of the second, because the same change has whole seconds in another event, and must settle there, too.
    let second = Timestamp::from_second(at.as_second() + i64::from(at.subsec_nanosecond() > 0)).unwrap_or(at);
    let until = second.saturating_add(config.settle).unwrap_or(Timestamp::MAX);
    let wait = Duration::try_from(until.duration_since(clock.now())).unwrap_or_default();
    if clock.stop_at().is_some_and(|stop| Instant::now() + wait > stop) {
        return Err(format!("nothing may be redeployed before {until}, and the invocation ends too soon after that"));
    }
    sleep(wait).await;
    Ok(())
}

/// Carries out the decisions; one failure never stops the others.
///
/// The services with the most changed secrets come first, and of these the ones that are stale for longest.
async fn act(
    aws: &Aws,
    rotations: &[Rotation],
    services: &[Service],
    mut decisions: Vec<Decision>,
    dry_run: bool,
    clock: &Clock,
) -> Vec<ServiceReport> {
    decisions.sort_by_cached_key(|decision| (Reverse(decision.secrets.len()), decision.at, decision.service.clone()));
    let services: BTreeMap<_, _> = services.iter().map(|service| (service.arn.as_str(), service)).collect();
    let act = async |decision: Decision| {
        let service = services.get(decision.service.as_str());
        let (action, deployment, error) = match (decision.reason.action(), service) {
            (Action::Redeploy, Some(service)) if !dry_run => {
                let stop = clock.stop_at();
                let redeploy = aws.redeploy(service, rotations, stop);
                match in_time(stop, redeploy).await {
                    Ok(Redeployed::Yes(deployment)) => (Done::Redeployed, deployment, None),
                    Ok(Redeployed::No(reason)) => return decided(Decision { reason, ..decision }),
                    Ok(Redeployed::NotStarted) => (Done::Failed, None, Some(NO_TIME.to_owned())),
                    Err(error) => (Done::Failed, None, Some(error.to_string())),
                }
            }
            _ => return decided(decision),
        };
        ServiceReport { action, deployment, error, ..decided(decision) }
    };
    stream::iter(decisions.into_iter().map(act)).buffer_unordered(REDEPLOYS_AT_ONCE).collect().await
}

/// What is started in time gets most of the rest of the time to end.
async fn in_time(
    stop: Option<Instant>,
    redeploy: impl Future<Output = Result<Redeployed, AwsError>>,
) -> Result<Redeployed, AwsError> {
    match stop {
        None => redeploy.await,
        Some(stop) => {
            timeout_at(stop + TIME_FOR_THE_REST * 3 / 4, redeploy).await.unwrap_or(Ok(Redeployed::NotStarted))
        }
    }
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
