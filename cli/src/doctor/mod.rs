//! Why the next task of a service will not start, or why the last one did not: facts in, findings
//! out. Pure.
//!
//! Nothing here needs a secret's value, so one thing stays open: whether a JSON key is in it.

mod check;
pub(crate) mod command;
pub mod reason;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use redeploy_core::arn::{Arn, Location};
use redeploy_core::reference::{InvalidReference, Named, Reference};

pub use check::{Need, examine, examine_secret, needs};

/// A fact, or the sentence that says why it is not known.
pub type Known<T> = Result<T, String>;

/// What was found out in one respect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How it is.
    pub verdict: Verdict,
    /// What it is about: a reference, a secret, a role, a task.
    pub subject: String,
    /// What shows it, in a sentence.
    pub evidence: String,
    /// What to do about it, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Commands that do it, or that settle what this left open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
}

/// What is checked, in the order of the findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// Why tasks of the last hour stopped.
    StoppedTasks,
    /// The task definition can be read, and is ACTIVE.
    TaskDefinition,
    /// Each reference has a form that ECS reads.
    Reference,
    /// The secret exists and can be read.
    Secret,
    /// It has the staging label or version that is named.
    Version,
    /// It has the JSON key that is named.
    JsonKey,
    /// A partial ARN means what it seems to mean.
    PartialArn,
    /// The parameter exists.
    Parameter,
    /// There is an execution role.
    ExecutionRole,
    /// ECS may take it on.
    Trust,
    /// It may read the secret or parameter.
    Permission,
    /// It may use the key.
    Decrypt,
    /// The platform version knows this kind of reference.
    PlatformVersion,
    /// The task reaches Secrets Manager.
    Network,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is wrong.
    Ok,
    /// Nobody can tell from here.
    CannotTell,
    /// It works, or did; it may not be what is meant.
    Warning,
    /// A task cannot start like this.
    Fault,
}

/// What is known about one service and about what its next task reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The service's ARN.
    pub service: String,
    /// The account and Region of the service, where bare names are looked up.
    pub home: Location,
    /// `aws`, `aws-cn`, …
    pub partition: String,
    /// Its PRIMARY deployment.
    pub primary: Option<Primary>,
    /// Where its tasks run.
    pub platform: Platform,
    /// The network of its tasks; `None` where they use that of their container instance.
    pub network: Option<Network>,
    /// What the next task is made of.
    pub task_definition: Known<TaskDefinition>,
    /// The secrets that are named, each by Region and by ARN or name.
    pub secrets: BTreeMap<Place, Known<Option<Secret>>>,
    /// The parameters that are named, each by Region and name.
    pub parameters: BTreeMap<Place, Known<Option<Parameter>>>,
    /// Execution role and task role, by ARN.
    pub roles: BTreeMap<String, Known<Option<Role>>>,
    /// What IAM says to each role and need.
    pub permissions: BTreeMap<(String, Need), Known<Decision>>,
    /// The stopped tasks that ECS still shows, which is about an hour.
    pub stopped: Known<Vec<StoppedTask>>,
    /// What the service said since its PRIMARY deployment was created: when, and what.
    pub messages: Vec<(Timestamp, String)>,
}

/// Where something is looked up: the Region, and the name or ARN there.
pub type Place = (String, String);

/// The deployment that the next task belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primary {
    /// When it was created.
    pub created_at: Timestamp,
    /// How many of its tasks run.
    pub running: i32,
}

/// Where the tasks of a service run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// On Fargate: the platform version as the service has it, and whether it is of Windows.
    Fargate {
        /// `LATEST` or three numbers.
        version: String,
        /// The platform family begins with WINDOWS.
        windows: bool,
    },
    /// On instances with the ECS agent.
    Instances,
}

/// `networkConfiguration.awsvpcConfiguration` of the service
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The ids of its subnets.
    pub subnets: Vec<String>,
    /// The ids of its security groups.
    pub security_groups: Vec<String>,
    /// `assignPublicIp` is ENABLED.
    pub public_ip: bool,
}

/// What a task definition says about secrets and roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskDefinition {
    /// Its ARN.
    pub arn: String,
    /// It was deregistered, so that nothing new starts from it.
    pub inactive: bool,
    /// The role that ECS reads secrets with.
    pub execution_role: Option<String>,
    /// The role that the application has.
    pub task_role: Option<String>,
    /// What it reads.
    pub mentions: Vec<Mention>,
}

/// A place of a task definition that names a secret or parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Where, as a person would say it: `app: DB_PASSWORD`.
    pub at: String,
    /// Which member of the API it is.
    pub member: Member,
    /// What it names.
    pub text: String,
}

/// The members of a task definition that name secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// `secrets[].valueFrom`, `logConfiguration.secretOptions[].valueFrom`, and the ARN in a gMSA
    /// credential specification.
    ValueFrom,
    /// `repositoryCredentials.credentialsParameter`, which may be a secret's name.
    Registry,
    /// `fsxWindowsFileServerVolumeConfiguration.authorizationConfig.credentialsParameter`, which
    /// must be an ARN.
    Volume,
}

