# What the execution role may do, by lookup.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package          = "versions.tf"
  alarm_topic_arns = []
}

run "scan_of_every_cluster" {
  command = plan

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "cloudtrail:LookupEvents", "ecs:DescribeClusters", "ecs:DescribeServiceRevisions", "ecs:DescribeServices",
      "ecs:DescribeTaskDefinition", "ecs:DescribeTasks", "ecs:ListClusters", "ecs:ListServiceDeployments", "ecs:ListServices", "ecs:ListTasks", "ecs:UpdateService",
      "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds",
      "sqs:SendMessage", "ssm:DescribeParameters",
    ])
    error_message = "The actions of a scan."
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Sid == "Redeploy"]) == ["arn:aws:ecs:eu-west-1:123456789012:service/*"]
    error_message = "Services of this account and Region only."
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Sid == "CountServicesAndTasks"]) == ["arn:aws:ecs:eu-west-1:123456789012:cluster/*"]
    error_message = "Clusters of this account and Region only."
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Sid == "ReadLabelsOfSecrets"]) == ["arn:aws:secretsmanager:*:123456789012:secret:*"]
    error_message = "Secrets of this account only."
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Action if statement.Effect == "Deny"])) == toset([
      "ecs:UpdateService", "kms:Decrypt", "secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue",
      "ssm:GetParameter", "ssm:GetParameterHistory", "ssm:GetParameters", "ssm:GetParametersByPath",
    ])
    error_message = "Every action that reads a value is denied."
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Condition if statement.Sid == "NeverDecryptValues"]) == { StringLike = { "kms:ViaService" = ["secretsmanager.*", "ssm.*"] } }
    error_message = "Lambda must be able to decrypt the function's environment."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(output.policy).Statement : !strcontains(join(",", statement.Action), "*") if statement.Effect == "Allow"])
    error_message = "No action is given by a wildcard."
  }

  assert {
    condition = toset([for statement in jsondecode(output.policy).Statement : statement.Sid if statement.Effect == "Allow" && contains(statement.Resource, "*")]) == toset([
      "ListClusters", "ReadServicesAndTasks", "ReadTaskDefinitions", "ReadTimesOfMoves", "ReadTimesOfParameters",
    ])
    error_message = "Only what AWS cannot scope is given for every resource."
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Condition if statement.Sid == "ReadServicesAndTasks"]) == { ArnLike = { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/*"] } }
    error_message = "Services and tasks of this account and Region only."
  }
}

run "scan_of_given_clusters" {
  command = plan

  variables {
    clusters = ["prod", "stage"]
  }

  assert {
    condition = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Sid == "Redeploy"]) == [
      "arn:aws:ecs:eu-west-1:123456789012:service/prod/*", "arn:aws:ecs:eu-west-1:123456789012:service/stage/*",
    ]
    error_message = "Services of these clusters only."
  }

  assert {
    condition = [for statement in jsondecode(output.policy).Statement : [length(statement.Action), statement.Condition.ArnLike] if statement.Sid == "ReadServicesAndTasks"] == [
      [6, { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/stage"] }],
    ]
    error_message = "Services and tasks are listed in these clusters only."
  }

  assert {
    condition     = split(",", aws_lambda_function.this.environment[0].variables.REDEPLOY_CLUSTERS) == sort(var.clusters)
    error_message = "The function looks at these clusters only."
  }
}

run "clusters_without_the_events_of_deployments" {
  command = plan

  variables {
    clusters = ["prod"]
    triggers = ["secret-label-updated"]
  }

  assert {
    condition     = !contains([for statement in jsondecode(output.policy).Statement : statement.Sid], "ListClusters")
    error_message = "Clusters that are given are listed only to tell events of other accounts apart."
  }
}

run "tags" {
  command = plan

  variables {
    lookup         = ["tags"]
    triggers       = ["secret-label-updated"]
    sweep_schedule = null
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "ecs:DescribeServiceRevisions", "ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListServiceDeployments", "ecs:ListTasks",
      "ecs:UpdateService", "tag:GetResources", "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret",
      "sqs:SendMessage", "ssm:DescribeParameters",
    ])
    error_message = "The actions of a look at tags, on events only."
  }
}

run "no_sweep" {
  command = plan

  variables {
    clusters       = ["prod"]
    sweep_schedule = null
  }

  assert {
    condition     = !contains([for statement in jsondecode(output.policy).Statement : statement.Sid], "CountServicesAndTasks")
    error_message = "Tasks outside services are a sweep's, and clusters that are given are not searched for empty ones."
  }
}

run "native_events_only" {
  command = plan

  variables {
    triggers       = ["parameter-change", "secret-label-updated"]
    sweep_schedule = null
  }

  assert {
    condition     = length(setintersection(["ReadTimesOfMoves", "ReadTimesOfVersions"], [for statement in jsondecode(output.policy).Statement : statement.Sid])) == 0
    error_message = "Native events say when a value changed."
  }
}

run "a_calendar_that_opens_is_a_sweep" {
  command = plan

  variables {
    clusters       = ["prod"]
    triggers       = ["secret-label-updated"]
    sweep_schedule = null
    rollout        = { calendars = ["business-hours"] }
  }

  assert {
    condition     = length(setintersection(["CountServicesAndTasks", "ReadTimesOfMoves", "ReadTimesOfVersions"], [for statement in jsondecode(output.policy).Statement : statement.Sid])) == 3
    error_message = "A sweep asks when values changed, and for tasks outside services."
  }
}

run "rotations_by_cloudtrail" {
  command = plan

  variables {
    triggers       = ["rotation-succeeded"]
    sweep_schedule = null
  }

  assert {
    condition     = length(setintersection(["ReadTimesOfMoves", "ReadTimesOfVersions"], [for statement in jsondecode(output.policy).Statement : statement.Sid])) == 2
    error_message = "RotationSucceeded says only by when a value had changed."
  }
}

run "config" {
  command = plan

  variables {
    lookup  = ["config"]
    mapping = [{ secret = "rds!db-1", services = ["prod/api", "stage/api"] }]
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "cloudtrail:LookupEvents", "ecs:DescribeServiceRevisions", "ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListClusters",
      "ecs:ListServiceDeployments", "ecs:ListTasks", "ecs:UpdateService", "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret",
      "secretsmanager:ListSecretVersionIds", "sqs:SendMessage", "ssm:DescribeParameters",
    ])
    error_message = "The actions of a fixed mapping."
  }

  assert {
    condition = [for statement in jsondecode(output.policy).Statement : [length(statement.Action), statement.Condition.ArnLike] if statement.Sid == "ReadServicesAndTasks"] == [
      [5, { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/stage"] }],
    ]
    error_message = "The clusters of the mapping only."
  }

  assert {
    condition = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Sid == "Redeploy"]) == [
      "arn:aws:ecs:eu-west-1:123456789012:service/prod/api", "arn:aws:ecs:eu-west-1:123456789012:service/stage/api",
    ]
    error_message = "The services of the mapping only."
  }

  assert {
    condition     = jsondecode(aws_lambda_function.this.environment[0].variables.REDEPLOY_MAPPING) == [{ secret = "rds!db-1", services = ["prod/api", "stage/api"] }]
    error_message = "The function knows the mapping."
  }
}

run "everything" {
  command = plan

  variables {
    lookup                  = ["scan", "tags", "config"]
    mapping                 = [{ secret = "rds!db-1", services = ["prod/api"] }]
    clusters                = ["stage"]
    rollout                 = { dry_run = true }
    function                = { tracing = true }
    secret_arns             = ["arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared-??????"]
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
    role                    = { path = "/platform/", permissions_boundary = "arn:aws:iam::123456789012:policy/boundary" }
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(output.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "cloudtrail:LookupEvents", "ecs:DescribeClusters", "ecs:DescribeServiceRevisions", "ecs:DescribeServices",
      "ecs:DescribeTaskDefinition", "ecs:DescribeTasks", "ecs:ListClusters", "ecs:ListServiceDeployments", "ecs:ListServices",
      "ecs:ListTasks", "events:PutEvents", "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret",
      "secretsmanager:ListSecretVersionIds", "sqs:SendMessage", "ssm:DescribeParameters",
      "xray:PutTelemetryRecords", "xray:PutTraceSegments",
    ])
    error_message = "A dry run may change nothing, and a scan sees the tags itself."
  }

  assert {
    condition = [for statement in jsondecode(output.policy).Statement : [length(statement.Action), statement.Condition.ArnLike] if statement.Sid == "ReadServicesAndTasks"] == [
      [6, { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/stage"] }],
    ]
    error_message = "Services and tasks are listed in the given clusters, and in those of the mapping."
  }

  assert {
    condition = [for statement in jsondecode(output.policy).Statement : statement.Resource if contains(["ReadLabelsOfSecrets", "ReadTimesOfVersions"], statement.Sid)] == [
      for sid in ["ReadLabelsOfSecrets", "ReadTimesOfVersions"] : ["arn:aws:secretsmanager:*:123456789012:secret:*", "arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared-??????"]
    ]
    error_message = "Secrets of another account in addition to those of this one."
  }

  assert {
    condition     = aws_iam_role.this[0].name == "redeploy-on-rotation-eu-west-1"
    error_message = "Functions in two Regions need two roles."
  }

  assert {
    condition     = aws_iam_role.this[0].path == "/platform/" && aws_iam_role.this[0].permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
    error_message = "The role's path and boundary."
  }

  assert {
    condition     = aws_lambda_function.this.environment[0].variables.REDEPLOY_LOOKUP == "config,scan,tags" && aws_lambda_function.this.environment[0].variables.REDEPLOY_DRY_RUN == "true"
    error_message = "The function does what was chosen."
  }

  assert {
    condition     = aws_lambda_function.this.tracing_config[0].mode == "Active"
    error_message = "Tracing was chosen."
  }
}

run "some_secrets_of_this_account" {
  command = plan

  variables {
    secret_arns = ["arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/*", "arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared-??????"]
  }

  assert {
    condition     = toset(one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Sid == "ReadLabelsOfSecrets"])) == var.secret_arns
    error_message = "These secrets only."
  }
}

run "the_words_of_owners_hold" {
  command = plan

  variables {
    rollout = { tag_key = "team:rotation" }
  }

  assert {
    condition = [for statement in jsondecode(output.policy).Statement : [statement.Action, statement.Resource, statement.Condition] if startswith(statement.Sid, "NeverRedeploy")] == [[["ecs:UpdateService"], ["*"], { StringLike = { "aws:ResourceTag/team:rotation" = [
      "ignore", "ignore *", "* ignore", "* ignore *", "IGNORE", "IGNORE *", "* IGNORE", "* IGNORE *", "Ignore", "Ignore *", "* Ignore", "* Ignore *",
    ] } }]]
    error_message = "IAM refuses to redeploy what is tagged ignore, alone or among other words."
  }

  assert {
    condition     = [for statement in jsondecode(output.policy).Statement : [statement.Action, statement.Condition] if statement.Sid == "NeverOpenShells"] == [[["ecs:UpdateService"], { StringEquals = { "ecs:enable-execute-command" = ["true"] } }]]
    error_message = "The role cannot switch on shells in containers."
  }

  assert {
    condition     = !strcontains(output.policy, "ecs:task-definition")
    error_message = "AWS does not say whether a call that only forces has this key, so a condition on it might refuse every redeploy."
  }
}

run "features_bring_their_permissions" {
  command = plan

  variables {
    rollout = { calendars = ["business-hours", "arn:aws:ssm:eu-west-1:210987654321:document/company"], image_guard = "warn" }
  }

  assert {
    condition = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Action == ["ssm:GetCalendarState"]]) == [
      "arn:aws:ssm:eu-west-1:123456789012:document/business-hours", "arn:aws:ssm:eu-west-1:210987654321:document/company",
    ]
    error_message = "The state of these calendars only."
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : statement.Resource if statement.Action == ["ecr:DescribeImages"]]) == ["arn:aws:ecr:*:*:repository/*"]
    error_message = "The guard reads the digests of tags."
  }
}

run "keys_bring_their_permissions" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234"
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : [statement.Action, statement.Resource] if statement.Sid == "UseKey"]) == [["kms:Decrypt", "kms:GenerateDataKey"], ["arn:aws:kms:eu-west-1:123456789012:key/1234"]]
    error_message = "This key only."
  }
}

run "networks_bring_their_permissions" {
  command = plan

  variables {
    function = { vpc = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] } }
  }

  assert {
    condition     = one([for statement in jsondecode(output.policy).Statement : length(statement.Action) if statement.Sid == "ConnectToVpc"]) == 6
    error_message = "Lambda needs these six actions to connect a function to a VPC."
  }
}

run "without_cloudtrail" {
  command = plan

  variables {
    role = { lookup_events = false }
  }

  assert {
    condition     = !strcontains(output.policy, "cloudtrail:LookupEvents") && strcontains(output.policy, "secretsmanager:ListSecretVersionIds")
    error_message = "All management events of the account are a choice of its own."
  }
}

run "twenty_clusters_of_long_names" {
  command = plan

  variables {
    clusters = [for number in range(20) : format("platform-production-payments-and-settlement-of-the-european-customers-eu-west-1-availability-%02d", number)]
    # Everything that adds a statement.
    lookup                  = ["scan", "tags", "config"]
    mapping                 = [{ secret = "rds!db-1", services = ["prod/api"] }]
    rollout                 = { calendars = ["business-hours"], image_guard = "block" }
    function                = { tracing = true, vpc = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] } }
    kms_key_arn             = "arn:aws:kms:eu-west-1:123456789012:key/1234"
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
  }

  assert {
    condition     = length(aws_iam_role_policy.this[0].policy) <= 10240 && aws_iam_role_policy.this[0].policy == output.policy
    error_message = "The policy has ${length(output.policy)} characters."
  }
}

run "policy_that_iam_would_refuse" {
  command = plan

  variables {
    clusters = [for number in range(60) : format("platform-production-payments-and-settlement-eu-west-1-blue-%02d", number)]
  }

  expect_failures = [aws_iam_role_policy.this[0]]
}

run "role_of_yours" {
  command = plan

  variables {
    role = { create = false, arn = "arn:aws:iam::123456789012:role/ours" }
  }

  assert {
    condition     = aws_lambda_function.this.role == "arn:aws:iam::123456789012:role/ours" && output.role_arn == aws_lambda_function.this.role
    error_message = "The function gets the role that is given."
  }

  assert {
    condition     = length(aws_iam_role.this) == 0 && length(aws_iam_role_policy.this) == 0 && strcontains(output.policy, "ecs:UpdateService")
    error_message = "No role is made, and the output has the policy that it needs."
  }
}
