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

  name           = "${var.name}-redeploy"
  package        = var.package
  package_s3     = var.package_s3
  package_sha256 = var.package_sha256
  architecture   = var.architecture
  clusters       = [aws_ecs_cluster.this.name]
  secret_arns    = [aws_secretsmanager_secret.database.arn, aws_secretsmanager_secret.api_token.arn]

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

# CloudWatch and EventBridge may publish on behalf of these alarms and rules only.
resource "aws_sns_topic_policy" "pager" {
  arn = aws_sns_topic.pager.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.pager.arn
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        ArnEquals    = { "aws:SourceArn" = values(module.redeploy_on_rotation.alarm_arns) }
      }
    }]
  })
}

resource "aws_sns_topic_policy" "chat" {
  arn = aws_sns_topic.chat.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Messages"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.chat.arn
      Condition = { ArnEquals = { "aws:SourceArn" = module.redeploy_on_rotation.notification_rule_arns } }
    }]
  })
}
