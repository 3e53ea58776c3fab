//! The facts of one invocation: what changed, and who may have to do with it.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep, timeout_at};

use crate::aws::{Aws, AwsError, Class, Inventory, Scope};
use crate::clock::Clock;
use redeploy_core::config::{Config, OnPending};
use redeploy_core::event::{
    Confirmation, FieldProblem, Intent, InvalidEvent, Trigger, TriggerKind, UnconfirmedChange,
};
use redeploy_core::plan::{Action, Decision, Reason, fresh_from, plan, plan_tasks};
use redeploy_core::report::{ErrorType, Outcome, Report};
use redeploy_core::secret::{AWSCURRENT, Change, ParameterArn, Source};
use redeploy_core::service::{Service, Task};

/// How many services are asked about at once.
const CALLS_AT_ONCE: usize = 8;
/// An event cannot have happened later than now, unless clocks differ by this much.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What changed, and who may have to do with it.
#[derive(Clone, Debug)]
pub struct World {
    /// The changes.
    pub rotations: Vec<Change>,
    /// The services.
    pub inventory: Inventory,
    /// Running tasks that belong to no service.
    pub tasks: Vec<Task>,
    /// When the services began to be read.
    pub read: Instant,
}

/// Gathers what a trigger is about. A change of a moment ago is waited for until it has settled, unless this is a dry
/// run.
///
/// # Errors
/// The report that ends the invocation: there is nothing to do, or the facts could not be gathered.
pub async fn gather(
    aws: &Aws,
    config: &Config,
    Trigger { kind, hint }: Trigger,
    dry_run: bool,
    clock: &Clock,
) -> Result<World, Report> {
    let gather = Gather {
        aws,
        config,
        kind,
        clock,
        settle: (!dry_run).then_some(config.settle),
    };
    match hint {
        Intent::Sweep => gather.examine(Scope::All).await,
        Intent::Service { arn } => gather.examine(Scope::One(&arn)).await,
        hint => gather.follow(hint).await,
    }
}

/// The first moment at which something may be done about a change.
#[must_use]
pub fn settled_from(at: Timestamp, settle: Duration) -> Timestamp {
    // From the end of the second, because the same change has whole seconds in another event, and must settle there, too.
    // And it may be told of a second later there.
    let second = Timestamp::from_second(at.as_second() + i64::from(at.subsec_nanosecond() > 0))
        .unwrap_or(at);
    fresh_from(second)
        .saturating_add(settle)
        .unwrap_or(Timestamp::MAX)
}

struct Gather<'a> {
    aws: &'a Aws,
    config: &'a Config,
    kind: TriggerKind,
    clock: &'a Clock,
    /// How long to wait after a change; `None` when nothing will be done about it.
    settle: Option<Duration>,
}

