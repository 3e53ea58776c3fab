//! The checks, each from facts to findings.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::reason::{Cause, Translation, arn_in, missing_json_key, translate};
use super::{
    Check, Decision, Facts, Finding, Known, Member, Mention, Network, Place, Platform, Secret,
    StoppedTask, TaskDefinition, Verdict, names_to_try, place, split_suffix,
};
use redeploy_core::arn::Arn;
use redeploy_core::change::AWSCURRENT;
use redeploy_core::reference::{InvalidReference, Named, Reference};

/// What the execution role needs for a secret
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html>).
const READ_SECRET: &str = "secretsmanager:GetSecretValue";
/// What it needs for a parameter.
const READ_PARAMETER: &str = "ssm:GetParameters";
/// What it needs for a key of one's own.
const DECRYPT: &str = "kms:Decrypt";
/// Who takes on the roles of a task.
const ECS_TASKS: &str = "ecs-tasks.amazonaws.com";

/// An action on a resource that the execution role must be allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The IAM name of the action.
    pub action: &'static str,
    /// The ARN, in the form in which IAM is asked about it.
    pub resource: String,
}

/// Examines a service: every finding, the worst first.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings = stopped_tasks(facts);
    match &facts.task_definition {
        Err(why) => findings.push(cannot_tell(Check::TaskDefinition, &facts.service, why)),
        Ok(definition) if definition.mentions.is_empty() => {
            let evidence = "it names no secret and no parameter, so none can keep it from starting";
            findings.push(ok(Check::Reference, &definition.arn, evidence));
        }
        Ok(definition) => {
            findings.extend(references(definition));
            findings.extend(secrets(facts, definition));
            findings.extend(parameters(facts, definition));
            findings.extend(execution_role(facts, definition));
            findings.extend(platform_version(facts, definition));
            findings.push(network(facts, definition));
        }
    }
    worst_first(findings)
}

/// Examines a secret by itself, where no service names it.
#[must_use]
pub fn examine_secret(
    named: &Place,
    secrets: &BTreeMap<Place, Known<Option<Secret>>>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(secret) = secret(named, secrets, &mut findings) {
        findings.push(version(&secret.arn, secret, "", ""));
    }
    worst_first(findings)
}

/// Everything that IAM has to be asked about.
///
/// Where a secret is named by a partial ARN, its full ARN is among them, because policies are often written for that.
#[must_use]
pub fn needs(facts: &Facts) -> BTreeSet<Need> {
    let reads = reads(facts);
    let full = reads.iter().filter_map(|(need, read)| {
        Some(Need {
            action: need.action,
            resource: read.full.clone()?,
        })
    });
    full.chain(reads.keys().cloned()).collect()
}

/// Who reads something, and how else it is called.
#[derive(Default)]
struct Read<'a> {
    /// The places of the task definition.
    at: BTreeSet<&'a str>,
    /// The full ARN, where the need has a partial one.
    full: Option<String>,
}

fn reads(facts: &Facts) -> BTreeMap<Need, Read<'_>> {
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

