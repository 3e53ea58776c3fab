# A service that uses two secrets and a parameter, and the module that redeploys it when one of them changes.

provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = var.name }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

module "redeploy_on_rotation" {
  source = "../.."

  name         = "${var.name}-redeploy"
  package      = coalesce(var.package, "${path.module}/../../../target/lambda/bootstrap/bootstrap.zip")
  architecture = var.architecture
  clusters     = [aws_ecs_cluster.this.name]
  secret_arns  = [aws_secretsmanager_secret.database.arn, aws_secretsmanager_secret.api_token.arn]

  # Changes of this very secret and parameter need no trail, so that CloudTrail's events are not asked for.
  triggers = ["secret-label-updated", "parameter-change", "deployment-state-change"]

  logs                    = { kms_key_arn = aws_kms_key.this.arn }
  alarm_topic_arns        = [aws_sns_topic.pager.arn]
  notification_topic_arns = [aws_sns_topic.chat.arn]
}

# One key for the values, the logs and the topics.
resource "aws_kms_key" "this" {
  description             = "Encrypts what belongs to ${var.name}."
  enable_key_rotation     = true
  deletion_window_in_days = 7

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "IamPoliciesOfThisAccountDecide"
        Effect    = "Allow"
        Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "Logs"
        Effect    = "Allow"
        Principal = { Service = "logs.${var.region}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = { ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:${var.region}:${data.aws_caller_identity.current.account_id}:log-group:*" } }
      },
      {
        Sid       = "MessagesToTopics"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })
}

# Subscribe a pager or a mail address to the one, and Amazon Q Developer to the other.
resource "aws_sns_topic" "pager" {
  name              = "${var.name}-pager"
  kms_master_key_id = aws_kms_key.this.id
}

resource "aws_sns_topic" "chat" {
  name              = "${var.name}-chat"
  kms_master_key_id = aws_kms_key.this.id
}

# No condition on the account: EventBridge does not send it to every kind of target.
resource "aws_sns_topic_policy" "this" {
  for_each = {
    "cloudwatch.amazonaws.com" = aws_sns_topic.pager.arn
    "events.amazonaws.com"     = aws_sns_topic.chat.arn
  }

  arn = each.value
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = each.key }
      Action    = "sns:Publish"
      Resource  = each.value
    }]
  })
}
