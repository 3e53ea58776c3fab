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

  # What is examined without an event must be told by its times, and by those of its tasks.
  examines      = var.sweep_schedule != null || contains(var.triggers, "deployment-state-change")
  task_clusters = sort(distinct(concat(local.clusters, [for service in local.mapped_services : split("/", service)[0]])))

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
    {
      Sid      = "ReadServices"
      Effect   = "Allow"
      Action   = ["ecs:DescribeServices", "ecs:ListServiceDeployments"]
      Resource = local.service_arns
    },
    # Labels and times; the value is another action, denied below.
    {
      Sid      = "ReadLabelsOfSecrets"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret"]
      Resource = local.secret_arns
    },
    !local.examines ? null : {
      Sid      = "ReadTimesOfVersions"
      Effect   = "Allow"
      Action   = ["secretsmanager:ListSecretVersionIds"]
      Resource = local.secret_arns
    },
    # AWS knows no resource for these actions. They show when parameters and labels changed, and no values.
    !local.examines ? null : {
      Sid      = "ReadTimesOfChanges"
      Effect   = "Allow"
      Action   = ["cloudtrail:LookupEvents", "ssm:DescribeParameters"]
      Resource = ["*"]
    },
    # AWS knows no resource for this action, but the condition on the cluster.
    !contains(var.lookup, "scan") ? null : {
      Sid       = "ListServices"
      Effect    = "Allow"
      Action    = ["ecs:ListServices"]
      Resource  = ["*"]
      Condition = local.every_cluster ? null : { ArnEquals = { "ecs:cluster" = [for name in local.clusters : "${local.ecs_arn}:cluster/${name}"] } }
    },
    # AWS knows neither a resource nor a condition for this action.
    !contains(var.lookup, "scan") ? null : {
      Sid      = "ReadTaskDefinitions"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTaskDefinition"]
      Resource = ["*"]
    },
    # AWS knows no resource for this action. Where the clusters are given, they are not listed.
    !contains(var.lookup, "scan") || length(var.clusters) > 0 ? null : {
      Sid      = "ListClusters"
      Effect   = "Allow"
      Action   = ["ecs:ListClusters"]
      Resource = ["*"]
    },
    # How many tasks run beside those of services; only a sweep asks.
    !contains(var.lookup, "scan") || var.sweep_schedule == null ? null : {
      Sid      = "CountTasks"
      Effect   = "Allow"
      Action   = ["ecs:DescribeClusters"]
      Resource = local.every_cluster ? ["${local.ecs_arn}:cluster/*"] : [for name in local.clusters : "${local.ecs_arn}:cluster/${name}"]
    },
    # AWS knows no resource for this action, but the condition on the cluster.
    !local.examines ? null : {
      Sid       = "ListTasks"
      Effect    = "Allow"
      Action    = ["ecs:ListTasks"]
      Resource  = ["*"]
      Condition = local.every_cluster ? null : { ArnEquals = { "ecs:cluster" = [for name in local.task_clusters : "${local.ecs_arn}:cluster/${name}"] } }
    },
    !local.examines ? null : {
      Sid      = "ReadTasks"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTasks"]
      Resource = local.every_cluster ? ["${local.ecs_arn}:task/*"] : [for name in local.task_clusters : "${local.ecs_arn}:task/${name}/*"]
    },
    # AWS knows no resource for this action. A scan sees the tags anyway.
    !contains(var.lookup, "tags") || contains(var.lookup, "scan") ? null : {
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
      Sid      = "TellOfResults"
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
