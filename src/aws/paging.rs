//! Pages, calls in parallel, and times.

use std::future::Future;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::AwsError;

/// The number of calls that are under way at once.
const CALLS_AT_ONCE: usize = 8;

/// The list calls of ECS and of the tagging API answer with at most this many.
pub(super) const PAGE_SIZE: i32 = 100;

/// Reads page after page, from no token to no token.
///
/// # Errors
/// When a page cannot be read.
pub async fn pages<T>(
    page: impl AsyncFn(Option<String>) -> Result<(Vec<T>, Option<String>), AwsError>,
) -> Result<Vec<T>, AwsError> {
    let (mut all, mut token) = (Vec::new(), None);
    loop {
        let (items, next) = page(token).await?;
        all.extend(items);
        token = next.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(all);
        }
    }
}

/// Runs a call for each item, several at a time. The answers come in any order.
pub async fn in_parallel<T, R, F: Future<Output = R>>(
    items: impl IntoIterator<Item = T>,
    call: impl Fn(T) -> F,
) -> Vec<R> {
    let calls = items.into_iter().map(call);
    stream::iter(calls)
        .buffer_unordered(CALLS_AT_ONCE)
        .collect()
        .await
}

/// A time of the SDK as one of ours, which has milliseconds and went through a float; `None` beyond
/// the year 9999.
#[must_use]
pub fn timestamp(time: &aws_sdk_ecs::primitives::DateTime) -> Option<Timestamp> {
    let nearest = (time.as_nanos() + 500_000).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(nearest).ok()?).ok()
}
