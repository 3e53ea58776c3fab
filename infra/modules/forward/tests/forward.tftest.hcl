# Rule, role and bus policy, between accounts and between Regions.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "210987654321" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_resource "aws_iam_role" {
    override_during = plan
    defaults        = { arn = "arn:aws:iam::210987654321:role/forward" }
  }

  mock_resource "aws_sqs_queue" {
    override_during = plan
    defaults = {
      arn = "arn:aws:sqs:eu-central-1:210987654321:redeploy-on-rotation-forward-dead-letters"
      url = "https://sqs.eu-central-1.amazonaws.com/210987654321/redeploy-on-rotation-forward-dead-letters"
    }
  }

  mock_resource "aws_cloudwatch_event_rule" {
    override_during = plan
    defaults        = { arn = "arn:aws:events:eu-central-1:210987654321:rule/mock" }
  }
}

mock_provider "aws" {
  alias = "services"

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
}

mock_provider "aws" {
  alias = "another_region"

  mock_data "aws_caller_identity" {
    defaults = { account_id = "210987654321" }
  }

  mock_data "aws_region" {
    defaults = { id = "eu-west-1" }
  }
}

variables {
  alarm_topic_arns = ["arn:aws:sns:eu-central-1:210987654321:pager"]
}

run "another_account" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.this : target.arn == "arn:aws:events:eu-west-1:123456789012:event-bus/default" && target.role_arn == aws_iam_role.this.arn])
    error_message = "Events go to the default bus of the services, in the name of the role."
  }

  assert {
    condition     = alltrue([for trigger, rule in aws_cloudwatch_event_rule.this : jsondecode(rule.event_pattern) == merge(jsondecode(file("../../patterns/${trigger}.json")), { account = ["210987654321"], region = ["eu-central-1"] })])
    error_message = "The patterns of the module, of this account and Region only: what was forwarded to here is not forwarded again."
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.this.policy).Statement == [{ Effect = "Allow", Action = ["events:PutEvents"], Resource = ["arn:aws:events:eu-west-1:123456789012:event-bus/default"] }]
    error_message = "The role may put events on that bus, and nothing else."
  }

  assert {
    condition     = one(jsondecode(aws_iam_role.this.assume_role_policy).Statement).Condition == { StringEquals = { "aws:SourceAccount" = "210987654321" } }
    error_message = "Rules of this account only."
  }

  assert {
    condition     = one(aws_cloudwatch_event_permission.this).principal == "210987654321"
    error_message = "The bus accepts events of the secrets' account."
  }

  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.this : target.dead_letter_config[0].arn == aws_sqs_queue.this.arn && target.retry_policy[0].maximum_event_age_in_seconds == 86400])
    error_message = "What cannot be forwarded is tried for a day, and kept."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this.alarm_actions == toset(var.alarm_topic_arns)
    error_message = "Somebody is told."
  }
}

run "another_region" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.another_region
  }

  assert {
    condition     = length(aws_cloudwatch_event_permission.this) == 0
    error_message = "Within one account the role is enough."
  }
}

run "bus_of_others" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    accept = false
  }

  assert {
    condition     = length(aws_cloudwatch_event_permission.this) == 0
    error_message = "The owners of the bus let the events in themselves."
  }
}

run "some_secrets" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    secrets  = ["prod/*"]
    triggers = ["secret-label-updated", "rotation-succeeded"]
  }

  assert {
    condition     = jsondecode(aws_cloudwatch_event_rule.this["secret-label-updated"].event_pattern).detail.name == [{ wildcard = "prod/*" }]
    error_message = "Only events of these secrets leave the account."
  }

  assert {
    condition     = !can(jsondecode(aws_cloudwatch_event_rule.this["rotation-succeeded"].event_pattern).detail.name)
    error_message = "CloudTrail has the name in more than one place."
  }
}

run "trigger_of_services" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    triggers = ["deployment-state-change"]
  }

  expect_failures = [var.triggers]
}

run "name_with_a_dot" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    name = "redeploy.prod"
  }

  expect_failures = [var.name]
}

run "secret_by_arn" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    secrets = ["arn:aws:secretsmanager:eu-central-1:210987654321:secret:prod/db"]
  }

  expect_failures = [var.secrets]
}

run "more_secrets_than_a_pattern_has_room_for" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    secrets = [for number in range(60) : format("prod/team-%02d/service-of-a-team/*", number)]
  }

  expect_failures = [aws_cloudwatch_event_rule.this]
}

run "topic_by_name" {
  command = plan

  providers = {
    aws          = aws
    aws.services = aws.services
  }

  variables {
    alarm_topic_arns = ["pager"]
  }

  expect_failures = [var.alarm_topic_arns]
}