impl Mention {
    /// What it names, parsed.
    ///
    /// # Errors
    /// When ECS could not make sense of it either.
    pub fn reference(&self) -> Result<Reference, InvalidReference> {
        match self.member {
            Member::Registry => Reference::parse_secret(&self.text),
            Member::Volume if !self.text.starts_with("arn:") => Err(InvalidReference::Arn),
            Member::ValueFrom | Member::Volume => Reference::parse(&self.text),
        }
    }
}

/// A secret as `DescribeSecret` shows it, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its full ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// The version that each staging label is on.
    pub labels: BTreeMap<String, String>,
    /// All its versions, without labels too, where that was asked for.
    pub versions: Known<BTreeSet<String>>,
    /// Scheduled for deletion, since when.
    pub deleted: Option<Timestamp>,
    /// Its KMS key, unless that is `aws/secretsmanager`.
    pub key: Option<String>,
}

/// A parameter as `DescribeParameters` shows it, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The KMS key of a `SecureString`, unless that is `aws/ssm`.
    pub key: Option<String>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// `AssumeRolePolicyDocument`, as JSON.
    pub trust: String,
}

/// What `SimulatePrincipalPolicy` decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is allowed.
    Allowed,
    /// Nothing allows it.
    ImplicitDeny,
    /// Something forbids it.
    ExplicitDeny,
}

/// A task that stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedTask {
    /// Its ARN.
    pub arn: String,
    /// When it stopped.
    pub at: Option<Timestamp>,
    /// `stopCode`, such as `TaskFailedToStart`.
    pub code: String,
    /// `stoppedReason`, and the reasons of its containers.
    pub reason: String,
}

impl Facts {
    /// The secrets and the parameters that have to be looked up for these mentions.
    #[must_use]
    pub fn places(mentions: &[Mention], home: &Location) -> (BTreeSet<Place>, BTreeSet<Place>) {
        let (mut secrets, mut parameters) = (BTreeSet::new(), BTreeSet::new());
        for reference in mentions
            .iter()
            .filter_map(|mention| mention.reference().ok())
        {
            match place(&reference, home) {
                (place, Named::Secret { .. }) => secrets.insert(place),
                (place, Named::Parameter { .. }) => parameters.insert(place),
            };
        }
        (secrets, parameters)
    }
}

/// Where a reference of a service that lives at `home` is looked up.
fn place<'a>(reference: &'a Reference, home: &Location) -> (Place, Named<'a>) {
    let region = reference.region().unwrap_or(&home.region).to_owned();
    let named = reference.named();
    let (Named::Secret { id: name, .. } | Named::Parameter { name, .. }) = &named;
    ((region, name.clone()), named)
}

/// The secret and the version id that a mention is pinned to.
#[must_use]
pub fn pinned(mention: &Mention, home: &Location) -> Option<(Place, String)> {
    let reference = mention.reference().ok()?;
    match place(&reference, home) {
        (place, Named::Secret { version, .. }) if !version.is_empty() => {
            Some((place, version.to_owned()))
        }
        _ => None,
    }
}

/// The name under which to look for a secret that its ARN does not find: the ARN's last field as it
/// is, and without the hyphen and six characters that may be a suffix.
#[must_use]
pub fn names_to_try(id: &str) -> Vec<String> {
    let Some(id) =
        Arn::parse(id).and_then(|arn| arn.resource.strip_prefix("secret:").map(str::to_owned))
    else {
        return Vec::new();
    };
    let without_suffix = split_suffix(&id).map(str::to_owned);
    [Some(id), without_suffix].into_iter().flatten().collect()
}

/// The part before a hyphen and six letters or digits at the end.
fn split_suffix(id: &str) -> Option<&str> {
    let (name, suffix) = id.rsplit_once('-')?;
    let is_suffix = suffix.len() == 6 && suffix.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_suffix && !name.is_empty()).then_some(name)
}

/// Whether a mention may mean the secret that a person named by name or ARN: by the same name,
/// whatever may be a suffix.
///
/// It is only for choosing what to look at, and the ARN of a secret that was made again is among
/// what is looked for.
#[must_use]
pub fn may_mean(mention: &Mention, secret: &str) -> bool {
    let last = |id: &str| {
        id.rsplit_once(":secret:")
            .map_or(id, |(_, id)| id)
            .to_owned()
    };
    let Ok(reference) = mention.reference() else {
        return mention.text.contains(secret);
    };
    let id = match reference.named() {
        Named::Secret { id, .. } => id,
        Named::Parameter { name, .. } => {
            let asked = Reference::parse(secret);
            let asked = asked.as_ref().map(Reference::named);
            return matches!(asked, Ok(Named::Parameter { name: asked, .. }) if asked == name);
        }
    };
    let (id, asked) = (last(&id), last(secret));
    let (name, asked_name) = (split_suffix(&id), split_suffix(&asked));
    id == asked
        || name == Some(&asked)
        || asked_name == Some(&id)
        || name.is_some() && name == asked_name
}
