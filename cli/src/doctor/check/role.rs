//! The execution role: who may take it on, and what it may do.

use std::collections::{BTreeMap, BTreeSet};

use redeploy_core::arn::Arn;
use redeploy_core::reference::{Named, Reference};
use serde_json::{Value, json};

use super::{Need, cannot_tell, finding, ok, quoted};
use crate::doctor::{Check, Decision, Facts, Finding, Place, TaskDefinition, Verdict, place};

/// What the execution role needs for a secret
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html>).
const READ_SECRET: &str = "secretsmanager:GetSecretValue";

/// What it needs for a parameter.
const READ_PARAMETER: &str = "ssm:GetParameters";

/// What it needs for a key of one's own.
const DECRYPT: &str = "kms:Decrypt";

/// Who takes on the roles of a task.
const ECS_TASKS: &str = "ecs-tasks.amazonaws.com";

/// Who reads something, and how else it is called.
#[derive(Default)]
pub(super) struct Read<'a> {
    /// The places of the task definition.
    at: BTreeSet<&'a str>,
    /// The full ARN, where the need has a partial one.
    pub(super) full: Option<String>,
}

pub(super) fn reads(facts: &Facts) -> BTreeMap<Need, Read<'_>> {
    let mut reads = BTreeMap::<Need, Read>::new();
    let Ok(definition) = &facts.task_definition else {
        return reads;
    };
    for mention in &definition.mentions {
        let Ok(reference) = mention.reference() else {
            continue;
        };
        let (place, named) = place(&reference, &facts.home);
        let mut add = |action, resource: String, full| {
            let read = reads.entry(Need { action, resource }).or_default();
            read.at.insert(&mention.at);
            read.full = full;
        };
        match named {
            Named::Parameter { name, .. } => {
                add(READ_PARAMETER, parameter_arn(facts, &place.0, &name), None);
                let parameter = facts
                    .parameters
                    .get(&place)
                    .and_then(|known| known.as_ref().ok()?.as_ref());
                let key = parameter.and_then(|parameter| parameter.key.as_deref());
                let home = Arn {
                    region: place.0.clone(),
                    ..ssm_arn(facts)
                };
                if let Some(key) = key.and_then(|key| key_arn(key, &home)) {
                    add(DECRYPT, key, None);
                }
            }
            Named::Secret { id, .. } => {
                let secret = facts
                    .secrets
                    .get(&place)
                    .and_then(|known| known.as_ref().ok()?.as_ref());
                if matches!(reference, Reference::Parameter(_)) {
                    let name = format!("/aws/reference/secretsmanager/{id}");
                    add(READ_PARAMETER, parameter_arn(facts, &place.0, &name), None);
                }
                let full = secret.map(|secret| secret.arn.clone());
                if id.starts_with("arn:") {
                    add(READ_SECRET, id.clone(), full.filter(|full| *full != id));
                } else if let Some(full) = full {
                    add(READ_SECRET, full, None);
                }
                if let Some(key) = secret
                    .and_then(|secret| key_arn(secret.key.as_deref()?, &Arn::parse(&secret.arn)?))
                {
                    add(DECRYPT, key, None);
                }
            }
        }
    }
    reads
}

fn ssm_arn(facts: &Facts) -> Arn {
    Arn {
        partition: facts.partition.clone(),
        service: "ssm".to_owned(),
        region: facts.home.region.clone(),
        account: facts.home.account.clone(),
        resource: String::new(),
    }
}

fn parameter_arn(facts: &Facts, region: &str, name: &str) -> String {
    let resource = format!("parameter/{}", name.trim_start_matches('/'));
    Arn {
        region: region.to_owned(),
        resource,
        ..ssm_arn(facts)
    }
    .to_string()
}

/// The ARN of a key that is named by ARN or id; `None` for an alias, which only KMS can resolve.
fn key_arn(key: &str, at: &Arn) -> Option<String> {
    let last = key.rsplit(':').next().unwrap_or(key);
    match key.starts_with("arn:") {
        _ if last.starts_with("alias/") => None,
        true => Some(key.to_owned()),
        false => {
            let resource = format!("key/{key}");
            Some(
                Arn {
                    service: "kms".to_owned(),
                    resource,
                    ..at.clone()
                }
                .to_string(),
            )
        }
    }
}