/// Why tasks stopped of late, the same cause once.
fn stopped_tasks(facts: &Facts) -> Vec<Finding> {
    let tasks = match &facts.stopped {
        Ok(tasks) => tasks.as_slice(),
        Err(why) => return vec![cannot_tell(Check::StoppedTasks, &facts.service, why)],
    };
    let since = facts.primary.map(|primary| primary.created_at);
    let mut groups = BTreeMap::<_, Vec<&StoppedTask>>::new();
    let (mut exited, mut findings) = (0, Vec::new());
    for task in tasks {
        match translate(&task.reason) {
            Some(translation) => {
                let old = task.at.zip(since).is_some_and(|(at, since)| at < since);
                let about = about(&task.reason);
                groups
                    .entry((old, translation.cause, about, task.code.clone()))
                    .or_default()
                    .push(task);
            }
            None if task.code == "TaskFailedToStart" => {
                let group = (
                    false,
                    Cause::Image,
                    Some(task.reason.clone()),
                    String::new(),
                );
                groups.entry(group).or_default().push(task);
            }
            None => exited += usize::from(task.code == "EssentialContainerExited"),
        }
    }
    for ((old, cause, ..), mut group) in groups {
        group.sort_by_key(|task| task.at);
        let Some(last) = group.last() else { continue };
        let when = last
            .at
            .map_or_else(String::new, |at| format!(", the last at {at}"));
        let of = if old {
            " of before the present deployment"
        } else {
            ""
        };
        let evidence = format!(
            "{} stopped{of}{when}: {}",
            count(group.len(), "task"),
            last.reason
        );
        let task = last.arn.rsplit('/').next().unwrap_or_default();
        findings.push(
            match translate(&last.reason).filter(|translation| translation.cause == cause) {
                Some(translation) => {
                    let verdict = if old {
                        Verdict::Warning
                    } else {
                        Verdict::Fault
                    };
                    translated(verdict, task, translation, &evidence)
                }
                None => Finding {
                    fix: Some("Look the text up in AWS's list of stopped task errors.".to_owned()),
                    ..finding(Check::StoppedTasks, Verdict::Warning, task, evidence)
                },
            },
        );
    }
    // What the service says is the same thing again where its tasks are still shown.
    let said: BTreeSet<_> = tasks
        .iter()
        .filter_map(|task| Some(translate(&task.reason)?.cause))
        .collect();
    let mut repeated = BTreeSet::new();
    for (at, message) in facts.messages.iter().rev() {
        let Some(translation) = translate(message) else {
            continue;
        };
        if !said.contains(&translation.cause) && repeated.insert(translation.cause) {
            let evidence = format!("the service said at {at}: {message}");
            findings.push(translated(
                Verdict::Fault,
                &facts.service,
                translation,
                &evidence,
            ));
        }
    }
    if exited > 0 {
        let evidence = format!(
            "{} ended because the application did; ECS had given it its values",
            count(exited, "task")
        );
        findings.push(Finding {
            fix: Some(
                "Look at its log: refused credentials there mean that the value is old or wrong."
                    .to_owned(),
            ),
            ..finding(
                Check::StoppedTasks,
                Verdict::Warning,
                &facts.service,
                evidence,
            )
        });
    }
    if findings.is_empty() {
        findings.push(ok(
            Check::StoppedTasks,
            &facts.service,
            "no task of the last hour failed to start",
        ));
    }
    findings
}

fn translated(
    verdict: Verdict,
    subject: &str,
    translation: Translation,
    evidence: &str,
) -> Finding {
    Finding {
        fix: Some(translation.fix.to_owned()),
        ..finding(
            Check::StoppedTasks,
            verdict,
            subject,
            format!("{} {}", translation.meaning, capital(evidence)),
        )
    }
}

/// What tells two failures of the same kind apart: the key or the ARN, and not the id of the request.
fn about(reason: &str) -> Option<String> {
    let arn = arn_in(reason, "secretsmanager").or_else(|| arn_in(reason, "ssm"));
    missing_json_key(reason).or(arn).map(str::to_owned)
}

fn references(definition: &TaskDefinition) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut readable = 0;
    for mention in &definition.mentions {
        let Err(error) = mention.reference() else {
            readable += 1;
            continue;
        };
        let fix = match (&error, mention.member) {
            (InvalidReference::Fields, _) => {
                "Put all three colons behind the secret, such as `:password::` for a JSON key alone."
            }
            (_, Member::Volume) => "Name the secret or parameter by its ARN.",
            (_, Member::Registry) => {
                "Name a secret by its ARN, or by its name if it is in the same Region."
            }
            _ => "Name a secret by its ARN, or a parameter by its name or ARN.",
        };
        findings.push(Finding {
            fix: Some(fix.to_owned()),
            ..finding(
                Check::Reference,
                Verdict::Fault,
                &mention.at,
                format!("{:?} cannot be read: {error}", mention.text),
            )
        });
    }
    if readable > 0 {
        let evidence = format!(
            "{readable} of {} have a form that ECS reads",
            definition.mentions.len()
        );
        findings.push(ok(Check::Reference, &definition.arn, &evidence));
    }
    findings
}

