# Secrets in one account, services in another.

provider "aws" {
  alias  = "secrets"
  region = "eu-west-1"

  assume_role {
    role_arn = "arn:aws:iam::210987654321:role/terraform"
  }
}

provider "aws" {
  alias  = "services"
  region = "eu-west-1"

  assume_role {
    role_arn = "arn:aws:iam::123456789012:role/terraform"
  }
}

variable "package" {
  description = "Path of bootstrap-arm64.zip or bootstrap-x86_64.zip of a release."
  type        = string
}

# The account of the secrets: events leave, and the function's role may see labels and times, but no values.

module "forward" {
  source = "../../modules/forward"

  providers = {
    aws          = aws.secrets
    aws.services = aws.services
  }

  secrets          = ["shared/*"]
  alarm_topic_arns = []
}

resource "aws_secretsmanager_secret" "shared" {
  #checkov:skip=CKV_AWS_149:A key of your own, which the execution role of the tasks may decrypt with, is what sharing a value needs; it is not what this example shows.
  #checkov:skip=CKV2_AWS_57:How to rotate depends on what the secret is for.
  provider = aws.secrets

  name = "shared/database"
}

resource "aws_secretsmanager_secret_policy" "shared" {
  provider = aws.secrets

  secret_arn = aws_secretsmanager_secret.shared.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "LabelsAndTimes"
      Effect    = "Allow"
      Principal = { AWS = module.redeploy_on_rotation.role_arn }
      Action    = ["secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"]
      Resource  = "*"
    }]
  })
}

# The account of the services.

module "redeploy_on_rotation" {
  source    = "../.."
  providers = { aws = aws.services }

  package          = var.package
  secret_arns      = ["arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared/*"]
  alarm_topic_arns = []
}
