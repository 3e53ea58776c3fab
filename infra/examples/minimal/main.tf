# Redeploys the services of every cluster of this account and Region that use a secret or parameter that changes from now on.
module "redeploy_on_rotation" {
  source = "../.."

  package          = "${path.module}/../../../target/lambda/bootstrap/bootstrap.zip"
  alarm_topic_arns = [] # nobody: name the topic of your pager
}
