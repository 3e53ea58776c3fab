# Every action stands here in full, once: a test compares them with the calls that the function makes.

locals {
  ecs_arn = "arn:${local.partition}:ecs:${local.region}:${local.account_id}"

  # `scan` and `tags` look at whole clusters, `config` at the services that it names.
  looks_at_clusters = length(setintersection(var.lookup, ["scan", "tags"])) > 0
  every_cluster     = local.looks_at_clusters && length(var.clusters) == 0
  clusters          = [for name in sort(var.clusters) : name if local.looks_at_clusters]
  mapped_services   = flatten(var.mapping[*].services)
  all_clusters      = sort(distinct(concat(local.clusters, [for service in local.mapped_services : split("/", service)[0]])))

  # What it may change, by resource.
  service_arns = sort(distinct(concat(
    local.every_cluster ? ["${local.ecs_arn}:service/*"] : [],
    [for name in local.clusters : "${local.ecs_arn}:service/${name}/*"],
    [for service in local.mapped_services : "${local.ecs_arn}:service/${service}"],
  )))

  # A calendar that opens is a sweep, too.
  sweeps = var.sweep_schedule != null || contains(local.triggers, "calendar-state-change")
  # The native events say when a value changed. For everything else AWS must be asked.
  asks_for_times = local.sweeps || length(setintersection(local.triggers, ["deployment-state-change", "rotate-secret", "rotation-succeeded", "value-changed"])) > 0
  scans          = contains(var.lookup, "scan")
  # A cluster of this account tells events of other accounts apart.
  lists_clusters = (local.scans && length(var.clusters) == 0) || contains(local.triggers, "deployment-state-change")

  # To name secrets of this account narrows what may be described, to name those of others widens it.
  secret_accounts   = [for arn in var.secret_arns : try(split(":", arn)[4], "")]
  names_own_secrets = length(setintersection(local.secret_accounts, [local.account_id, "*"])) > 0
  own_secrets       = local.names_own_secrets ? [] : ["arn:${local.partition}:secretsmanager:*:${local.account_id}:secret:*"]
  secret_arns       = sort(concat(local.own_secrets, tolist(var.secret_arns)))

  calendar_arns = [for calendar in distinct(var.rollout.calendars) : startswith(calendar, "arn:") ? calendar : "arn:${local.partition}:ssm:${local.region}:${local.account_id}:document/${calendar}"]

  # The word `ignore` in the tag, alone or among others, in the ways that people write it.
  ignore_words = flatten([for word in ["ignore", "IGNORE", "Ignore"] : [word, "${word} *", "* ${word}", "* ${word} *"]])

  statements = [
    # The one thing that it changes.
    var.rollout.dry_run ? null : {
      Sid      = "Redeploy"
      Effect   = "Allow"
      Action   = ["ecs:UpdateService"]
      Resource = local.service_arns
    },
    # By the condition on the cluster, which all of these actions know, and two of them know nothing else. A list of resources
    # would have each cluster's name three times, and a role's policies have room for 10,240 characters.
    {
      Sid    = "ReadServicesAndTasks"
      Effect = "Allow"
      Action = [for action in [
        "ecs:DescribeServiceRevisions",
        "ecs:DescribeServices",
        "ecs:DescribeTasks",
        "ecs:ListServiceDeployments",
        "ecs:ListServices",
        "ecs:ListTasks",
      ] : action if local.scans || action != "ecs:ListServices"]
      Resource  = ["*"]
      Condition = { ArnLike = { "ecs:cluster" = [for name in local.every_cluster ? ["*"] : local.all_clusters : "${local.ecs_arn}:cluster/${name}"] } }
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
    # Which clusters are empty and, in a sweep, how many tasks run outside services: numbers, of any cluster.
    !local.scans || (length(var.clusters) > 0 && !local.sweeps) ? null : {
      Sid      = "CountServicesAndTasks"
      Effect   = "Allow"
      Action   = ["ecs:DescribeClusters"]
      Resource = ["${local.ecs_arn}:cluster/*"]
    },
    # AWS knows no resource for this action. A scan sees the tags anyway.
    !contains(var.lookup, "tags") || local.scans ? null : {
      Sid      = "FindTaggedServices"
      Effect   = "Allow"
      Action   = ["tag:GetResources"]
      Resource = ["*"]
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
    # AWS knows no resource for this action. It shows when labels moved, and every other management event, too.
    !local.asks_for_times || !var.role.lookup_events ? null : {
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
    length(var.rollout.calendars) == 0 ? null : {
      Sid      = "ReadCalendars"
      Effect   = "Allow"
      Action   = ["ssm:GetCalendarState"]
      Resource = local.calendar_arns
    },
    # Images may lie in a registry of another account or Region.
    var.rollout.image_guard == "off" ? null : {
      Sid      = "ReadDigestsOfImages"
      Effect   = "Allow"
      Action   = ["ecr:DescribeImages"]
      Resource = ["arn:${local.partition}:ecr:*:*:repository/*"]
    },
    {
      Sid      = "WriteLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["arn:${local.partition}:logs:${local.region}:${local.account_id}:log-group:${local.log_group_name}:*"]
    },
    {
      Sid      = "KeepFailedEvents"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = ["arn:${local.partition}:sqs:${local.region}:${local.account_id}:${local.queue_name}"]
    },
    length(var.notification_topic_arns) == 0 ? null : {
      Sid      = "SendResults"
      Effect   = "Allow"
      Action   = ["events:PutEvents"]
      Resource = [local.default_bus_arn]
    },
    # Lambda decrypts the environment, and encrypts what it puts into the queue, in the name of the role.
    var.kms_key_arn == null ? null : {
      Sid      = "UseKey"
      Effect   = "Allow"
      Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource = [var.kms_key_arn]
    },
    # Lambda connects the function to the VPC in the name of the role, and documents these actions on every resource.
    var.function.vpc == null ? null : {
      Sid    = "ConnectToVpc"
      Effect = "Allow"
      Action = [
        "ec2:AssignPrivateIpAddresses",
        "ec2:CreateNetworkInterface",
        "ec2:DeleteNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = ["*"]
    },
    # AWS knows no resource for these actions.
    !var.function.tracing ? null : {
      Sid      = "Trace"
      Effect   = "Allow"
      Action   = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]
      Resource = ["*"]
    },
    # Whoever tagged the service said so; a mistake of the function does not change that.
    {
      Sid       = "NeverRedeployWhatIsTaggedIgnore"
      Effect    = "Deny"
      Action    = ["ecs:UpdateService"]
      Resource  = ["*"]
      Condition = { StringLike = { "aws:ResourceTag/${var.rollout.tag_key}" = local.ignore_words } }
    },
    # The action could switch on shells in the containers. A call that only forces a deployment does not name the switch.
    {
      Sid       = "NeverOpenShells"
      Effect    = "Deny"
      Action    = ["ecs:UpdateService"]
      Resource  = ["*"]
      Condition = { StringEquals = { "ecs:enable-execute-command" = ["true"] } }
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
    # a denial of every kms:Decrypt would keep the function from starting.
    {
      Sid       = "NeverDecryptValues"
      Effect    = "Deny"
      Action    = ["kms:Decrypt"]
      Resource  = ["*"]
      Condition = { StringLike = { "kms:ViaService" = ["secretsmanager.*", "ssm.*"] } }
    },
  ]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      for statement in local.statements : { for key, value in statement : key => value if value != null } if statement != null
    ]
  })

  # IAM counts no white space, and jsonencode() writes none.
  policy_size = length(local.policy)

  role_arn = var.role.create ? one(aws_iam_role.this[*].arn) : var.role.arn
}

resource "aws_iam_role" "this" {
  count = var.role.create ? 1 : 0

  # A role has no Region, but each Region has its function.
  name                 = "${var.name}-${local.region}"
  description          = "Execution role of the function ${var.name}."
  path                 = var.role.path
  permissions_boundary = var.role.permissions_boundary
  tags                 = var.tags

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
  count = var.role.create ? 1 : 0

  name   = var.name
  role   = aws_iam_role.this[0].id
  policy = local.policy

  lifecycle {
    precondition {
      condition     = local.policy_size <= 10240
      error_message = "The role's policy would have ${local.policy_size} characters, and IAM accepts 10,240: name fewer clusters, secrets or services of a mapping, use * in secret_arns, or leave clusters empty."
    }
  }
}
