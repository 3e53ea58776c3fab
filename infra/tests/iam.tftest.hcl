# What the execution role may do, by lookup.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package = "versions.tf"
}

run "scan_of_every_cluster" {
  command = plan

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "cloudtrail:LookupEvents", "ecs:DescribeClusters", "ecs:DescribeServiceRevisions", "ecs:DescribeServices",
      "ecs:DescribeTaskDefinition", "ecs:DescribeTasks", "ecs:ListClusters", "ecs:ListServiceDeployments", "ecs:ListServices", "ecs:ListTasks", "ecs:UpdateService",
      "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds",
      "sqs:SendMessage", "ssm:DescribeParameters",
    ])
    error_message = "The actions of a scan."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "Redeploy"]) == ["arn:aws:ecs:eu-west-1:123456789012:service/*"]
    error_message = "Services of this account and Region only."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if contains(["CountServicesAndTasks", "ReadTasks"], statement.Sid)] == [
      ["arn:aws:ecs:eu-west-1:123456789012:cluster/*"], ["arn:aws:ecs:eu-west-1:123456789012:task/*"],
    ]
    error_message = "Clusters and tasks of this account and Region only."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "ReadLabelsOfSecrets"]) == ["arn:aws:secretsmanager:*:123456789012:secret:*"]
    error_message = "Secrets of this account only."
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action if statement.Effect == "Deny"])) == toset([
      "kms:Decrypt", "secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue",
      "ssm:GetParameter", "ssm:GetParameterHistory", "ssm:GetParameters", "ssm:GetParametersByPath",
    ])
    error_message = "Every action that reads a value is denied."
  }

  assert {
    condition     = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Condition if statement.Sid == "NeverDecryptValues"]) == { StringLike = { "kms:ViaService" = ["secretsmanager.*", "ssm.*"] } }
    error_message = "Lambda must be able to decrypt the function's environment."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : !strcontains(join(",", statement.Action), "*") if statement.Effect == "Allow"])
    error_message = "No action is given by a wildcard."
  }

  assert {
    condition = toset([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid if statement.Effect == "Allow" && contains(statement.Resource, "*")]) == toset([
      "ListClusters", "ListServices", "ListTasks", "ReadTaskDefinitions", "ReadTimesOfMoves", "ReadTimesOfParameters",
    ])
    error_message = "Only what AWS cannot scope is given for every resource."
  }
}

run "scan_of_given_clusters" {
  command = plan

  variables {
    clusters = ["prod", "stage"]
  }

  assert {
    condition = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "Redeploy"]) == [
      "arn:aws:ecs:eu-west-1:123456789012:service/prod/*", "arn:aws:ecs:eu-west-1:123456789012:service/stage/*",
    ]
    error_message = "Services of these clusters only."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Condition.ArnEquals if contains(["ListServices", "ListTasks"], statement.Sid)] == [
      for sid in ["ListServices", "ListTasks"] : { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/stage"] }
    ]
    error_message = "Services and tasks are listed in these clusters only."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if contains(["CountServicesAndTasks", "ReadTasks"], statement.Sid)] == [
      ["arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/stage"],
      ["arn:aws:ecs:eu-west-1:123456789012:task/prod/*", "arn:aws:ecs:eu-west-1:123456789012:task/stage/*"],
    ]
    error_message = "Tasks are counted and read in these clusters only."
  }

  assert {
    condition = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "ReadServices"]) == [
      "arn:aws:ecs:eu-west-1:123456789012:service/prod/*", "arn:aws:ecs:eu-west-1:123456789012:service/stage/*",
      "arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/*", "arn:aws:ecs:eu-west-1:123456789012:service-revision/stage/*",
    ]
    error_message = "Services and service revisions of these clusters only."
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
    condition     = !contains([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid], "ListClusters")
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
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
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
    condition     = !contains([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid], "CountServicesAndTasks")
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
    condition     = length(setintersection(["ReadTimesOfMoves", "ReadTimesOfVersions"], [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid])) == 0
    error_message = "Native events say when a value changed."
  }
}

