data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_cloudwatch_log_group" "service" {
  name              = "/ecs/${var.name}"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  container_definitions = jsonencode([{
    name      = "app"
    image     = "public.ecr.aws/docker/library/busybox:stable"
    essential = true
    user      = "nobody"

    readonlyRootFilesystem = true

    # It starts, and it stops when it is told to.
    command = ["sh", "-c", "trap exit TERM; echo started with the username $DATABASE_USERNAME; while true; do sleep 1; done"]

    secrets = [
      { name = "DATABASE_USERNAME", valueFrom = "${aws_secretsmanager_secret.database.arn}:username::" },
      { name = "DATABASE_PASSWORD", valueFrom = "${aws_secretsmanager_secret.database.arn}:password::" },
      { name = "DATABASE_HOST", valueFrom = "${aws_secretsmanager_secret.database.arn}:host::" },
      { name = "API_TOKEN", valueFrom = aws_secretsmanager_secret.api_token.arn },
      { name = "FEATURE", valueFrom = aws_ssm_parameter.feature.arn },
    ]

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.service.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "app"
      }
    }
  }])
}

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_333:The subnets of a default VPC reach the registry and the secrets only with a public address; nothing may connect to it.
  name            = "app"
  cluster         = aws_ecs_cluster.this.arn
  task_definition = aws_ecs_task_definition.this.arn
  desired_count   = 1
  launch_type     = "FARGATE"

  network_configuration {
    subnets          = data.aws_subnets.default.ids
    security_groups  = [aws_security_group.service.id]
    assign_public_ip = true
  }

  # A new value that does not work is rolled back, and reported as blocked.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  # Tasks cannot start before there are values, and the permission to read them.
  depends_on = [
    aws_iam_role_policy.execution,
    aws_secretsmanager_secret_version.database,
    aws_secretsmanager_secret_version.api_token,
  ]
}

resource "aws_security_group" "service" {
  name        = var.name
  description = "The service, which nobody calls."
  vpc_id      = data.aws_vpc.default.id

  egress {
    description = "The image, the values and the log."
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

# Used by ECS before the container runs. It may read exactly these values.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = local.assumed_by_tasks
}

resource "aws_iam_role_policy" "execution" {
  name = "start-tasks"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [aws_secretsmanager_secret.database.arn, aws_secretsmanager_secret.api_token.arn]
      },
      {
        Sid      = "ReadParameter"
        Effect   = "Allow"
        Action   = ["ssm:GetParameters"]
        Resource = [aws_ssm_parameter.feature.arn]
      },
      {
        Sid       = "DecryptThem"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [aws_kms_key.this.arn]
        Condition = { StringEquals = { "kms:ViaService" = ["secretsmanager.${var.region}.amazonaws.com", "ssm.${var.region}.amazonaws.com"] } }
      },
      {
        Sid      = "WriteLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${aws_cloudwatch_log_group.service.arn}:*"]
      },
    ]
  })
}

# Used by the container itself, which gets its values in the environment and needs no permission to read them.
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = local.assumed_by_tasks
}

locals {
  assumed_by_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })
}
