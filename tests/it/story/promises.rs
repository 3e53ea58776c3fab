//! The promises: what users see of a story when it is over, by the truth of the tasks.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::account::Account;
use super::{SECRETS, Sort};
use crate::simulation::account::FakeAws;

/// What is deployed later than this after a change has its value by every account: the change's
/// second has ended, and one more has passed.
const FRESH_AFTER: Duration = Duration::from_secs(2);
/// Reads show what was written after this time.
const READS_CATCH_UP: Duration = Duration::from_secs(5);
/// What is under way and works is left alone so long.
const LEFT_ALONE: Duration = Duration::from_mins(10);
/// When more than this lies between a change and the look, the tasks themselves are asked about;
/// and a fact is used so long.
const ASKED_AFTER: Duration = Duration::from_secs(90);

fn after(at: Timestamp, time: Duration) -> Timestamp {
    at.saturating_add(time).unwrap()
}

impl Account {
    /// Holds the account and the last report against the promises.
    pub(super) fn check(&self, last: &Value) -> Result<(), String> {
        let account = self.wire.account();
        for (arn, sort) in &self.services {
            self.check_rollouts(&account, arn, *sort)?;
            self.check_end(&account, arn, *sort, last)?;
        }
        self.check_needless(&account)?;
        check_cut_off(&account)?;
        if account.quotas.refused > 0 {
            return Err(format!(
                "{} calls of the sweeps were more than AWS allows",
                account.quotas.refused
            ));
        }
        Ok(())
    }

    fn moves(&self, sort: Sort) -> impl Iterator<Item = Timestamp> + Clone {
        self.moves
            .iter()
            .filter(move |(_, name)| sort.follows(name, self.lookup))
            .map(|(at, _)| *at)
    }

    /// No more rollouts than changes, and each after a change that has settled. What others
    /// deployed may have ended one of ours, which then begins again.
    fn check_rollouts(&self, account: &FakeAws, arn: &str, sort: Sort) -> Result<(), String> {
        let moves = self.moves(sort);
        let redeploys = account
            .redeploys
            .iter()
            .filter(|(_, service)| service == arn)
            .map(|(at, _)| *at);
        let redeploys: Vec<_> = redeploys.collect();
        let deployed = self
            .deployed
            .iter()
            .filter(|(_, service)| service == arn)
            .map(|(at, _)| *at);
        for (number, at) in redeploys.iter().enumerate() {
            let changes = moves.clone().filter(|moved| moved < at).count();
            let by_others = deployed.clone().filter(|deployed| deployed < at).count();
            if changes == 0 || sort == Sort::External || changes + by_others <= number {
                let nth = number + 1;
                return Err(format!(
                    "{arn} ({sort:?}) got deployment {nth} at {at}, after {changes} changes"
                ));
            }
            let before = number
                .checked_sub(1)
                .map_or(Timestamp::MIN, |before| redeploys[before]);
            // Nor can a read show what others deployed right before ours.
            let unseen = before.saturating_sub(READS_CATCH_UP).unwrap_or(before);
            let is_disturbed = deployed
                .clone()
                .any(|deployed| (unseen..*at).contains(&deployed));
            let asks = |moved: Timestamp| {
                let is_new = is_disturbed || after(moved, FRESH_AFTER) > before;
                is_new && after(moved, self.settle) <= *at
            };
            if !moves.clone().any(asks) {
                return Err(format!(
                    "{arn} ({sort:?}) got a deployment at {at}, before a change had settled"
                ));
            }
        }
        // Nor may the deployment that one change did not need be spent on another.
        for moved in moves.clone() {
            let since = |at: &Timestamp| *at > after(moved, FRESH_AFTER);
            let ours = redeploys.iter().filter(|at| since(at)).count();
            let changes = moves.clone().filter(|other| *other >= moved).count();
            let by_others = deployed.clone().filter(|at| *at > moved).count();
            if ours > changes + by_others {
                let what = format!("{ours} deployments since {moved}, for {changes} changes");
                return Err(format!("{arn} ({sort:?}) got {what}"));
            }
        }
        Ok(())
    }

    /// Nothing is redeployed whose tasks are known to be younger than every change.
    fn check_needless(&self, account: &FakeAws) -> Result<(), String> {
        for ((at, arn), tasks) in account.redeploys.iter().zip(&account.tasks_then) {
            let Some((oldest, newest)) = tasks else {
                continue;
            };
            let Some((_, sort)) = self.services.iter().find(|(service, _)| service == arn) else {
                continue;
            };
            let Some(last) = self.moves(*sort).filter(|moved| moved < at).max() else {
                continue;
            };
            let is_asked = after(last, ASKED_AFTER) < *at && after(*newest, ASKED_AFTER) < *at;
            if is_asked && after(last, FRESH_AFTER) < *oldest {
                return Err(format!(
                    "{arn} ({sort:?}) got a deployment at {at}, but all its tasks are of {oldest} or later, and \
                     the last change was at {last}"
                ));
            }
        }
        Ok(())
    }

    /// No service runs a stale task, or the last report says why. And no more than that is said.
    fn check_end(
        &self,
        account: &FakeAws,
        arn: &str,
        sort: Sort,
        last: &Value,
    ) -> Result<(), String> {
        let reported = last["services"].as_array().into_iter().flatten();
        let reported = reported
            .clone()
            .find(|service| service["service"] == arn)
            .cloned()
            .unwrap_or_default();
        let (action, reason) = (&reported["action"], &reported["reason"]);
        let follows = SECRETS
            .iter()
            .chain([&super::PARAMETER])
            .any(|name| sort.follows(name, self.lookup));
        let stale = account.stale_tasks(arn);
        if stale.is_empty() || !follows {
            let is_bad = action == "blocked" || action == "failed" || action == "waiting";
            if sort.is_ordinary() && is_bad && follows {
                return Err(format!(
                    "{arn} ({sort:?}) runs no stale task, and the last report says {reported}"
                ));
            }
            return Ok(());
        }
        if sort
            .excuses()
            .iter()
            .any(|(done, why)| action == done && reason == why)
        {
            return Ok(());
        }
        let since = stale.iter().map(|task| task.created_at).min().unwrap();
        let changed = self.moves(sort).max().unwrap_or(Timestamp::MIN);
        Err(format!(
            "{arn} ({sort:?}) runs {} stale tasks, the oldest of {since}; the last change was at {changed}, and the \
             last report says {action} {reason}",
            stale.len()
        ))
    }
}

/// No rollout was ended that worked, or that ECS needed.
fn check_cut_off(account: &FakeAws) -> Result<(), String> {
    for cut_off in account.cut_off.iter().filter(|cut_off| cut_off.was_shown) {
        let what = format!(
            "{} of {}, under way for {} s, was cut off at {}",
            cut_off.deployment,
            cut_off.service,
            cut_off.age.as_secs(),
            cut_off.at
        );
        if cut_off.was_roll_back {
            return Err(format!("{what}, while ECS rolled back to it"));
        }
        if cut_off.was_staged {
            return Err(format!("{what}, in stages"));
        }
        if cut_off.age < LEFT_ALONE && !cut_off.held_a_wrong_value {
            let whose = if cut_off.was_ours {
                "one of ours"
            } else {
                "one of others"
            };
            return Err(format!("{what}, {whose}"));
        }
    }
    Ok(())
}
