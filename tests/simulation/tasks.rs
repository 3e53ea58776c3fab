//! Tasks, and what they have read: the truth about the account.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::account::{ACCOUNT, FakeAws, REGION};
use super::deployments::Service;
use super::secrets::value_of;

/// A task that a service keeps.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Unique in the account.
    pub(crate) id: u64,
    /// The deployment that started it.
    pub(crate) started_by: String,
    pub(crate) task_definition: String,
    pub(crate) created_at: Timestamp,
    /// When it had started; before that it is PENDING.
    pub(crate) started_at: Option<Timestamp>,
    /// Whether no rollout stops it.
    pub(crate) protected: bool,
    /// What it reads when it starts, and the value that each had for it.
    pub(super) sources: Arc<[Source]>,
    pub(super) read: Box<[u64]>,
}

/// A running task that no service keeps, such as one of `RunTask`.
#[derive(Clone, Debug)]
pub(crate) struct LooseTask {
    pub(crate) cluster: String,
    pub(crate) group: String,
    pub(crate) started_by: String,
    pub(crate) task_definition: String,
    pub(crate) started_at: Timestamp,
}

/// Something that a task reads when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A secret by name, ARN or partial ARN, by a label.
    Secret { id: String, label: String },
    /// One version, which never changes.
    Pinned(u64),
    /// A parameter by name, with or without the slash that its path begins with.
    Parameter(String),
}

impl Source {
    /// What a `valueFrom` means to ECS.
    pub(crate) fn of(value_from: &str) -> Self {
        if let Some(name) = value_from.strip_prefix("/aws/reference/secretsmanager/") {
            return Self::Secret {
                id: name.to_owned(),
                label: "AWSCURRENT".to_owned(),
            };
        }
        let fields: Vec<_> = value_from.split(':').collect();
        match fields.as_slice() {
            ["arn", _, "secretsmanager", _, _, "secret", _, rest @ ..] => {
                let field = |number: usize| rest.get(number).copied().unwrap_or_default();
                let label = if field(1).is_empty() {
                    "AWSCURRENT"
                } else {
                    field(1)
                };
                match field(2) {
                    "" => Self::Secret {
                        id: fields[..7].join(":"),
                        label: label.to_owned(),
                    },
                    version => Self::Pinned(value_of(version)),
                }
            }
            ["arn", _, "ssm", _, _, resource, ..] => Self::Parameter(
                resource
                    .strip_prefix("parameter")
                    .unwrap_or(resource)
                    .to_owned(),
            ),
            _ => Self::Parameter(value_from.to_owned()),
        }
    }

    /// Everything that the tasks of a task definition read when they start.
    fn all_of(definition: &Value) -> Vec<Self> {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let mut names = Vec::new();
        for container in list(&definition["containerDefinitions"]) {
            names.extend(
                list(&container["secrets"])
                    .iter()
                    .map(|secret| secret["valueFrom"].clone()),
            );
            let options = list(&container["logConfiguration"]["secretOptions"]);
            names.extend(options.iter().map(|option| option["valueFrom"].clone()));
            let specs = list(&container["credentialSpecs"]);
            for spec in [specs, list(&container["dockerSecurityOptions"])].concat() {
                let spec = spec.as_str().and_then(|spec| spec.split_once(':'));
                let arn = spec
                    .filter(|(kind, _)| kind.starts_with("credentialspec"))
                    .map(|(_, arn)| arn);
                names.extend(arn.filter(|arn| arn.starts_with("arn:")).map(Value::from));
            }
        }
        for volume in list(&definition["volumes"]) {
            let fsx = &volume["fsxWindowsFileServerVolumeConfiguration"];
            names.push(fsx["authorizationConfig"]["credentialsParameter"].clone());
        }
        names
            .iter()
            .filter_map(Value::as_str)
            .map(Self::of)
            .collect()
    }
}

impl FakeAws {
    /// What the tasks of a service read: what its task definition says, and what its code does.
    pub(super) fn sources(&self, service: &Service, task_definition: &str) -> Arc<[Source]> {
        if let Some((known, sources)) = &service.sources
            && known == task_definition
        {
            return sources.clone();
        }
        let definition = self.task_definitions.get(task_definition);
        let mut sources = definition.map(Source::all_of).unwrap_or_default();
        let proxy = service.service_connect.iter();
        let proxy = proxy.filter_map(|proxy| proxy["logConfiguration"]["secretOptions"].as_array());
        let options = proxy
            .flatten()
            .filter_map(|option| option["valueFrom"].as_str());
        sources.extend(options.map(Source::of));
        sources.extend(service.also_reads.iter().cloned());
        sources.into()
    }

