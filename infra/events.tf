locals {
  default_bus_arn = "arn:${local.partition}:events:${local.region}:${local.account_id}:event-bus/default"

  # What invokes the function: an event that matches a pattern, or a schedule.
  rules = merge(
    { for trigger in var.triggers : trigger => {
      description = "Invokes ${var.name}: ${trigger}."
      pattern     = jsonencode(jsondecode(file("${path.module}/patterns/${trigger}.json")))
      schedule    = null
    } },
    { for schedule in compact([var.sweep_schedule]) : "sweep" => {
      description = "Invokes ${var.name} to look at everything."
      pattern     = null
      schedule    = schedule
    } },
  )

  rule_arns = concat(values(aws_cloudwatch_event_rule.this)[*].arn, values(aws_cloudwatch_event_rule.notification)[*].arn)
}

# All on the default bus: that is where AWS services send their events.
resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.rules

  name                = "${var.name}-${each.key}"
  description         = each.value.description
  event_pattern       = each.value.pattern
  schedule_expression = each.value.schedule
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.rules

  rule = aws_cloudwatch_event_rule.this[each.key].name
  arn  = aws_lambda_function.this.arn

  # This is about handing the event over; what becomes of it then is for the function's own retries.
  retry_policy {
    maximum_retry_attempts       = 185
    maximum_event_age_in_seconds = 21600
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  # So that the first event that cannot be handed over, or not be handled, can be kept.
  depends_on = [
    aws_lambda_function_event_invoke_config.this,
    aws_lambda_permission.this,
    aws_sqs_queue_policy.dead_letters,
  ]
}

# No SourceAccount: EventBridge does not send it, so that a condition on it refuses every event.
resource "aws_lambda_permission" "this" {
  for_each = local.rules

  statement_id  = each.key
  function_name = aws_lambda_function.this.function_name
  action        = "lambda:InvokeFunction"
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this[each.key].arn
}
