//! When the secrets and parameters that running tasks follow last changed.

use std::collections::{BTreeMap, BTreeSet};

use redeploy_core::arn::Arn;
use redeploy_core::config::Config;
use redeploy_core::fact::Fact;
use redeploy_core::facts::{Followed, Found};
use tokio::time::Instant;

use super::client::lock;
use super::memory::READ_LAG;
use super::paging::{in_parallel, timestamp};
use super::parameter::PARAMETERS_PER_CALL;
use super::{Aws, AwsError, ErrorKind};

/// What AWS says about the last change of something; `None` when it does not exist.
type Answer = (Followed, Fact<Option<Found>>);

impl Aws {
    /// The last change of each. With `reuse`, an answer of a moment ago is used again: whatever
    /// changed since then has its own event, which is not looked at any earlier.
    pub(super) async fn last_changes(
        &self,
        config: &Config,
        of: BTreeSet<Followed>,
        reuse: bool,
    ) -> Vec<Answer> {
        let (mut answers, mut secrets) = (Vec::new(), Vec::new());
        let mut parameters = BTreeMap::<String, Vec<(String, Followed)>>::new();
        {
            let mut memory = lock(&self.memory);
            memory
                .last_changes
                .retain(|_, (asked, _)| asked.elapsed() < READ_LAG);
            for followed in of {
                let known = memory.last_changes.get(&followed).filter(|_| reuse);
                let is_elsewhere = |place: &Arn| {
                    let own = memory.account();
                    own.is_some_and(|own| own != place.account)
                };
                match (known, &followed) {
                    (Some((_, found)), _) => answers.push((followed, Fact::Known(found.clone()))),
                    (None, Followed::Secret { .. }) => secrets.push(followed),
                    // `DescribeParameters` goes by name, and would find one of this account.
                    (None, Followed::Parameter { place, .. }) if is_elsewhere(place) => {
                        answers.push((followed, Fact::Known(Some(Found::Elsewhere))));
                    }
                    (None, Followed::Parameter { place, name }) => {
                        let region = parameters.entry(place.region.clone()).or_default();
                        region.push((name.clone(), followed));
                    }
                }
            }
        }
        let mut asked = in_parallel(secrets, async |followed| {
            let found = self.last_change_of_secret(config, &followed).await;
            (followed, found)
        })
        .await;
        let chunks = parameters.into_iter().flat_map(|(region, names)| {
            let chunks: Vec<_> = names
                .chunks(PARAMETERS_PER_CALL)
                .map(<[_]>::to_vec)
                .collect();
            chunks.into_iter().map(move |names| (region.clone(), names))
        });
        let of_parameters = in_parallel(chunks, async |(region, names)| {
            self.last_changes_of_parameters(&region, names).await
        });
        asked.extend(of_parameters.await.into_iter().flatten());
        let now = Instant::now();
        let mut memory = lock(&self.memory);
        for (followed, found) in asked {
            if let Ok(found) = &found {
                memory
                    .last_changes
                    .insert(followed.clone(), (now, found.clone()));
            }
            answers.push((
                followed,
                found.map_err(|error: AwsError| error.gap()).into(),
            ));
        }
        answers
    }

    async fn last_change_of_secret(
        &self,
        config: &Config,
        followed: &Followed,
    ) -> Result<Option<Found>, AwsError> {
        let Followed::Secret { region, id } = followed else {
            return Ok(None);
        };
        let found = self
            .describe_secret(&config.tag_key, id, Some(region))
            .await?;
        Ok(found.map(Found::Secret))
    }

    async fn last_changes_of_parameters(
        &self,
        region: &str,
        names: Vec<(String, Followed)>,
    ) -> Vec<(Followed, Result<Option<Found>, AwsError>)> {
        let asked = names.iter().map(|(name, _)| name.clone()).collect();
        let found = self.describe_parameters(region, asked).await;
        let answers = names.into_iter().map(|(name, followed)| {
            let answer = match &found {
                Ok(found) => {
                    let modified = found.get(&name).and_then(|found| found.last_modified_date);
                    Ok(modified.as_ref().and_then(timestamp).map(Found::Parameter))
                }
                // `DescribeParameters` is allowed or denied as a whole.
                Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.clone()),
            };
            (followed, answer)
        });
        answers.collect()
    }
}
