# From one package to the next, and what is refused on the way.

mock_provider "aws" {
  source = "./tests/mocks_of_an_apply"
}

variables {
  alarm_topic_arns = []
  package_s3       = { bucket = "artifacts", key = "v0.2.0/bootstrap-arm64.zip" }
  # That of the mocked function, in the form of SHA256SUMS.
  package_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
}

run "install" {
  assert {
    condition     = data.aws_lambda_function.deployed.code_sha256 == aws_lambda_function.this.source_code_hash
    error_message = "The hash is compared with that of the code that Lambda has."
  }
}

run "another_hash" {
  command = plan

  variables {
    package_s3     = { bucket = "artifacts", key = "v0.2.0/bootstrap-arm64.zip" }
    package_sha256 = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
  }

  assert {
    condition     = aws_lambda_function.this.source_code_hash == "//////////////////////////////////////////8="
    error_message = "An upgrade can be planned."
  }
}

run "code_that_somebody_replaced" {
  command = plan

  override_data {
    target = data.aws_lambda_function.deployed
    values = { code_sha256 = "//////////////////////////////////////////8=" }
  }

  expect_failures = [data.aws_lambda_function.deployed]
}

run "code_that_is_put_back" {
  command = plan

  plan_options {
    replace = [aws_lambda_function.this]
  }

  override_data {
    target = data.aws_lambda_function.deployed
    values = { code_sha256 = "//////////////////////////////////////////8=" }
  }
}

run "refresh_of_code_that_somebody_replaced" {
  command = plan

  plan_options {
    mode = refresh-only
  }

  override_data {
    target = data.aws_lambda_function.deployed
    values = { code_sha256 = "//////////////////////////////////////////8=" }
  }
}

run "another_object_of_that_name" {
  variables {
    package_sha256 = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
  }

  expect_failures = [data.aws_lambda_function.deployed]
}

run "the_right_hash_again" {
}
