//! `wait`: follows rollouts that are under way, whoever began them.

use redeploy_core::decide::Decision;
use redeploy_core::policy::Policy;

use crate::args::{Format, Wait};
use crate::connection::open;
use crate::names::{check, is_called, without_key};
use crate::output::{Error, Exit, note};
use crate::preview::{SWEEP, preview};
use crate::redeploy::finish;
use crate::rollout::{Entry, Outcome, Rollout, Run};

pub(crate) async fn run(wait: &Wait) -> Result<Exit, Error> {
    wait.output.format.write_global();
    let (session, config) = open(&wait.scope).await?;
    let preview = preview(&session, &config, SWEEP, Policy::new(&config, false)).await?;
    preview.say_errors();
    for examined in &preview.examined {
        check(&examined.facts, &wait.names)?;
    }
    let run = Run {
        session: &session,
        config: &config,
        preview: &preview,
        begins: false,
        timeout: Some(wait.timeout.unsigned_abs()),
        max_in_flight: 1,
    };
    let concerns = |decision: &Decision| {
        let is_meant = |name: &String| {
            let mut sources = decision.sources.iter();
            is_called(&decision.workload, name) || sources.any(|source| is_called(source, name))
        };
        // A rollout for one secret may be under way when another changes.
        let rolling = preview.workload(&decision.workload);
        let rolling = rolling.filter(|workload| workload.is_rolling());
        let is_rolled = |name: &String| {
            let mut uses = rolling.into_iter().flat_map(|rolling| rolling.uses.iter());
            uses.any(|used| is_called(&without_key(used.reference()), name))
        };
        // Nobody knows what is behind a lookup that failed.
        let may_be_meant = decision.error.is_some() && decision.sources.is_empty();
        let mut names = wait.names.iter();
        may_be_meant || names.len() == 0 || names.any(|name| is_meant(name) || is_rolled(name))
    };
    let (mut entries, interrupted) = run.all(concerns).await;
    entries.retain(|entry| entry.rollout != Rollout::NotNeeded);
    let is_bad = |entry: &Entry| entry.is_bad() || entry.rollout == Rollout::Blocked;
    let outcome = match interrupted {
        true => Outcome::Interrupted,
        false if entries.iter().any(is_bad) => Outcome::Failed,
        false => Outcome::Completed,
    };
    if entries.is_empty() && wait.output.format != Format::Json {
        note("nothing is under way, and nothing is known to be on an old value");
    }
    finish(outcome, entries, &preview, wait.output.format)
}
