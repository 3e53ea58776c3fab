# Which rules there are, and what they let through.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package          = "versions.tf"
  alarm_topic_arns = []
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
    triggers = ["secret-label-updated", "rotation-succeeded", "rotate-secret", "value-changed", "rotation-failed", "parameter-change", "deployment-state-change", "calendar-state-change"]
  }

  assert {
    condition     = toset([for file in fileset("patterns", "*.json") : trimsuffix(file, ".json")]) == var.triggers
    error_message = "Each file is a trigger."
  }

  assert {
    condition     = alltrue([for trigger in var.triggers : jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern) == merge(jsondecode(file("patterns/${trigger}.json")), { account = ["123456789012"] })])
    error_message = "A rule's pattern is the file of its name, for this account."
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
    condition     = jsondecode(aws_cloudwatch_event_rule.this["parameter-change"].event_pattern).detail.operation == ["Create", "Update"]
    error_message = "A parameter that was deleted and made again has another value, too."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["rotation-failed"].event_pattern).detail.eventName == ["RotationFailed", "RotationAbandoned"]
    error_message = "A rotation that was given up is a failure, too."
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
    error_message = "Failures on purpose of several rotations do not add up."
  }
}

run "no_sweep" {
  command = plan

  variables {
    sweep_schedule = null
  }

  assert {
    condition     = !contains(keys(aws_cloudwatch_event_rule.this), "sweep") && length(setintersection(keys(aws_cloudwatch_metric_alarm.this), ["no-sweep", "waiting"])) == 0
    error_message = "Without a schedule there is neither a sweep nor an alarm that needs one."
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

run "a_day_between_sweeps" {
  command = plan

  variables {
    sweep_schedule = "rate(1 day)"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["waiting"].period == 86400 && aws_cloudwatch_metric_alarm.this["waiting"].evaluation_periods == 3 && aws_cloudwatch_metric_alarm.this["waiting"].datapoints_to_alarm == 2
    error_message = "A service that only one sweep met may have waited for a minute, and a day may have no sweep."
  }
}

run "secrets_of_another_account" {
  command = plan

  variables {
    secret_arns = ["arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared-??????"]
  }

  assert {
    condition     = alltrue([for trigger in ["secret-label-updated", "rotation-succeeded"] : jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern).account == ["123456789012", "210987654321"]])
    error_message = "Events of the secrets that are named are let in."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["deployment-state-change"].event_pattern).account == ["123456789012"]
    error_message = "Services are those of this account."
  }
}

run "secrets_of_any_account" {
  command = plan

  variables {
    secret_arns = ["arn:aws:secretsmanager:*:*:secret:shared-??????"]
  }

  assert {
    condition     = !can(jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).account)
    error_message = "Every account was asked for."
  }
}

run "some_secrets" {
  command = plan

  variables {
    rollout  = { secrets = ["prod/*", "/prod/*", "!prod/mesh-*"] }
    triggers = ["secret-label-updated", "parameter-change", "rotation-succeeded"]
  }

  assert {
    condition     = alltrue([for trigger in ["secret-label-updated", "parameter-change"] : jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern).detail.name == [{ exists = false }, { wildcard = "prod/*" }, { wildcard = "/prod/*" }]])
    error_message = "Names that no pattern means do not invoke the function; the function leaves out the rest."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).detail.labelUpdated == jsondecode(file("patterns/secret-label-updated.json")).detail.labelUpdated
    error_message = "The rest of the pattern stays."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["rotation-succeeded"].event_pattern) == merge(jsondecode(file("patterns/rotation-succeeded.json")), { account = ["123456789012"] })
    error_message = "CloudTrail has the name in more than one place."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_SECRETS == "prod/*,/prod/*,!prod/mesh-*"
    error_message = "The function applies all patterns."
  }
}

run "more_secrets_than_a_pattern_has_room_for" {
  command = plan

  variables {
    rollout  = { secrets = [for number in range(60) : format("prod/team-%02d/service-of-a-team/*", number)] }
    triggers = ["secret-label-updated", "parameter-change"]
  }

  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.this : length(coalesce(rule.event_pattern, "-")) <= 2048])
    error_message = "EventBridge would refuse the rule."
  }

  assert {
    condition     = alltrue([for trigger in var.triggers : !can(jsondecode(aws_cloudwatch_event_rule.this[trigger].event_pattern).detail.name)])
    error_message = "No name may be left out that a pattern means."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).detail.labelUpdated == jsondecode(file("patterns/secret-label-updated.json")).detail.labelUpdated
    error_message = "The rest of the pattern stays."
  }

  assert {
    condition     = split(",", aws_lambda_function.this.environment[0].variables.REDEPLOY_SECRETS) == var.rollout.secrets
    error_message = "The function applies all patterns."
  }
}

run "more_accounts_than_a_pattern_has_room_for" {
  command = plan

  variables {
    secret_arns = [for number in range(150) : format("arn:aws:secretsmanager:eu-west-1:2109876%05d:secret:a", number)]
    triggers    = ["secret-label-updated"]
    # Its policy would be too long, too.
    role = { create = false, arn = "arn:aws:iam::123456789012:role/ours" }
  }

  expect_failures = [aws_cloudwatch_event_rule.this]
}

run "all_but_some_secrets" {
  command = plan

  variables {
    rollout = { secrets = ["!prod/mesh-*"] }
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).detail.name == [{ exists = false }, { anything-but = { wildcard = ["ecs-sc!*", "prod/mesh-*"] } }]
    error_message = "What is excluded does not invoke the function, and neither do the certificates of Service Connect."
  }
}

run "a_calendar_brings_its_event" {
  command = plan

  variables {
    rollout = { calendars = ["business-hours"] }
  }

  assert {
    condition     = contains(keys(aws_cloudwatch_event_rule.this), "calendar-state-change")
    error_message = "What a closed calendar held goes when it opens."
  }
}

run "notifications" {
  command = plan

  variables {
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
    alarm_topic_arns        = ["arn:aws:sns:eu-west-1:123456789012:pager"]
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_event_target.notification)) == toset(["alarm-0", "told-0"])
    error_message = "What happened and alarms are told of."
  }

  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.notification : jsondecode(rule.event_pattern).account == ["123456789012"]])
    error_message = "Other accounts that may put events on the bus cannot speak to the chat."
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.notification["told"].event_pattern).detail.responsePayload == { notification = [{ exists = true }] }
    error_message = "The function decides what there is to tell."
  }

  assert {
    # A variable outside of quotes becomes a JSON text.
    condition     = alltrue([for target in aws_cloudwatch_event_target.notification : jsondecode(replace(target.input_transformer[0].input_template, "/\"description\": <[a-z]+>/", "\"description\": \"\"")).source == "custom"])
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

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.this) == 13 && length(aws_cloudwatch_metric_alarm.this["not-invoked"].metric_query) == 6 + 1
    error_message = "The table of costs in README.md counts 13 alarms, and 6 metrics of not-invoked."
  }

  assert {
    condition     = aws_sqs_queue.notifications[0].name == "redeploy-on-rotation-notifications" && contains(keys(aws_cloudwatch_metric_alarm.this), "notifications-lost")
    error_message = "Messages that no topic accepts have a queue of their own, and an alarm."
  }
}
