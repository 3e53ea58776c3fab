//! The secrets and parameters that are named.

use std::collections::BTreeMap;

use redeploy_core::arn::Arn;
use redeploy_core::change::AWSCURRENT;
use redeploy_core::reference::{InvalidReference, Named};

use super::{cannot_tell, finding, ok, quoted};
use crate::doctor::reason::{arn_in, missing_json_key};
use crate::doctor::{
    Check, Facts, Finding, Known, Member, Mention, Place, Secret, TaskDefinition, Verdict,
    names_to_try, place, split_suffix,
};

pub(super) fn references(definition: &TaskDefinition) -> Vec<Finding> {
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
        findings.push(
            finding(
                Check::Reference,
                Verdict::Fault,
                &mention.at,
                format!("{:?} cannot be read: {error}", mention.text),
            )
            .fix(fix),
        );
    }
    findings.extend(definition.mentions.iter().filter_map(doubled_slash));
    if readable > 0 {
        let evidence = format!(
            "{readable} of {} have a form that ECS reads",
            definition.mentions.len()
        );
        findings.push(ok(Check::Reference, &definition.arn, &evidence));
    }
    findings
}

/// A parameter named with two slashes, where AWS's own ARN has one. Policies are compared by text.
fn doubled_slash(mention: &Mention) -> Option<Finding> {
    let reference = mention.reference().ok()?;
    let is_parameter = matches!(reference.named(), Named::Parameter { .. });
    if !is_parameter || !mention.text.contains("//") {
        return None;
    }
    let mut right = mention.text.clone();
    while right.contains("//") {
        right = right.replace("//", "/");
    }
    Some(finding(
        Check::Reference,
        Verdict::Warning,
        &mention.at,
        format!(
            "{:?} has two slashes in a row; the parameter's own ARN has one, and a policy that names that does \
             not allow this",
            mention.text
        ),
    )
    .fix(format!("Write {right}.")))
}

/// Every secret that is named, once, and what is asked of it.
pub(super) fn secrets(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
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
pub(super) fn secret<'a>(
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
                Some(at) => finding(
                    Check::Secret,
                    Verdict::Fault,
                    id,
                    format!("it is scheduled for deletion since {at}"),
                )
                .fix("Restore it.")
                .run(vec![format!(
                    "aws secretsmanager restore-secret --region {region} --secret-id {}",
                    quoted(&secret.arn)
                )]),
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
                "there is none with this suffix: {} was made again, and is {} now",
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
    finding(check, Verdict::Fault, id, evidence)
        .fix(fix)
        .run(commands)
}

fn partial_arn(id: &str, secret: &Secret) -> Option<Finding> {
    let resource = Arn::parse(id)?.resource;
    if id == secret.arn {
        return None;
    }
    Some(match split_suffix(&resource) {
        Some(_) => finding(
            Check::PartialArn,
            Verdict::Warning,
            id,
            format!(
                "it means {} today; because it ends in a hyphen and six characters, it can as well be read as the \
                 full ARN of another secret",
                secret.arn
            ),
        )
        .fix(format!("Put {} into the task definition.", secret.arn)),
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
pub(super) fn version(at: &str, secret: &Secret, stage: &str, version: &str) -> Finding {
    let label = if stage.is_empty() { AWSCURRENT } else { stage };
    let labels: Vec<_> = secret.labels.keys().map(String::as_str).collect();
    let labels = if labels.is_empty() {
        "none".to_owned()
    } else {
        labels.join(", ")
    };
    let fault = |evidence: String, fix: &str| {
        finding(Check::Version, Verdict::Fault, at, evidence).fix(fix)
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
        Ok(versions) if versions.contains(version) => finding(
            Check::Version,
            Verdict::Warning,
            at,
            format!(
                "version {version} exists, but has no label any more, so Secrets Manager may delete it"
            ),
        )
        .fix("Name a version with a label, or none."),
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
        _ => finding(
            Check::JsonKey,
            Verdict::Fault,
            &mention.at,
            format!("a task stopped because the value has no key {key:?}"),
        )
        .fix(format!(
            "Put the key {key:?} into the secret's value, or correct the reference."
        ))
        .run(vec![command]),
    }
}

pub(super) fn parameters(facts: &Facts, definition: &TaskDefinition) -> Vec<Finding> {
    let mut findings = Vec::new();
    for place in &Facts::places(&definition.mentions, &facts.home).1 {
        let (region, name) = place;
        findings.push(match facts.parameters.get(place) {
            None => continue,
            Some(Err(why)) => cannot_tell(Check::Parameter, name, why),
            Some(Ok(Some(_))) => ok(Check::Parameter, name, &format!("it exists in {region}")),
            Some(Ok(None)) => missing_parameter(facts, place),
        });
    }
    findings
}

/// A parameter that does not exist: perhaps a secret of that name is meant.
fn missing_parameter(facts: &Facts, (region, name): &Place) -> Finding {
    let same_name = (region.clone(), name.trim_start_matches('/').to_owned());
    let secret = facts.secrets.get(&same_name);
    let (evidence, fix) = match secret.and_then(|known| known.as_ref().ok()?.as_ref()) {
        Some(secret) => (
            format!(
                "there is no such parameter in {region}, but a secret of that name; a bare name \
                 means a parameter"
            ),
            format!(
                "Put the secret's ARN into the task definition: {}",
                secret.arn
            ),
        ),
        None => (
            format!("there is no such parameter in {region}"),
            "Correct the name, its leading slash too, or make the parameter.".to_owned(),
        ),
    };
    finding(Check::Parameter, Verdict::Fault, name, evidence).fix(fix)
}
