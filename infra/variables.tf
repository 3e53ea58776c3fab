# The function

variable "package" {
  description = "Path of the deployment package: `bootstrap-<architecture>.zip` of a release, or `bootstrap.zip` of your own build. Null with `package_s3`."
  type        = string
  default     = null

  validation {
    condition     = (var.package == null) != (var.package_s3 == null)
    error_message = "package or package_s3 must be given, and not both: a release has bootstrap-arm64.zip and bootstrap-x86_64.zip."
  }
}

variable "package_s3" {
  description = "The deployment package as an object in a bucket of the function's Region, in place of a file."
  type = object({
    bucket  = string
    key     = string
    version = optional(string)
  })
  default = null

  validation {
    condition     = var.package_s3 == null || var.package_sha256 != null
    error_message = "package_s3 needs package_sha256, the line of the package in the release's SHA256SUMS: without it nothing would tell that another object has the same key."
  }
}

variable "package_sha256" {
  description = "SHA-256 of the package, as in the release's `SHA256SUMS`. It is checked: before the upload of a file, after it for an object. With it, a plan needs no file."
  type        = string
  default     = null

  validation {
    condition     = var.package_sha256 == null ? true : can(regex("^[0-9A-Fa-f]{64}$", var.package_sha256))
    error_message = "package_sha256 must be 64 hexadecimal digits."
  }
}