/// The execution role, who may take it on, and what it may do.
pub(super) fn execution_role(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
    let Some(role) = &definition.execution_role else {
        let mistaken = definition.task_role.as_ref().map_or_else(String::new, |role| {
            format!(
                " It names the task role {role}, which the application has once it runs; ECS does \
                 not read secrets with it."
            )
        });
        return vec![
            finding(
                Check::ExecutionRole,
                Verdict::Fault,
                &definition.arn,
                format!("the task definition names no execution role.{mistaken}"),
            )
            .fix("Set executionRoleArn to a role that may read what the task definition names."),
        ];
    };
    let mut findings = Vec::new();
    match facts.roles.get(role) {
        None => {}
        Some(Err(why)) => findings.push(cannot_tell(Check::ExecutionRole, role, why)),
        Some(Ok(None)) => {
            return vec![
                finding(
                    Check::ExecutionRole,
                    Verdict::Fault,
                    role,
                    "there is no such role".to_owned(),
                )
                .fix("Make the role, or name one that exists."),
            ];
        }
        Some(Ok(Some(found))) => {
            findings.push(ok(Check::ExecutionRole, role, "it exists"));
            findings.push(trust(role, &found.trust));
        }
    }
    let reads = reads(facts);
    findings.extend(
        reads
            .iter()
            .filter_map(|(need, read)| permission(facts, definition, role, need, read)),
    );
    findings.extend(unresolved_keys(facts, definition));
    findings
}

/// Whether ECS may take on the role.
fn trust(role: &str, policy: &str) -> Finding {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else {
        return cannot_tell(Check::Trust, role, "its trust policy is not JSON");
    };
    let one_or_many = |value: &Value| match value {
        Value::Array(values) => values.clone(),
        Value::Null => Vec::new(),
        value => vec![value.clone()],
    };
    let statements = one_or_many(&policy["Statement"]);
    let has = |values: &Value, wanted: &[&str]| {
        one_or_many(values)
            .iter()
            .any(|value| value.as_str().is_some_and(|value| wanted.contains(&value)))
    };
    let is_for_ecs = |statement: &&Value| {
        let principal = &statement["Principal"];
        has(&statement["Action"], &["sts:AssumeRole", "sts:*", "*"])
            && (has(&principal["Service"], &[ECS_TASKS]) || has(principal, &["*"]))
    };
    let for_ecs: Vec<_> = statements.iter().filter(is_for_ecs).collect();
    let fault = |evidence: String| {
        finding(Check::Trust, Verdict::Fault, role, evidence)
            .fix(format!(
                "Allow sts:AssumeRole to the service {ECS_TASKS} in its trust policy."
            ))
            .run(vec![format!(
                "aws iam update-assume-role-policy --role-name {} --policy-document {}",
                role.rsplit('/').next().unwrap_or(role),
                quoted(&policy_that_allows(
                    "sts:AssumeRole",
                    "Principal",
                    &json!({"Service": ECS_TASKS})
                ))
            )])
    };
    let allows = |statement: &&Value| statement["Effect"] == "Allow";
    let is_conditional = |statement: &Value| {
        statement["Condition"]
            .as_object()
            .is_some_and(|c| !c.is_empty())
    };
    match for_ecs.iter().copied().find(allows) {
        _ if for_ecs
            .iter()
            .any(|statement| !allows(statement) && !is_conditional(statement)) =>
        {
            fault(format!("its trust policy denies it to {ECS_TASKS}"))
        }
        None => fault(format!(
            "its trust policy does not name {ECS_TASKS}, so ECS cannot take it on"
        )),
        Some(statement) if is_conditional(statement) => cannot_tell(
            Check::Trust,
            role,
            &format!(
                "it trusts {ECS_TASKS} under a condition, which is not evaluated here: {}",
                statement["Condition"]
            ),
        ),
        Some(_) => ok(Check::Trust, role, &format!("it trusts {ECS_TASKS}")),
    }
}

