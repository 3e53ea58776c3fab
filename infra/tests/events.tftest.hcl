# Which rules there are, and what they let through.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package = "versions.tf"
}

run "defaults" {
  command = plan

  assert {
    condition = toset(keys(aws_cloudwatch_event_rule.this)) == toset([
      "deployment-state-change", "parameter-change", "rotation-failed", "rotation-succeeded", "secret-label-updated", "sweep",
    ])
    error_message = "All but the announcement of a rotation, and the sweep."
  }

  assert {
    condition     = aws_cloudwatch_event_rule.this["sweep"].schedule_expression == "rate(1 hour)" && aws_cloudwatch_event_rule.this["sweep"].event_pattern == null
    error_message = "The sweep is hourly."
  }
}

run "patterns" {
  command = plan

  variables {
    triggers = ["secret-label-updated", "rotation-succeeded", "rotate-secret", "rotation-failed", "parameter-change", "deployment-state-change"]
  }

  assert {
    condition     = alltrue([for trigger in var.triggers : jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern) == jsondecode(file("patterns/${trigger}.json"))])
    error_message = "A rule's pattern is the file of its name."
  }

  assert {
    condition     = alltrue([for trigger in var.triggers : length(jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern).source) == 1 && length(jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern)["detail-type"]) == 1])
    error_message = "A rule is for one kind of event of one service."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).detail.labelUpdated[0]["anything-but"] == ["AWSPENDING", "AWSPREVIOUS"]
    error_message = "Every label but those that no new task reads."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).detail.name == [{ exists = false }, { "anything-but" = { prefix = "ecs-sc!" } }]
    error_message = "Every secret but those that ECS itself hands to tasks, and an event without a name, too."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["rotate-secret"].event_pattern).detail.errorCode == [{ exists = false }]
    error_message = "A call that was refused changes nothing."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["parameter-change"].event_pattern).detail.operation == ["Update"]
    error_message = "Only an update changes what tasks already read."
  }
}

run "native_event_needs_no_retry_while_a_rotation_is_under_way" {
  command = plan

  variables {
    triggers = ["secret-label-updated", "rotate-secret"]
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_ON_PENDING == "ignore"
    error_message = "A later event tells of the change."
  }
}

run "rotate_secret_alone_needs_the_retry" {
  command = plan

  variables {
    triggers = ["rotate-secret"]
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_ON_PENDING == "retry"
    error_message = "No later event tells of the change."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["errors"].threshold == 3 && aws_cloudwatch_metric_alarm.this["errors"].period == 300
    error_message = "Two failures on purpose are no alarm, and those of several rotations do not add up."
  }
}

run "no_sweep" {
  command = plan

  variables {
    sweep_schedule = null
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_event_rule.this), "sweep") && !contains(keys(aws_cloudwatch_metric_alarm.this), "no-sweep")
    error_message = "Without a schedule there is neither a sweep nor an alarm that misses it."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["blocked"].period == 300
    error_message = "Nothing looks again, so that nothing is waited for."
  }
}

run "other_schedules" {
  command = plan

  variables {
    sweep_schedule = "rate(1 day)"
  }

  assert {
    condition     = alltrue([for name in ["blocked", "failed", "no-sweep"] : aws_cloudwatch_metric_alarm.this[name].period == 86400])
    error_message = "The alarms follow the schedule."
  }
}

run "only_a_sweep" {
  command = plan

  variables {
    triggers       = []
    sweep_schedule = "rate(15 minutes)"
  }

  assert {
    condition     = keys(aws_cloudwatch_event_rule.this) == ["sweep"] && aws_cloudwatch_metric_alarm.this["no-sweep"].period == 900
    error_message = "A sweep alone is enough."
  }
}

run "notifications" {
  command = plan

  variables {
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
    alarm_topic_arns        = ["arn:aws:sns:eu-west-1:123456789012:pager"]
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_event_target.notification)) == toset(["alarm-0", "redeployed-0"])
    error_message = "Redeploys and alarms are told of."
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.notification : jsondecode(target.input_transformer[0].input_template).version == "1.0" && jsondecode(target.input_transformer[0].input_template).source == "custom"])
    error_message = "A notification has the form of Amazon Q Developer's custom notifications."
  }

  assert {
    condition = alltrue([for target in aws_cloudwatch_event_target.notification : toset(keys(target.input_transformer[0].input_paths)) ==
    toset(distinct([for variable in regexall("<([a-z]+)>", target.input_transformer[0].input_template) : variable[0]]))])
    error_message = "Each variable of a message has its path, and each path its use."
  }

  assert {
    condition     = aws_lambda_function_event_invoke_config.this.destination_config[0].on_success[0].destination == "arn:aws:events:eu-west-1:123456789012:event-bus/default"
    error_message = "Successes go to the default bus."
  }

  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:pager"])])
    error_message = "Alarms go to their own topic."
  }
}
