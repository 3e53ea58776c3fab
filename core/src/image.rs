//! Which images a service runs, and which ones a new deployment would start.

use std::collections::{BTreeMap, BTreeSet};

use crate::fact::{Fact, Gap};
use crate::workload::Workload;

/// An image of Amazon ECR that is named by its tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EcrImage {
    /// The account of its registry.
    pub registry: String,
    /// The Region of its registry.
    pub region: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
}

impl EcrImage {
    /// Reads an image of a task definition; `None` for one of another registry, and for one that is
    /// named by its digest and never moves
    /// (<https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>).
    #[must_use]
    pub fn parse(image: &str) -> Option<Self> {
        let (host, path) = image.split_once('/')?;
        let (registry, host) = host.split_once('.')?;
        let hosts = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."];
        let host = hosts.iter().find_map(|prefix| host.strip_prefix(prefix))?;
        let (region, suffix) = host.split_once('.')?;
        let is_account = registry.len() == 12 && registry.bytes().all(|b| b.is_ascii_digit());
        let is_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_host = |c: char| is_region(c) || c == '.';
        let is_ecr = is_account
            && !region.is_empty()
            && region.chars().all(is_region)
            && !suffix.is_empty()
            && suffix.chars().all(is_host);
        let (repository, tag) = path.split_once(':').unwrap_or((path, "latest"));
        let is_tagged = is_ecr && !path.contains('@') && !repository.is_empty() && !tag.is_empty();
        is_tagged.then(|| Self {
            registry: registry.to_owned(),
            region: region.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

/// A service revision that runs tasks, or is about to
/// (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionImages {
    /// The task definition revision, by ARN.
    pub task_definition: String,
    /// Whether tasks of it run.
    pub runs: bool,
    /// The images of its containers.
    pub images: Vec<ContainerImage>,
}

/// The image of a container, as ECS recorded it for a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerImage {
    /// The container's name.
    pub container: String,
    /// The image as the task definition names it.
    pub image: String,
    /// The digest that ECS found for it.
    pub digest: Option<String>,
}

/// What a new deployment would start instead of what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// The tags that must be asked about.
    Open(BTreeSet<EcrImage>),
    /// The same images, as far as can be told.
    Same,
    /// The tag of this image names another one.
    Moved(String),
    /// The tag of this image names none.
    Gone(String),
    /// What a tag names is not known.
    Unavailable(Gap),
}

/// Compares the images that a service runs with what their tags name.
pub(crate) fn guarded(
    workload: &Workload,
    revisions: &[RevisionImages],
    tags: &BTreeMap<EcrImage, Fact<Option<String>>>,
) -> Guarded {
    let primary = workload.primary();
    let next = primary.and_then(|primary| primary.task_definition.known());
    // A forced deployment starts the task definition of the PRIMARY one.
    let is_next =
        |revision: &&RevisionImages| next.is_none_or(|next| **next == *revision.task_definition);
    let containers = revisions
        .iter()
        .filter(is_next)
        .flat_map(|revision| &revision.images);
    // With `versionConsistency: disabled`, every task pulls what the tag names.
    let images: BTreeSet<_> = containers
        .filter(|container| !workload.unguarded.contains(&container.container))
        .map(|container| container.image.as_str())
        .collect();
    let any_runs = revisions.iter().any(|revision| revision.runs);
    let (mut open, mut moved, mut unavailable) = (BTreeSet::new(), None, None);
    for image in images {
        let running = revisions
            .iter()
            .filter(|revision| revision.runs || !any_runs)
            .flat_map(|revision| &revision.images)
            .filter(|container| container.image == image)
            .filter_map(|container| container.digest.as_ref());
        let running: BTreeSet<_> = running.collect();
        let Some(tagged) = EcrImage::parse(image).filter(|_| !running.is_empty()) else {
            continue;
        };
        match tags.get(&tagged) {
            None | Some(Fact::Unasked) => drop(open.insert(tagged)),
            Some(Fact::Known(None)) => return Guarded::Gone(image.to_owned()),
            Some(Fact::Known(Some(digest))) if running.contains(digest) => {}
            Some(Fact::Known(Some(_))) => moved = moved.or(Some(image.to_owned())),
            Some(Fact::Unavailable(gap)) => unavailable = unavailable.or(Some(gap.clone())),
        }
    }
    match (open.is_empty(), moved, unavailable) {
        (false, _, _) => Guarded::Open(open),
        (true, Some(image), _) => Guarded::Moved(image),
        (true, None, Some(gap)) => Guarded::Unavailable(gap),
        (true, None, None) => Guarded::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::GapKind;
    use crate::testing::{REVISION, gap, service};

    const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api:stable";

    fn tagged() -> EcrImage {
        EcrImage::parse(IMAGE).unwrap()
    }

    #[test]
    fn an_image_of_ecr_is_read_field_by_field() {
        let expected = EcrImage {
            registry: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            repository: "shop/api".to_owned(),
            tag: "stable".to_owned(),
        };
        assert_eq!(EcrImage::parse(IMAGE), Some(expected));
        let tag = |image| EcrImage::parse(image).map(|image| image.tag);
        for image in [
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/api",
            "123456789012.dkr-ecr.eu-west-1.on.aws/api",
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/api",
            "123456789012.dkr-ecr-fips.us-east-1.on.aws/api",
        ] {
            assert_eq!(tag(image), Some("latest".to_owned()), "{image}");
        }
    }

    #[test]
    fn other_registries_and_digests_are_no_tags_of_ecr() {
        for image in [
            "nginx",
            "nginx:1",
            "public.ecr.aws/nginx/nginx:1",
            "ghcr.io/shop/api:1",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/api@sha256:abc",
            "12345678901.dkr.ecr.eu-west-1.amazonaws.com/api:1",
            "123456789012.dkr.ecr.eu_west.amazonaws.com/api:1",
            "123456789012.dkr.ecr.evil#.com/api:1",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/api:",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com/:1",
        ] {
            assert_eq!(EcrImage::parse(image), None, "{image}");
        }
    }

    fn revision(task_definition: &str, runs: bool, digest: Option<&str>) -> RevisionImages {
        let container = ContainerImage {
            container: "app".to_owned(),
            image: IMAGE.to_owned(),
            digest: digest.map(str::to_owned),
        };
        RevisionImages {
            task_definition: task_definition.to_owned(),
            runs,
            images: vec![container],
        }
    }

    fn guard(revisions: &[RevisionImages], tag: Fact<Option<String>>) -> Guarded {
        guarded(&service(), revisions, &[(tagged(), tag)].into())
    }

    fn names(digest: &str) -> Fact<Option<String>> {
        Fact::Known(Some(digest.to_owned()))
    }

    #[test]
    fn a_tag_that_names_what_runs_is_the_same() {
        let running = [revision(REVISION, true, Some("sha256:a"))];
        assert_eq!(guard(&running, names("sha256:a")), Guarded::Same);
        assert_eq!(
            guard(&running, names("sha256:b")),
            Guarded::Moved(IMAGE.to_owned())
        );
        assert_eq!(
            guard(&running, Fact::Known(None)),
            Guarded::Gone(IMAGE.to_owned())
        );
        assert_eq!(
            guard(&running, Fact::Unasked),
            Guarded::Open([tagged()].into())
        );
        let denied = gap(GapKind::Denied);
        assert_eq!(
            guard(&running, Fact::Unavailable(denied.clone())),
            Guarded::Unavailable(denied)
        );
    }

    #[test]
    fn of_several_live_revisions_those_count_that_run_tasks() {
        let live = [
            revision(REVISION, true, Some("sha256:a")),
            revision("other", true, Some("sha256:b")),
            revision(REVISION, false, Some("sha256:c")),
        ];
        assert_eq!(guard(&live, names("sha256:b")), Guarded::Same);
        assert_eq!(
            guard(&live, names("sha256:c")),
            Guarded::Moved(IMAGE.to_owned())
        );
        let starting = [revision(REVISION, false, Some("sha256:c"))];
        assert_eq!(guard(&starting, names("sha256:c")), Guarded::Same);
    }

    #[test]
    fn without_a_digest_or_with_version_consistency_off_there_is_nothing_to_guard() {
        assert_eq!(
            guard(&[revision(REVISION, true, None)], names("sha256:b")),
            Guarded::Same
        );
        assert_eq!(guard(&[], names("sha256:b")), Guarded::Same);
        let running = [revision(REVISION, true, Some("sha256:a"))];
        let unguarded = Workload {
            unguarded: vec!["app".to_owned()],
            ..service()
        };
        let tags = [(tagged(), names("sha256:b"))].into();
        assert_eq!(guarded(&unguarded, &running, &tags), Guarded::Same);
        let other = [revision("other", true, Some("sha256:a"))];
        assert_eq!(guard(&other, names("sha256:b")), Guarded::Same);
    }
}
