# The function

variable "package" {
  description = "Path of the deployment package, `bootstrap.zip`, built for `architecture`."
  type        = string
  nullable    = false

  validation {
    condition     = fileexists(var.package)
    error_message = "package must be the path of an existing file; `make package` leaves it at target/lambda/bootstrap/bootstrap.zip."
  }
}

variable "name" {
  description = "Name of the function, and the first part of the names of everything else."
  type        = string
  default     = "redeploy-on-rotation"
  nullable    = false

  validation {
    # A rule's name, "<name>-deployment-state-change", may have 64 characters.
    condition     = can(regex("^[A-Za-z0-9_-]{1,40}$", var.name))
    error_message = "name must be 1 to 40 letters, digits, underscores and hyphens."
  }
}

variable "architecture" {
  description = "Architecture that the package was built for: `arm64` or `x86_64`."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "memory_size" {
  description = "Memory in MB. The function needs a few tens; Lambda gives CPU in proportion to it, which is what the TLS handshakes at a cold start wait for."
  type        = number
  default     = 256
  nullable    = false

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240 && floor(var.memory_size) == var.memory_size
    error_message = "memory_size must be a whole number of MB from 128 to 10240."
  }
}

variable "reserved_concurrency" {
  description = "Reserved concurrency. With 1 there is never a second invocation that redeploys the same services; `null` reserves none, for accounts whose limit is too small to reserve from."
  type        = number
  default     = 1

  validation {
    condition     = var.reserved_concurrency == null ? true : var.reserved_concurrency >= 1 && floor(var.reserved_concurrency) == var.reserved_concurrency
    error_message = "reserved_concurrency must be a whole number of at least 1, or null to reserve none."
  }
}

variable "tracing" {
  description = "Whether Lambda sends traces to AWS X-Ray."
  type        = bool
  default     = false
  nullable    = false
}

variable "role" {
  description = "Path of the execution role, and the ARN of its permissions boundary."
  type = object({
    path                 = optional(string, "/")
    permissions_boundary = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^/([!-~]+/)?$", var.role.path))
    error_message = "role.path must start and end with a slash, such as /platform/."
  }

  validation {
    condition     = var.role.permissions_boundary == null ? true : can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/.+$", var.role.permissions_boundary))
    error_message = "role.permissions_boundary must be the ARN of an IAM policy."
  }
}

# What it does

variable "lookup" {
  description = "How services are found: `scan` reads their task definitions, `tags` their tags, `config` uses `mapping`."
  type        = set(string)
  default     = ["scan"]
  nullable    = false

  validation {
    condition     = length(var.lookup) > 0 && length(setsubtract(var.lookup, ["scan", "tags", "config"])) == 0
    error_message = "lookup must be one or more of scan, tags and config."
  }
}

variable "clusters" {
  description = "Names of the ECS clusters that `scan` and `tags` look at, and that the function may change; every cluster of the Region when empty."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for cluster in var.clusters : can(regex("^[A-Za-z0-9_-]{1,255}$", cluster))])
    error_message = "clusters must be names of ECS clusters of this account and Region, not ARNs: 1 to 255 letters, digits, underscores and hyphens."
  }
}

variable "mapping" {
  description = "Which services use which secret, for the lookup `config`. A secret by name or ARN, a service as `<cluster>/<service>`."
  type = list(object({
    secret   = string
    services = list(string)
  }))
  default  = []
  nullable = false

  validation {
    condition     = (length(var.mapping) > 0) == contains(var.lookup, "config")
    error_message = "mapping must be given if lookup contains config, and only then."
  }

  validation {
    condition     = alltrue([for line in var.mapping : can(regex("^\\S+$", line.secret)) && length(line.services) > 0 && alltrue([for service in line.services : can(regex("^[A-Za-z0-9_-]{1,255}/[A-Za-z0-9_-]{1,255}$", service))])])
    error_message = "each element of mapping must name a secret, without spaces, and at least one service as <cluster>/<service>."
  }
}

variable "tag_key" {
  description = "Key of the tag that names a service's secrets, or says `ignore`."
  type        = string
  default     = "redeploy-on-rotation"
  nullable    = false

  validation {
    condition     = can(regex("^[\\p{L}\\p{N} _.:/=+@-]{1,128}$", var.tag_key)) && !startswith(var.tag_key, "aws:")
    error_message = "tag_key must be 1 to 128 letters, digits, spaces and _.:/=+-@, and must not start with aws:."
  }
}

