data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  # `id`, because later versions of the provider deprecate `name`, and earlier ones have no `region`.
  region = data.aws_region.current.id

  log_group_name = "/aws/lambda/${var.name}"
  queue_name     = "${var.name}-dead-letters"

  # A zip does not show what its program was built for, but a release says so in the name.
  package_name       = basename(try(coalesce(var.package, try(var.package_s3.key, null)), ""))
  named_architecture = try(regex("(arm64|x86_64)\\.zip$", local.package_name)[0], null)
  architecture       = coalesce(var.architecture, local.named_architecture, "arm64")

  has_package_file = try(fileexists(var.package), false)
  # Lambda and the provider write a hash in base64, SHA256SUMS in hexadecimal: three digits are two characters.
  base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  sha256_groups = var.package_sha256 == null ? [] : concat([for at in range(0, 63, 3) : parseint(substr(var.package_sha256, at, 3), 16)], [parseint(substr(var.package_sha256, 63, 1), 16) * 256])
  sha256_base64 = join("", [for group in local.sha256_groups : "${substr(local.base64_digits, floor(group / 64), 1)}${substr(local.base64_digits, group % 64, 1)}"])
  # Null leaves the code as it is, so that a refresh and a destruction need neither the file nor its hash.
  package_hash = var.package_sha256 != null ? replace(local.sha256_base64, "/.$/", "=") : local.has_package_file ? filebase64sha256(var.package) : null

  # The function stops at a list that has something twice.
  secrets = distinct(var.rollout.secrets)

  # A rotation that is still under way needs no retry where a later event tells that it is done.
  on_pending = length(setintersection(local.triggers, ["secret-label-updated", "rotation-succeeded"])) > 0 ? "ignore" : "retry"

  # The function stops at a variable that is empty or that its version does not know, so what is not used is left out.
  settings = merge(var.function.environment, {
    for name, value in {
      REDEPLOY_LOOKUP         = join(",", sort(var.lookup))
      REDEPLOY_CLUSTERS       = join(",", sort(var.clusters))
      REDEPLOY_TAG_KEY        = var.rollout.tag_key
      REDEPLOY_MAPPING        = contains(var.lookup, "config") ? jsonencode(var.mapping) : ""
      REDEPLOY_DRY_RUN        = tostring(var.rollout.dry_run)
      REDEPLOY_SETTLE_SECONDS = tostring(var.rollout.settle_seconds)
      REDEPLOY_ON_PENDING     = local.on_pending
      REDEPLOY_RATE_SHARE     = var.rollout.rate_share == 0.5 ? "" : tostring(var.rollout.rate_share)
      REDEPLOY_DEFAULT        = var.rollout.default == "auto" ? "" : var.rollout.default
      REDEPLOY_SECRETS        = join(",", local.secrets)
      REDEPLOY_MAX_IN_FLIGHT  = var.rollout.max_in_flight == null ? "" : tostring(var.rollout.max_in_flight)
      REDEPLOY_CALENDARS      = join(",", distinct(var.rollout.calendars))
      REDEPLOY_IMAGE_GUARD    = var.rollout.image_guard == "off" ? "" : var.rollout.image_guard
    } : name => value if value != ""
  })
  # Apart from the others, because the first plan does not know it.
  since       = var.rollout.since == "none" ? {} : { REDEPLOY_SINCE = coalesce(var.rollout.since, terraform_data.installed.output) }
  environment = merge(local.settings, local.since)
}

