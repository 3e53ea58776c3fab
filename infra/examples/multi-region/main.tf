# Services in two Regions, and secrets that are replicated from the one to the other.

provider "aws" {
  region = "eu-west-1"
}

provider "aws" {
  alias  = "replica"
  region = "us-east-1"
}

locals {
  package        = "${path.module}/../../../target/lambda/bootstrap/bootstrap.zip"
  package_sha256 = null # the line of the release's SHA256SUMS
}

module "redeploy_on_rotation" {
  source = "../.."

  package          = local.package
  package_sha256   = local.package_sha256
  alarm_topic_arns = []
}

module "redeploy_on_rotation_of_replicas" {
  source    = "../.."
  providers = { aws = aws.replica }

  package          = local.package
  package_sha256   = local.package_sha256
  alarm_topic_arns = []
}

# AWS does not say whether a replica's Region gets an event of its own, so that of the primary is sent there, too.
module "forward" {
  source = "../../modules/forward"

  providers = {
    aws          = aws
    aws.services = aws.replica
  }

  triggers         = ["secret-label-updated"]
  alarm_topic_arns = []
}
