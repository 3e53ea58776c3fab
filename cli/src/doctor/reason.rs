//! What ECS says when a task could not start, in other words. Pure.
//!
//! The texts come from AWS's stopped-task pages, from the source of the EC2 agent, and from what
//! people reported of Fargate, whose agent is closed. Old and new wordings are in use side by side,
//! so a part of the text decides, and the case of its letters does not matter
//! (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/resource-initialization-error.html>).

/// What a text of ECS comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The image could not be pulled.
    Image,
    /// The JSON of the secret has no such key.
    NoJsonKey,
    /// A JSON key is asked of a secret that is no JSON.
    NotJson,
    /// The secret for the registry has not the form that ECS needs.
    RegistryForm,
    /// The key's use is refused.
    Key,
    /// A policy other than the role's own refuses.
    OtherPolicy,
    /// The execution role may not read the secret.
    SecretPermission,
    /// The execution role may not read the parameter.
    ParameterPermission,
    /// The secret has no version with that label or id.
    NoVersion,
    /// The secret is scheduled for deletion.
    Deleted,
    /// There is no such secret.
    NoSecret,
    /// The reference has not the form that ECS reads.
    Form,
    /// The credentials of a volume are neither a secret nor a parameter.
    VolumeForm,
    /// There is no execution role.
    NoRole,
    /// ECS may not take on the role.
    Trust,
    /// There is no such parameter.
    NoParameter,
    /// Too many calls at once.
    Throttled,
    /// The task has no way to the service.
    Network,
    /// The registry's secret could not be read, for a reason that is not known here.
    Registry,
    /// A secret could not be read, for a reason that is not known here.
    Secret,
    /// A parameter could not be read, for a reason that is not known here.
    Parameter,
}

impl Cause {
    /// Whether AWS answered, so that the task must have reached it.
    #[must_use]
    pub fn is_an_answer(self) -> bool {
        match self {
            Self::NoJsonKey
            | Self::NotJson
            | Self::Key
            | Self::OtherPolicy
            | Self::SecretPermission
            | Self::ParameterPermission
            | Self::NoVersion
            | Self::Deleted
            | Self::NoSecret
            | Self::NoParameter
            | Self::Throttled => true,
            Self::Image
            | Self::RegistryForm
            | Self::Form
            | Self::VolumeForm
            | Self::NoRole
            | Self::Trust
            | Self::Network
            | Self::Registry
            | Self::Secret
            | Self::Parameter => false,
        }
    }
}

/// A text of ECS, translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// What it comes down to.
    pub cause: Cause,
    /// What it means.
    pub meaning: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// One row of the table: the texts of which one must be there, in small letters, and what they
/// mean. A text with `&` in it is several, which must all be there.
type Row = (Cause, &'static [&'static str], &'static str, &'static str);

/// Translates the reason of a stopped task or the message of a service; `None` when it is not about
/// secrets.
#[must_use]
pub fn translate(text: &str) -> Option<Translation> {
    let text = text.to_ascii_lowercase();
    let says = |words: &&str| words.split('&').all(|word| text.contains(word));
    let row = ROWS.iter().find(|(_, texts, ..)| texts.iter().any(says))?;
    let (cause, _, meaning, fix) = *row;
    Some(Translation {
        cause,
        meaning,
        fix,
    })
}

/// The JSON key that a text says is missing.
#[must_use]
pub fn missing_json_key(text: &str) -> Option<&str> {
    const BEFORE: &str = "did not contain json key ";
    let at = text.to_ascii_lowercase().find(BEFORE)?;
    let word = text.get(at + BEFORE.len()..)?.split_whitespace().next()?;
    Some(word.trim_matches(|c: char| "\"'`.,;:".contains(c)))
}

/// The first ARN in a text that names a resource of this service.
#[must_use]
pub fn arn_in<'a>(text: &'a str, service: &str) -> Option<&'a str> {
    let words = text.split(|c: char| c.is_whitespace() || "'\"`,;()[]".contains(c));
    let arns = words.map(|word| word.trim_end_matches([':', '.']));
    arns.into_iter()
        .find(|word| word.starts_with("arn:") && word.split(':').nth(2) == Some(service))
}