/// Every secret that is named, once, and what is asked of it.
fn secrets(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = BTreeMap::new();
    for mention in &definition.mentions {
        let Ok(reference) = mention.reference() else {
            continue;
        };
        let (
            place,
            Named::Secret {
                id,
                key,
                stage,
                version: id_of_version,
            },
        ) = place(&reference, &facts.home)
        else {
            continue;
        };
        let found = *seen.entry(place.clone()).or_insert_with(|| {
            let found = secret(&place, &facts.secrets, &mut findings);
            findings.extend(found.and_then(|secret| partial_arn(&id, secret)));
            found
        });
        let Some(secret) = found else { continue };
        findings.push(version(&mention.at, secret, stage, id_of_version));
        if !key.is_empty() {
            findings.push(json_key(facts, mention, &id, key));
        }
    }
    findings
}

/// Whether there is a secret; gives it if so.
fn secret<'a>(
    place: &Place,
    secrets: &'a BTreeMap<Place, Known<Option<Secret>>>,
    findings: &mut Vec<Finding>,
) -> Option<&'a Secret> {
    let (region, id) = place;
    match secrets.get(place) {
        None => None,
        Some(Err(why)) => {
            findings.push(cannot_tell(Check::Secret, id, why));
            None
        }
        Some(Ok(None)) => {
            findings.push(missing_secret(place, secrets));
            None
        }
        Some(Ok(Some(secret))) => {
            findings.push(match secret.deleted {
                Some(at) => Finding {
                    fix: Some("Restore it.".to_owned()),
                    commands: vec![format!(
                        "aws secretsmanager restore-secret --region {region} --secret-id {}",
                        quoted(&secret.arn)
                    )],
                    ..finding(
                        Check::Secret,
                        Verdict::Fault,
                        id,
                        format!("it is scheduled for deletion since {at}"),
                    )
                },
                None => ok(Check::Secret, id, &format!("it exists in {region}")),
            });
            Some(secret)
        }
    }
}

/// A secret that its reference does not find: perhaps its name does.
fn missing_secret(place: &Place, secrets: &BTreeMap<Place, Known<Option<Secret>>>) -> Finding {
    let (region, id) = place;
    let by_name = |name: &String| {
        secrets
            .get(&(region.clone(), name.clone()))?
            .as_ref()
            .ok()?
            .as_ref()
    };
    let names = names_to_try(id);
    let found = names.iter().find_map(by_name);
    let (check, evidence) = match found {
        Some(secret) if names.first() == Some(&secret.name) => (
            Check::PartialArn,
            format!(
                "it is the partial ARN of {}, whose name ends in a hyphen and six characters; Secrets Manager takes \
                 these for the suffix of a full ARN, and there is no such secret",
                secret.arn
            ),
        ),
        Some(secret) => (
            Check::Secret,
            format!(
                "there is none with this suffix: {} was made anew, and is {} now",
                secret.name, secret.arn
            ),
        ),
        None => (
            Check::Secret,
            format!("there is no such secret in {region}"),
        ),
    };
    let fix = match found {
        Some(secret) => format!("Put {} into the task definition.", secret.arn),
        None => "Correct the reference, or make the secret in that Region.".to_owned(),
    };
    let commands = match found {
        Some(_) => Vec::new(),
        None => vec![format!(
            "aws secretsmanager list-secrets --region {region} --query 'SecretList[].ARN'"
        )],
    };
    Finding {
        fix: Some(fix),
        commands,
        ..finding(check, Verdict::Fault, id, evidence)
    }
}

