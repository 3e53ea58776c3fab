mock_provider "aws" {
  source = "../../tests/mocks"
}

mock_provider "aws" {
  alias  = "replica"
  source = "../../tests/mocks"

  override_data {
    target = module.redeploy_on_rotation_of_replicas.data.aws_region.current
    values = { id = "us-east-1" }
  }

  override_data {
    target = module.forward.data.aws_region.services
    values = { id = "us-east-1" }
  }
}

variables {
  # Any file: the provider is a mock, and does not open it.
  package = "main.tf"
}

run "plan" {
  command = plan

  assert {
    condition     = module.forward.bus_arn == "arn:aws:events:us-east-1:123456789012:event-bus/default"
    error_message = "The events of the primary Region go to that of the replicas."
  }

  assert {
    condition     = strcontains(module.redeploy_on_rotation.policy, ":ecs:eu-west-1:") && strcontains(module.redeploy_on_rotation_of_replicas.policy, ":ecs:us-east-1:")
    error_message = "Each function redeploys the services of its Region."
  }
}
