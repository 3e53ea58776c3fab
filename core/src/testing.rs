//! What the unit tests of several modules share.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::arn::{Location, ParameterArn, SecretArn};
use crate::change::{AWSCURRENT, Bounds, Change, Source};
use crate::config::ImageGuard;
use crate::emf::LogContext;
use crate::event::TriggerKind;
use crate::fact::{Fact, Gap, GapKind};
use crate::name_pattern::NamePatterns;
use crate::policy::{Order, Policy};
use crate::reason::Reason;
use crate::reference::Reference;
use crate::report::{Report, ServiceAction, ServiceReport};
use crate::tag::{Participation, SecretTag};
use crate::workload::{
    CircuitBreaker, Controller, Deployment, Platform, RolloutState, Strategy, Task, Use, Workload,
};

pub(crate) const DB: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
pub(crate) const MAIL: &str =
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/mail-Ef34Gh";
pub(crate) const LIMIT: &str = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";
pub(crate) const VERSION: &str = "4d383ea9-084a-49c9-8722-cbfb0f25c456";
/// The revision that [`service`] runs.
pub(crate) const REVISION: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/api:7";

/// The policy of the defaults.
pub(crate) const ACT: Policy = policy(true);
/// The same, with nothing carried out.
pub(crate) const PREVIEW: Policy = policy(false);

const fn policy(acts: bool) -> Policy {
    Policy {
        settle: SignedDuration::from_secs(10),
        acts,
        default: Participation::Auto,
        only_notifies: true,
        secrets: NamePatterns::ALL,
        since: None,
        order: Some(Order {
            max_in_flight: None,
        }),
        has_calendars: false,
        image_guard: ImageGuard::Off,
    }
}

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn location() -> Location {
    Location {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "123456789012".to_owned(),
    }
}

pub(crate) fn labeled(arn: &str, label: &str) -> Source {
    Source::Secret {
        arn: SecretArn::parse(arn).unwrap(),
        label: label.to_owned(),
    }
}

/// A secret whose AWSCURRENT is meant, or a parameter.
pub(crate) fn source(arn: &str) -> Source {
    match ParameterArn::parse(arn) {
        Some(arn) => Source::Parameter(arn),
        None => labeled(arn, AWSCURRENT),
    }
}

pub(crate) fn bounds(not_before: i64, not_after: i64) -> Bounds {
    Bounds {
        not_before: second(not_before),
        not_after: second(not_after),
    }
}

/// A change at a known second, of a source without our tag.
pub(crate) fn change(arn: &str, at: i64) -> Change {
    untagged(Change::new(source(arn), None, Bounds::exact(second(at))))
}

pub(crate) fn untagged(change: Change) -> Change {
    Change {
        tag: Fact::Known(SecretTag::default()),
        ..change
    }
}

/// A change between two moments, about which nothing more is to be found out.
pub(crate) fn bounded(arn: &str, not_before: i64, not_after: i64) -> Change {
    Change {
        stored: Fact::Known(None),
        trail: Fact::Known(None),
        ..untagged(Change::new(
            source(arn),
            None,
            bounds(not_before, not_after),
        ))
    }
}

pub(crate) fn reference(value_from: &str) -> Arc<Reference> {
    Arc::new(Reference::parse(value_from).unwrap())
}

pub(crate) fn at_start(value_from: &str) -> Use {
    Use::AtStart(reference(value_from))
}

/// A deployment of two tasks of the usual revision.
pub(crate) fn deployment(at: i64, primary: bool, rollout: RolloutState) -> Deployment {
    Deployment {
        id: format!("ecs-svc/{at}"),
        created_at: second(at),
        updated_at: None,
        primary,
        running: 2,
        failed_tasks: 0,
        rollout,
        task_definition: Fact::Known(REVISION.into()),
        service_revision: None,
    }
}

/// A deployment as the history tells of it.
pub(crate) fn past(at: i64, rollout: RolloutState) -> Deployment {
    Deployment {
        id: format!("arn:aws:ecs:eu-west-1:123456789012:service-deployment/prod/api/{at}"),
        running: 0,
        task_definition: Fact::Unasked,
        service_revision: Some(format!("revision/{at}")),
        ..deployment(at, false, rollout)
    }
}

