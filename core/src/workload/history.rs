//! What the history of a workload says about its deployments.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Deployment, RolloutState, Workload};
use crate::fact::Fact;

impl Workload {
    /// Takes from the history how a live deployment ended, where the history already says so.
    pub(crate) fn learn_ends(&mut self) {
        let Fact::Known(history) = &self.history else {
            return;
        };
        for live in &mut self.deployments {
            let twins = history.iter().filter(|past| live.is_twin(past));
            let apart = |past: &&Deployment| past.created_at.duration_since(live.created_at).abs();
            match twins.min_by_key(apart).map(|past| past.rollout) {
                Some(RolloutState::Failed | RolloutState::RollingBack)
                    if live.rollout != RolloutState::Completed =>
                {
                    live.rollout = RolloutState::Failed;
                }
                Some(ended) if live.rollout == RolloutState::Unknown => live.rollout = ended,
                _ => {}
            }
        }
    }

    pub(crate) fn learn_task_definitions(&mut self, found: &BTreeMap<String, Fact<Arc<str>>>) {
        if let Fact::Known(history) = &mut self.history {
            for past in history {
                let fact = past
                    .service_revision
                    .as_ref()
                    .and_then(|arn| found.get(arn));
                if let Some(fact) = fact {
                    past.task_definition = fact.clone();
                }
            }
        }
    }
}