variable "architecture" {
  description = "Architecture that the package was built for, `arm64` or `x86_64`. When null, the one that the package's name ends with, else `arm64`."
  type        = string
  default     = null

  validation {
    condition     = var.architecture == null ? true : contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }

  validation {
    condition     = var.architecture == null || local.named_architecture == null ? true : var.architecture == local.named_architecture
    error_message = "The package's name says that it was built for another architecture: name the other package, or leave architecture out."
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

variable "tags" {
  description = "Tags of everything that can have some, in addition to the provider's `default_tags`."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "function" {
  description = "`memory_size` in MB. `reserved_concurrency`: with 1 there is never a second invocation that redeploys the same services; -1 reserves none, for accounts whose limit is too small to reserve from. `tracing` sends traces to AWS X-Ray. `environment` has further variables, such as `HTTPS_PROXY` and `AWS_USE_FIPS_ENDPOINT`. `vpc` puts the function into subnets that reach the endpoints of AWS. `code_signing_config_arn` makes Lambda refuse a package that is not signed."
  type = object({
    memory_size             = optional(number, 256)
    reserved_concurrency    = optional(number, 1)
    tracing                 = optional(bool, false)
    environment             = optional(map(string), {})
    vpc                     = optional(object({ subnet_ids = set(string), security_group_ids = set(string) }))
    code_signing_config_arn = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.function.memory_size >= 128 && var.function.memory_size <= 10240 && floor(var.function.memory_size) == var.function.memory_size
    error_message = "function.memory_size must be a whole number of MB from 128 to 10240."
  }

  validation {
    condition     = var.function.reserved_concurrency == -1 || (var.function.reserved_concurrency >= 1 && floor(var.function.reserved_concurrency) == var.function.reserved_concurrency)
    error_message = "function.reserved_concurrency must be a whole number of at least 1, or -1 to reserve none."
  }

  validation {
    condition     = alltrue([for name in keys(var.function.environment) : can(regex("^[A-Za-z][A-Za-z0-9_]+$", name)) && !startswith(name, "REDEPLOY_")])
    error_message = "function.environment must have names of letters, digits and underscores, and none that begins with REDEPLOY_: those come from the other inputs."
  }

  validation {
    condition     = var.function.vpc == null ? true : length(var.function.vpc.subnet_ids) > 0 && length(var.function.vpc.security_group_ids) > 0
    error_message = "function.vpc needs at least one subnet and one security group."
  }

  validation {
    condition     = var.function.code_signing_config_arn == null ? true : can(regex("^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:code-signing-config:csc-[a-z0-9]+$", var.function.code_signing_config_arn))
    error_message = "function.code_signing_config_arn must be the ARN of a code signing configuration of Lambda."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the function's environment and the queues; keys of AWS when null. Its policy must let `events.amazonaws.com` use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a KMS key (not of an alias)."
  }
}

variable "role" {
  description = "Path of the execution role, and the ARN of its permissions boundary. `lookup_events` gives `cloudtrail:LookupEvents`, which shows all management events of the account; without it, a move of a label that nothing else dates is `unknown`. With `create = false`, `arn` is a role of yours, which needs the policy of the output `policy`."
  type = object({
    create               = optional(bool, true)
    arn                  = optional(string)
    path                 = optional(string, "/")
    permissions_boundary = optional(string)
    lookup_events        = optional(bool, true)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.role.create == (var.role.arn == null)
    error_message = "role.arn must be given with role.create = false, and only then."
  }

  validation {
    condition     = var.role.arn == null ? true : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.role.arn))
    error_message = "role.arn must be the ARN of an IAM role."
  }

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

variable "rollout" {
  description = "What is redeployed, and how. `default` is what a service without a word in its tag gets: `auto`, `notify` (reported, not done) or `ignore`. `secrets` are patterns of names of secrets and parameters, `!` excludes; all when empty. `since`: what changed before is reported and left alone; the first apply when null, `none` for everything. `max_in_flight` bounds the rollouts at once for one change. `calendars` are SSM change calendars during whose closed times everything waits. `image_guard` looks whether a tag has moved: `off`, `warn` or `block`. `dry_run` reports only, without the permission to redeploy. `settle_seconds` lie between a change and the first redeploy. `rate_share` is the share of ECS's request rates that is used at most. `tag_key` is the key of the tag."
  type = object({
    default        = optional(string, "auto")
    secrets        = optional(list(string), [])
    since          = optional(string)
    max_in_flight  = optional(number)
    calendars      = optional(list(string), [])
    image_guard    = optional(string, "off")
    dry_run        = optional(bool, false)
    settle_seconds = optional(number, 10)
    rate_share     = optional(number, 0.5)
    tag_key        = optional(string, "redeploy-on-rotation")
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains(["auto", "notify", "ignore"], var.rollout.default)
    error_message = "rollout.default must be auto, notify or ignore."
  }

  validation {
    condition     = alltrue([for pattern in var.rollout.secrets : can(regex("^(!?[A-Za-z0-9/_+=.@*-]|!!)[A-Za-z0-9/_+=.@!*-]*$", pattern)) && !strcontains(pattern, "**")])
    error_message = "rollout.secrets must be names of secrets and parameters, not ARNs; a single * stands for anything, and ! before one excludes it."
  }

  validation {
    condition     = var.rollout.since == null ? true : can(regex("^(none|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2}))$", var.rollout.since)) && (var.rollout.since == "none" || can(timeadd(var.rollout.since, "0s")))
    error_message = "rollout.since must be a time that there is, with an offset, such as 2026-11-23T01:02:03Z, or none; null for the first apply."
  }

  validation {
    condition     = var.rollout.max_in_flight == null ? true : var.rollout.max_in_flight >= 1 && var.rollout.max_in_flight <= 1000 && floor(var.rollout.max_in_flight) == var.rollout.max_in_flight
    error_message = "rollout.max_in_flight must be a whole number from 1 to 1000, or null for no bound."
  }

  validation {
    condition     = var.rollout.max_in_flight == null || contains(var.triggers, "deployment-state-change") || var.sweep_schedule != null
    error_message = "rollout.max_in_flight needs the trigger deployment-state-change or a sweep: nothing else would let those go that wait for the first ones."
  }

  validation {
    condition     = alltrue([for calendar in var.rollout.calendars : can(regex("^(arn:aws[a-z-]*:ssm:[a-z0-9-]+:[0-9]{12}:document/)?[A-Za-z0-9_.-]{3,128}$", calendar))])
    error_message = "rollout.calendars must be names or ARNs of SSM change calendars."
  }

  validation {
    condition     = alltrue([for calendar in var.rollout.calendars : startswith(calendar, "arn:${local.partition}:ssm:${local.region}:") if startswith(calendar, "arn:")])
    error_message = "rollout.calendars must be calendars of the function's Region, whose state it can ask for."
  }

  validation {
    condition     = contains(["off", "warn", "block"], var.rollout.image_guard)
    error_message = "rollout.image_guard must be off, warn or block."
  }

  validation {
    condition     = var.rollout.settle_seconds >= 1 && var.rollout.settle_seconds <= 900 && floor(var.rollout.settle_seconds) == var.rollout.settle_seconds
    error_message = "rollout.settle_seconds must be a whole number from 1 to 900."
  }

  validation {
    condition     = var.rollout.rate_share >= 0.01 && var.rollout.rate_share <= 1
    error_message = "rollout.rate_share must be a number from 0.01 to 1."
  }

  validation {
    condition     = can(regex("^[\\p{L}\\p{N} _.:/=+@-]{1,128}$", var.rollout.tag_key)) && !startswith(var.rollout.tag_key, "aws:")
    error_message = "rollout.tag_key must be 1 to 128 letters, digits, spaces and _.:/=+-@, and must not start with aws:."
  }
}

variable "secret_arns" {
  description = "ARNs of secrets that the function may describe, with `*` where wanted. Every secret of this account, in any Region, unless some of this account are named; of other accounts, those that are named, and their events are let in."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secret_arns : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9*-]+:([0-9]{12}|\\*):secret:.+$", arn))])
    error_message = "secret_arns must be ARNs of secrets; * stands for anything in a secret's name, for every Region and for every account."
  }

  validation {
    condition     = length(setintersection([for arn in var.secret_arns : try(split(":", arn)[4], "")], [local.account_id, "*"])) == 0 || length(setintersection(var.triggers, ["rotate-secret", "value-changed"])) == 0
    error_message = "secret_arns that name secrets of this account do not go with the triggers rotate-secret and value-changed: their events need DescribeSecret, and those of every other secret would end in the queue. Use secret-label-updated and rotation-succeeded, or leave secret_arns empty and narrow by rollout.secrets."
  }
}

# When

variable "triggers" {
  description = "Events that invoke the function: `secret-label-updated`, `rotation-succeeded`, `rotate-secret`, `value-changed`, `rotation-failed`, `parameter-change`, `deployment-state-change`, `calendar-state-change`; the last one comes with `rollout.calendars`."
  type        = set(string)
  default     = ["secret-label-updated", "rotation-succeeded", "rotation-failed", "parameter-change", "deployment-state-change"]
  nullable    = false

  validation {
    condition     = length(setsubtract(var.triggers, ["secret-label-updated", "rotation-succeeded", "rotate-secret", "value-changed", "rotation-failed", "parameter-change", "deployment-state-change", "calendar-state-change"])) == 0
    error_message = "triggers must be of secret-label-updated, rotation-succeeded, rotate-secret, value-changed, rotation-failed, parameter-change, deployment-state-change and calendar-state-change."
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
  description = "Level of the function's log, days that it is kept, the ARN of the KMS key that encrypts it, and whether to `keep` it when the module is destroyed."
  type = object({
    level          = optional(string, "INFO")
    retention_days = optional(number, 365)
    kms_key_arn    = optional(string)
    keep           = optional(bool, false)
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

variable "monitoring" {
  description = "Whether there are `alarms` and a `dashboard`; how many failed attempts within a quarter of an hour, or within the sweep's rate, are an alarm, how many minutes an event may wait for the function, and how many hours a service may wait."
  type = object({
    alarms            = optional(bool, true)
    dashboard         = optional(bool, true)
    failed_attempts   = optional(number, 3)
    event_age_minutes = optional(number, 15)
    waiting_hours     = optional(number, 24)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.monitoring.failed_attempts >= 1 && floor(var.monitoring.failed_attempts) == var.monitoring.failed_attempts
    error_message = "monitoring.failed_attempts must be a whole number of at least 1."
  }

  validation {
    # Lambda gives up on an event after six hours.
    condition     = var.monitoring.event_age_minutes >= 1 && var.monitoring.event_age_minutes < 360
    error_message = "monitoring.event_age_minutes must be at least 1 and less than 360."
  }

  validation {
    # CloudWatch looks back seven days at most.
    condition     = var.monitoring.waiting_hours >= 1 && var.monitoring.waiting_hours <= 144 && floor(var.monitoring.waiting_hours) == var.monitoring.waiting_hours
    error_message = "monitoring.waiting_hours must be a whole number from 1 to 144."
  }
}

# Lists, and not an ARN or null: a topic that is made in the same run has no ARN yet, but the length of the list is known.

variable "alarm_topic_arns" {
  description = "ARNs of the SNS topics that get alarms in CloudWatch's own form, for pagers and mail. `[]` means nobody."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.alarm_topic_arns) <= 5 && alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "alarm_topic_arns must be at most 5 ARNs of standard SNS topics."
  }

  validation {
    condition     = length(var.alarm_topic_arns) == 0 || var.monitoring.alarms
    error_message = "alarm_topic_arns must be [] when monitoring.alarms is false: nothing would be sent to them."
  }
}

variable "notification_topic_arns" {
  description = "ARNs of the SNS topics that get what happened, and alarms, as custom notifications of Amazon Q Developer, for Slack and Teams. Empty for none."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    # A rule has at most 5 targets.
    condition     = length(var.notification_topic_arns) <= 5 && alltrue([for arn in var.notification_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "notification_topic_arns must be at most 5 ARNs of standard SNS topics."
  }
}