variable "dry_run" {
  description = "Whether to report what would be redeployed, and do nothing. The permission to redeploy is then not given either."
  type        = bool
  default     = false
  nullable    = false
}

variable "settle_seconds" {
  description = "Seconds between a change and the first redeploy for it."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.settle_seconds >= 1 && var.settle_seconds <= 900 && floor(var.settle_seconds) == var.settle_seconds
    error_message = "settle_seconds must be a whole number from 1 to 900."
  }
}

variable "rate_share" {
  description = "Share of ECS's documented request rates that the function uses at most; its own default, 0.5, when null."
  type        = number
  default     = null

  validation {
    condition     = var.rate_share == null ? true : var.rate_share >= 0.01 && var.rate_share <= 1
    error_message = "rate_share must be a number from 0.01 to 1, or null."
  }
}

variable "secret_arns" {
  description = "ARNs of secrets that the function may describe, with `*` where wanted. Every secret of this account, in any Region, unless some of this account are named; of other accounts, those that are named."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_arns : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9*-]+:([0-9]{12}|\\*):secret:.+$", arn))])
    error_message = "secret_arns must be ARNs of secrets; * stands for anything in a secret's name, for every Region and for every account."
  }
}

# When

variable "triggers" {
  description = "Events that invoke the function: `secret-label-updated`, `rotation-succeeded`, `rotate-secret`, `rotation-failed`, `parameter-change`, `deployment-state-change`."
  type        = set(string)
  default     = ["secret-label-updated", "rotation-succeeded", "rotation-failed", "parameter-change", "deployment-state-change"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.triggers, ["secret-label-updated", "rotation-succeeded", "rotate-secret", "rotation-failed", "parameter-change", "deployment-state-change"])) == 0
    error_message = "triggers must be of secret-label-updated, rotation-succeeded, rotate-secret, rotation-failed, parameter-change and deployment-state-change."
  }

  validation {
    condition     = length(var.triggers) > 0 || var.sweep_schedule != null
    error_message = "triggers must name at least one event when sweep_schedule is null, or nothing would ever invoke the function."
  }
}

variable "sweep_schedule" {
  description = "How often a sweep examines every service, as `rate(…)` of at most a day; `null` for never."
  type        = string
  default     = "rate(1 hour)"

  validation {
    # CloudWatch has no periods longer than a day, and the alarm on missed sweeps needs one.
    condition = var.sweep_schedule == null ? true : alltrue([
      can(regex("^rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours))\\)$", var.sweep_schedule)),
      try(tonumber(regex("([0-9]+) minutes", var.sweep_schedule)[0]), 0) <= 1440,
      try(tonumber(regex("([0-9]+) hours", var.sweep_schedule)[0]), 0) <= 24,
    ])
    error_message = "sweep_schedule must be a rate of at most a day, such as rate(30 minutes), rate(1 hour) or rate(1 day), or null for no sweep."
  }
}

# Who is notified

variable "logs" {
  description = "Level of the function's log, days that it is kept, and the ARN of the KMS key that encrypts it."
  type = object({
    level          = optional(string, "INFO")
    retention_days = optional(number, 365)
    kms_key_arn    = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    # Lambda drops lines below the level, and a report is an INFO line, from which the metrics are read.
    condition     = contains(["INFO", "DEBUG", "TRACE"], var.logs.level)
    error_message = "logs.level must be INFO, DEBUG or TRACE; a higher one would drop the reports, and the metrics with them."
  }

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.logs.retention_days)
    error_message = "logs.retention_days must be a period that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }

  validation {
    condition     = var.logs.kms_key_arn == null ? true : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.logs.kms_key_arn))
    error_message = "logs.kms_key_arn must be the ARN of a KMS key (not of an alias)."
  }
}

# Lists, and not an ARN or null: a topic that is made in the same run has no ARN yet, but the length of the list is known.

variable "alarm_topic_arns" {
  description = "ARNs of the SNS topics that get alarms in CloudWatch's own form, for pagers and mail. Empty for none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.alarm_topic_arns) <= 5 && alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "alarm_topic_arns must be at most 5 ARNs of standard SNS topics."
  }
}

variable "notification_topic_arns" {
  description = "ARNs of the SNS topics that get redeploys and alarms as custom notifications of Amazon Q Developer, for Slack and Teams. Empty for none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    # A rule has at most 5 targets.
    condition     = length(var.notification_topic_arns) <= 5 && alltrue([for arn in var.notification_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "notification_topic_arns must be at most 5 ARNs of standard SNS topics."
  }
}
