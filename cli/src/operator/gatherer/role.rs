//! The roles of a task, and what they may do.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType, ResourceSpecificResult};
use percent_encoding::percent_decode_str;
use redeploy_on_rotation::aws::{ApiBucket, AwsError, ErrorKind, in_parallel};

use super::{Gatherer, refused};
use crate::doctor::{Decision, Facts, Known, Need, Role, TaskDefinition, needs};

impl Gatherer<'_> {
    /// The roles, and what the execution role may do; the task role only where the execution role
    /// may not.
    pub(super) async fn ask_iam(&self, facts: &mut Facts, definition: &TaskDefinition) {
        let Some(execution_role) = definition
            .execution_role
            .as_ref()
            .filter(|_| !definition.mentions.is_empty())
        else {
            return;
        };
        let roles = [Some(execution_role), definition.task_role.as_ref()];
        let roles: BTreeSet<_> = roles.into_iter().flatten().cloned().collect();
        let answers = in_parallel(roles, async |role| (self.role(&role).await, role)).await;
        facts.roles = answers
            .into_iter()
            .map(|(known, role)| (role, known))
            .collect();
        if !matches!(facts.roles.get(execution_role), Some(Ok(None))) {
            let asked = needs(facts)
                .into_iter()
                .map(|need| (execution_role.clone(), need));
            facts.permissions = self.decisions(asked).await;
        }
        if let Some(task_role) = definition
            .task_role
            .as_ref()
            .filter(|role| *role != execution_role)
        {
            let denied = facts.permissions.iter().filter(|(_, known)| {
                matches!(known, Ok(Decision::ImplicitDeny | Decision::ExplicitDeny))
            });
            let asked: Vec<_> = denied
                .map(|((_, need), _)| (task_role.clone(), need.clone()))
                .collect();
            facts.permissions.extend(self.decisions(asked).await);
        }
    }

    async fn role(&self, arn: &str) -> Known<Option<Role>> {
        let call = self
            .iam
            .get_role()
            .role_name(arn.rsplit('/').next().unwrap_or(arn));
        match self
            .aws
            .read(ApiBucket::Iam, "iam:GetRole", async || {
                call.clone().send().await
            })
            .await
        {
            Ok(answer) => {
                let trust = answer
                    .role
                    .and_then(|role| role.assume_role_policy_document)
                    .unwrap_or_default();
                Ok(Some(Role {
                    // Encoded, by RFC 3986.
                    trust: percent_decode_str(&trust).decode_utf8_lossy().into_owned(),
                }))
            }
            Err(AwsError {
                kind: ErrorKind::NotFound,
                ..
            }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn decisions(
        &self,
        asked: impl IntoIterator<Item = (String, Need)>,
    ) -> BTreeMap<(String, Need), Known<Decision>> {
        let answers = in_parallel(asked, async |(role, need)| {
            let decision = self
                .decision(&role, &need)
                .await
                .map_err(|error| error.to_string());
            ((role, need), decision)
        });
        answers.await.into_iter().collect()
    }

    /// What IAM decides by the policies of the role, its permissions boundary and the
    /// organization's; the policies of the secret and of the key are not considered for roles
    /// (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>).
    async fn decision(
        &self,
        role: &str,
        Need { action, resource }: &Need,
    ) -> Result<Decision, AwsError> {
        const ACTION: &str = "iam:SimulatePrincipalPolicy";
        let call = self.iam.simulate_principal_policy().policy_source_arn(role);
        let call = call.action_names(*action).resource_arns(resource);
        let answer = self
            .aws
            .read(ApiBucket::Iam, ACTION, async || call.clone().send().await)
            .await?;
        let result = answer.evaluation_results().first();
        let missing = result.map(missing_context).unwrap_or_default();
        match result.map(EvaluationResult::eval_decision) {
            Some(PolicyEvaluationDecisionType::Allowed) => Ok(Decision::Allowed),
            // ECS and Secrets Manager give these values, and they decide.
            Some(_) if !missing.is_empty() => {
                let missing = Vec::from_iter(missing).join(", ");
                let why = format!(
                    "its policies have conditions on {missing}, of which only the call itself knows the values"
                );
                Err(refused(ACTION, &why))
            }
            Some(PolicyEvaluationDecisionType::ImplicitDeny) => Ok(Decision::ImplicitDeny),
            Some(PolicyEvaluationDecisionType::ExplicitDeny) => Ok(Decision::ExplicitDeny),
            other => Err(refused(ACTION, &format!("the answer decides {other:?}"))),
        }
    }
}

/// The keys of conditions for which the simulation has no value.
fn missing_context(result: &EvaluationResult) -> BTreeSet<&str> {
    let of_resources = result.resource_specific_results().iter();
    let of_resources = of_resources.flat_map(ResourceSpecificResult::missing_context_values);
    let missing = result.missing_context_values().iter().chain(of_resources);
    missing.map(String::as_str).collect()
}