fn partial_arn(id: &str, secret: &Secret) -> Option<Finding> {
    let resource = Arn::parse(id)?.resource;
    if id == secret.arn {
        return None;
    }
    Some(match split_suffix(&resource) {
        Some(_) => Finding {
            fix: Some(format!("Put {} into the task definition.", secret.arn)),
            ..finding(
                Check::PartialArn,
                Verdict::Warning,
                id,
                format!(
                    "it means {} today; because it ends in a hyphen and six characters, it can as well be read as the \
                     full ARN of another secret",
                    secret.arn
                ),
            )
        },
        None => ok(
            Check::PartialArn,
            id,
            &format!(
                "it means {}; IAM is asked about the partial form, see `permission`",
                secret.arn
            ),
        ),
    })
}

/// Whether the secret has the label and version that are named.
fn version(at: &str, secret: &Secret, stage: &str, version: &str) -> Finding {
    let label = if stage.is_empty() { AWSCURRENT } else { stage };
    let labels: Vec<_> = secret.labels.keys().map(String::as_str).collect();
    let labels = if labels.is_empty() {
        "none".to_owned()
    } else {
        labels.join(", ")
    };
    let fault = |evidence: String, fix: &str| Finding {
        fix: Some(fix.to_owned()),
        ..finding(Check::Version, Verdict::Fault, at, evidence)
    };
    let on = secret.labels.get(label);
    if version.is_empty() {
        return match on {
            Some(on) => ok(Check::Version, at, &format!("{label} is on version {on}")),
            None if label == AWSCURRENT => fault(
                "the secret has no version with AWSCURRENT: it has no value".to_owned(),
                "Store a value in it.",
            ),
            None => fault(
                format!("no version has the label {label}; there is {labels}"),
                "Name one of these, or put the label on a version.",
            ),
        };
    }
    if !stage.is_empty() && on.is_none_or(|on| on != version) {
        return fault(
            format!("it names version {version} and the label {stage}, which is not on it"),
            "Name either the version id or the label.",
        );
    }
    let known = secret.labels.values().any(|labelled| labelled == version);
    match &secret.versions {
        _ if known => ok(
            Check::Version,
            at,
            &format!("version {version} exists; it is pinned, so no rotation reaches it"),
        ),
        Ok(versions) if versions.contains(version) => Finding {
            fix: Some("Name a version with a label, or none.".to_owned()),
            ..finding(
                Check::Version,
                Verdict::Warning,
                at,
                format!(
                    "version {version} exists, but has no label any more, so Secrets Manager may delete it"
                ),
            )
        },
        Ok(_) => fault(
            format!("there is no version {version}"),
            "Name one that exists, or none for the current one.",
        ),
        Err(why) => cannot_tell(Check::Version, at, why),
    }
}

/// A JSON key is inside the value, so only a task that failed can tell.
fn json_key(facts: &Facts, mention: &Mention, id: &str, key: &str) -> Finding {
    let reasons = facts
        .stopped
        .iter()
        .flatten()
        .map(|task| task.reason.as_str());
    let reasons = reasons.chain(facts.messages.iter().map(|(_, message)| message.as_str()));
    let is_this = |arn: &str| arn.starts_with(id);
    let missing = |text: &&str| {
        missing_json_key(text) == Some(key) && arn_in(text, "secretsmanager").is_none_or(is_this)
    };
    let command = format!(
        "aws secretsmanager get-secret-value --secret-id {} --query SecretString --output text | jq keys",
        quoted(id)
    );
    match reasons.filter(missing).count() {
        0 => Finding {
            commands: vec![command],
            ..cannot_tell(
                Check::JsonKey,
                &mention.at,
                &format!(
                    "whether the value has the key {key:?} shows only to who reads it, which this does not"
                ),
            )
        },
        _ => Finding {
            fix: Some(format!(
                "Put the key {key:?} into the secret's value, or correct the reference."
            )),
            commands: vec![command],
            ..finding(
                Check::JsonKey,
                Verdict::Fault,
                &mention.at,
                format!("a task stopped because the value has no key {key:?}"),
            )
        },
    }
}

