# Each value that cannot work is refused when it is planned.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package = "versions.tf"
}

run "missing_package" {
  command = plan

  variables {
    package = "no/such/bootstrap.zip"
  }

  expect_failures = [var.package]
}

run "empty_name" {
  command = plan

  variables {
    name = ""
  }

  expect_failures = [var.name]
}

run "long_name" {
  command = plan

  variables {
    name = "a12345678901234567890123456789012345678901"
  }

  expect_failures = [var.name]
}

run "name_with_a_dot" {
  command = plan

  variables {
    name = "redeploy.prod"
  }

  expect_failures = [var.name]
}

run "architecture" {
  command = plan

  variables {
    architecture = "arm"
  }

  expect_failures = [var.architecture]
}

run "too_little_memory" {
  command = plan

  variables {
    memory_size = 64
  }

  expect_failures = [var.memory_size]
}

run "half_a_megabyte" {
  command = plan

  variables {
    memory_size = 256.5
  }

  expect_failures = [var.memory_size]
}

run "no_concurrency" {
  command = plan

  variables {
    reserved_concurrency = 0
  }

  expect_failures = [var.reserved_concurrency]
}

run "half_a_concurrency" {
  command = plan

  variables {
    reserved_concurrency = 1.5
  }

  expect_failures = [var.reserved_concurrency]
}

run "path_without_slashes" {
  command = plan

  variables {
    role = { path = "platform" }
  }

  expect_failures = [var.role]
}

run "boundary_by_name" {
  command = plan

  variables {
    role = { permissions_boundary = "boundary" }
  }

  expect_failures = [var.role]
}

run "unknown_lookup" {
  command = plan

  variables {
    lookup = ["scans"]
  }

  expect_failures = [var.lookup]
}

run "no_lookup" {
  command = plan

  variables {
    lookup = []
  }

  expect_failures = [var.lookup]
}

run "cluster_with_a_space" {
  command = plan

  variables {
    clusters = ["a b"]
  }

  expect_failures = [var.clusters]
}

run "cluster_by_arn" {
  command = plan

  variables {
    clusters = ["arn:aws:ecs:us-east-1:123456789012:cluster/prod"]
  }

  expect_failures = [var.clusters]
}

run "empty_cluster" {
  command = plan

  variables {
    clusters = [""]
  }

  expect_failures = [var.clusters]
}

run "mapping_without_the_lookup" {
  command = plan

  variables {
    mapping = [{ secret = "a", services = ["prod/api"] }]
  }

  expect_failures = [var.mapping]
}

run "lookup_without_the_mapping" {
  command = plan

  variables {
    lookup = ["config"]
  }

  expect_failures = [var.mapping]
}

run "service_without_its_cluster" {
  command = plan

  variables {
    lookup  = ["config"]
    mapping = [{ secret = "a", services = ["api"] }]
  }

  expect_failures = [var.mapping]
}

run "mapping_without_services" {
  command = plan

  variables {
    lookup  = ["config"]
    mapping = [{ secret = "a", services = [] }]
  }

  expect_failures = [var.mapping]
}

run "mapping_without_a_secret" {
  command = plan

  variables {
    lookup  = ["config"]
    mapping = [{ secret = "", services = ["prod/api"] }]
  }

  expect_failures = [var.mapping]
}

run "mapping_with_a_space" {
  command = plan

  variables {
    lookup  = ["config"]
    mapping = [{ secret = "prod db", services = ["prod/api"] }]
  }

  expect_failures = [var.mapping]
}

run "environment_too_long" {
  command = plan

  variables {
    lookup   = ["config", "scan"]
    mapping  = [for n in range(30) : { secret = "secret-${n}", services = ["prod/api-${n}"] }]
    clusters = [for n in range(200) : "cluster-${n}"]
  }

  expect_failures = [aws_lambda_function.this]
}

run "environment_just_long_enough" {
  command = plan

  variables {
    lookup  = ["config"]
    mapping = [for n in range(65) : { secret = "secret-${n}", services = ["prod/api-${n}"] }]
  }

  assert {
    condition     = length(aws_lambda_function.this.environment[0].variables.REDEPLOY_MAPPING) > 3000
    error_message = "The mapping is handed over."
  }
}

run "reserved_tag_key" {
  command = plan

  variables {
    tag_key = "aws:secrets"
  }

  expect_failures = [var.tag_key]
}