/// Whether the execution role may do what one reading needs.
fn permission(
    facts: &Facts,
    definition: &TaskDefinition,
    role: &str,
    need: &Need,
    read: &Read<'_>,
) -> Option<Finding> {
    let Need { action, resource } = need;
    let check = if *action == DECRYPT {
        Check::Decrypt
    } else {
        Check::Permission
    };
    let asked = |role: &str, resource: &str| {
        facts.permissions.get(&(
            role.to_owned(),
            Need {
                action,
                resource: resource.to_owned(),
            },
        ))
    };
    let denied = match asked(role, resource)? {
        Err(why) => return Some(cannot_tell(check, resource, why)),
        Ok(Decision::Allowed) => {
            return Some(ok(check, resource, &format!("{role} is allowed {action}")));
        }
        Ok(decision) => decision,
    };
    let at: Vec<_> = read.at.iter().copied().collect();
    let mut evidence = vec![match denied {
        Decision::ExplicitDeny => {
            format!("a policy denies {action} to {role}, for {}", at.join(", "))
        }
        _ => format!("no policy of {role} allows {action}, for {}", at.join(", ")),
    }];
    let allowed =
        |role: &str, resource: &str| matches!(asked(role, resource), Some(Ok(Decision::Allowed)));
    if let Some(full) = read.full.as_ref().filter(|full| allowed(role, full)) {
        evidence.push(format!(
            "it is allowed on the full ARN {full}, but IAM is asked about the partial one"
        ));
    }
    if let Some(task_role) = definition
        .task_role
        .as_deref()
        .filter(|other| *other != role && allowed(other, resource))
    {
        evidence.push(format!(
            "the task role {task_role} is allowed it, but ECS reads with the execution role: the two \
             were mistaken"
        ));
    }
    evidence.extend(
        (check == Check::Decrypt)
            .then(|| "the key's own policy, not seen here, may allow it".to_owned()),
    );
    let (fix, commands) = match denied {
        Decision::ExplicitDeny => (
            "Find the statement that denies it: in the role's policies, its permissions boundary \
             or a service control policy."
                .to_owned(),
            Vec::new(),
        ),
        _ => (
            format!("Allow {action} on {resource} to the execution role."),
            vec![allow(role, action, resource)],
        ),
    };
    Some(
        finding(check, Verdict::Fault, resource, evidence.join("; "))
            .fix(fix)
            .run(commands),
    )
}

/// A key that is named by an alias: which key that is, only KMS knows.
fn unresolved_keys(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
    let (secrets, parameters) = Facts::places(&definition.mentions, &facts.home);
    let of_secret = |place: &Place| {
        facts
            .secrets
            .get(place)?
            .as_ref()
            .ok()?
            .as_ref()?
            .key
            .clone()
    };
    let of_parameter = |place: &Place| {
        facts
            .parameters
            .get(place)?
            .as_ref()
            .ok()?
            .as_ref()?
            .key
            .clone()
    };
    let keys = secrets
        .iter()
        .filter_map(of_secret)
        .chain(parameters.iter().filter_map(of_parameter));
    let aliases: BTreeSet<_> = keys
        .filter(|key| key_arn(key, &ssm_arn(facts)).is_none())
        .collect();
    let finding = |alias: String| Finding {
        commands: vec![format!(
            "aws kms describe-key --key-id {} --query KeyMetadata.Arn",
            quoted(&alias)
        )],
        ..cannot_tell(
            Check::Decrypt,
            &alias,
            "it is an alias, and which key that is was not asked",
        )
    };
    aliases.into_iter().map(finding).collect()
}

/// The command that gives a role one permission.
fn allow(role: &str, action: &str, resource: &str) -> String {
    format!(
        "aws iam put-role-policy --role-name {} --policy-name {} --policy-document {}",
        role.rsplit('/').next().unwrap_or(role),
        action.replace(':', "-"),
        quoted(&policy_that_allows(action, "Resource", &json!(resource)))
    )
}

/// A policy that allows an action on a resource or to a principal, in the order in which people
/// write it.
fn policy_that_allows(action: &str, member: &str, value: &Value) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","{member}":{value}}}]}}"#
    )
}
