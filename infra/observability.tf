locals {
  # The sweep's schedule in seconds: rate(<number> <unit>).
  sweep_rate    = var.sweep_schedule == null ? null : regex("^rate\\((?P<number>[0-9]+) (?P<unit>minute|hour|day)s?\\)$", var.sweep_schedule)
  sweep_seconds = local.sweep_rate == null ? 0 : local.sweep_rate.number * { minute = 60, hour = 3600, day = 86400 }[local.sweep_rate.unit]

  of_function = { FunctionName = aws_lambda_function.this.function_name }
  the_log     = "The log ${aws_cloudwatch_log_group.this.name}"

  # What every sweep finds again is one alarm, which clears when two sweeps have not found it.
  lasting = { period = max(300, local.sweep_seconds), periods = 2, datapoints = 1 }
  # Each report counts what waits at its time, so that a service that waits for long is in every period that has a sweep. A period
  # as long as the sweep's rate now and then has none, and the next has two.
  waiting_period  = max(3600, local.sweep_seconds)
  waiting_periods = max(3, ceil(var.monitoring.waiting_hours * 3600 / local.waiting_period))

  alarms = merge(
    {
      errors = merge(local.lasting, {
        description = "The function failed again and again. ${local.the_log} and the queue ${aws_sqs_queue.dead_letters.name} tell why."
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = local.of_function
        # An event has three attempts, and the second heals most failures. With `retry`, an invocation that finds a rotation under
        # way fails on purpose, so that the failures of several rotations must not add up.
        threshold = var.monitoring.failed_attempts
        period    = local.on_pending == "retry" ? 300 : max(900, local.sweep_seconds)
      })
      event-age = {
        description = "An event has waited for the function for more than ${var.monitoring.event_age_minutes} minutes: it cannot keep up, or its concurrency is used up."
        namespace   = "AWS/Lambda"
        metric      = "AsyncEventAge"
        dimensions  = local.of_function
        statistic   = "Maximum"
        threshold   = var.monitoring.event_age_minutes * 60000
      }
      events-dropped = {
        description = "Lambda gave up on events: all attempts failed, they were too old, or the function's concurrency is 0. The queue ${aws_sqs_queue.dead_letters.name} has those that an attempt failed on."
        namespace   = "AWS/Lambda"
        metric      = "AsyncEventsDropped"
        dimensions  = local.of_function
      }
      not-invoked = {
        description = "EventBridge could not hand events to the function. The queue ${aws_sqs_queue.dead_letters.name} has them."
        rules       = values(aws_cloudwatch_event_rule.this)[*].name
        metric      = "FailedInvocations"
      }
      dead-letters = {
        description = "Events were given up on. The queue ${aws_sqs_queue.dead_letters.name} has them, with the reason; repair, then redrive."
        namespace   = "AWS/SQS"
        metric      = "ApproximateNumberOfMessagesVisible"
        dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }
        statistic   = "Maximum"
        # SQS sends no metrics of a queue that nobody has touched for hours; that does not mean that it is empty.
        missing = "ignore"
      }
      undelivered = {
        description = "What came of an invocation could not be put into the queue ${aws_sqs_queue.dead_letters.name} or sent as a notification: a failed event may be lost. ${local.the_log} has the report."
        namespace   = "AWS/Lambda"
        metric      = "DestinationDeliveryFailures"
        dimensions  = local.of_function
      }
      failed = merge(local.lasting, {
        description = "Services use a secret that changed, and could not be redeployed or examined. ${local.the_log} names them."
        namespace   = "RedeployOnRotation"
        metric      = "Failed"
        dimensions  = local.of_function
      })
      blocked = merge(local.lasting, {
        description = "Services use a secret that changed, and need a person to redeploy them. ${local.the_log} names them, and why."
        namespace   = "RedeployOnRotation"
        metric      = "Blocked"
        dimensions  = local.of_function
      })
      unknown = merge(local.lasting, {
        description = "Services were deployed around the time of a change, and AWS cannot tell which came first: they may hold the old value. ${local.the_log} names them."
        namespace   = "RedeployOnRotation"
        metric      = "Unknown"
        dimensions  = local.of_function
      })
    },
    { for schedule in compact([var.sweep_schedule]) : "no-sweep" => {
      description = "No sweep has examined every service for twice as long as the schedule ${schedule} allows. ${local.the_log} tells why, or that there was none."
      namespace   = "RedeployOnRotation"
      metric      = "Swept"
      dimensions  = local.of_function
      comparison  = "LessThanThreshold"
      period      = local.sweep_seconds
      periods     = 2
      # A function that is not invoked sends no zeros.
      missing = "breaching"
    } },
    { for schedule in compact([var.sweep_schedule]) : "waiting" => {
      description = "Some service that uses a changed secret has been waiting for ${var.monitoring.waiting_hours} hours: for a deployment, for another service, or for a calendar. ${local.the_log} names it."
      namespace   = "RedeployOnRotation"
      metric      = "Waiting"
      dimensions  = local.of_function
      statistic   = "Maximum"
      period      = local.waiting_period
      periods     = local.waiting_periods
      # At least two looks, however rare the sweeps are.
      datapoints = max(2, local.waiting_periods - 2)
    } },
    { for trigger in local.triggers : "rotation-failed" => {
      description = "Secrets Manager could not rotate a secret of this account. ${local.the_log} names it; CloudTrail and the log of its rotation function tell why."
      namespace   = "AWS/Events"
      metric      = "TriggeredRules"
      dimensions  = { RuleName = aws_cloudwatch_event_rule.this[trigger].name }
    } if trigger == "rotation-failed" },
    { for queue in aws_sqs_queue.notifications : "notifications-lost" => {
      description = "Messages to notification_topic_arns could not be published. The queue ${queue.name} has them; see to the topic's policy."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = queue.name }
      statistic   = "Maximum"
      missing     = "ignore"
    } },
  )

  console = lookup({
    aws-cn     = "console.amazonaws.cn"
    aws-us-gov = "console.amazonaws-us-gov.com"
  }, local.partition, "console.aws.amazon.com")
  # An account has one list of dashboards for all Regions, but each Region has its function.
  dashboard_name = "${var.name}-${local.region}"
  dashboard_url  = var.monitoring.dashboard ? "${local.cloudwatch_url}#dashboards/dashboard/${local.dashboard_name}" : null
  cloudwatch_url = "https://${local.region}.${local.console}/cloudwatch/home?region=${local.region}"
  # Where a message leads.
  console_url = coalesce(local.dashboard_url, local.cloudwatch_url)

  # What is sent in the chat form. What came of an event comes from the function's own destination on the default bus; failures
  # come as alarms, because the destination for failures is the queue, which must not depend on anything in between.
  notifications = { for name, notification in {
    told = {
      description = "Tells what ${var.name} did, and what a person must do."
      pattern = {
        source  = ["lambda"]
        account = [local.account_id]
        detail = {
          requestContext = {
            condition   = ["Success"]
            functionArn = [{ prefix = "${aws_lambda_function.this.arn}:" }]
          }
          responsePayload = { notification = [{ exists = true }] }
        }
      }
      # A path that an event lacks would stop the message, so these are fields that every such report has.
      paths = {
        outcome      = "$.detail.responsePayload.outcome"
        notification = "$.detail.responsePayload.notification"
      }
      title = "${var.name}: <outcome>"
      # Without quotes, so that EventBridge puts the text in as JSON: in quotes it would leave its line breaks as they are.
      text = "<notification>"
    }
    alarm = {
      description = "Tells of alarms of ${var.name}."
      pattern = {
        source      = ["aws.cloudwatch"]
        account     = [local.account_id]
        detail-type = ["CloudWatch Alarm State Change"]
        resources   = values(aws_cloudwatch_metric_alarm.this)[*].arn
        detail      = { state = { value = ["ALARM"] } }
      }
      paths = {
        alarm       = "$.detail.alarmName"
        description = "$.detail.configuration.description"
      }
      title = "Alarm <alarm>"
      text  = "<description>"
    }
  } : name => merge(notification, { pattern = jsonencode(notification.pattern) }) if length(var.notification_topic_arns) > 0 && (name != "alarm" || var.monitoring.alarms) }

  # By index, because the ARN of a topic that is made in the same run is not yet known.
  notification_targets = merge([
    for name in keys(local.notifications) : { for index in range(length(var.notification_topic_arns)) : "${name}-${index}" => { rule = name, index = index } }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = { for name, alarm in local.alarms : name => alarm if var.monitoring.alarms }

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = try(each.value.namespace, null)
  metric_name         = can(each.value.rules) ? null : each.value.metric
  dimensions          = try(each.value.dimensions, null)
  statistic           = can(each.value.rules) ? null : try(each.value.statistic, "Sum")
  comparison_operator = try(each.value.comparison, "GreaterThanOrEqualToThreshold")
  threshold           = try(each.value.threshold, 1)
  period              = can(each.value.rules) ? null : try(each.value.period, 300)
  evaluation_periods  = try(each.value.periods, 1)
  datapoints_to_alarm = try(each.value.datapoints, null)
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags

  # EventBridge counts by rule.
  dynamic "metric_query" {
    for_each = try(each.value.rules, [])

    content {
      id = "rule${metric_query.key}"

      metric {
        namespace   = "AWS/Events"
        metric_name = each.value.metric
        dimensions  = { RuleName = metric_query.value }
        period      = 300
        stat        = "Sum"
      }
    }
  }

  dynamic "metric_query" {
    for_each = can(each.value.rules) ? ["SUM(METRICS())"] : []

    content {
      id          = "sum"
      label       = each.value.metric
      expression  = metric_query.value
      return_data = true
    }
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.monitoring.dashboard ? 1 : 0

  dashboard_name = local.dashboard_name
  # Encoded again, which writes the angle brackets of its query in a form that no XML trips over.
  dashboard_body = jsonencode({ widgets = [
    for widget in jsondecode(templatefile("${path.module}/dashboard.json", {
      function_name = aws_lambda_function.this.function_name
      log_group     = aws_cloudwatch_log_group.this.name
      region        = local.region
      # Inside the quotes of the file, so that the file is JSON as it stands.
      alarm_arns = join("\", \"", values(aws_cloudwatch_metric_alarm.this)[*].arn)
    })).widgets : widget if widget.type != "alarm" || var.monitoring.alarms
  ] })
}

resource "aws_cloudwatch_event_rule" "notification" {
  for_each = local.notifications

  name          = "${var.name}-notify-${each.key}"
  description   = each.value.description
  event_pattern = each.value.pattern
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "notification" {
  for_each = local.notification_targets

  rule = aws_cloudwatch_event_rule.notification[each.value.rule].name
  arn  = var.notification_topic_arns[each.value.index]

  input_transformer {
    input_paths = local.notifications[each.value.rule].paths
    # Not jsonencode(), which would write the angle brackets as \u003c.
    # https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    input_template = <<-JSON
      {
        "version": "1.0",
        "source": "custom",
        "content": {
          "textType": "client-markdown",
          "title": "${local.notifications[each.value.rule].title}",
          "description": ${local.notifications[each.value.rule].text},
          "nextSteps": ["${local.console_url}"]
        }
      }
    JSON
  }

  # A topic whose policy refuses EventBridge would otherwise be silent.
  dead_letter_config {
    arn = aws_sqs_queue.notifications[0].arn
  }

  depends_on = [aws_sqs_queue_policy.notifications]
}

# Messages that no topic accepted. They are no events, and whoever redrives those must not meet them.
resource "aws_sqs_queue" "notifications" {
  count = length(var.notification_topic_arns) > 0 ? 1 : 0

  name                      = "${var.name}-notifications"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "notifications" {
  count = length(aws_sqs_queue.notifications)

  queue_url = aws_sqs_queue.notifications[0].url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EventBridgeKeepsWhatItCannotDeliver"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.notifications[0].arn
      Condition = { ArnEquals = { "aws:SourceArn" = values(aws_cloudwatch_event_rule.notification)[*].arn } }
    }]
  })
}