fn parameters(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
    let mut findings = Vec::new();
    for place in &Facts::places(&definition.mentions, &facts.home).1 {
        let (region, name) = place;
        findings.push(match facts.parameters.get(place) {
            None => continue,
            Some(Err(why)) => cannot_tell(Check::Parameter, name, why),
            Some(Ok(Some(_))) => ok(Check::Parameter, name, &format!("it exists in {region}")),
            Some(Ok(None)) => {
                let same_name = (region.clone(), name.trim_start_matches('/').to_owned());
                let secret = facts.secrets.get(&same_name).and_then(|known| known.as_ref().ok()?.as_ref());
                let (evidence, fix) = match secret {
                    Some(secret) => (
                        format!("there is no such parameter in {region}, but a secret of that name; a bare name means a parameter"),
                        format!("Put the secret's ARN into the task definition: {}", secret.arn),
                    ),
                    None => (
                        format!("there is no such parameter in {region}"),
                        "Correct the name, its leading slash too, or make the parameter.".to_owned(),
                    ),
                };
                Finding { fix: Some(fix), ..finding(Check::Parameter, Verdict::Fault, name, evidence) }
            }
        });
    }
    findings
}

/// The execution role, who may take it on, and what it may do.
fn execution_role(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
    let Some(role) = &definition.execution_role else {
        let mistaken = definition.task_role.as_ref().map_or_else(String::new, |role| {
            format!(" It names the task role {role}, which the application has once it runs; ECS does not read secrets with it.")
        });
        return vec![Finding {
            fix: Some(
                "Set executionRoleArn to a role that may read what the task definition names."
                    .to_owned(),
            ),
            ..finding(
                Check::ExecutionRole,
                Verdict::Fault,
                &definition.arn,
                format!("the task definition names no execution role.{mistaken}"),
            )
        }];
    };
    let mut findings = Vec::new();
    match facts.roles.get(role) {
        None => {}
        Some(Err(why)) => findings.push(cannot_tell(Check::ExecutionRole, role, why)),
        Some(Ok(None)) => {
            return vec![Finding {
                fix: Some("Make the role, or name one that exists.".to_owned()),
                ..finding(
                    Check::ExecutionRole,
                    Verdict::Fault,
                    role,
                    "there is no such role".to_owned(),
                )
            }];
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
    let fault = |evidence: String| Finding {
        fix: Some(format!(
            "Allow sts:AssumeRole to the service {ECS_TASKS} in its trust policy."
        )),
        commands: vec![format!(
            "aws iam update-assume-role-policy --role-name {} --policy-document {}",
            role.rsplit('/').next().unwrap_or(role),
            quoted(&policy_that_allows(
                "sts:AssumeRole",
                "Principal",
                &json!({"Service": ECS_TASKS})
            ))
        )],
        ..finding(Check::Trust, Verdict::Fault, role, evidence)
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
            "the task role {task_role} is allowed it, but ECS reads with the execution role: the two were mistaken"
        ));
    }
    evidence.extend(
        (check == Check::Decrypt)
            .then(|| "the key's own policy, not seen here, may allow it".to_owned()),
    );
    let (fix, commands) = match denied {
        Decision::ExplicitDeny => {
            ("Find the statement that denies it: in the role's policies, its permissions boundary or a service control policy.".to_owned(), Vec::new())
        }
        _ => (format!("Allow {action} on {resource} to the execution role."), vec![allow(role, action, resource)]),
    };
    Some(Finding {
        fix: Some(fix),
        commands,
        ..finding(check, Verdict::Fault, resource, evidence.join("; "))
    })
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

/// Which references a platform version does not know
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html>).
fn platform_version(facts: &Facts, definition: &TaskDefinition) -> Option<Finding> {
    let (mut named, mut in_part) = (false, false);
    for reference in definition
        .mentions
        .iter()
        .filter_map(|mention| mention.reference().ok())
    {
        if let (
            Reference::Secret(_),
            Named::Secret {
                key,
                stage,
                version,
                ..
            },
        ) = (&reference, reference.named())
        {
            named = true;
            in_part |= !(key.is_empty() && stage.is_empty() && version.is_empty());
        }
    }
    let what = if in_part {
        "a JSON key, label or version"
    } else {
        "a secret"
    };
    let check = Check::PlatformVersion;
    let cluster = facts.service.rsplit('/').nth(1).unwrap_or_default();
    match &facts.platform {
        _ if !named => None,
        Platform::Fargate {
            version,
            windows: false,
        } => {
            let needed = if in_part { [1, 4, 0] } else { [1, 3, 0] };
            let numbers: Vec<u32> = version
                .split('.')
                .filter_map(|number| number.parse().ok())
                .collect();
            Some(match numbers[..] {
                _ if version.is_empty() || version == "LATEST" => ok(
                    check,
                    &facts.service,
                    &format!("Fargate LATEST reads {what}"),
                ),
                [..] if numbers.len() != 3 => cannot_tell(
                    check,
                    &facts.service,
                    &format!("the platform version {version:?} is not known here"),
                ),
                _ if numbers[..] >= needed[..] => ok(
                    check,
                    &facts.service,
                    &format!("Fargate {version} reads {what}"),
                ),
                _ => Finding {
                    fix: Some("Update the service to the platform version LATEST.".to_owned()),
                    commands: vec![format!(
                        "aws ecs update-service --region {} --cluster {cluster} --service {} --platform-version LATEST",
                        facts.home.region,
                        facts.service.rsplit('/').next().unwrap_or_default()
                    )],
                    ..finding(
                        check,
                        Verdict::Fault,
                        &facts.service,
                        format!(
                            "Fargate {version} cannot read {what}; that needs {}",
                            needed.map(|n| n.to_string()).join(".")
                        ),
                    )
                },
            })
        }
        Platform::Fargate {
            version,
            windows: true,
        } => Some(ok(
            check,
            &facts.service,
            &format!("Fargate for Windows {version} reads {what}"),
        )),
        Platform::Instances => Some(Finding {
            commands: vec![format!(
                "aws ecs describe-container-instances --region {0} --cluster {cluster} --container-instances $(aws ecs \
                 list-container-instances --region {0} --cluster {cluster} --query 'containerInstanceArns[]' --output \
                 text) --query 'containerInstances[].versionInfo.agentVersion'",
                facts.home.region
            )],
            ..cannot_tell(
                check,
                &facts.service,
                &format!(
                    "the agent of its instances reads {what} from {}",
                    if in_part { "1.37.0" } else { "1.22.0" }
                ),
            )
        }),
    }
}

