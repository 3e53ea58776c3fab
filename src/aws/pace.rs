//! How fast AWS may be asked: a token bucket for each throttling category, so that CI and people keep their share.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::lock;

/// The operations that share one bucket of the account, with its documented quota
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// `ListClusters`, `DescribeClusters`.
    ClusterRead,
    /// `ListServices`, `DescribeServices`.
    ServiceRead,
    /// `UpdateService`.
    ServiceModify,
    /// `DescribeTaskDefinition`.
    TaskDefinitionRead,
    /// `ListServiceDeployments`.
    ServiceDeployment,
    /// `ListTasks`, `DescribeTasks`.
    ClusterResourceRead,
    /// <https://docs.aws.amazon.com/general/latest/gr/arg.html>
    Tagging,
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
    Secrets,
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/WhatIsCloudTrail-Limits.html>
    CloudTrail,
    /// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>
    Parameters,
    /// The limits of IAM are not documented; this is what a person may wait for.
    Iam,
}

const CATEGORIES: usize = Category::Iam as usize + 1;

impl Category {
    /// Calls at once, and calls per second after that.
    fn quota(self) -> (f64, f64) {
        match self {
            Self::ClusterRead | Self::TaskDefinitionRead | Self::ServiceDeployment => (50.0, 20.0),
            Self::ServiceRead | Self::ClusterResourceRead => (100.0, 20.0),
            Self::ServiceModify => (50.0, 5.0),
            Self::Tagging => (15.0, 15.0),
            // ListSecretVersionIds has the lowest limit of what is called.
            Self::Secrets => (50.0, 50.0),
            Self::CloudTrail => (2.0, 2.0),
            // The lowest documented rate of any parameter operation's default.
            Self::Parameters => (3.0, 3.0),
            Self::Iam => (20.0, 10.0),
        }
    }
}

/// The buckets of one process.
#[derive(Debug)]
pub(super) struct Pace {
    share: f64,
    buckets: Mutex<[Option<Bucket>; CATEGORIES]>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Calls that may be made now; negative when calls wait for theirs.
    tokens: f64,
    /// What is left of the rate after throttled answers, at most 1.
    factor: f64,
    at: Instant,
}

/// The least that throttled answers leave of a rate.
const LEAST_FACTOR: f64 = 1.0 / 16.0;
/// What each success gives back.
const RECOVERY: f64 = 0.05;

impl Pace {
    /// Takes this share of every quota, 0.01 to 1.
    pub(super) fn new(share: f64) -> Self {
        Self {
            share,
            buckets: Mutex::new([None; CATEGORIES]),
        }
    }

    /// Waits until one more call may be made.
    pub(super) async fn take(&self, category: Category) {
        let wait = self.with(category, |bucket, rate| {
            bucket.tokens -= 1.0;
            Duration::from_secs_f64((-bucket.tokens).max(0.0) / rate)
        });
        sleep(wait).await;
    }

    /// A call was refused for being one too many: others use the quota as well.
    pub(super) fn slow_down(&self, category: Category) {
        self.with(category, |bucket, _| {
            bucket.tokens = bucket.tokens.min(0.0);
            bucket.factor = (bucket.factor / 2.0).max(LEAST_FACTOR);
        });
    }

    /// A call was accepted.
    pub(super) fn recover(&self, category: Category) {
        self.with(category, |bucket, _| {
            bucket.factor = (bucket.factor + RECOVERY).min(1.0)
        });
    }

    /// Refills the bucket, and hands it over with its rate.
    fn with<R>(&self, category: Category, change: impl FnOnce(&mut Bucket, f64) -> R) -> R {
        let (burst, per_second) = category.quota();
        // A bucket of less than one call would never fill.
        let burst = (burst * self.share).max(1.0);
        let now = Instant::now();
        let mut buckets = lock(&self.buckets);
        let bucket = buckets[category as usize].get_or_insert(Bucket {
            tokens: burst,
            factor: 1.0,
            at: now,
        });
        let rate = per_second * self.share * bucket.factor;
        bucket.tokens =
            (bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * rate).min(burst);
        bucket.at = now;
        change(bucket, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_for(pace: &Pace, calls: u32) -> f64 {
        let began = Instant::now();
        for _ in 0..calls {
            pace.take(Category::ServiceModify).await;
        }
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_waits_for_its_share() {
        assert!(seconds_for(&Pace::new(1.0), 50).await < 0.01);
        let full = seconds_for(&Pace::new(1.0), 1000).await;
        assert!((189.0..192.0).contains(&full), "{full}");
        let half = seconds_for(&Pace::new(0.5), 125).await;
        assert!((39.0..42.0).contains(&half), "{half}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_category_does_not_wait_for_another() {
        let pace = Pace::new(0.5);
        seconds_for(&pace, 30).await;
        let began = Instant::now();
        pace.take(Category::ServiceRead).await;
        assert!(began.elapsed() < Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_answer_slows_down_and_successes_speed_up_again() {
        let pace = Pace::new(1.0);
        pace.slow_down(Category::ServiceModify);
        let slow = seconds_for(&pace, 10).await;
        assert!((3.9..4.3).contains(&slow), "{slow}");
        for _ in 0..20 {
            pace.recover(Category::ServiceModify);
        }
        let fast = seconds_for(&pace, 10).await;
        assert!(fast < 2.1, "{fast}");
        for _ in 0..20 {
            pace.slow_down(Category::ServiceModify);
        }
        assert!(
            seconds_for(&pace, 2).await < 7.0,
            "it never stops altogether"
        );
    }
}
