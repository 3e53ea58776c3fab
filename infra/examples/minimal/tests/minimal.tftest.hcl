mock_provider "aws" {
  source = "../../tests/mocks"
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