/// The way from the task to the service that keeps its values.
fn network(facts: &Facts, definition: &TaskDefinition) -> Finding {
    let check = Check::Network;
    let reasons = facts
        .stopped
        .iter()
        .flatten()
        .map(|task| task.reason.as_str());
    let reasons = reasons.chain(facts.messages.iter().map(|(_, message)| message.as_str()));
    let causes: Vec<_> = reasons
        .filter_map(|text| Some(translate(text)?.cause))
        .collect();
    let failed = causes
        .iter()
        .filter(|cause| **cause == Cause::Network)
        .count();
    if failed == 0 && causes.iter().any(|cause| cause.is_an_answer()) {
        return ok(
            check,
            &facts.service,
            "a task was answered that it cannot have what it asked for, so there is a way",
        );
    }
    let running = facts.primary.map_or(0, |primary| primary.running);
    let (secrets, parameters) = Facts::places(&definition.mentions, &facts.home);
    let Some(network) = &facts.network else {
        let evidence = "its tasks use the network of their container instance";
        return match (failed, running) {
            (0, 1..) => ok(
                check,
                &facts.service,
                &format!("{evidence}; of this deployment {running} run, so there is a way"),
            ),
            (0, _) => cannot_tell(check, &facts.service, evidence),
            _ => finding(
                check,
                Verdict::Fault,
                &facts.service,
                format!("{evidence}, and tasks stopped for want of a way to AWS"),
            ),
        };
    };
    let ip = if network.public_ip { "with" } else { "without" };
    let setting = format!(
        "its tasks start {ip} a public IP in {} with {}",
        list(&network.subnets, "no subnet"),
        list(
            &network.security_groups,
            "the default security group of the VPC"
        )
    );
    let fix = if network.public_ip {
        "The default route of the subnets must lead to an internet gateway (igw-…), and the security group must let \
         port 443 out. A subnet without a route table of its own has that of its VPC."
    } else {
        "The default route of the subnets must lead to a NAT gateway (nat-…), or the VPC must have the interface endpoints \
         with private DNS, whose security group lets port 443 in from the task's. A subnet without a route table of its \
         own has that of its VPC."
    };
    let commands = network_commands(facts, network, !secrets.is_empty(), !parameters.is_empty());
    let evidence = match (failed, running) {
        (0, 1..) => {
            return ok(
                check,
                &facts.service,
                &format!("{setting}; of this deployment {running} run, so there is a way"),
            );
        }
        (0, _) => format!("{setting}; whether a way to AWS leads from there, EC2 knows"),
        (failed, _) => format!(
            "{setting}, and {} for want of a way to AWS",
            count_failed(failed)
        ),
    };
    let verdict = if failed == 0 {
        Verdict::CannotTell
    } else {
        Verdict::Fault
    };
    Finding {
        fix: Some(fix.to_owned()),
        commands,
        ..finding(check, verdict, &facts.service, evidence)
    }
}

