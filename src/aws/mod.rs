//! The only place that names the AWS SDK: it answers questions and carries out decisions.
//!
//! Nothing in here decides or reports, and no call can return a secret's value.

mod answer;
mod calendar;
mod client;
mod cloudtrail;
mod cluster;
mod deploy;
mod describe;
mod error;
mod history;
mod image;
mod last_change;
mod lookup;
mod memory;
mod paging;
mod parameter;
mod rate_limit;
mod secret;
mod task;
mod task_definition;

pub(crate) use client::back_off;
pub use client::{Aws, Lazy, https};
pub use deploy::{DeployError, Refusal};
pub use error::{AwsError, ErrorKind, causes, denied};
pub use memory::READ_LAG;
pub use paging::{in_parallel, pages, timestamp};
pub use parameter::PARAMETERS_PER_CALL;
pub use rate_limit::ApiBucket;
pub use task_definition::Revision;