/// The most specific first: what wraps another error is at the end.
const ROWS: &[Row] = &[
    (
        Cause::Image,
        &["cannotpullcontainererror"],
        "The image could not be pulled; no secret of the task is at fault.",
        "Check the image's name and tag, the registry's permissions and the way to it.",
    ),
    (
        Cause::NoJsonKey,
        &["did not contain json key"],
        "The JSON of the secret's current version has no such key.",
        "Put the key into the secret's value, or correct the key in valueFrom; after a rotation that changed the JSON, \
         the rotation function is the place to correct.",
    ),
    (
        Cause::NotJson,
        &["invalid character&looking for beginning of value"],
        "valueFrom names a JSON key, and the secret's value is not JSON.",
        "Store the value as a JSON object, or take the key out of valueFrom.",
    ),
    (
        Cause::RegistryForm,
        &["authorizationdata is malformed, empty field"],
        "The secret of repositoryCredentials has not the fields that a registry needs.",
        "Store {\"username\": \"…\", \"password\": \"…\"} in it.",
    ),
    (
        Cause::Key,
        &[
            "access to kms is not allowed",
            "not authorized to perform: kms:decrypt",
        ],
        "The execution role may not use the KMS key that encrypts the secret.",
        "Allow kms:Decrypt on the key, in the execution role's policy and, where the key policy does not leave it to \
         IAM or the key is another account's, in the key policy.",
    ),
    (
        Cause::Key,
        &["the ciphertext refers to a customer master key that does not exist"],
        "The KMS key that encrypts the value does not exist in this Region, or the execution role may not use it.",
        "Allow kms:Decrypt on the key, in the execution role's policy and in the key policy; if the key was deleted, \
         store the value again under another one.",
    ),
    (
        Cause::OtherPolicy,
        &[
            "explicit deny",
            "resource-based policy",
            "no vpc endpoint policy allows",
        ],
        "Another policy than the execution role's own refuses.",
        "Correct the policy that the text names: a service control policy, the secret's resource policy, or the policy \
         of the VPC endpoint.",
    ),
    (
        Cause::SecretPermission,
        &[
            "not authorized to perform: secretsmanager:getsecretvalue",
            "accessdenied&secretsmanager:getsecretvalue",
        ],
        "The execution role may not read the secret.",
        "Allow secretsmanager:GetSecretValue on the ARN in the form in which the text has it.",
    ),
    (
        Cause::ParameterPermission,
        &[
            "not authorized to perform: ssm:getparameters",
            "accessdenied&ssm:getparameters",
        ],
        "The execution role may not read the parameter.",
        "Allow ssm:GetParameters, with an s at its end, on the parameter's ARN.",
    ),
    (
        Cause::NoVersion,
        &[
            "can't find the specified secret value for staging label",
            "can't find the specified secret value for versionid",
        ],
        "The secret has no version with the staging label or version id that valueFrom names.",
        "Name one that it has, or move the label to a version.",
    ),
    (
        Cause::Deleted,
        &["marked for deletion", "marked deleted"],
        "The secret is scheduled for deletion, and cannot be read until it is restored.",
        "Restore it: aws secretsmanager restore-secret --secret-id <ARN>.",
    ),
    (
        Cause::NoSecret,
        &[
            "can't find the specified secret",
            "check whether the secret exists in the specified region",
            "the task can't retrieve the secret with arn",
        ],
        "There is no such secret: the ARN is wrong, of another Region, or that of a secret that was deleted and made \
         again with another suffix.",
        "Put the ARN that `aws secretsmanager describe-secret --secret-id <name>` shows into valueFrom.",
    ),
    (
        Cause::Form,
        &[
            "an invalid arn format for the aws secrets manager secret was specified",
            "unexpected arn format with parameters when trying to retrieve asm secret",
            "trying to retrieve secret with value&resulted in error",
            "could not find a secretsmanager secretid from value",
        ],
        "valueFrom is not a reference that ECS can read.",
        "Behind the secret's ARN put nothing, or `:json-key:version-stage:version-id` with all three colons.",
    ),
    (
        Cause::VolumeForm,
        &["unsupported credentialsparameter"],
        "The credentialsParameter of an FSx for Windows volume is neither the ARN of a secret nor of a parameter.",
        "Name the secret or parameter by its ARN.",
    ),
    (
        Cause::NoRole,
        &["unable to find execution role credentials"],
        "The task definition names no execution role, or ECS cannot take it on.",
        "Set executionRoleArn, and let ecs-tasks.amazonaws.com assume the role.",
    ),
    (
        Cause::Trust,
        &["unable to assume the role"],
        "The role's trust policy does not let ECS take it on.",
        "Allow sts:AssumeRole to the service ecs-tasks.amazonaws.com in the role's trust policy.",
    ),
    (
        Cause::NoParameter,
        &["invalid ssm parameters", "invalid parameters:"],
        "There is no such parameter in that Region, its leading slash differs, or the secret behind \
         /aws/reference/secretsmanager cannot be read.",
        "Compare the name with `aws ssm describe-parameters`; a parameter in another Region needs its ARN.",
    ),
    (
        Cause::Throttled,
        &["throttlingexception", "rate exceeded", "toomanyrequests"],
        "Too many tasks read at once.",
        "Start fewer tasks at a time, or raise the throughput setting of Parameter Store.",
    ),
    (
        Cause::Network,
        &[
            "there is a connection issue between the task and",
            "check your task network configuration",
            "context deadline exceeded",
            "requestcanceled: request context canceled",
            "request context canceled",
            "dial tcp",
            "dial udp",
            "i/o timeout",
            "tls handshake timeout",
            "connection timed out",
            "client.timeout exceeded while awaiting headers",
            "request canceled while waiting for connection",
            "signal: killed",
            "statuscode: 0",
            "status code: 0",
        ],
        "The task has no way to Secrets Manager, Parameter Store or KMS.",
        "Give it one: a public IP and a route to an internet gateway, a NAT gateway, or the interface endpoints \
         secretsmanager, ssm and kms with private DNS and a security group that lets port 443 in from the task's.",
    ),
    (
        Cause::Registry,
        &[
            "asm fetching secret from the service for",
            "asm fetching authorization data",
            "unable to retrieve ecr registry auth",
        ],
        "The credentials for the registry could not be read.",
        "The secret of repositoryCredentials must exist, hold {\"username\", \"password\"}, and be readable by the \
         execution role.",
    ),
    (
        Cause::Parameter,
        &[
            "fetching secret data from ssm parameter store in",
            "unable to retrieve secrets from ssm",
            "ssm secret resource",
        ],
        "A parameter could not be read.",
        "The parameter must exist in the Region of its reference, and the execution role must be allowed \
         ssm:GetParameters on it and kms:Decrypt on its key.",
    ),
    (
        Cause::Secret,
        &[
            "fetching secret data from aws secrets manager in region",
            "unable to retrieve secret from asm",
            "asm secret resource",
            "secret arn:",
            "unable to pull secrets or registry auth",
        ],
        "A secret could not be read.",
        "The secret must exist in the Region of its ARN and have a value, and the execution role must be allowed \
         secretsmanager:GetSecretValue on it and kms:Decrypt on its key.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
    const FARGATE: &str = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource \
                           retrieval failed: unable to retrieve secret from asm: service call has been retried 5 time(s): ";
    const FARGATE_SSM: &str = "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve \
                               secrets from ssm: service call has been retried 1 time(s): ";

    /// Texts of ECS, each behind the name of its cause.
    const TEXTS: &str = include_str!("texts.txt");

    #[test]
    fn each_text_is_translated() {
        let mut causes = std::collections::BTreeSet::new();
        for line in TEXTS.lines() {
            let (cause, text) = line.split_once(": ").unwrap();
            let text = text
                .replace("{FARGATE}", FARGATE)
                .replace("{SECRET}", SECRET);
            let text = text.replace("{FARGATE_SSM}", FARGATE_SSM);
            for text in [text.to_uppercase(), text] {
                let found = translate(&text).unwrap_or_else(|| panic!("{text} is not translated"));
                assert_eq!(format!("{:?}", found.cause), cause, "{text}");
                assert!(
                    found.meaning.ends_with('.') && found.fix.ends_with('.'),
                    "{text}"
                );
                causes.insert(found.cause);
            }
        }
        let all: std::collections::BTreeSet<_> = ROWS.iter().map(|(cause, ..)| *cause).collect();
        assert_eq!(causes, all, "each cause has a text");
    }

    /// A fix is printed where nothing else may be, or at the other end of a long list.
    #[test]
    fn each_fix_stands_by_itself() {
        for (cause, _, _, fix) in ROWS {
            for word in ["above", "below", "see ", "rest of the text"] {
                assert!(!fix.contains(word), "{cause:?}: {fix}");
            }
        }
        let colons =
            translate("unexpected ARN format with parameters when trying to retrieve ASM secret");
        assert!(colons.unwrap().fix.contains("three colons"));
        let key = translate("The ciphertext refers to a customer master key that does not exist");
        assert!(key.unwrap().fix.contains("kms:Decrypt"));
    }

    #[test]
    fn what_is_not_about_secrets_is_not_translated() {
        for text in [
            "",
            "Essential container in task exited",
            "Scaling activity initiated by (deployment ecs-svc/1)",
            "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-west-1:123456789012:a)",
            "OutOfMemoryError: Container killed due to memory usage",
        ] {
            assert_eq!(translate(text), None, "{text}");
        }
    }

    #[test]
    fn the_key_and_the_arn_are_found_in_the_text() {
        let text = format!(
            "{FARGATE}retrieved secret from Secrets Manager did not contain json key pass.word, secret {SECRET}:"
        );
        assert_eq!(missing_json_key(&text), Some("pass.word"));
        assert_eq!(arn_in(&text, "secretsmanager"), Some(SECRET));
        assert_eq!(arn_in(&text, "ssm"), None);
        assert_eq!(missing_json_key("ſ did not contain json key "), None);
        assert_eq!(
            arn_in("with ARN 'arn:aws:ssm:a:1:parameter/b'.", "ssm"),
            Some("arn:aws:ssm:a:1:parameter/b")
        );
    }
}