/// The questions to EC2 that settle whether there is a way.
fn network_commands(
    facts: &Facts,
    network: &Network,
    secrets: bool,
    parameters: bool,
) -> Vec<String> {
    let region = &facts.home.region;
    let ask = |what: &str| format!("aws ec2 describe-{what} --region {region} --output yaml");
    let mut commands = Vec::new();
    if !network.subnets.is_empty() {
        commands.push(ask(&format!(
            "route-tables --filters Name=association.subnet-id,Values={} --query \
             'RouteTables[].Routes[].[DestinationCidrBlock,GatewayId,NatGatewayId,TransitGatewayId]'",
            network.subnets.join(",")
        )));
        commands.push(ask(&format!(
            "subnets --subnet-ids {} --query 'Subnets[].[SubnetId,VpcId,AvailabilityZone]'",
            network.subnets.join(" ")
        )));
    }
    let services = [
        (secrets, "secretsmanager"),
        (parameters, "ssm"),
        (true, "kms"),
    ];
    let services = services.iter().filter(|(wanted, _)| *wanted);
    let services: Vec<_> = services
        .map(|(_, name)| format!("com.amazonaws.{region}.{name}"))
        .collect();
    commands.push(ask(&format!(
        "vpc-endpoints --filters Name=service-name,Values={} --query \
         'VpcEndpoints[].[VpcId,ServiceName,State,PrivateDnsEnabled,SubnetIds,Groups[].GroupId]'",
        services.join(",")
    )));
    if !network.security_groups.is_empty() {
        commands.push(ask(&format!(
            "security-groups --group-ids {} --query 'SecurityGroups[].[GroupId,IpPermissionsEgress]'",
            network.security_groups.join(" ")
        )));
    }
    commands
}

fn worst_first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (Reverse(finding.verdict), finding.check));
    findings
}

fn finding(check: Check, verdict: Verdict, subject: &str, evidence: String) -> Finding {
    Finding {
        check,
        verdict,
        subject: subject.to_owned(),
        evidence,
        fix: None,
        commands: Vec::new(),
    }
}

fn ok(check: Check, subject: &str, evidence: &str) -> Finding {
    finding(check, Verdict::Ok, subject, evidence.to_owned())
}

fn cannot_tell(check: Check, subject: &str, why: &str) -> Finding {
    finding(check, Verdict::CannotTell, subject, why.to_owned())
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

/// A policy that allows an action on a resource or to a principal, in the order in which people write it.
fn policy_that_allows(action: &str, member: &str, value: &Value) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","{member}":{value}}}]}}"#
    )
}

/// A word as a shell reads it back, whatever is in it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn count_failed(n: usize) -> String {
    format!("{} failed", count(n, "start"))
}

fn list(ids: &[String], none: &str) -> String {
    if ids.is_empty() {
        none.to_owned()
    } else {
        ids.join(", ")
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
