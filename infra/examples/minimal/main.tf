# Redeploys the services of every cluster of this account and Region that use a secret or parameter that changed.
module "redeploy_on_rotation" {
  source = "../.."

  package = "${path.module}/../../../target/lambda/bootstrap/bootstrap.zip"
}
