# The first values are random, and in no state: write-only arguments are written once, and a rotation may replace them.

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
    password = uuid()
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
  secret_string_wo         = uuid()
}

resource "aws_ssm_parameter" "feature" {
  name             = "/${var.name}/feature"
  type             = "SecureString"
  key_id           = aws_kms_key.this.arn
  value_wo         = uuid()
  value_wo_version = 1
}