    /// The value that something has now.
    pub(crate) fn value(&self, source: &Source) -> u64 {
        match source {
            Source::Pinned(value) => *value,
            Source::Secret { id, label } => self
                .find_secret(id)
                .map_or(0, |(_, secret)| secret.value(label)),
            Source::Parameter(name) => self.parameter_value(name),
        }
    }

    /// The value that a task gets that starts now, which may be what was.
    fn value_as_seen(&self, source: &Source) -> u64 {
        match source {
            Source::Secret { id, label } => {
                let found = self.find_secret(id);
                found.map_or(0, |(_, secret)| self.secret_as_seen(secret).value(label))
            }
            other => self.value(other),
        }
    }

    fn parameter_value(&self, name: &str) -> u64 {
        let found = self
            .parameters
            .get(name)
            .or_else(|| self.parameters.get(name.trim_start_matches('/')));
        let found = found.or_else(|| self.parameters.get(&format!("/{name}")));
        found.map_or(0, |changed| changed.as_nanosecond() as u64)
    }

    /// A task that a deployment starts; it reads its values now.
    pub(super) fn new_task(&mut self, arn: &str, deployment: usize, created_at: Timestamp) -> Task {
        self.next_id += 1;
        let id = self.next_id;
        let service = &self.services[arn];
        let (started_by, task_definition) = {
            let deployment = &service.deployments[deployment];
            (deployment.id.clone(), deployment.task_definition.clone())
        };
        let sources = self.sources(service, &task_definition);
        let at_once = service.takes.is_zero();
        let read = sources
            .iter()
            .map(|source| {
                if at_once {
                    self.value(source)
                } else {
                    self.value_as_seen(source)
                }
            })
            .collect();
        self.services.get_mut(arn).unwrap().sources =
            Some((task_definition.clone(), sources.clone()));
        Task {
            id,
            started_by,
            task_definition,
            created_at,
            started_at: None,
            protected: false,
            sources,
            read,
        }
    }

    /// Whether a task would ever become healthy.
    pub(super) fn is_healthy(&self, task: &Task) -> bool {
        !self.bad_revisions.contains(&task.task_definition)
            && !task
                .read
                .iter()
                .any(|value| self.wrong_values.contains(value))
    }

    /// Whether a task has read what is not the value any more.
    pub(crate) fn is_stale_task(&self, task: &Task) -> bool {
        self.stale_sources(task).next().is_some()
    }

    /// The places of what a task has read and what is not the value any more.
    pub(crate) fn stale_sources(&self, task: &Task) -> impl Iterator<Item = usize> {
        let read = task.sources.iter().zip(&task.read).enumerate();
        read.filter(|(_, (source, read))| self.value(source) != **read)
            .map(|(place, _)| place)
    }

    /// The running tasks of a service that have read what is not the value any more.
    pub(crate) fn stale_tasks(&self, arn: &str) -> Vec<&Task> {
        let Some(service) = self.services.get(arn) else {
            return Vec::new();
        };
        let running = service
            .running
            .iter()
            .filter(|task| task.started_at.is_some());
        running.filter(|task| self.is_stale_task(task)).collect()
    }

    /// Whether a service runs such a task.
    pub(crate) fn is_stale(&self, arn: &str) -> bool {
        !self.stale_tasks(arn).is_empty()
    }

    /// A task is stopped that the service did not want to stop: Spot, or the end of its host. The
    /// one that takes its place belongs to the same deployment and reads its values again.
    pub(crate) fn replace_task(&mut self, arn: &str, number: usize) {
        self.advance();
        let Some(service) = self.services.get_mut(arn) else {
            return;
        };
        let running = service
            .running
            .iter()
            .enumerate()
            .filter(|(_, task)| task.started_at.is_some());
        let running: Vec<_> = running.map(|(index, _)| index).collect();
        if running.is_empty() {
            return;
        }
        service.running.remove(running[number % running.len()]);
        self.start_tasks(arn);
    }

    /// The code of the service's tasks reads this by itself when it starts, and has always done so.
    pub(crate) fn also_reads(&mut self, arn: &str, source: Source) {
        let service = self.services.get_mut(arn).unwrap();
        service.also_reads.push(source);
        service.sources = None;
        let revision = service.deployments[0].task_definition.clone();
        let sources = self.sources(&self.services[arn], &revision);
        let read: Box<[u64]> = sources.iter().map(|source| self.value(source)).collect();
        for task in &mut self.services.get_mut(arn).unwrap().running {
            (task.sources, task.read) = (sources.clone(), read.clone());
        }
    }

    /// One of the service's tasks is protected from now on; no rollout stops it.
    pub(crate) fn protect_a_task(&mut self, arn: &str) {
        let service = self.services.get_mut(arn).unwrap();
        service.running[0].protected = true;
    }
}

/// The ARN of a task.
pub(crate) fn task_arn(cluster: &str, id: u64) -> String {
    let cluster = cluster.rsplit('/').next().unwrap();
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/{id:032x}")
}
