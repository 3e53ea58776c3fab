//! AWS's side of throttling: the documented token bucket of each category, of which others may use a part
//! (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html>).

use std::collections::BTreeMap;

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// The part of every quota that CI and people use.
    pub(crate) used_by_others: f64,
    /// Whether there are none.
    pub(crate) unlimited: bool,
    /// How many calls were refused for being one too many.
    pub(crate) refused: usize,
    buckets: BTreeMap<&'static str, (f64, Instant)>,
}

/// The category of an operation, with its burst and its rate per second.
fn category(operation: &str) -> (&'static str, f64, f64) {
    match operation {
        "ListClusters" | "DescribeClusters" => ("cluster read", 50.0, 20.0),
        "ListServices" | "DescribeServices" => ("service read", 100.0, 20.0),
        "UpdateService" => ("service modify", 50.0, 5.0),
        "DescribeTaskDefinition" => ("task definition read", 50.0, 20.0),
        "ListTasks" | "DescribeTasks" => ("cluster resource read", 100.0, 20.0),
        "ListServiceDeployments" | "DescribeServiceDeployments" => {
            ("service deployment", 50.0, 20.0)
        }
        "DescribeServiceRevisions" => ("service revision", 50.0, 20.0),
        "GetResources" => ("tagging", 15.0, 15.0),
        "LookupEvents" => ("CloudTrail", 2.0, 2.0),
        "DescribeParameters" => ("parameters", 40.0, 40.0),
        "ListSecretVersionIds" => ("versions of secrets", 50.0, 50.0),
        _ => ("secrets", 40_000.0, 40_000.0),
    }
}

impl Quotas {
    /// Whether one more call is one too many.
    pub(crate) fn exhausted(&mut self, operation: &str) -> bool {
        if self.unlimited {
            return false;
        }
        let (category, burst, rate) = category(operation);
        let left = 1.0 - self.used_by_others;
        let now = Instant::now();
        let (tokens, at) = self.buckets.entry(category).or_insert((burst * left, now));
        *tokens = (*tokens + now.duration_since(*at).as_secs_f64() * rate * left)
            .min((burst * left).max(1.0));
        *at = now;
        let exhausted = *tokens < 1.0;
        if exhausted {
            self.refused += 1;
        } else {
            *tokens -= 1.0;
        }
        exhausted
    }
}