pub(crate) fn service_arn(name: &str) -> Arc<str> {
    format!("arn:aws:ecs:eu-west-1:123456789012:service/prod/{name}").into()
}

pub(crate) fn platform(controller: Controller, strategy: Strategy) -> Platform {
    Platform::Service {
        controller,
        strategy,
        circuit_breaker: CircuitBreaker::Rollback,
    }
}

/// A service of two tasks that follows `prod/db`, was deployed long ago, and was read at 100.
pub(crate) fn service() -> Workload {
    let cluster = "arn:aws:ecs:eu-west-1:123456789012:cluster/prod";
    let platform = platform(Controller::Ecs, Strategy::Rolling);
    Workload {
        location: Some(Arc::new(location())),
        desired: 2,
        running: 2,
        deployments: vec![deployment(10, true, RolloutState::Completed)],
        uses: vec![at_start(DB)].into(),
        read_at: Some(second(100)),
        ..Workload::new(service_arn("api"), cluster.into(), platform)
    }
}

/// A running task that belongs to no service, and follows `prod/db`.
pub(crate) fn standalone(at: i64) -> Workload {
    Workload {
        arn: format!("arn:aws:ecs:eu-west-1:123456789012:task/prod/{at}").into(),
        platform: Platform::StandaloneTask,
        desired: 1,
        running: 1,
        deployments: vec![Deployment {
            running: 1,
            ..deployment(at, true, RolloutState::Completed)
        }],
        ..service()
    }
}

/// Tasks that were created then, by this deployment.
pub(crate) fn tasks(started_by: &str, created: &[i64]) -> Fact<Vec<Task>> {
    let task = |at: &i64| Task {
        created_at: second(*at),
        started_by: started_by.to_owned(),
    };
    Fact::Known(created.iter().map(task).collect())
}

pub(crate) fn gap(kind: GapKind) -> Gap {
    Gap {
        kind,
        error: format!("it is {kind:?}"),
    }
}

/// The report of one service.
pub(crate) fn row(name: &str, action: ServiceAction, reason: Reason) -> ServiceReport {
    ServiceReport {
        service: service_arn(name),
        action,
        reason,
        secrets: vec![DB.into()],
        until: None,
        deployment: (action == ServiceAction::Redeployed).then(|| "ecs-svc/123".to_owned()),
        error: (action == ServiceAction::Failed)
            .then(|| "ecs:UpdateService failed: AccessDeniedException".to_owned()),
    }
}

/// The report of services that follow one change.
pub(crate) fn report(services: Vec<ServiceReport>) -> Report {
    let at = "2026-11-23T01:02:03Z".parse().unwrap();
    let change = Change::new(source(DB), Some("v2".to_owned()), Bounds::exact(at));
    let kind = TriggerKind::SecretLabelUpdated;
    Report::of_services(kind, &[&change], services, Vec::new())
}

/// The log line of a report.
pub(crate) fn line(report: &Report) -> serde_json::Value {
    let context = LogContext {
        timestamp: "2026-11-23T01:02:15.5Z".parse().unwrap(),
        request_id: "8476a536",
        function_name: "redeploy",
        duration_ms: 12_345,
    };
    serde_json::from_str(&report.log_line(&context)).unwrap()
}

/// A report whose text has this many bytes, in a sentence that is as long as needed.
pub(crate) fn of_length(
    length: usize,
    services: Vec<ServiceReport>,
    text: impl Fn(&Report) -> String,
) -> Report {
    let mut report = report(services);
    report.reason.clear();
    // The log line has the sentence twice.
    let empty = text(&report).len();
    report.reason.push('x');
    let times = text(&report).len() - empty;
    report.reason = "x".repeat((length - empty) / times);
    // What is left fits into a field that each has once.
    let left = length - text(&report).len();
    lengthen(&mut report.services[0], left);
    assert_eq!(text(&report).len(), length);
    report
}

/// Makes the name of a service this much longer.
pub(crate) fn lengthen(row: &mut ServiceReport, bytes: usize) {
    row.service = format!("{}{}", row.service, "x".repeat(bytes)).into();
}
