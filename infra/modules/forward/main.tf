# Sends the events of secrets to the default bus of the services' account and Region, where the rules of the module match them.

data "aws_caller_identity" "secrets" {}
data "aws_partition" "secrets" {}
data "aws_region" "secrets" {}

data "aws_caller_identity" "services" {
  provider = aws.services
}

data "aws_region" "services" {
  provider = aws.services
}

locals {
  account_id = data.aws_caller_identity.secrets.account_id
  region     = data.aws_region.secrets.id
  bus_arn    = "arn:${data.aws_partition.secrets.partition}:events:${data.aws_region.services.id}:${data.aws_caller_identity.services.account_id}:event-bus/default"

  named_in_event = ["secret-label-updated", "parameter-change"]
  name_matchers  = [for pattern in var.secrets : { wildcard = pattern }]
  # What was forwarded to here is not forwarded again: the events of this account and Region only.
  patterns = { for trigger in var.triggers : trigger => jsonencode(merge(
    jsondecode(file("${path.module}/../../patterns/${trigger}.json")),
    { account = [local.account_id], region = [local.region] },
    { for key, detail in { detail = jsondecode(file("${path.module}/../../patterns/${trigger}.json")).detail } : key => merge(detail, { name = local.name_matchers }) if contains(local.named_in_event, trigger) && length(var.secrets) > 0 },
  )) }
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.patterns

  name          = "${var.name}-forward-${each.key}"
  description   = "Forwards ${each.key} to ${local.bus_arn}."
  event_pattern = each.value
  tags          = var.tags

  lifecycle {
    precondition {
      # No name may be left to the other account: what is not meant does not leave this one.
      condition     = length(each.value) <= 2048
      error_message = "The pattern of ${each.key} would have ${length(each.value)} characters, and EventBridge accepts 2,048: name fewer secrets, or shorter patterns with *."
    }
  }
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.patterns

  rule     = aws_cloudwatch_event_rule.this[each.key].name
  arn      = local.bus_arn
  role_arn = aws_iam_role.this.arn

  retry_policy {
    maximum_retry_attempts       = 185
    maximum_event_age_in_seconds = 86400
  }

  dead_letter_config {
    arn = aws_sqs_queue.this.arn
  }

  depends_on = [
    aws_iam_role_policy.this,
    aws_sqs_queue_policy.this,
    aws_cloudwatch_event_permission.this,
  ]
}

resource "aws_iam_role" "this" {
  # A role has no Region, but each Region of secrets has its rules.
  name        = "${var.name}-forward-${local.region}"
  description = "Puts events of secrets on ${local.bus_arn}."
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "put-events"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["events:PutEvents"]
      Resource = [local.bus_arn]
    }]
  })
}

# Within one account the role is enough. Added to the bus's policy, which keeps its other statements.
resource "aws_cloudwatch_event_permission" "this" {
  count    = var.accept && local.account_id != data.aws_caller_identity.services.account_id ? 1 : 0
  provider = aws.services

  statement_id = "${var.name}-${local.account_id}-${local.region}"
  principal    = local.account_id
}

resource "aws_sqs_queue" "this" {
  name                      = "${var.name}-forward-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EventBridgeKeepsWhatItCannotDeliver"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.this.arn
      Condition = { ArnEquals = { "aws:SourceArn" = values(aws_cloudwatch_event_rule.this)[*].arn } }
    }]
  })
}

resource "aws_cloudwatch_metric_alarm" "this" {
  alarm_name          = "${var.name}-forward-dead-letters"
  alarm_description   = "Events of secrets could not be forwarded to ${local.bus_arn}. The queue ${aws_sqs_queue.this.name} has them, with the reason as an attribute."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.this.name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  period              = 300
  evaluation_periods  = 1
  # SQS sends no metrics of a queue that nobody has touched for hours; that does not mean that it is empty.
  treat_missing_data = "ignore"
  alarm_actions      = var.alarm_topic_arns
  ok_actions         = var.alarm_topic_arns
  tags               = var.tags
}
