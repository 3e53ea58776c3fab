# Each value that cannot work is refused when it is planned.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package          = "versions.tf"
  alarm_topic_arns = []
}

run "missing_package" {
  command = plan

  variables {
    package = "no/such/bootstrap.zip"
  }

  expect_failures = [aws_lambda_function.this]
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
    function = { memory_size = 64 }
  }

  expect_failures = [var.function]
}

run "half_a_megabyte" {
  command = plan

  variables {
    function = { memory_size = 256.5 }
  }

  expect_failures = [var.function]
}

run "no_concurrency" {
  command = plan

  variables {
    function = { reserved_concurrency = 0 }
  }

  expect_failures = [var.function]
}

run "half_a_concurrency" {
  command = plan

  variables {
    function = { reserved_concurrency = 1.5 }
  }

  expect_failures = [var.function]
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
    # Its policy would be too long, too.
    role = { create = false, arn = "arn:aws:iam::123456789012:role/ours" }
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
    rollout = { tag_key = "aws:secrets" }
  }

  expect_failures = [var.rollout]
}

run "tag_key_with_a_mark" {
  command = plan

  variables {
    rollout = { tag_key = "a!b" }
  }

  expect_failures = [var.rollout]
}

run "no_settling" {
  command = plan

  variables {
    rollout = { settle_seconds = 0 }
  }

  expect_failures = [var.rollout]
}

run "settling_too_long" {
  command = plan

  variables {
    rollout = { settle_seconds = 901 }
  }

  expect_failures = [var.rollout]
}

run "hardly_any_rate" {
  command = plan

  variables {
    rollout = { rate_share = 0.009 }
  }

  expect_failures = [var.rollout]
}

run "more_than_the_whole_rate" {
  command = plan

  variables {
    rollout = { rate_share = 1.5 }
  }

  expect_failures = [var.rollout]
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
    function = { reserved_concurrency = -1 }
  }

  assert {
    condition     = aws_lambda_function.this.reserved_concurrent_executions == -1
    error_message = "-1 reserves none."
  }
}

run "accepted" {
  command = plan

  variables {
    name           = "redeploy_on-rotation2"
    architecture   = "x86_64"
    function       = { memory_size = 128 }
    rollout        = { tag_key = "team:secrets/é", settle_seconds = 900, rate_share = 0.25 }
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

run "no_package" {
  command = plan

  variables {
    package = null
  }

  expect_failures = [var.package]
}

run "two_packages" {
  command = plan

  variables {
    package_s3     = { bucket = "artifacts", key = "bootstrap-arm64.zip" }
    package_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }

  expect_failures = [var.package]
}

run "object_without_a_hash" {
  command = plan

  variables {
    package    = null
    package_s3 = { bucket = "artifacts", key = "bootstrap-arm64.zip" }
  }

  expect_failures = [var.package_s3]
}

run "hash_in_base64" {
  command = plan

  variables {
    package_sha256 = "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
  }

  expect_failures = [var.package_sha256]
}

run "package_of_another_hash" {
  command = plan

  variables {
    package_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }

  expect_failures = [aws_lambda_function.this]
}

run "package_of_another_architecture" {
  command = plan

  variables {
    package        = "bootstrap-x86_64.zip"
    package_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    architecture   = "arm64"
  }

  expect_failures = [var.architecture]
}

run "variable_of_ours" {
  command = plan

  variables {
    function = { environment = { REDEPLOY_LOOKUP = "scan" } }
  }

  expect_failures = [var.function]
}

run "vpc_without_subnets" {
  command = plan

  variables {
    function = { vpc = { subnet_ids = [], security_group_ids = ["sg-1"] } }
  }

  expect_failures = [var.function]
}

run "code_signing_by_name" {
  command = plan

  variables {
    function = { code_signing_config_arn = "ours" }
  }

  expect_failures = [var.function]
}

run "key_of_the_queues_by_alias" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:alias/ours"
  }

  expect_failures = [var.kms_key_arn]
}

