# What stays as it is from one apply to the next.

mock_provider "aws" {
  source = "./tests/mocks_of_an_apply"
}

variables {
  package          = "versions.tf"
  alarm_topic_arns = []
}

run "install" {
  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_SINCE == output.installed_at && timecmp(output.installed_at, plantimestamp()) >= 0
    error_message = "What changed before the first apply is left alone."
  }
}

run "apply_again" {
  variables {
    tags = { team = "platform" }
  }

  assert {
    condition     = output.installed_at == run.install.installed_at && aws_lambda_function.this.environment[0].variables.REDEPLOY_SINCE == run.install.installed_at
    error_message = "The moment of the installation never moves."
  }

  assert {
    condition = alltrue([for tags in concat(
      [aws_lambda_function.this.tags, aws_iam_role.this[0].tags, aws_cloudwatch_log_group.this.tags, aws_sqs_queue.dead_letters.tags],
      values(aws_cloudwatch_event_rule.this)[*].tags, values(aws_cloudwatch_metric_alarm.this)[*].tags,
    ) : tags == tomap({ team = "platform" })])
    error_message = "Everything that can have tags has them."
  }
}

run "refresh_without_the_file" {
  command = plan

  plan_options {
    mode = refresh-only
  }

  variables {
    package = "no/such/bootstrap.zip"
  }
}
