//! The rate of calls: a token bucket for each of AWS's, so that CI and people keep their share.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::client::lock;

/// The operations that share one bucket of the account, with its documented quota
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/request-throttling.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiBucket {
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
    /// `DescribeServiceRevisions`.
    ServiceRevision,
    /// `ListTasks`, `DescribeTasks`.
    ClusterResourceRead,
    /// <https://docs.aws.amazon.com/general/latest/gr/arg.html>
    Tagging,
    /// `DescribeSecret`, `ListSecrets`
    /// (<https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>).
    Secrets,
    /// `ListSecretVersionIds`.
    SecretVersions,
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/WhatIsCloudTrail-Limits.html>
    CloudTrail,
    /// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>
    Parameters,
    /// `GetCalendarState`
    /// (<https://docs.aws.amazon.com/systems-manager/latest/userguide/systems-manager-change-calendar.html>).
    Calendar,
    /// `DescribeImages` of ECR
    /// (<https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>).
    Images,
    /// The limits of IAM are not documented; this is what a person may wait for.
    Iam,
    /// `FilterLogEvents`
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html>).
    Logs,
}

const API_BUCKETS: usize = ApiBucket::Logs as usize + 1;

impl ApiBucket {
    /// Calls at once, and calls per second after that.
    fn quota(self) -> (f64, f64) {
        match self {
            Self::ClusterRead
            | Self::TaskDefinitionRead
            | Self::ServiceDeployment
            | Self::ServiceRevision => (50.0, 20.0),
            Self::ServiceRead | Self::ClusterResourceRead => (100.0, 20.0),
            Self::ServiceModify => (50.0, 5.0),
            Self::Tagging => (15.0, 15.0),
            Self::Secrets => (100.0, 100.0),
            Self::SecretVersions => (50.0, 50.0),
            Self::CloudTrail => (2.0, 2.0),
            // The lowest documented rate of any parameter operation's default.
            Self::Parameters => (3.0, 3.0),
            Self::Calendar => (10.0, 10.0),
            Self::Images => (200.0, 20.0),
            Self::Iam => (20.0, 10.0),
            Self::Logs => (5.0, 5.0),
        }
    }
}

/// The buckets of one process.
#[derive(Debug)]
pub(super) struct RateLimiter {
    share: f64,
    buckets: Mutex<[Option<Bucket>; API_BUCKETS]>,
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

impl RateLimiter {
    /// Takes this share of every quota, 0.01 to 1.
    pub(super) fn new(share: f64) -> Self {
        Self {
            share,
            buckets: Mutex::new([None; API_BUCKETS]),
        }
    }

    /// Waits until one more call may be made.
    pub(super) async fn take(&self, bucket: ApiBucket) {
        let wait = self.with(bucket, |state, rate| {
            state.tokens -= 1.0;
            Duration::from_secs_f64((-state.tokens).max(0.0) / rate)
        });
        sleep(wait).await;
    }

    /// A call was refused for being one too many: others use the quota as well.
    pub(super) fn slow_down(&self, bucket: ApiBucket) {
        self.with(bucket, |state, _| {
            state.tokens = state.tokens.min(0.0);
            state.factor = (state.factor / 2.0).max(LEAST_FACTOR);
        });
    }

    /// A call was accepted.
    pub(super) fn recover(&self, bucket: ApiBucket) {
        self.with(bucket, |state, _| {
            state.factor = (state.factor + RECOVERY).min(1.0);
        });
    }

    /// Refills a bucket, and hands it over with its rate.
    fn with<R>(&self, bucket: ApiBucket, change: impl FnOnce(&mut Bucket, f64) -> R) -> R {
        let (burst, per_second) = bucket.quota();
        // A bucket of less than one call would never fill.
        let burst = (burst * self.share).max(1.0);
        let now = Instant::now();
        let mut buckets = lock(&self.buckets);
        let state = buckets[bucket as usize].get_or_insert(Bucket {
            tokens: burst,
            factor: 1.0,
            at: now,
        });
        let rate = per_second * self.share * state.factor;
        let refill = now.duration_since(state.at).as_secs_f64() * rate;
        state.tokens = (state.tokens + refill).min(burst);
        state.at = now;
        change(state, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_for(limiter: &RateLimiter, calls: u32) -> f64 {
        let began = Instant::now();
        for _ in 0..calls {
            limiter.take(ApiBucket::ServiceModify).await;
        }
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_waits_for_its_share() {
        assert!(seconds_for(&RateLimiter::new(1.0), 50).await < 0.01);
        let full = seconds_for(&RateLimiter::new(1.0), 1000).await;
        assert!((189.0..192.0).contains(&full), "{full}");
        let half = seconds_for(&RateLimiter::new(0.5), 125).await;
        assert!((39.0..42.0).contains(&half), "{half}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_bucket_name_does_not_wait_for_another() {
        let limiter = RateLimiter::new(0.5);
        seconds_for(&limiter, 30).await;
        let began = Instant::now();
        limiter.take(ApiBucket::ServiceRead).await;
        assert!(began.elapsed() < Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_answer_slows_down_and_successes_speed_up_again() {
        let limiter = RateLimiter::new(1.0);
        limiter.slow_down(ApiBucket::ServiceModify);
        let slow = seconds_for(&limiter, 10).await;
        assert!((3.9..4.3).contains(&slow), "{slow}");
        for _ in 0..20 {
            limiter.recover(ApiBucket::ServiceModify);
        }
        let fast = seconds_for(&limiter, 10).await;
        assert!(fast < 2.1, "{fast}");
        for _ in 0..20 {
            limiter.slow_down(ApiBucket::ServiceModify);
        }
        assert!(
            seconds_for(&limiter, 2).await < 7.0,
            "it never stops altogether"
        );
    }
}