# When the module was first applied. What changed before is not this function's doing, and is left alone.
resource "terraform_data" "installed" {
  input = timestamp()

  lifecycle {
    ignore_changes = [input]
  }
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:CloudWatch Logs encrypts every group; a key of one's own is a choice (logs.kms_key_arn), and the log holds no values.
  #checkov:skip=CKV_AWS_338:A year is the default; logs.retention_days is a choice.
  name              = local.log_group_name
  retention_in_days = var.logs.retention_days
  kms_key_id        = var.logs.kms_key_arn
  skip_destroy      = var.logs.keep
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:Tracing is a choice (function.tracing).
  #checkov:skip=CKV_AWS_115:1 by default; -1 is for accounts whose limit is too small to reserve from.
  #checkov:skip=CKV_AWS_116:Failed events go to the on-failure destination, which unlike a dead-letter queue keeps the reason with them.
  #checkov:skip=CKV_AWS_117:The function calls nothing but public AWS endpoints; function.vpc is a choice.
  #checkov:skip=CKV_AWS_173:The environment holds no secrets, and Lambda encrypts it anyway; kms_key_arn is a choice.
  #checkov:skip=CKV_AWS_272:Signing profiles belong to whoever builds the package; function.code_signing_config_arn is a choice, and the hash below fixes which package runs.
  function_name = var.name
  description   = "Redeploys the ECS services that use a secret when it rotates."
  role          = local.role_arn
  tags          = var.tags

  package_type            = "Zip"
  filename                = var.package
  s3_bucket               = try(var.package_s3.bucket, null)
  s3_key                  = try(var.package_s3.key, null)
  s3_object_version       = try(var.package_s3.version, null)
  source_code_hash        = local.package_hash
  code_signing_config_arn = var.function.code_signing_config_arn
  runtime                 = "provided.al2023"
  handler                 = "bootstrap"
  architectures           = [local.architecture]
  memory_size             = var.function.memory_size
  kms_key_arn             = var.kms_key_arn

  # The longest that Lambda grants: a thousand services at the pace that ECS allows take minutes.
  timeout                        = 900
  reserved_concurrent_executions = var.function.reserved_concurrency

  environment {
    variables = local.environment
  }

  dynamic "vpc_config" {
    for_each = var.function.vpc[*]

    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  logging_config {
    log_group             = aws_cloudwatch_log_group.this.name
    log_format            = "JSON"
    application_log_level = var.logs.level
    system_log_level      = "INFO"
  }

  tracing_config {
    mode = var.function.tracing ? "Active" : "PassThrough"
  }

  lifecycle {
    # Terraform only warns of these when it refreshes or destroys.
    precondition {
      condition     = local.has_package_file || var.package_sha256 != null
      error_message = "There is no file ${jsonencode(var.package)}: download the package of the release, or run `make package`. With package_sha256, a plan does without the file."
    }

    precondition {
      condition     = var.package_sha256 == null || !local.has_package_file ? true : filesha256(var.package) == lower(var.package_sha256)
      error_message = "The file that package names has another SHA-256 than package_sha256: download it again, or name the hash of this version."
    }

    precondition {
      # Lambda measures them as one JSON object, in bytes.
      condition     = length(base64encode(jsonencode(merge(local.settings, { REDEPLOY_SINCE = "2026-11-23T01:02:03Z" })))) <= 4096 * 4 / 3
      error_message = "clusters, mapping and rollout.secrets are too long together: a function's environment has 4 KB; use the lookup tags in place of mapping, or leave clusters empty."
    }

  }

  # The first invocation may come at once.
  depends_on = [aws_iam_role_policy.this]
}

# The code that Lambda has. Read once the function is as it shall be: what the resource itself knows when an upgrade is planned
# is still the hash of the code before.
data "aws_lambda_function" "deployed" {
  function_name = aws_lambda_function.this.function_name

  lifecycle {
    postcondition {
      condition = var.package_sha256 == null || self.code_sha256 == local.package_hash
      # In the form of SHA256SUMS: each digit of base64 is six bits, of hexadecimal four.
      error_message = "The function's code has the SHA-256 ${join("", [
        for at in range(0, 256, 4) : format("%x", parseint(substr(join("", [
          for digit in split("", trimsuffix(self.code_sha256, "=")) : format("%06b", index(split("", local.base64_digits), digit))
        ]), at, 4), 2))
      ])}, and package_sha256 names ${lower(coalesce(var.package_sha256, "none"))}: the object of package_s3 is another package, or somebody has replaced the code. Where package and hash are the right ones, `terraform apply -replace=…`, with the address of this module's aws_lambda_function.this, puts that package in place."
    }
  }

  depends_on = [aws_lambda_function.this]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  # It goes with a function that is replaced.
  lifecycle {
    replace_triggered_by = [aws_lambda_function.this.arn]
  }

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

# Every event that could not be handed over, or not be handled. The queues hold identifiers and no values, so that SQS's own
# key does; one of KMS has to be opened to EventBridge.
resource "aws_sqs_queue" "dead_letters" {
  name                      = local.queue_name
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  tags                      = var.tags
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
      Condition = { ArnEquals = { "aws:SourceArn" = values(aws_cloudwatch_event_rule.this)[*].arn } }
    }]
  })
}
