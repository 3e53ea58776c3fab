# Where the code comes from, and what else is chosen.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  alarm_topic_arns = []
}

run "release_in_a_bucket" {
  command = plan

  variables {
    package_s3 = { bucket = "artifacts", key = "v0.2.0/bootstrap-x86_64.zip", version = "3" }
    # That of the mocked function, in the form of SHA256SUMS.
    package_sha256 = "9F86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }

  assert {
    condition     = aws_lambda_function.this.s3_bucket == "artifacts" && aws_lambda_function.this.s3_key == "v0.2.0/bootstrap-x86_64.zip" && aws_lambda_function.this.s3_object_version == "3" && aws_lambda_function.this.filename == null
    error_message = "The code is the object."
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
    error_message = "Another hash is another package."
  }

  assert {
    condition     = aws_lambda_function.this.architectures == tolist(["x86_64"])
    error_message = "The name says what the package was built for."
  }
}

run "file_that_is_not_there_yet" {
  command = plan

  variables {
    package        = "no/such/bootstrap-arm64.zip"
    package_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
    error_message = "A plan needs the hash, and not the file."
  }
}

run "since_a_time_that_is_named" {
  command = plan

  variables {
    package = "versions.tf"
    rollout = { since = "2026-11-23T01:02:03+01:00" }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_SINCE == "2026-11-23T01:02:03+01:00"
    error_message = "The time that is named counts."
  }
}

run "since_ever" {
  command = plan

  variables {
    package = "versions.tf"
    rollout = { since = "none" }
  }

  assert {
    condition     = !contains(keys(aws_lambda_function.this.environment[0].variables), "REDEPLOY_SINCE")
    error_message = "Old changes count, too."
  }
}

run "everything_about_rollouts" {
  command = plan

  variables {
    package  = "versions.tf"
    function = { environment = { HTTPS_PROXY = "http://proxy.example.com:3128" } }
    rollout  = { default = "notify", max_in_flight = 5, calendars = ["business-hours"], image_guard = "block", rate_share = 0.2 }
  }

  assert {
    condition = { for name, value in aws_lambda_function.this.environment[0].variables : name => value if contains([
      "HTTPS_PROXY", "REDEPLOY_DEFAULT", "REDEPLOY_MAX_IN_FLIGHT", "REDEPLOY_CALENDARS", "REDEPLOY_IMAGE_GUARD", "REDEPLOY_RATE_SHARE",
      ], name) } == {
      HTTPS_PROXY            = "http://proxy.example.com:3128"
      REDEPLOY_DEFAULT       = "notify"
      REDEPLOY_MAX_IN_FLIGHT = "5"
      REDEPLOY_CALENDARS     = "business-hours"
      REDEPLOY_IMAGE_GUARD   = "block"
      REDEPLOY_RATE_SHARE    = "0.2"
    }
    error_message = "The function does what was chosen."
  }
}

run "lists_that_have_something_twice" {
  command = plan

  variables {
    package = "versions.tf"
    rollout = { secrets = ["prod/*", "!prod/mesh-*", "prod/*"], calendars = ["holidays", "weekends", "holidays"] }
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_SECRETS == "prod/*,!prod/mesh-*" && aws_lambda_function.this.environment[0].variables.REDEPLOY_CALENDARS == "holidays,weekends"
    error_message = "The function stops at a list that has something twice."
  }
}

run "what_platforms_ask_for" {
  command = plan

  variables {
    package     = "versions.tf"
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234"
    logs        = { keep = true }
    function = {
      vpc                     = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
      code_signing_config_arn = "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0123456789abcdef0"
    }
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
  }

  assert {
    condition     = aws_lambda_function.this.kms_key_arn == var.kms_key_arn && aws_sqs_queue.dead_letters.kms_master_key_id == var.kms_key_arn && aws_sqs_queue.notifications[0].kms_master_key_id == var.kms_key_arn
    error_message = "The key encrypts the environment and the queues."
  }

  assert {
    condition     = aws_lambda_function.this.vpc_config[0].subnet_ids == toset(["subnet-1"]) && aws_lambda_function.this.vpc_config[0].security_group_ids == toset(["sg-1"])
    error_message = "The function is in the VPC."
  }

  assert {
    condition     = aws_lambda_function.this.code_signing_config_arn == var.function.code_signing_config_arn && aws_cloudwatch_log_group.this.skip_destroy
    error_message = "Packages must be signed, and the log outlives the module."
  }
}
