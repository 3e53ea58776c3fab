//! The loop: the planner asks, AWS answers, until everything is decided; then it is carried out.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use redeploy_core::arn::ParameterArn;
use redeploy_core::change::{Bounds, Change, Source};
use redeploy_core::config::{Config, OnPending};
use redeploy_core::confirm::{Claim, UnconfirmedChange};
use redeploy_core::decide::Decision;
use redeploy_core::event::{FieldProblem, Intent, InvalidEvent, Target, Trigger, TriggerKind};
use redeploy_core::fact::GapKind;
use redeploy_core::facts::{Facts, Scope, Unconfirmed};
use redeploy_core::plan::{End, Plan, Question, plan, reported_changes};
use redeploy_core::policy::Policy;
use redeploy_core::report::{ErrorType, Outcome, Report, ServiceReport};

use crate::aws::Aws;
use crate::clock::{Clock, OutOfTime};
use crate::execute::execute;

/// The time of an event may lie this far in the future, because clocks differ.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Handles one trigger. A dry run decides and carries nothing out.
pub async fn run(aws: &Aws, config: &Config, trigger: Trigger, clock: &Clock) -> Report {
    let kind = trigger.kind;
    let policy = match trigger.intent {
        Intent::Request {
            dry_run,
            ignore_freeze,
            ..
        } => Policy::new(config, !config.dry_run && !dry_run).requested(ignore_freeze),
        _ => Policy::new(config, !config.dry_run),
    };
    let mut facts = match first_facts(trigger, clock) {
        Ok(facts) => facts,
        Err(report) => return *report,
    };
    let plan = match decide(aws, config, &policy, &mut facts, clock).await {
        Ok(plan) => plan,
        Err(OutOfTime) => return out_of_time(kind, &facts, &policy, clock),
    };
    if let Some(end) = plan.end {
        return ended(kind, config, end);
    }
    let changes = reported_changes(&facts, &plan)
        .into_iter()
        .cloned()
        .collect::<Vec<_>>();
    facts.warnings.extend(plan.warnings.iter().cloned());
    let warnings = Vec::from_iter(std::mem::take(&mut facts.warnings));
    let services = if policy.acts {
        execute(aws, config, &policy, &facts, plan, clock).await
    } else {
        plan.decisions
            .into_iter()
            .map(ServiceReport::from)
            .collect()
    };
    let changes: Vec<_> = changes.iter().collect();
    let report = Report::of_services(kind, &changes, services, warnings);
    if facts.scope != Scope::Everything {
        return report;
    }
    let known = aws.remember_failures(report.failures());
    report.with_known(&known)
}

/// Asks until everything is decided and, where it will be carried out, has settled. Then what is asked
/// only at a service's turn is left to that, unless others wait for the answers.
///
/// # Errors
/// When the invocation's time is not enough.
pub async fn decide(
    aws: &Aws,
    config: &Config,
    policy: &Policy,
    facts: &mut Facts,
    clock: &Clock,
) -> Result<Plan, OutOfTime> {
    let asks = |question: &Question| !policy.acts || !question.is_at_turn();
    ask(aws, config, policy, facts, clock, asks).await
}

/// The loop. It ends, because each answer fills a fact, and a fact is asked for again only where it is
/// older than a fixed moment.
///
/// # Errors
/// When the invocation's time is not enough.
pub(crate) async fn ask(
    aws: &Aws,
    config: &Config,
    policy: &Policy,
    facts: &mut Facts,
    clock: &Clock,
    asks: impl Fn(&Question) -> bool,
) -> Result<Plan, OutOfTime> {
    loop {
        let mut plan = plan(facts, policy, clock.now());
        plan.questions
            .retain(|question| plan.ahead || asks(question));
        if !plan.questions.is_empty() {
            let questions = plan.questions;
            let answers = aws.answer(config, facts, questions, || clock.now());
            for answer in clock.in_time(answers).await? {
                facts.learn(answer, clock.now());
            }
        } else if let Some(until) = plan.wait_until {
            clock.sleep_until(until).await?;
        } else {
            return Ok(plan);
        }
    }
}

/// Redeploys one service that a preview found stale, once the change has settled, and if it is
/// still stale by then.
pub async fn redeploy(
    aws: &Aws,
    config: &Config,
    policy: &Policy,
    facts: &Facts,
    decision: Decision,
    clock: &Clock,
) -> ServiceReport {
    let plan = Plan {
        decisions: vec![decision.clone()],
        ..Plan::default()
    };
    let reports = execute(aws, config, policy, facts, plan, clock).await;
    let report = reports.into_iter().next();
    report.unwrap_or_else(|| decision.into())
}