run "tag_key_with_a_mark" {
  command = plan

  variables {
    tag_key = "a!b"
  }

  expect_failures = [var.tag_key]
}

run "no_settling" {
  command = plan

  variables {
    settle_seconds = 0
  }

  expect_failures = [var.settle_seconds]
}

run "settling_too_long" {
  command = plan

  variables {
    settle_seconds = 901
  }

  expect_failures = [var.settle_seconds]
}

run "hardly_any_rate" {
  command = plan

  variables {
    rate_share = 0.009
  }

  expect_failures = [var.rate_share]
}

run "more_than_the_whole_rate" {
  command = plan

  variables {
    rate_share = 1.5
  }

  expect_failures = [var.rate_share]
}

run "secret_by_name" {
  command = plan

  variables {
    secret_arns = ["prod/db"]
  }

  expect_failures = [var.secret_arns]
}

run "secret_of_half_an_account" {
  command = plan

  variables {
    secret_arns = ["arn:aws:secretsmanager:eu-west-1:1234*:secret:prod/db-??????"]
  }

  expect_failures = [var.secret_arns]
}

run "unknown_trigger" {
  command = plan

  variables {
    triggers = ["put-secret-value"]
  }

  expect_failures = [var.triggers]
}

run "nothing_that_invokes" {
  command = plan

  variables {
    triggers       = []
    sweep_schedule = null
  }

  expect_failures = [var.triggers]
}

run "cron" {
  command = plan

  variables {
    sweep_schedule = "cron(0 * * * ? *)"
  }

  expect_failures = [var.sweep_schedule]
}

run "plural_of_one" {
  command = plan

  variables {
    sweep_schedule = "rate(1 hours)"
  }

  expect_failures = [var.sweep_schedule]
}

run "singular_of_two" {
  command = plan

  variables {
    sweep_schedule = "rate(2 hour)"
  }

  expect_failures = [var.sweep_schedule]
}

run "more_than_a_day" {
  command = plan

  variables {
    sweep_schedule = "rate(25 hours)"
  }

  expect_failures = [var.sweep_schedule]
}

run "more_minutes_than_a_day" {
  command = plan

  variables {
    sweep_schedule = "rate(1441 minutes)"
  }

  expect_failures = [var.sweep_schedule]
}

run "never" {
  command = plan

  variables {
    sweep_schedule = "rate(0 minutes)"
  }

  expect_failures = [var.sweep_schedule]
}

run "level_that_drops_reports" {
  command = plan

  variables {
    logs = { level = "WARN" }
  }

  expect_failures = [var.logs]
}

run "unknown_retention" {
  command = plan

  variables {
    logs = { retention_days = 42 }
  }

  expect_failures = [var.logs]
}

run "key_by_alias" {
  command = plan

  variables {
    logs = { kms_key_arn = "alias/logs" }
  }

  expect_failures = [var.logs]
}

run "alarm_topic_by_name" {
  command = plan

  variables {
    alarm_topic_arns = ["pager"]
  }

  expect_failures = [var.alarm_topic_arns]
}

run "notification_topic_by_name" {
  command = plan

  variables {
    notification_topic_arns = ["chat"]
  }

  expect_failures = [var.notification_topic_arns]
}

run "fifo_topic" {
  command = plan

  variables {
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat.fifo"]
  }

  expect_failures = [var.notification_topic_arns]
}

run "no_reserved_concurrency" {
  command = plan

  variables {
    reserved_concurrency = null
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == null || aws_lambda_function.this.reserved_concurrent_executions == -1
    error_message = "null reserves none."
  }
}

run "accepted" {
  command = plan

  variables {
    name           = "redeploy_on-rotation2"
    architecture   = "x86_64"
    memory_size    = 128
    tag_key        = "team:secrets/é"
    settle_seconds = 900
    rate_share     = 0.25
    sweep_schedule = "rate(1440 minutes)"
    logs           = { level = "DEBUG", retention_days = 30, kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab" }
  }

  assert {
    condition     = aws_lambda_function.this.architectures == tolist(["x86_64"]) && aws_cloudwatch_log_group.this.kms_key_id == var.logs.kms_key_arn
    error_message = "The function is as it was chosen."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_SETTLE_SECONDS == "900" && aws_lambda_function.this.environment[0].variables.REDEPLOY_RATE_SHARE == "0.25"
    error_message = "The function does what was chosen."
  }
}