run "rotations_by_cloudtrail" {
  command = plan

  variables {
    triggers       = ["rotation-succeeded"]
    sweep_schedule = null
  }

  assert {
    condition     = length(setintersection(["ReadTimesOfMoves", "ReadTimesOfVersions"], [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Sid])) == 2
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
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "cloudtrail:LookupEvents", "ecs:DescribeServiceRevisions", "ecs:DescribeServices", "ecs:DescribeTasks", "ecs:ListClusters",
      "ecs:ListServiceDeployments", "ecs:ListTasks", "ecs:UpdateService", "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret",
      "secretsmanager:ListSecretVersionIds", "sqs:SendMessage", "ssm:DescribeParameters",
    ])
    error_message = "The actions of a fixed mapping."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "ReadTasks"] == [
      ["arn:aws:ecs:eu-west-1:123456789012:task/prod/*", "arn:aws:ecs:eu-west-1:123456789012:task/stage/*"],
    ]
    error_message = "Tasks of the clusters of the mapping only."
  }

  assert {
    condition = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "Redeploy"]) == [
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
    dry_run                 = true
    tracing                 = true
    secret_arns             = ["arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared-??????"]
    notification_topic_arns = ["arn:aws:sns:eu-west-1:123456789012:chat"]
    role                    = { path = "/platform/", permissions_boundary = "arn:aws:iam::123456789012:policy/boundary" }
  }

  assert {
    condition = toset(flatten([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Action if statement.Effect == "Allow"])) == toset([
      "cloudtrail:LookupEvents", "ecs:DescribeClusters", "ecs:DescribeServiceRevisions", "ecs:DescribeServices",
      "ecs:DescribeTaskDefinition", "ecs:DescribeTasks", "ecs:ListClusters", "ecs:ListServiceDeployments", "ecs:ListServices",
      "ecs:ListTasks", "events:PutEvents", "logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:DescribeSecret",
      "secretsmanager:ListSecretVersionIds", "sqs:SendMessage", "ssm:DescribeParameters",
      "xray:PutTelemetryRecords", "xray:PutTraceSegments",
    ])
    error_message = "A dry run may change nothing, and a scan sees the tags itself."
  }

  assert {
    condition = one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "ReadServices"]) == [
      "arn:aws:ecs:eu-west-1:123456789012:service/prod/api", "arn:aws:ecs:eu-west-1:123456789012:service/stage/*",
      "arn:aws:ecs:eu-west-1:123456789012:service-revision/prod/api/*", "arn:aws:ecs:eu-west-1:123456789012:service-revision/stage/*",
    ]
    error_message = "The given clusters, and the services of the mapping."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Condition.ArnEquals if contains(["ListServices", "ListTasks"], statement.Sid)] == [
      { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/stage"] },
      { "ecs:cluster" = ["arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/stage"] },
    ]
    error_message = "Services are listed in the given clusters, tasks in those of the mapping, too."
  }

  assert {
    condition = [for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if contains(["ReadLabelsOfSecrets", "ReadTimesOfVersions"], statement.Sid)] == [
      for sid in ["ReadLabelsOfSecrets", "ReadTimesOfVersions"] : ["arn:aws:secretsmanager:*:123456789012:secret:*", "arn:aws:secretsmanager:eu-west-1:210987654321:secret:shared-??????"]
    ]
    error_message = "Secrets of another account in addition to those of this one."
  }

  assert {
    condition     = aws_iam_role.this.name == "redeploy-on-rotation-eu-west-1"
    error_message = "Functions in two Regions need two roles."
  }

  assert {
    condition     = aws_iam_role.this.path == "/platform/" && aws_iam_role.this.permissions_boundary == "arn:aws:iam::123456789012:policy/boundary"
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
    condition     = toset(one([for statement in jsondecode(aws_iam_role_policy.this.policy).Statement : statement.Resource if statement.Sid == "ReadLabelsOfSecrets"])) == var.secret_arns
    error_message = "These secrets only."
  }
}
