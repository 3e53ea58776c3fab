# Every action stands here in full, once: a test compares them with the calls that the function makes.

locals {
  ecs_arn = "arn:${local.partition}:ecs:${local.region}:${local.account_id}"

  # `scan` and `tags` look at whole clusters, `config` at the services that it names.
  looks_at_clusters = length(setintersection(var.lookup, ["scan", "tags"])) > 0
  cluster_names     = [for cluster in var.clusters : reverse(split("/", cluster))[0]]
  cluster_arns      = [for name in sort(local.cluster_names) : "${local.ecs_arn}:cluster/${name}"]
  service_arns = sort(distinct(concat(
    local.looks_at_clusters && length(var.clusters) == 0 ? ["${local.ecs_arn}:service/*"] : [],
    [for name in local.cluster_names : "${local.ecs_arn}:service/${name}/*" if local.looks_at_clusters],
    [for service in flatten(var.mapping[*].services) : "${local.ecs_arn}:service/${service}"],
  )))

  # What is examined without an event must be told by its times.
  examines = var.sweep_schedule != null || contains(var.triggers, "deployment-state-change")

  secret_arns = length(var.secret_arns) > 0 ? sort(var.secret_arns) : ["arn:${local.partition}:secretsmanager:*:${local.account_id}:secret:*"]

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
      Condition = length(var.clusters) == 0 ? null : { ArnEquals = { "ecs:cluster" = local.cluster_arns } }
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
