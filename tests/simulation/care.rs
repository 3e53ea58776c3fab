//! What care needs of AWS: change calendars, and the registry of images.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{ACCOUNT, FakeAws, REGION};
use super::deployments::{Deployment, Service, revision_arn};
use super::wire::{Answer, refused};

/// A container's name, its image, and the digest that ECS recorded.
pub(crate) type Recorded = (String, String, Option<String>);

impl FakeAws {
    /// `GetCalendarState`: CLOSED while any of the calendars is.
    pub(super) fn get_calendar_state(&self, body: &Value) -> Answer {
        let now = self.now();
        let (mut closed, mut next) = (false, None::<Timestamp>);
        for name in body["CalendarNames"].as_array().unwrap() {
            let Some(intervals) = self.calendars.get(name.as_str().unwrap()) else {
                return refused("InvalidDocument", "Document with name does not exist.");
            };
            for (from, to) in intervals {
                closed |= (*from..*to).contains(&now);
                let ahead = [*from, *to].into_iter().filter(|at| *at > now);
                next = next.into_iter().chain(ahead).min();
            }
        }
        let state = if closed { "CLOSED" } else { "OPEN" };
        let cut = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap().to_string();
        Ok(json!({"State": state, "AtTime": cut(now), "NextTransitionTime": next.map(cut)}))
    }

    /// Whether any calendar is closed.
    pub(crate) fn is_frozen(&self) -> bool {
        let mut intervals = self.calendars.values().flatten();
        let now = self.now();
        intervals.any(|(from, to)| (*from..*to).contains(&now))
    }

    /// The end of a freeze, as Systems Manager says it.
    pub(crate) fn calendar_event(&mut self, name: &str, state: &str) {
        let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:document/{name}");
        let detail = json!({"state": state, "atTime": self.now().to_string()});
        let mut event = self.envelope("Calendar State Change", json!([arn]), detail);
        event["source"] = json!("aws.ssm");
        self.events.push((super::account::Family::Native, event));
    }

    /// An image of the account's own registry.
    pub(crate) fn image(repository: &str, tag: &str) -> String {
        format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{repository}:{tag}")
    }

    /// `DescribeImages` of ECR, by one tag.
    pub(super) fn describe_images(&self, body: &Value) -> Answer {
        let repository = body["repositoryName"].as_str().unwrap();
        let [asked] = body["imageIds"].as_array().unwrap().as_slice() else {
            panic!("one tag at a time");
        };
        let tag = asked["imageTag"].as_str().unwrap();
        assert_eq!(body["registryId"], ACCOUNT);
        if !self.readable_images {
            return refused(
                "AccessDeniedException",
                "not authorized to perform: ecr:DescribeImages",
            );
        }
        match self.images.get(&Self::image(repository, tag)) {
            Some(digest) => Ok(json!({"imageDetails": [{
                "registryId": ACCOUNT, "repositoryName": repository, "imageDigest": digest,
                "imageTags": [tag], "imageStatus": "ACTIVE",
            }]})),
            None => refused(
                "ImageNotFoundException",
                "The image with imageId does not exist within the repository.",
            ),
        }
    }

    /// The digests that ECS finds for a deployment of this task definition that begins now.
    pub(super) fn recorded(&self, task_definition: &str) -> Vec<Recorded> {
        let definition = &self.task_definitions[task_definition];
        let containers = definition["containerDefinitions"]
            .as_array()
            .into_iter()
            .flatten();
        let recorded = containers.filter_map(|container| {
            let image = container["image"].as_str()?.to_owned();
            let is_guarded = container["versionConsistency"] != "disabled";
            let digest = self.images.get(&image).filter(|_| is_guarded).cloned();
            Some((container["name"].as_str()?.to_owned(), image, digest))
        });
        recorded.collect()
    }
}

/// `currentServiceRevisions` of a service, for the deployments that are visible.
pub(super) fn current_revisions(arn: &str, service: &Service, visible: &[Deployment]) -> Value {
    let revision = |deployment: &Deployment| {
        let of_it = service
            .running
            .iter()
            .filter(|task| task.started_by == deployment.id);
        let (running, pending): (Vec<_>, Vec<_>) =
            of_it.partition(|task| task.started_at.is_some());
        json!({
            "arn": revision_arn(arn, &deployment.id), "requestedTaskCount": service.desired,
            "runningTaskCount": running.len(), "pendingTaskCount": pending.len(),
        })
    };
    visible.iter().map(revision).collect()
}

/// `containerImages` of a service revision.
pub(super) fn container_images(recorded: &[Recorded]) -> Value {
    let image = |(container, image, digest): &Recorded| json!({"containerName": container, "image": image, "imageDigest": digest});
    recorded.iter().map(image).collect()
}
