//! What Parameter Store says about parameters, without their values.

use std::collections::BTreeMap;

use aws_config::Region;
use aws_sdk_ssm::types::{ParameterMetadata, ParameterStringFilter};

use super::paging::pages;
use super::{ApiBucket, Aws, AwsError};

/// `DescribeParameters` accepts fifty names in a filter, and a parameter may go by two.
pub const PARAMETERS_PER_CALL: usize = 25;

impl Aws {
    /// These parameters, at most [`PARAMETERS_PER_CALL`], by the name that was asked for.
    ///
    /// A name without slashes may have one in front, which an ARN does not show.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn describe_parameters(
        &self,
        region: &str,
        names: Vec<String>,
    ) -> Result<BTreeMap<String, ParameterMetadata>, AwsError> {
        const ACTION: &str = "ssm:DescribeParameters";
        let slashed = |name: &String| (!name.contains('/')).then(|| format!("/{name}"));
        let asked = names
            .iter()
            .cloned()
            .chain(names.iter().filter_map(slashed))
            .collect();
        let filter = ParameterStringFilter::builder()
            .key("Name")
            .option("Equals");
        let filter = filter.set_values(Some(asked)).build();
        let filter = filter.map_err(|error| AwsError::not_made(ACTION, &error))?;
        let call = self
            .ssm
            .describe_parameters()
            .parameter_filters(filter)
            .max_results(50);
        let region = Region::new(region.to_owned());
        let region = aws_sdk_ssm::config::Builder::new().region(region);
        let found = pages(async |token| {
            let call = call.clone().set_next_token(token);
            let page = async || {
                let call = call.clone().customize().config_override(region.clone());
                call.send().await
            };
            let page = self.read(ApiBucket::Parameters, ACTION, page).await?;
            Ok((page.parameters.unwrap_or_default(), page.next_token))
        });
        let found = found.await?;
        let by_name = names.into_iter().filter_map(|name| {
            let is_it = |known: &&ParameterMetadata| {
                let known = known.name().unwrap_or_default();
                known == name || known.strip_prefix('/') == Some(&name)
            };
            let modified =
                |known: &&ParameterMetadata| known.last_modified_date.map(|at| at.secs());
            let last = found.iter().filter(is_it).max_by_key(modified);
            last.cloned().map(|parameter| (name.clone(), parameter))
        });
        Ok(by_name.collect())
    }
}
