//! The lookups `tags` and `config`: services that are only named, with what names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_resourcegroupstagging::types::TagFilter;
use redeploy_core::arn::Arn;
use redeploy_core::config::{Config, MappedService, cluster_name};
use redeploy_core::reference::Reference;
use redeploy_core::tag::ServiceTag;
use redeploy_core::workload::{CircuitBreaker, Controller, Platform, Strategy, Use, Workload};

use super::super::client::lock;
use super::super::paging::{PAGE_SIZE, pages};
use super::super::{ApiBucket, Aws, AwsError};
use super::Findings;

impl Aws {
    /// The services in scope that carry our tag.
    pub(super) async fn tagged_services(
        &self,
        config: &Config,
        found: &mut Findings,
    ) -> Result<(), AwsError> {
        let call = self
            .tagging
            .get_resources()
            .resource_type_filters("ecs:service");
        let call = call.resources_per_page(PAGE_SIZE);
        let call = call.tag_filters(TagFilter::builder().key(&config.tag_key).build());
        let resources = pages(async |token| {
            let page = async || {
                call.clone()
                    .set_pagination_token(token.clone())
                    .send()
                    .await
            };
            let page = self
                .read(ApiBucket::Tagging, "tag:GetResources", page)
                .await?;
            let list = page.resource_tag_mapping_list.unwrap_or_default();
            Ok((list, page.pagination_token))
        });
        for resource in resources.await? {
            let text = resource.resource_arn.unwrap_or_default();
            // A service without its cluster in its ARN cannot carry tags.
            let Some(arn) = Arn::parse(&text) else {
                continue;
            };
            let path = arn.resource.strip_prefix("service/");
            let Some((cluster, _)) = path.and_then(|path| path.split_once('/')) else {
                continue;
            };
            let tags = resource.tags.unwrap_or_default();
            let tag = tags.iter().find(|tag| tag.key == config.tag_key);
            let (Some(tag), true) = (tag, is_scanned(config, cluster)) else {
                continue;
            };
            let (references, warnings) = ServiceTag::parse(&tag.value).references(&text, true);
            found.warnings.extend(warnings);
            if references.is_empty() {
                continue;
            }
            let mut memory = lock(&self.memory);
            let uses = references
                .into_iter()
                .map(|named| Use::AtStart(memory.share(named)));
            let mut workload = named(text.as_str().into(), cluster.into(), uses.collect());
            workload.location = Some(memory.location(&arn));
            workload.tag = Some(tag.value.as_str().into());
            found.named.push(workload);
        }
        Ok(())
    }

    /// Adds the services that only the mapping names.
    pub(super) fn add_mapped(&self, config: &Config, found: &mut Findings) {
        let mut mapped = BTreeMap::<&MappedService, Vec<&Reference>>::new();
        for line in &config.mapping {
            for service in &line.services {
                mapped.entry(service).or_default().push(&line.secret);
            }
        }
        for (service, references) in mapped {
            let name = format!("{}/{}", service.cluster, service.service);
            let mut memory = lock(&self.memory);
            let references = references.into_iter().cloned();
            let uses: Arc<[_]> = references
                .map(|named| Use::AtStart(memory.share(named)))
                .collect();
            // Its tag names it as well.
            let mut tagged = found.named.iter_mut();
            if let Some(tagged) = tagged.find(|known| known.is_called(&name)) {
                tagged.add_uses(&uses);
                continue;
            }
            let mut described = found.described.iter().map(|described| &described.workload);
            let is_known = described.any(|known| known.is_called(&name));
            let failed = format!(":service/{name}");
            if is_known
                || found
                    .unexamined
                    .keys()
                    .any(|unread| unread.ends_with(&failed))
            {
                continue;
            }
            found
                .named
                .push(named(name.into(), service.cluster.as_str().into(), uses));
        }
    }
}

/// A service of which only the name is known.
fn named(arn: Arc<str>, cluster: Arc<str>, uses: Arc<[Use]>) -> Workload {
    let platform = Platform::Service {
        controller: Controller::Ecs,
        strategy: Strategy::Rolling,
        circuit_breaker: CircuitBreaker::Off,
    };
    Workload {
        is_named: true,
        desired: 1,
        uses,
        ..Workload::new(arn, cluster, platform)
    }
}

/// Whether `scan` and `tags` look at a cluster, by its name.
pub(super) fn is_scanned(config: &Config, cluster: &str) -> bool {
    let is_this = |scope: &String| cluster_name(scope) == cluster;
    config
        .clusters
        .as_ref()
        .is_none_or(|scope| scope.iter().any(is_this))
}
