data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  # `id`, because later versions of the provider deprecate `name`, and earlier ones have no `region`.
  region = data.aws_region.current.id

  # A rotation that is still under way needs no retry where a later event tells that it is done.
  on_pending = length(setintersection(var.triggers, ["secret-label-updated", "rotation-succeeded"])) > 0 ? "ignore" : "retry"

  # The function stops at a variable that is empty, so what is not used is left out.
  environment = {
    for name, value in {
      REDEPLOY_LOOKUP         = join(",", sort(var.lookup))
      REDEPLOY_CLUSTERS       = join(",", sort(var.clusters))
      REDEPLOY_TAG_KEY        = var.tag_key
      REDEPLOY_MAPPING        = contains(var.lookup, "config") ? jsonencode(var.mapping) : ""
      REDEPLOY_DRY_RUN        = tostring(var.dry_run)
      REDEPLOY_SETTLE_SECONDS = tostring(var.settle_seconds)
      REDEPLOY_ON_PENDING     = local.on_pending
      REDEPLOY_RATE_SHARE     = var.rate_share == null ? "" : tostring(var.rate_share)
    } : name => value if value != ""
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch Logs encrypts every group; a key of one's own is a choice (logs.kms_key_arn), and the log holds no values.
  #checkov:skip=CKV_AWS_338:A year is the default; logs.retention_days is a choice.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.logs.retention_days
  kms_key_id        = var.logs.kms_key_arn
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_115:1 by default; null is for accounts whose limit is too small to reserve from.
  #checkov:skip=CKV_AWS_116:Failed events go to the on-failure destination, which unlike a dead-letter queue keeps the reason with them.
  #checkov:skip=CKV_AWS_117:The function calls nothing but public AWS endpoints.
  #checkov:skip=CKV_AWS_173:The environment holds no secrets, and Lambda encrypts it anyway.
  #checkov:skip=CKV_AWS_272:Signing profiles belong to whoever builds the package; the hash below fixes which one runs.
  function_name = var.name
  description   = "Redeploys the ECS services that use a secret when it rotates."
  role          = aws_iam_role.this.arn

  package_type     = "Zip"
  filename         = var.package
  source_code_hash = filebase64sha256(var.package)
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  memory_size      = var.memory_size

  # The longest that Lambda grants: a thousand services at the pace that ECS allows take minutes.
  timeout                        = 900
  reserved_concurrent_executions = var.reserved_concurrency

  environment {
    variables = local.environment
  }

  logging_config {
    log_group             = aws_cloudwatch_log_group.this.name
    log_format            = "JSON"
    application_log_level = var.logs.level
    system_log_level      = "INFO"
  }

  tracing_config {
    mode = var.tracing ? "Active" : "PassThrough"
  }

  lifecycle {
    precondition {
      # Lambda measures them as one JSON object, in bytes.
      condition     = length(base64encode(jsonencode(local.environment))) <= 4096 * 4 / 3
      error_message = "clusters and mapping are too long together: a function's environment has 4 KB; use the lookup tags in place of mapping, or leave clusters empty."
    }
  }

  # The first invocation may come at once.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letters.arn
    }

    dynamic "on_success" {
      for_each = length(var.notification_topic_arns) > 0 ? [local.default_bus_arn] : []

      content {
        destination = on_success.value
      }
    }
  }
}

# Every event that could not be handed over, or not be handled.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 1209600

  # SQS's own key, and not one of KMS: the queue holds identifiers and no values, and a key of one's own would have to be
  # opened to EventBridge and to the function's role, which is forbidden to decrypt.
  sqs_managed_sse_enabled = true
}

resource "aws_sqs_queue_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EventBridgeKeepsWhatItCannotDeliver"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.dead_letters.arn
      Condition = { ArnEquals = { "aws:SourceArn" = local.rule_arns } }
    }]
  })
}
