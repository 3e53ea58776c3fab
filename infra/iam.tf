# Every action stands here in full, once: a test compares them with the calls that the function makes.

locals {
  ecs_arn = "arn:${local.partition}:ecs:${local.region}:${local.account_id}"

  # `scan` and `tags` look at whole clusters, `config` at the services that it names.
  looks_at_clusters = length(setintersection(var.lookup, ["scan", "tags"])) > 0
  every_cluster     = local.looks_at_clusters && length(var.clusters) == 0
  clusters          = [for name in sort(var.clusters) : name if local.looks_at_clusters]
  mapped_services   = flatten(var.mapping[*].services)
  service_arns = sort(distinct(concat(
    local.every_cluster ? ["${local.ecs_arn}:service/*"] : [],
    [for name in local.clusters : "${local.ecs_arn}:service/${name}/*"],
    [for service in local.mapped_services : "${local.ecs_arn}:service/${service}"],
  )))
  revision_arns = sort(distinct(concat(
    local.every_cluster ? ["${local.ecs_arn}:service-revision/*"] : [],
    [for name in local.clusters : "${local.ecs_arn}:service-revision/${name}/*"],
    [for service in local.mapped_services : "${local.ecs_arn}:service-revision/${service}/*"],
  )))

  # The native events say when a value changed. For everything else AWS must be asked.
  asks_for_times = var.sweep_schedule != null || length(setintersection(var.triggers, ["deployment-state-change", "rotate-secret", "rotation-succeeded"])) > 0
  scans          = contains(var.lookup, "scan")
  # A cluster of this account tells events of other accounts apart.
  lists_clusters = (local.scans && length(var.clusters) == 0) || contains(var.triggers, "deployment-state-change")
  task_clusters  = sort(distinct(concat(local.clusters, [for service in local.mapped_services : split("/", service)[0]])))

  # To name secrets of this account narrows what may be described, to name those of others widens it.
  names_own_secrets = anytrue([for arn in var.secret_arns : contains([local.account_id, "*"], split(":", arn)[4])])
  own_secrets       = local.names_own_secrets ? [] : ["arn:${local.partition}:secretsmanager:*:${local.account_id}:secret:*"]
  secret_arns       = sort(concat(local.own_secrets, tolist(var.secret_arns)))

  statements = [
    # The one thing that it changes.
    var.dry_run ? null : {
      Sid      = "Redeploy"
      Effect   = "Allow"
      Action   = ["ecs:UpdateService"]
      Resource = local.service_arns
    },
    # DescribeServiceRevisions, which tells what a deployment was of, needs the service and the revision.
    {
      Sid      = "ReadServices"
      Effect   = "Allow"
      Action   = ["ecs:DescribeServices", "ecs:DescribeServiceRevisions", "ecs:ListServiceDeployments"]
      Resource = concat(local.service_arns, local.revision_arns)
    },
    # Labels and times; the value is another action, denied below.
    {
      Sid      = "ReadLabelsOfSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret"]
      Resource = local.secret_arns
    },
    !local.asks_for_times ? null : {
      Sid      = "ReadTimesOfVersions"
      Effect   = "Allow"
      Action   = ["secretsmanager:ListSecretVersionIds"]
      Resource = local.secret_arns
    },
    # AWS knows no resource for this action. It shows when labels moved.
    !local.asks_for_times ? null : {
      Sid      = "ReadTimesOfMoves"
      Effect   = "Allow"
      Action   = ["cloudtrail:LookupEvents"]
      Resource = ["*"]
    },
    # AWS knows no resource for this action. It shows when parameters changed, and no values.
    {
      Sid      = "ReadTimesOfParameters"
      Effect   = "Allow"
      Action   = ["ssm:DescribeParameters"]
      Resource = ["*"]
    },
    # AWS knows no resource for this action, but the condition on the cluster.
    !local.scans ? null : {
      Sid       = "ListServices"
      Effect    = "Allow"
      Action    = ["ecs:ListServices"]
      Resource  = ["*"]
      Condition = local.every_cluster ? null : { ArnEquals = { "ecs:cluster" = [for name in local.clusters : "${local.ecs_arn}:cluster/${name}"] } }
    },
    # AWS knows neither a resource nor a condition for this action.
    !local.scans ? null : {
      Sid      = "ReadTaskDefinitions"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTaskDefinition"]
      Resource = ["*"]
    },
    # AWS knows no resource for this action.
    !local.lists_clusters ? null : {
      Sid      = "ListClusters"
      Effect   = "Allow"
      Action   = ["ecs:ListClusters"]
      Resource = ["*"]
    },
    # Which clusters are empty and, in a sweep, how many tasks run outside services.
    !local.scans || (length(var.clusters) > 0 && var.sweep_schedule == null) ? null : {
      Sid      = "CountServicesAndTasks"
      Effect   = "Allow"
      Action   = ["ecs:DescribeClusters"]
      Resource = local.every_cluster ? ["${local.ecs_arn}:cluster/*"] : [for name in local.clusters : "${local.ecs_arn}:cluster/${name}"]
    },
    # AWS knows no resource for this action, but the condition on the cluster.
    {
      Sid       = "ListTasks"
      Effect    = "Allow"
      Action    = ["ecs:ListTasks"]
      Resource  = ["*"]
      Condition = local.every_cluster ? null : { ArnEquals = { "ecs:cluster" = [for name in local.task_clusters : "${local.ecs_arn}:cluster/${name}"] } }
    },
    {
      Sid      = "ReadTasks"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTasks"]
      Resource = local.every_cluster ? ["${local.ecs_arn}:task/*"] : [for name in local.task_clusters : "${local.ecs_arn}:task/${name}/*"]
    },
    # AWS knows no resource for this action. A scan sees the tags anyway.
    !contains(var.lookup, "tags") || local.scans ? null : {
      Sid      = "FindTaggedServices"
      Effect   = "Allow"
      Action   = ["tag:GetResources"]
      Resource = ["*"]
    },
    {
      Sid      = "WriteLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
    },
    {
      Sid      = "KeepFailedEvents"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [aws_sqs_queue.dead_letters.arn]
    },
    length(var.notification_topic_arns) == 0 ? null : {
      Sid      = "SendResults"
      Effect   = "Allow"
      Action   = ["events:PutEvents"]
      Resource = [local.default_bus_arn]
    },
    # AWS knows no resource for these actions.
    !var.tracing ? null : {
      Sid      = "Trace"
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = ["*"]
    },
    # Nothing above grants these, and nothing that is added to the role later shall.
    {
      Sid    = "NeverReadValues"
      Effect = "Deny"
      Action = [
        "secretsmanager:BatchGetSecretValue",
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter",
        "ssm:GetParameterHistory",
        "ssm:GetParameters",
        "ssm:GetParametersByPath",
      ]
      Resource = ["*"]
    },
    # Only on behalf of the stores of values: Lambda decrypts the function's environment in the name of this role, so that
    # a denial of every kms:Decrypt would keep the function from starting. The log group and the queue need none.
    {
      Sid       = "NeverDecryptValues"
      Effect    = "Deny"
      Action    = ["kms:Decrypt"]
      Resource  = ["*"]
      Condition = { StringLike = { "kms:ViaService" = ["secretsmanager.*", "ssm.*"] } }
    },
  ]
}

resource "aws_iam_role" "this" {
  # A role has no Region, but each Region has its function.
  name                 = "${var.name}-${local.region}"
  description          = "Execution role of the function ${var.name}."
  path                 = var.role.path
  permissions_boundary = var.role.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = var.name
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for statement in local.statements : { for key, value in statement : key => value if value != null } if statement != null
    ]
  })
}
