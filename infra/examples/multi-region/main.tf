# Services in two Regions, and secrets that are replicated from the one to the other.

provider "aws" {
  region = "eu-west-1"
}

provider "aws" {
  alias  = "replica"
  region = "us-east-1"
}

variable "package" {
  description = "Path of bootstrap-arm64.zip or bootstrap-x86_64.zip of a release."
  type        = string
}

module "redeploy_on_rotation" {
  source = "../.."

  package          = var.package
  alarm_topic_arns = []
}

module "redeploy_on_rotation_of_replicas" {
  source    = "../.."
  providers = { aws = aws.replica }

  package          = var.package
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