impl Gather<'_> {
    /// Gathers what one change needs: waits until it has settled, then looks for the services.
    async fn follow(&self, hint: Intent) -> Result<World, Report> {
        let rotations = self.rotations(hint).await?;
        let about = |report: Report| Report {
            rotations: rotations.iter().map(Into::into).collect(),
            ..report
        };
        if let Some(at) = rotations.iter().map(|rotation| rotation.at).max() {
            self.wait_until_settled(at).await.map_err(about)?;
        }
        let inventory = async {
            let mut inventory = self
                .aws
                .inventory(self.config, Scope::Changed(&rotations))
                .await?;
            self.aws
                .settle_partial_arns(&rotations, &mut inventory)
                .await;
            Ok(inventory)
        };
        let read = Instant::now();
        let inventory = self
            .within(inventory)
            .await
            .map_err(|unavailable| about(unavailable.report(self.kind)))?;
        Ok(World {
            rotations,
            inventory,
            tasks: Vec::new(),
            read,
        })
    }

    /// Gathers what there is to know without an event: the services, and when each secret that they follow last changed.
    async fn examine(&self, scope: Scope<'_>) -> Result<World, Report> {
        let survey = async || {
            self.within(self.survey(scope))
                .await
                .map_err(|unavailable| unavailable.report(self.kind))
        };
        let mut world = survey().await?;
        let Some(settle) = self.settle else {
            return Ok(world);
        };
        let is_settled = |at: Timestamp| settled_from(at, settle) <= self.clock.now();
        let unsettled = plan(&world.rotations, &world.inventory.services).into_iter();
        let unsettled = unsettled
            .filter(|decision| decision.reason.action() != Action::Skip)
            .map(|decision| decision.at);
        if let Some(at) = unsettled.max().filter(|at| !is_settled(*at)) {
            self.wait_until_settled(at).await?;
            world = survey().await?;
        }
        // What asks for something and changed meanwhile is left to its own event, and to the next sweep.
        let asking = subjects(plan(&world.rotations, &world.inventory.services), |r| {
            r.action() != Action::Skip
        });
        world.rotations.retain(|rotation| {
            is_settled(rotation.at) || !asking.contains(&rotation.subject.to_string())
        });
        Ok(world)
    }

    /// One look at everything in scope.
    ///
    /// Each step costs more calls than the one before, and asks only about what that one left open.
    async fn survey(&self, scope: Scope<'_>) -> Result<World, AwsError> {
        let (aws, now) = (self.aws, self.clock.now());
        let read = Instant::now();
        let mut inventory = aws.inventory(self.config, scope).await?;
        let mut tasks = Vec::new();
        if matches!(scope, Scope::All) {
            let (outside, warnings) = aws
                .tasks_outside(&inventory.clusters, &inventory.services, now)
                .await;
            inventory.warnings.extend(warnings);
            tasks = outside;
        }
        let mut rotations = aws
            .last_changes(&mut inventory, &tasks, self.clock.asked_at)
            .await;
        aws.settle_partial_arns(&rotations, &mut inventory).await;

        let is_open = |reason: Reason| reason.action() != Action::Skip || reason == Reason::Unknown;
        let doubtful = subjects(plan(&rotations, &inventory.services), is_open);
        self.add_lower_bounds(&mut rotations, &doubtful, &mut inventory)
            .await;
        self.recall(&rotations, &mut inventory).await;
        // A roll-back between the two bounds may have been of an earlier deployment than one for this change.
        let mut doubtful = subjects(plan(&rotations, &inventory.services), |reason| {
            reason == Reason::Unknown
        });
        doubtful.extend(subjects(
            doubtful_roll_backs(&rotations, &inventory.services),
            |_| true,
        ));
        let asked = rotations
            .iter_mut()
            .filter(|rotation| doubtful.contains(&rotation.subject.to_string()))
            .collect();
        inventory
            .warnings
            .extend(aws.ask_cloudtrail(asked, now).await);

        self.find_old_tasks(&rotations, &mut inventory).await;
        // What is older than the upper bound may be older than the change.
        let by_upper_bound: Vec<_> = rotations
            .iter()
            .cloned()
            .map(|r| Change {
                not_before: None,
                ..r
            })
            .collect();
        let mut doubtful = subjects(plan(&by_upper_bound, &inventory.services), |reason| {
            reason == Reason::StaleTasks
        });
        doubtful.extend(subjects(plan_tasks(&by_upper_bound, &tasks), |_| true));
        self.add_lower_bounds(&mut rotations, &doubtful, &mut inventory)
            .await;
        Ok(World {
            rotations,
            inventory,
            tasks,
            read,
        })
    }

    /// Asks Secrets Manager when the versions of these subjects were stored.
    async fn add_lower_bounds(
        &self,
        rotations: &mut [Change],
        of: &BTreeSet<String>,
        inventory: &mut Inventory,
    ) {
        let open = rotations
            .iter_mut()
            .filter(|rotation| of.contains(&rotation.subject.to_string()))
            .collect();
        inventory
            .warnings
            .extend(self.aws.add_lower_bounds(open).await);
    }

    /// Adds to every stale service what became of its deployments since the change.
    async fn recall(&self, rotations: &[Change], inventory: &mut Inventory) {
        ask_each(inventory, async |service| {
            self.aws.recall_for(rotations, service).await
        })
        .await;
    }

    /// Adds to every fresh service whose tasks outlive a rollout when the oldest of these started.
    async fn find_old_tasks(&self, rotations: &[Change], inventory: &mut Inventory) {
        let now = self.clock.now();
        let fresh = plan(rotations, &inventory.services)
            .into_iter()
            .filter(|d| d.reason == Reason::AlreadyFresh);
        let fresh: BTreeSet<_> = fresh.map(|decision| decision.service).collect();
        let ask = async |service: Service| {
            let is_outlived = fresh.contains(&service.arn) && service.is_outlived(now);
            if is_outlived {
                self.aws.find_oldest_task(service).await
            } else {
                Ok(service)
            }
        };
        ask_each(inventory, ask).await;
    }

    /// What changed.
    async fn rotations(&self, hint: Intent) -> Result<Vec<Change>, Report> {
        match hint {
            Intent::Ignored { reason, warning } => {
                let warnings = if warning {
                    vec![reason.clone()]
                } else {
                    Vec::new()
                };
                Err(Report {
                    warnings,
                    ..self.ignored(reason)
                })
            }
            Intent::Change(rotation) => {
                self.check_time(rotation.at)?;
                Ok(vec![rotation])
            }
            Intent::Secret(hint) => self.confirmed(&hint).await,
            Intent::Request { secret, .. } => Ok(vec![self.requested(&secret).await?]),
            Intent::Sweep | Intent::Service { .. } => Ok(Vec::new()),
        }
    }

    /// What is left of a hint in the light of `DescribeSecret`.
    async fn confirmed(&self, hint: &UnconfirmedChange) -> Result<Vec<Change>, Report> {
        if let Some(at) = hint.at {
            self.check_time(at)?;
            if hint.is_of_the_past() {
                // Asked earlier, Secrets Manager may answer with what was before the change.
                self.wait_until_settled(at).await?;
            }
        }
        let describe = self
            .aws
            .describe_secret(&hint.secret_id, hint.region.as_deref());
        let facts = self
            .within(describe)
            .await
            .map_err(|unavailable| match unavailable {
                Unavailable::Aws(AwsError {
                    class: Class::Invalid,
                    ..
                }) => self.invalid_event(
                    "detail.requestParameters.secretId",
                    "the name or ARN of a secret",
                ),
                other => other.report(self.kind),
            })?;
        let facts = facts.ok_or_else(|| self.ignored("the secret no longer exists".to_owned()))?;
        match hint.confirm(&facts, self.clock.now()) {
            Confirmation::Rotations(rotations) => Ok(rotations),
            Confirmation::Pending(reason) if self.config.on_pending == OnPending::Retry => Err(
                Report::failed(self.kind, ErrorType::RotationPending, reason),
            ),
            Confirmation::Pending(reason) | Confirmation::Nothing(reason) => {
                Err(self.ignored(reason))
            }
        }
    }

    /// The secret or parameter of a request, as if it had changed when it was made.
    async fn requested(&self, secret: &str) -> Result<Change, Report> {
        let at = self.clock.asked_at;
        if let Some(arn) = ParameterArn::parse(secret) {
            return Ok(Change {
                subject: Source::Parameter(arn),
                version: None,
                at,
                not_before: None,
            });
        }
        let unknown = || {
            self.invalid_event(
                "secret",
                "the name or ARN of a secret that exists in this Region",
            )
        };
        let facts = self
            .within(self.aws.describe_secret(secret, None))
            .await
            .map_err(|unavailable| match unavailable {
                Unavailable::Aws(AwsError {
                    class: Class::Invalid,
                    ..
                }) => unknown(),
                other => other.report(self.kind),
            })?;
        let facts = facts.ok_or_else(unknown)?;
        let version = facts.labels.get(AWSCURRENT).cloned();
        let subject = Source::Secret {
            arn: facts.arn,
            label: AWSCURRENT.to_owned(),
        };
        Ok(Change {
            subject,
            version,
            at,
            not_before: None,
        })
    }

    fn check_time(&self, at: Timestamp) -> Result<(), Report> {
        let latest = self
            .clock
            .now()
            .saturating_add(CLOCK_TOLERANCE)
            .unwrap_or(Timestamp::MAX);
        if at > latest {
            Err(self.invalid_event("time", "a time that is not in the future"))
        } else {
            Ok(())
        }
    }

    /// Waits until whatever is started is certainly newer than a change at this moment, and Secrets Manager's readers
    /// see it.
    async fn wait_until_settled(&self, at: Timestamp) -> Result<(), Report> {
        let Some(settle) = self.settle else {
            return Ok(());
        };
        let until = settled_from(at, settle);
        let wait = Duration::try_from(until.duration_since(self.clock.now())).unwrap_or_default();
        if self
            .clock
            .stop_at()
            .is_some_and(|stop| Instant::now() + wait > stop)
        {
            let reason = format!(
                "nothing may be redeployed before {until}, and the invocation ends too soon after that"
            );
            return Err(Report::failed(self.kind, ErrorType::TimeLeft, reason));
        }
        sleep(wait).await;
        Ok(())
    }

    /// Gathers while there is time.
    async fn within<T>(
        &self,
        gather: impl Future<Output = Result<T, AwsError>>,
    ) -> Result<T, Unavailable> {
        let answer = match self.clock.stop_at() {
            None => gather.await,
            Some(stop) => timeout_at(stop, gather)
                .await
                .map_err(|_| Unavailable::Time)?,
        };
        answer.map_err(Unavailable::Aws)
    }

    fn ignored(&self, reason: String) -> Report {
        Report::new(self.kind, Outcome::Ignored, reason)
    }

    /// The report of a known event with a field that makes no sense.
    fn invalid_event(&self, field: &str, must_be: &'static str) -> Report {
        InvalidEvent {
            kind: self.kind,
            field: field.to_owned(),
            problem: FieldProblem::MustBe(must_be),
        }
        .into()
    }
}