/// The facts that the trigger itself gives.
///
/// # Errors
/// The report of a trigger that asks for nothing, or for something that makes no sense.
pub fn first_facts(trigger: Trigger, clock: &Clock) -> Result<Facts, Box<Report>> {
    let Trigger { kind, intent } = trigger;
    let mut facts = Facts::new(Scope::Followers, clock.now());
    match intent {
        Intent::Ignored { reason, warning } => {
            let warnings = if warning {
                vec![reason.clone()]
            } else {
                Vec::new()
            };
            let report = Report::new(kind, Outcome::Ignored, reason);
            return Err(Box::new(Report { warnings, ..report }));
        }
        Intent::Changed(change) => {
            check_time(kind, change.reported.not_after, clock)?;
            facts.announce(change);
        }
        Intent::MayHaveChanged(claim) => {
            claim.at.map_or(Ok(()), |at| check_time(kind, at, clock))?;
            facts.unconfirmed = Some(unconfirmed(claim));
        }
        Intent::Request { target, .. } => {
            facts.requested_at = Some(clock.requested_at);
            match target {
                Target::Service(name) => facts.scope = Scope::Service(name.into()),
                Target::Secret(name) => match ParameterArn::parse(&name) {
                    Some(arn) => {
                        let moved = Bounds::exact(clock.requested_at);
                        facts.announce(Change::new(Source::Parameter(arn), None, moved));
                    }
                    None => {
                        facts.unconfirmed = Some(unconfirmed(UnconfirmedChange {
                            secret_id: name,
                            region: None,
                            claim: Claim::Asked,
                            at: Some(clock.requested_at),
                        }));
                    }
                },
            }
        }
        Intent::Sweep => facts.scope = Scope::Everything,
        Intent::Deployment { service, completed } => {
            facts.scope = Scope::Around(Arc::from(service));
            facts.completed = completed;
        }
    }
    Ok(facts)
}

fn unconfirmed(claim: UnconfirmedChange) -> Unconfirmed {
    Unconfirmed {
        claim,
        asked_at: None,
        answer: redeploy_core::fact::Fact::Unasked,
    }
}

fn check_time(kind: TriggerKind, at: Timestamp, clock: &Clock) -> Result<(), Box<Report>> {
    let latest = clock.now().saturating_add(CLOCK_TOLERANCE);
    if at <= latest.unwrap_or(Timestamp::MAX) {
        return Ok(());
    }
    let must_be = "a time that is not in the future";
    Err(Box::new(invalid(kind, "time", must_be)))
}

/// The report of a known payload with a field that makes no sense.
fn invalid(kind: TriggerKind, field: &str, must_be: &'static str) -> Report {
    let problem = FieldProblem::MustBe(must_be);
    let field = field.to_owned();
    InvalidEvent {
        kind,
        field,
        problem,
    }
    .into()
}

/// The report of an invocation that ends without a decision.
#[must_use]
pub fn ended(kind: TriggerKind, config: &Config, end: End) -> Report {
    match end {
        End::Pending(reason) if config.on_pending == OnPending::Retry => {
            Report::failed(kind, ErrorType::RotationPending, reason)
        }
        End::Outdated(reason) => Report::failed(kind, ErrorType::RotationPending, reason),
        End::Ignored(reason) | End::Pending(reason) => Report::new(kind, Outcome::Ignored, reason),
        End::NoSecret => {
            let must_be = "the name or ARN of a secret that exists in this Region";
            invalid(kind, "secret", must_be)
        }
        End::NoService => {
            let must_be = "<cluster>/<service> of a service that exists and is in scope";
            invalid(kind, "service", must_be)
        }
        End::Unavailable(gap) if gap.kind == GapKind::Invalid => {
            let field = "detail.requestParameters.secretId";
            invalid(kind, field, "the name or ARN of a secret")
        }
        End::Unavailable(gap) => {
            let is_throttled = gap.kind == GapKind::Throttled;
            let failure = if is_throttled {
                ErrorType::Throttled
            } else {
                ErrorType::PartialFailure
            };
            Report::failed(kind, failure, gap.error)
        }
    }
}

/// The report of an invocation whose time was over before everything was decided.
fn out_of_time(kind: TriggerKind, facts: &Facts, policy: &Policy, clock: &Clock) -> Report {
    let plan = plan(facts, policy, clock.now());
    let reason = match plan.wait_until {
        Some(until) => format!(
            "nothing may be redeployed before {until}, and the invocation ends too soon after that"
        ),
        None => "the invocation's time was over before everything was known".to_owned(),
    };
    let rotations = facts.changes.values().map(Into::into).collect();
    Report {
        rotations,
        ..Report::failed(kind, ErrorType::TimeLeft, reason)
    }
}
