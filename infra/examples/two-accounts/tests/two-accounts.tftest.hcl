mock_provider "aws" {
  alias  = "services"
  source = "../../tests/mocks"
}

mock_provider "aws" {
  alias  = "secrets"
  source = "../../tests/mocks"

  override_data {
    target = module.forward.data.aws_caller_identity.secrets
    values = { account_id = "210987654321" }
  }
}

variables {
  # Any file: the provider is a mock, and does not open it.
  package = "main.tf"
}

run "plan" {
  command = plan

  assert {
    condition     = module.forward.bus_arn == "arn:aws:events:eu-west-1:123456789012:event-bus/default"
    error_message = "Events go to the account of the services."
  }

  assert {
    condition     = one(jsondecode(aws_secretsmanager_secret_policy.shared.policy).Statement).Principal.AWS == module.redeploy_on_rotation.role_arn
    error_message = "The function's role may describe the secret."
  }

  assert {
    condition     = strcontains(module.redeploy_on_rotation.policy, "arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared/*")
    error_message = "The function's role may describe secrets of the other account."
  }
}
