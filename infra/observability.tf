locals {
  # The sweep's schedule in seconds: rate(<number> <unit>).
  sweep_rate    = var.sweep_schedule == null ? null : regex("^rate\\((?P<number>[0-9]+) (?P<unit>minute|hour|day)s?\\)$", var.sweep_schedule)
  sweep_seconds = local.sweep_rate == null ? 0 : local.sweep_rate.number * { minute = 60, hour = 3600, day = 86400 }[local.sweep_rate.unit]

  # What every sweep finds again is one alarm, which clears when two sweeps have not found it.
  lasting = { period = max(300, local.sweep_seconds), periods = 2, datapoints = 1 }

  alarms = merge(
    {
      errors = merge(local.lasting, {
        description = "The function failed. Its log and the queue ${aws_sqs_queue.dead_letters.name} tell why."
        namespace   = "AWS/Lambda"
        metric      = "Errors"
        dimensions  = { FunctionName = aws_lambda_function.this.function_name }
        # With `retry`, an invocation that finds a rotation under way fails on purpose, at most twice before the last attempt:
        # three failures are one too many only if they are close together.
        threshold = local.on_pending == "retry" ? 3 : 1
        period    = local.on_pending == "retry" ? 300 : local.lasting.period
      })
      throttles = {
        description = "Events have waited for the function for a quarter of an hour: it cannot keep up, or its concurrency is used up."
        namespace   = "AWS/Lambda"
        metric      = "Throttles"
        dimensions  = { FunctionName = aws_lambda_function.this.function_name }
        # With a concurrency of 1, an event that finds the function busy is throttled once and comes back, which is as it should be.
        periods = 3
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
        description = "What came of an invocation could not be put into the queue ${aws_sqs_queue.dead_letters.name} or sent as a notification: a failed event may be lost. The log ${aws_cloudwatch_log_group.this.name} has the report."
        namespace   = "AWS/Lambda"
        metric      = "DestinationDeliveryFailures"
        dimensions  = { FunctionName = aws_lambda_function.this.function_name }
      }
      failed = merge(local.lasting, {
        description = "Services use a secret that changed, and could not be redeployed or examined. The log ${aws_cloudwatch_log_group.this.name} names them."
        namespace   = "RedeployOnRotation"
        metric      = "Failed"
        dimensions  = { FunctionName = aws_lambda_function.this.function_name }
      })
      blocked = merge(local.lasting, {
        description = "Services use a secret that changed, and need a person to redeploy them. The log ${aws_cloudwatch_log_group.this.name} names them, and why."
        namespace   = "RedeployOnRotation"
        metric      = "Blocked"
        dimensions  = { FunctionName = aws_lambda_function.this.function_name }
      })
    },
    { for schedule in compact([var.sweep_schedule]) : "no-sweep" => {
      description = "No sweep has examined every service for twice as long as the schedule ${schedule} allows. The log ${aws_cloudwatch_log_group.this.name} tells why, or that there was none."
      namespace   = "RedeployOnRotation"
      metric      = "Swept"
      dimensions  = { FunctionName = aws_lambda_function.this.function_name }
      comparison  = "LessThanThreshold"
      period      = local.sweep_seconds
      periods     = 2
      # A function that is not invoked sends no zeros.
      missing = "breaching"
    } },
  )

  console = lookup({
    aws-cn     = "console.amazonaws.cn"
    aws-us-gov = "console.amazonaws-us-gov.com"
  }, local.partition, "console.aws.amazon.com")
  # An account has one list of dashboards for all Regions, but each Region has its function.
  dashboard_name = "${var.name}-${local.region}"
  dashboard_url  = "https://${local.region}.${local.console}/cloudwatch/home?region=${local.region}#dashboards/dashboard/${local.dashboard_name}"

  # What is sent in the chat form. Successes come from the function's own destination on the default bus; failures come as
  # alarms, because the destination for failures is the queue, which must not depend on anything in between.
  notifications = length(var.notification_topic_arns) == 0 ? {} : {
    redeployed = {
      description = "Tells of services that ${var.name} redeployed."
      pattern = jsonencode({
        source = ["lambda"]
        detail = {
          requestContext = {
            condition   = ["Success"]
            functionArn = [{ prefix = "${aws_lambda_function.this.arn}:" }]
          }
          responsePayload = { outcome = ["redeployed", "dry-run"] }
        }
      })
      # A path that an event lacks would stop the message, so these are fields that every such report has. What needs
      # attention stands first in a report; its rotations may be those of a whole sweep.
      paths = {
        outcome = "$.detail.responsePayload.outcome"
        reason  = "$.detail.responsePayload.reason"
        trigger = "$.detail.responsePayload.trigger"
        service = "$.detail.responsePayload.services[0].service"
        secret  = "$.detail.responsePayload.services[0].secrets[0]"
      }
      title       = "${var.name}: <outcome>"
      description = "After <trigger>: <reason>. First of them is `<service>`, which uses `<secret>`."
      thread      = "<secret>"
    }
    alarm = {
      description = "Tells of alarms of ${var.name}."
      pattern = jsonencode({
        source      = ["aws.cloudwatch"]
        detail-type = ["CloudWatch Alarm State Change"]
        resources   = values(aws_cloudwatch_metric_alarm.this)[*].arn
        detail      = { state = { value = ["ALARM"] } }
      })
      paths = {
        alarm       = "$.detail.alarmName"
        description = "$.detail.configuration.description"
        since       = "$.detail.state.timestamp"
      }
      title       = "Alarm <alarm>"
      description = "<description> (<since>)"
      thread      = "<alarm>"
    }
  }

  # By index, because the ARN of a topic that is made in the same run is not yet known.
  notification_targets = merge([
    for name in keys(local.notifications) : { for index in range(length(var.notification_topic_arns)) : "${name}-${index}" => { rule = name, index = index } }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = try(each.value.statistic, "Sum")
  comparison_operator = try(each.value.comparison, "GreaterThanOrEqualToThreshold")
  threshold           = try(each.value.threshold, 1)
  period              = try(each.value.period, 300)
  evaluation_periods  = try(each.value.periods, 1)
  datapoints_to_alarm = try(each.value.datapoints, null)
  treat_missing_data  = try(each.value.missing, "notBreaching")
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = local.dashboard_name
  # Encoded again, which writes the angle brackets of its query in a form that no XML trips over.
  dashboard_body = jsonencode(jsondecode(templatefile("${path.module}/dashboard.json", {
    function_name = aws_lambda_function.this.function_name
    log_group     = aws_cloudwatch_log_group.this.name
    region        = local.region
    # Inside the quotes of the file, so that the file is JSON as it stands.
    alarm_arns = join("\", \"", values(aws_cloudwatch_metric_alarm.this)[*].arn)
  })))
}

resource "aws_cloudwatch_event_rule" "notification" {
  for_each = local.notifications

  name          = "${var.name}-notify-${each.key}"
  description   = each.value.description
  event_pattern = each.value.pattern
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
          "description": "${local.notifications[each.value.rule].description}",
          "nextSteps": ["${local.dashboard_url}"]
        },
        "metadata": {"threadId": "${local.notifications[each.value.rule].thread}"}
      }
    JSON
  }

  # A topic whose policy refuses EventBridge would otherwise be silent.
  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_sqs_queue_policy.dead_letters]
}