/// Why facts could not be gathered.
enum Unavailable {
    Time,
    Aws(AwsError),
}

impl Unavailable {
    /// The report of an invocation that could not even find out what there is to do.
    fn report(&self, kind: TriggerKind) -> Report {
        match self {
            Self::Time => Report::failed(
                kind,
                ErrorType::TimeLeft,
                "the invocation's time did not suffice for the lookup",
            ),
            Self::Aws(error) => {
                let is_throttled = error.class == Class::Throttled;
                let failure = if is_throttled {
                    ErrorType::Throttled
                } else {
                    ErrorType::PartialFailure
                };
                Report::failed(kind, failure, error.to_string())
            }
        }
    }
}

/// Asks about each service; one about which there is no answer stays as it is, with a warning.
async fn ask_each(
    inventory: &mut Inventory,
    ask: impl AsyncFn(Service) -> Result<Service, AwsError>,
) {
    let services = std::mem::take(&mut inventory.services);
    let asked = services
        .into_iter()
        .map(async |service| ask(service.clone()).await.map_err(|error| (service, error)));
    let answers: Vec<_> = stream::iter(asked).buffered(CALLS_AT_ONCE).collect().await;
    for answer in answers {
        inventory
            .services
            .push(answer.unwrap_or_else(|(service, error)| {
                inventory.warnings.push(format!("{}: {error}", service.arn));
                service
            }));
    }
}

/// The secrets and parameters of the decisions with such a reason.
fn subjects(decisions: Vec<Decision>, is_open: impl Fn(Reason) -> bool) -> BTreeSet<String> {
    let open = decisions
        .into_iter()
        .filter(|decision| is_open(decision.reason));
    open.flat_map(|decision| decision.secrets).collect()
}

/// What is blocked by a roll-back since the lower bound of a change, and would not be if the upper bound were the moment.
fn doubtful_roll_backs(rotations: &[Change], services: &[Service]) -> Vec<Decision> {
    let at_the_latest: Vec<_> = rotations
        .iter()
        .cloned()
        .map(|r| Change {
            not_before: None,
            ..r
        })
        .collect();
    let rolled_back = |rotations: &[Change]| {
        let decisions = plan(rotations, services).into_iter();
        decisions
            .filter(|decision| decision.reason == Reason::RolledBack)
            .collect::<Vec<_>>()
    };
    let certain: BTreeSet<_> = rolled_back(&at_the_latest)
        .into_iter()
        .map(|decision| decision.service)
        .collect();
    rolled_back(rotations)
        .into_iter()
        .filter(|decision| !certain.contains(&decision.service))
        .collect()
}