run "no_role" {
  command = plan

  variables {
    role = { create = false }
  }

  expect_failures = [var.role]
}

run "two_roles" {
  command = plan

  variables {
    role = { arn = "arn:aws:iam::123456789012:role/ours" }
  }

  expect_failures = [var.role]
}

run "role_by_name" {
  command = plan

  variables {
    role = { create = false, arn = "ours" }
  }

  expect_failures = [var.role]
}

run "default_that_is_no_word" {
  command = plan

  variables {
    rollout = { default = "on" }
  }

  expect_failures = [var.rollout]
}

run "pattern_with_a_space" {
  command = plan

  variables {
    rollout = { secrets = ["prod/* stage/*"] }
  }

  expect_failures = [var.rollout]
}

run "pattern_that_eventbridge_refuses" {
  command = plan

  variables {
    rollout = { secrets = ["prod/**"] }
  }

  expect_failures = [var.rollout]
}

run "pattern_that_excludes_nothing" {
  command = plan

  variables {
    rollout = { secrets = ["!"] }
  }

  expect_failures = [var.rollout]
}

run "time_without_an_offset" {
  command = plan

  variables {
    rollout = { since = "2026-11-23T01:02:03" }
  }

  expect_failures = [var.rollout]
}

run "time_that_there_is_not" {
  command = plan

  variables {
    rollout = { since = "2026-13-45T00:00:00Z" }
  }

  expect_failures = [var.rollout]
}

run "nobody_lets_the_next_one_go" {
  command = plan

  variables {
    rollout        = { max_in_flight = 5 }
    triggers       = ["secret-label-updated"]
    sweep_schedule = null
  }

  expect_failures = [var.rollout]
}

run "ends_of_deployments_let_the_next_one_go" {
  command = plan

  variables {
    rollout        = { max_in_flight = 5 }
    triggers       = ["secret-label-updated", "deployment-state-change"]
    sweep_schedule = null
  }
}

run "sweeps_let_the_next_one_go" {
  command = plan

  variables {
    rollout  = { max_in_flight = 5 }
    triggers = ["secret-label-updated"]
  }
}

run "calendar_of_another_region" {
  command = plan

  variables {
    rollout = { calendars = ["arn:aws:ssm:us-east-1:123456789012:document/holidays"] }
  }

  expect_failures = [var.rollout]
}

run "calendar_of_another_partition" {
  command = plan

  variables {
    rollout = { calendars = ["arn:aws-cn:ssm:eu-west-1:123456789012:document/holidays"] }
  }

  expect_failures = [var.rollout]
}

run "none_in_flight" {
  command = plan

  variables {
    rollout = { max_in_flight = 0 }
  }

  expect_failures = [var.rollout]
}

run "calendar_with_a_space" {
  command = plan

  variables {
    rollout = { calendars = ["business hours"] }
  }

  expect_failures = [var.rollout]
}

run "guard_that_is_no_word" {
  command = plan

  variables {
    rollout = { image_guard = "on" }
  }

  expect_failures = [var.rollout]
}

run "events_that_would_end_in_the_queue" {
  command = plan

  variables {
    secret_arns = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/*"]
    triggers    = ["value-changed"]
  }

  expect_failures = [var.secret_arns]
}

run "no_failed_attempts" {
  command = plan

  variables {
    monitoring = { failed_attempts = 0 }
  }

  expect_failures = [var.monitoring]
}

run "age_that_no_event_reaches" {
  command = plan

  variables {
    monitoring = { event_age_minutes = 360 }
  }

  expect_failures = [var.monitoring]
}

run "waiting_for_longer_than_cloudwatch_looks_back" {
  command = plan

  variables {
    monitoring = { waiting_hours = 145 }
  }

  expect_failures = [var.monitoring]
}

run "topics_for_no_alarms" {
  command = plan

  variables {
    monitoring       = { alarms = false }
    alarm_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:pager"]
  }

  expect_failures = [var.alarm_topic_arns]
}
