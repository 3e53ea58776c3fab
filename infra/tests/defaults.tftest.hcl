# What a block with nothing but the package makes.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  # Any file: the provider is a mock, and does not open it.
  package          = "versions.tf"
  alarm_topic_arns = []
}

run "function" {
  command = plan

  assert {
    condition     = aws_lambda_function.this.runtime == "provided.al2023" && aws_lambda_function.this.handler == "bootstrap"
    error_message = "The package is a program for provided.al2023."
  }

  assert {
    condition     = aws_lambda_function.this.architectures == tolist(["arm64"]) && aws_lambda_function.this.memory_size == 256 && aws_lambda_function.this.timeout == 900
    error_message = "arm64, 256 MB and 15 minutes are the defaults."
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == 1
    error_message = "The function must be the only writer."
  }

  assert {
    condition = { for name, value in aws_lambda_function.this.environment[0].variables : name => value if name != "REDEPLOY_SINCE" } == {
      REDEPLOY_LOOKUP         = "scan"
      REDEPLOY_TAG_KEY        = "redeploy-on-rotation"
      REDEPLOY_DRY_RUN        = "false"
      REDEPLOY_SETTLE_SECONDS = "10"
      REDEPLOY_ON_PENDING     = "ignore"
    }
    error_message = "The function stops at a variable that it does not know or that is empty."
  }

  assert {
    condition     = aws_lambda_function.this.logging_config[0].log_format == "JSON" && aws_lambda_function.this.logging_config[0].application_log_level == "INFO"
    error_message = "Reports are JSON lines of level INFO."
  }

  assert {
    condition     = aws_cloudwatch_log_group.this.retention_in_days == 365 && aws_cloudwatch_log_group.this.kms_key_id == null
    error_message = "Logs are kept for a year."
  }

  assert {
    condition     = aws_lambda_function.this.tracing_config[0].mode == "PassThrough"
    error_message = "Tracing is a choice."
  }
}

run "nothing_is_lost" {
  command = plan

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.maximum_retry_attempts == 2 && aws_lambda_function_event_invoke_config.this.maximum_event_age_in_seconds == 21600
    error_message = "Lambda tries three times, for at most six hours."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_failure[0].destination == aws_sqs_queue.dead_letters.arn
    error_message = "An event that the function fails on goes to the queue."
  }

  assert {
    condition     = length(aws_lambda_function_event_invoke_config.this.destination_config[0].on_success) == 0
    error_message = "Without a topic nobody hears of successes."
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.this : target.dead_letter_config[0].arn == aws_sqs_queue.dead_letters.arn && target.retry_policy[0].maximum_retry_attempts == 185 && target.retry_policy[0].maximum_event_age_in_seconds == 86400])
    error_message = "An event that cannot be handed over goes to the queue."
  }

  assert {
    condition     = aws_sqs_queue.dead_letters.message_retention_seconds == 14 * 86400 && aws_sqs_queue.dead_letters.sqs_managed_sse_enabled
    error_message = "The queue is encrypted, and keeps events for 14 days."
  }
}

run "only_our_rules_may_invoke" {
  command = plan

  variables {
    triggers = ["secret-label-updated", "parameter-change"]
  }

  override_resource {
    target          = aws_cloudwatch_event_rule.this["secret-label-updated"]
    override_during = plan
    values          = { arn = "arn:aws:events:eu-west-1:123456789012:rule/secret-label-updated" }
  }

  override_resource {
    target          = aws_cloudwatch_event_rule.this["parameter-change"]
    override_during = plan
    values          = { arn = "arn:aws:events:eu-west-1:123456789012:rule/parameter-change" }
  }

  override_resource {
    target          = aws_cloudwatch_event_rule.this["sweep"]
    override_during = plan
    values          = { arn = "arn:aws:events:eu-west-1:123456789012:rule/sweep" }
  }

  assert {
    condition     = keys(aws_lambda_permission.this) == keys(aws_cloudwatch_event_rule.this)
    error_message = "Each rule has its permission, and nothing else has one."
  }

  assert {
    condition     = alltrue([for rule, permission in aws_lambda_permission.this : permission.principal == "events.amazonaws.com" && permission.source_arn == "arn:aws:events:eu-west-1:123456789012:rule/${rule}"])
    error_message = "A permission is for the rule of its name."
  }

  assert {
    condition     = alltrue([for permission in aws_lambda_permission.this : permission.source_account == null])
    error_message = "A condition on SourceAccount keeps EventBridge from invoking the function."
  }

  assert {
    condition = toset(one(jsondecode(aws_sqs_queue_policy.dead_letters.policy).Statement).Condition.ArnEquals["aws:SourceArn"]) == toset([
      for rule in keys(aws_cloudwatch_event_rule.this) : "arn:aws:events:eu-west-1:123456789012:rule/${rule}"
    ])
    error_message = "The queue takes what these rules cannot deliver, and nothing else of EventBridge."
  }
}

