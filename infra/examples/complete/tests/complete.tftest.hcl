mock_provider "aws" {
  source = "../../tests/mocks"

  mock_resource "aws_kms_key" {
    override_during = plan
    defaults        = { arn = "arn:aws:kms:eu-west-1:123456789012:key/1234" }
  }

  mock_resource "aws_sns_topic" {
    override_during = plan
    defaults        = { arn = "arn:aws:sns:eu-west-1:123456789012:topic" }
  }

  mock_resource "aws_secretsmanager_secret" {
    override_during = plan
    defaults        = { arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mock-AbCdEf" }
  }

  mock_resource "aws_ssm_parameter" {
    override_during = plan
    defaults        = { arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/mock" }
  }
}

variables {
  # Any file: the provider is a mock, and does not open it.
  package = "main.tf"
}

run "plan" {
  command = plan

  assert {
    condition     = one(jsondecode(aws_sns_topic_policy.pager.policy).Statement).Condition.StringEquals == { "aws:SourceAccount" = "123456789012" }
    error_message = "Alarms of this account only."
  }

  assert {
    condition     = length(one(jsondecode(aws_sns_topic_policy.chat.policy).Statement).Condition.ArnEquals["aws:SourceArn"]) == 2
    error_message = "The two rules of the module may publish, and no others."
  }
}
