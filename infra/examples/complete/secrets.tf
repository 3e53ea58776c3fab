# The first values are random, and in no state: they are written once, and a rotation may replace them.
ephemeral "aws_secretsmanager_random_password" "this" {
  for_each = toset(["database", "api_token", "feature"])

  password_length     = 32
  exclude_punctuation = true
}

# One secret as JSON, of which containers get single keys.
resource "aws_secretsmanager_secret" "database" {
  #checkov:skip=CKV2_AWS_57:How to rotate depends on the database; change the value by hand to see what follows.
  name       = "${var.name}/database"
  kms_key_id = aws_kms_key.this.arn

  # So that the example can be made again at once.
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "database" {
  secret_id                = aws_secretsmanager_secret.database.id
  secret_string_wo_version = 1
  secret_string_wo = jsonencode({
    username = "app"
    password = ephemeral.aws_secretsmanager_random_password.this["database"].random_password
    host     = "database.example.com"
  })
}

# One plain secret, of which containers get the whole.
resource "aws_secretsmanager_secret" "api_token" {
  #checkov:skip=CKV2_AWS_57:Who gives out the token knows how to rotate it; change the value by hand to see what follows.
  name                    = "${var.name}/api-token"
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "api_token" {
  secret_id                = aws_secretsmanager_secret.api_token.id
  secret_string_wo_version = 1
  secret_string_wo         = ephemeral.aws_secretsmanager_random_password.this["api_token"].random_password
}

resource "aws_ssm_parameter" "feature" {
  name             = "/${var.name}/feature"
  type             = "SecureString"
  key_id           = aws_kms_key.this.arn
  value_wo         = ephemeral.aws_secretsmanager_random_password.this["feature"].random_password
  value_wo_version = 1
}
