locals {
  default_bus_arn = "arn:${local.partition}:events:${local.region}:${local.account_id}:event-bus/default"

  # A calendar that opens lets go what it held.
  triggers = setunion(var.triggers, length(var.rollout.calendars) > 0 ? ["calendar-state-change"] : [])

  # Whoever may put events on the bus may send those of any account. Secrets of other accounts are let in where they are named.
  value_accounts = sort(distinct(concat([local.account_id], local.secret_accounts)))
  about_values   = ["secret-label-updated", "rotation-succeeded", "rotate-secret", "value-changed", "rotation-failed", "parameter-change"]

  # The function applies the patterns of rollout.secrets itself. Where an event has the name in one place, they also decide
  # whether it is invoked. A pattern of EventBridge cannot say "this but not that" of one field; the function can.
  named_in_event = ["secret-label-updated", "parameter-change"]
  named_triggers = length(local.secrets) == 0 ? [] : setintersection(local.triggers, local.named_in_event)
  included       = [for pattern in local.secrets : { wildcard = pattern } if !startswith(pattern, "!")]
  excluded       = [for pattern in local.secrets : trimprefix(pattern, "!") if startswith(pattern, "!")]
  # Certificates of Service Connect, which ECS hands to the tasks itself, stay out unless they are named.
  name_matchers = jsonencode(concat(
    [{ exists = false }],
    local.included,
    length(local.included) > 0 ? [] : [{ anything-but = { wildcard = sort(concat(["ecs-sc!*"], local.excluded)) } }],
  ))

  patterns = { for trigger in local.triggers : trigger => merge(
    jsondecode(file("${path.module}/patterns/${trigger}.json")),
    { for key, accounts in { account = contains(local.about_values, trigger) ? local.value_accounts : [local.account_id] } : key => accounts if !contains(accounts, "*") },
  ) }
  # With the names where they fit, else with none: EventBridge accepts so many characters, and no more.
  longest_pattern = 2048
  named_patterns  = { for trigger in local.named_triggers : trigger => jsonencode(merge(local.patterns[trigger], { detail = merge(local.patterns[trigger].detail, { name = jsondecode(local.name_matchers) }) })) }
  nameless        = { for trigger in local.named_triggers : trigger => jsonencode(merge(local.patterns[trigger], { detail = { for key, matchers in local.patterns[trigger].detail : key => matchers if key != "name" } })) }
  event_patterns = merge(
    { for trigger, pattern in local.patterns : trigger => jsonencode(pattern) },
    { for trigger, pattern in local.named_patterns : trigger => length(pattern) <= local.longest_pattern ? pattern : local.nameless[trigger] },
  )

  # What invokes the function: an event that matches a pattern, or a schedule.
  rules = merge(
    { for trigger, pattern in local.event_patterns : trigger => {
      description = "Invokes ${var.name}: ${trigger}."
      pattern     = pattern
      schedule    = null
    } },
    { for schedule in compact([var.sweep_schedule]) : "sweep" => {
      description = "Invokes ${var.name} to look at everything."
      pattern     = null
      schedule    = schedule
    } },
  )
}

# All on the default bus: that is where AWS services send their events.
resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.rules

  name                = "${var.name}-${each.key}"
  description         = each.value.description
  event_pattern       = each.value.pattern
  schedule_expression = each.value.schedule
  tags                = var.tags

  lifecycle {
    precondition {
      condition     = length(coalesce(each.value.pattern, "-")) <= local.longest_pattern
      error_message = "The pattern of ${each.key} would have ${length(coalesce(each.value.pattern, "-"))} characters, and EventBridge accepts 2,048: secret_arns names too many accounts; * stands for every account."
    }
  }
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.rules

  rule = aws_cloudwatch_event_rule.this[each.key].name
  arn  = aws_lambda_function.this.arn

  # This is about handing the event over; what becomes of it then is for the function's own retries.
  retry_policy {
    maximum_retry_attempts       = 185
    maximum_event_age_in_seconds = 86400
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  # So that the first event that cannot be handed over, or not be handled, can be kept, and meets the code that it shall.
  depends_on = [
    aws_lambda_function_event_invoke_config.this,
    aws_lambda_permission.this,
    aws_sqs_queue_policy.dead_letters,
    data.aws_lambda_function.deployed,
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

  # It goes with a function that is replaced.
  lifecycle {
    replace_triggered_by = [aws_lambda_function.this.arn]
  }
}
