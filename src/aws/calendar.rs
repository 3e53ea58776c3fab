//! Whether the change calendars are open.

use aws_sdk_ssm::types::CalendarState;
use redeploy_core::config::Config;
use redeploy_core::facts::Calendar;

use super::{ApiBucket, Aws, AwsError};

impl Aws {
    /// The state of the calendars together
    /// (<https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCalendarState.html>).
    pub(super) async fn calendar(&self, config: &Config) -> Result<Calendar, AwsError> {
        let call = self.ssm.get_calendar_state();
        let call = call.set_calendar_names(Some(config.calendars.clone()));
        let call = async || call.clone().send().await;
        let action = "ssm:GetCalendarState";
        let answer = self.read(ApiBucket::Calendar, action, call).await?;
        Ok(match answer.state() {
            Some(CalendarState::Open) => Calendar::Open,
            // Whatever else there will be, it is not open.
            _ => Calendar::Closed {
                until: answer
                    .next_transition_time()
                    .and_then(|time| time.parse().ok()),
            },
        })
    }
}
