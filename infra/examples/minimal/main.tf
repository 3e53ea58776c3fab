variable "package" {
  description = "Path of bootstrap-arm64.zip or bootstrap-x86_64.zip of a release."
  type        = string
}

# Redeploys the services of every cluster of this account and Region that use a secret or parameter that changes from now on.
module "redeploy_on_rotation" {
  source = "../.."

  package          = var.package
  alarm_topic_arns = [] # nobody: name the topic of your pager
}
