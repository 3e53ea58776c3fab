//! Questions of the planner, answered by AWS.

use std::collections::BTreeSet;

use jiff::Timestamp;
use redeploy_core::config::Config;
use redeploy_core::fact::Fact;
use redeploy_core::facts::{Answer, Facts, Scope};
use redeploy_core::plan::Question;

use super::client::lock;
use super::paging::in_parallel;
use super::{Aws, AwsError};

/// A search of CloudTrail's event history ends after this many pages of 50 events, at two calls a
/// second.
const PAGES: usize = 40;
/// The same, for the end of a deployment.
const PAGES_OF_A_DEPLOYMENT: usize = 8;

impl Aws {
    /// Answers every question, in any order.
    pub async fn answer(
        &self,
        config: &Config,
        facts: &Facts,
        questions: BTreeSet<Question>,
        now: impl Fn() -> Timestamp,
    ) -> Vec<Answer> {
        let mut answers = Vec::new();
        let mut named = Vec::new();
        let mut revisions = Vec::new();
        let mut pictured = Vec::new();
        let mut image_tags = BTreeSet::new();
        let mut single = Vec::new();
        for question in questions {
            match question {
                Question::Describe(arn) | Question::Refresh(arn) => {
                    named.extend(facts.workloads.get(&arn));
                }
                Question::TaskDefinitions(arn) => revisions.push(arn),
                Question::Images(arn) => pictured.extend(facts.workloads.get(&arn)),
                Question::ImageTags(images) => image_tags.extend(images),
                Question::LastChanges(of) => {
                    let is_deployment = matches!(facts.scope, Scope::Around(_));
                    let found = self.last_changes(config, of, is_deployment).await;
                    answers.push(Answer::LastChanges(found));
                }
                question => single.push(question),
            }
        }
        if !named.is_empty() {
            let (read, warnings) = self.read_again(config, &named, now()).await;
            answers.push(Answer::Workloads(read));
            answers.push(Answer::Warnings(warnings));
        }
        if !revisions.is_empty() {
            let found = self.task_definitions_of(revisions).await;
            answers.push(Answer::TaskDefinitions(found));
        }
        if !image_tags.is_empty() {
            answers.push(Answer::ImageTags(self.image_tags(image_tags).await));
        }
        if !pictured.is_empty() {
            let found = self.images_of(&pictured).await.into_iter();
            answers.extend(found.map(|(arn, images)| Answer::Images(arn, images)));
        }
        let found = in_parallel(single, async |question| {
            self.answer_one(config, facts, question, &now).await
        });
        answers.extend(found.await.into_iter().flatten());
        answers
    }

    async fn answer_one(
        &self,
        config: &Config,
        facts: &Facts,
        question: Question,
        now: &impl Fn() -> Timestamp,
    ) -> Option<Answer> {
        Some(match question {
            Question::Look { not_before } => {
                let whole = facts.scope == Scope::Everything;
                let look = self.look(config, not_before, whole, now).await;
                let forced = lock(&self.memory).all_forced();
                Answer::Look(look.map_err(|error| error.gap()), forced)
            }
            Question::Service(name) => {
                let completed = facts.completed.as_deref();
                let service = self.service(config, &name, completed, now()).await;
                Answer::Service(service.map_err(|error| error.gap()))
            }
            Question::Secret => {
                let claim = &facts.unconfirmed.as_ref()?.claim;
                let secret = self.describe_secret(
                    &config.tag_key,
                    &claim.secret_id,
                    claim.region.as_deref(),
                );
                Answer::Secret(fact(secret.await))
            }
            Question::Replica { of, replica } => {
                let arn = replica.to_string();
                let found = fact(self.describe_secret(&config.tag_key, &arn, None).await);
                Answer::Replica { of, replica, found }
            }
            Question::FullArn(arn) => {
                let secret = self.describe_secret(&config.tag_key, &arn, None).await;
                let is_full = secret.map(|secret| secret.is_some_and(|s| s.arn.to_string() == arn));
                Answer::FullArn(arn, fact(is_full))
            }
            Question::Tag(source) => {
                let arn = source.to_string();
                let secret = self.describe_secret(&config.tag_key, &arn, None).await;
                Answer::Tag(source, fact(secret))
            }
            Question::Calendar => Answer::Calendar(fact(self.calendar(config).await)),
            Question::VersionStored(source) => {
                let stored = self.version_stored(facts.changes.get(&source)?).await;
                Answer::VersionStored(source, fact(stored))
            }
            Question::MoveTimes(sources) => {
                let changes = sources
                    .iter()
                    .filter_map(|source| facts.changes.get(source));
                let is_deployment = matches!(facts.scope, Scope::Around(_));
                let pages = if is_deployment {
                    PAGES_OF_A_DEPLOYMENT
                } else {
                    PAGES
                };
                let (found, warnings) = self.move_times(changes.collect(), pages, now()).await;
                Answer::MoveTimes(found, warnings)
            }
            Question::Tasks(arn) => {
                let tasks = self.tasks_of(facts.workloads.get(&arn)?).await;
                Answer::Tasks(arn, fact(tasks))
            }
            Question::History {
                workload: arn,
                since,
            } => {
                let history = self.history(facts.workloads.get(&arn)?, since).await;
                Answer::History(arn, fact(history))
            }
            // Answered together.
            Question::Describe(_)
            | Question::Refresh(_)
            | Question::TaskDefinitions(_)
            | Question::Images(_)
            | Question::ImageTags(_)
            | Question::LastChanges(_) => return None,
        })
    }
}

fn fact<T>(answer: Result<T, AwsError>) -> Fact<T> {
    answer.map_err(|error| error.gap()).into()
}
