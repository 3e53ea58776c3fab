mock_provider "aws" {
  source = "../../tests/mocks"
}

variables {
  # Any file: the provider is a mock, and does not open it.
  package = "main.tf"
}

run "plan" {
  command = plan

  # An example has no provider block of its own.
  providers = { aws = aws }

  assert {
    condition     = module.redeploy_on_rotation.function_name == "redeploy-on-rotation" && module.redeploy_on_rotation.notification_queue_url == null
    error_message = "One block is enough."
  }
}