run "alarms" {
  command = plan

  assert {
    condition = toset(keys(aws_cloudwatch_metric_alarm.this)) == toset([
      "blocked", "dead-letters", "errors", "event-age", "events-dropped", "failed", "no-sweep", "not-invoked", "rotation-failed", "undelivered", "unknown", "waiting",
    ])
    error_message = "Each way to go wrong has its alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["no-sweep"].period == 3600 && aws_cloudwatch_metric_alarm.this["no-sweep"].evaluation_periods == 2 && aws_cloudwatch_metric_alarm.this["no-sweep"].treat_missing_data == "breaching"
    error_message = "Two hours without an hourly sweep raise an alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["errors"].threshold == 3 && aws_cloudwatch_metric_alarm.this["errors"].period == 3600
    error_message = "A first attempt that the retry heals is no alarm."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["event-age"].metric_name == "AsyncEventAge" && aws_cloudwatch_metric_alarm.this["event-age"].threshold == 15 * 60 * 1000 && aws_cloudwatch_metric_alarm.this["event-age"].statistic == "Maximum"
    error_message = "An event that waits for a quarter of an hour is an alarm; Lambda counts milliseconds."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["waiting"].period * aws_cloudwatch_metric_alarm.this["waiting"].evaluation_periods == 86400 && aws_cloudwatch_metric_alarm.this["waiting"].datapoints_to_alarm == 22
    error_message = "Some service waits in every hour of a day, of which two may have no sweep."
  }

  assert {
    condition     = toset([for query in aws_cloudwatch_metric_alarm.this["not-invoked"].metric_query : one(query.metric).dimensions.RuleName if length(query.metric) > 0]) == toset(values(aws_cloudwatch_event_rule.this)[*].name)
    error_message = "Each rule that invokes the function is watched."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["rotation-failed"].dimensions.RuleName == aws_cloudwatch_event_rule.this["rotation-failed"].name
    error_message = "A failed rotation is an alarm."
  }

  assert {
    condition     = alltrue([for name in ["blocked", "errors", "failed", "unknown"] : aws_cloudwatch_metric_alarm.this[name].period == 3600 && aws_cloudwatch_metric_alarm.this[name].evaluation_periods == 2 && aws_cloudwatch_metric_alarm.this[name].datapoints_to_alarm == 1])
    error_message = "What each hourly sweep finds again is one alarm, and not one an hour."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["dead-letters"].treat_missing_data == "ignore"
    error_message = "A queue that nobody touches is not an empty one."
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.notification) == 0 && length(aws_sqs_queue.notifications) == 0
    error_message = "Without a topic there is nobody to tell."
  }
}

run "dashboard" {
  command = plan

  assert {
    condition = length(setsubtract(
      flatten([for widget in jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets : [for metric in try(widget.properties.metrics, []) : "${metric[0]}/${metric[1]}"]]),
      [for metric in ["Redeployed", "Failed", "Skipped", "Blocked", "Waiting", "Unknown", "Swept", "DurationMs"] : "RedeployOnRotation/${metric}"],
    )) == 0
    error_message = "The dashboard shows a metric that no report has."
  }

  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets[1].properties.alarms) == length(aws_cloudwatch_metric_alarm.this)
    error_message = "The dashboard shows every alarm."
  }

  assert {
    condition     = aws_cloudwatch_dashboard.this[0].dashboard_name == "redeploy-on-rotation-eu-west-1" && endswith(output.dashboard_url, "#dashboards/dashboard/redeploy-on-rotation-eu-west-1")
    error_message = "Functions in two Regions need two dashboards."
  }
}

run "everything_off" {
  command = plan

  variables {
    monitoring              = { alarms = false, dashboard = false }
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 0 && length(aws_cloudwatch_dashboard.this) == 0 && output.dashboard_url == null
    error_message = "Alarms and dashboard are a choice."
  }

  assert {
    condition     = keys(aws_cloudwatch_event_rule.notification) == ["told"]
    error_message = "There are no alarms to tell of."
  }
}

run "no_alarms_but_a_dashboard" {
  command = plan

  variables {
    monitoring = { alarms = false }
  }

  assert {
    condition     = !contains(jsondecode(aws_cloudwatch_dashboard.this[0].dashboard_body).widgets[*].type, "alarm")
    error_message = "CloudWatch refuses a widget without alarms."
  }
}
