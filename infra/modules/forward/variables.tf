variable "name" {
  description = "First part of the names."
  type        = string
  default     = "redeploy-on-rotation"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,32}$", var.name))
    error_message = "name must be 1 to 32 letters, digits, underscores and hyphens."
  }
}

variable "triggers" {
  description = "Events that are forwarded: `secret-label-updated`, `rotation-succeeded`, `rotation-failed`, `value-changed`, `parameter-change`."
  type        = set(string)
  default     = ["secret-label-updated", "rotation-failed"]
  nullable    = false

  validation {
    condition     = length(var.triggers) > 0 && length(setsubtract(var.triggers, ["secret-label-updated", "rotation-succeeded", "rotation-failed", "value-changed", "parameter-change"])) == 0
    error_message = "triggers must be one or more of secret-label-updated, rotation-succeeded, rotation-failed, value-changed and parameter-change."
  }
}

variable "secrets" {
  description = "Patterns of the names of secrets and parameters that are forwarded by `secret-label-updated` and `parameter-change`, with `*`; all when empty."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for pattern in var.secrets : can(regex("^[A-Za-z0-9/_+=.@*-][A-Za-z0-9/_+=.@!*-]*$", pattern)) && !strcontains(pattern, "**")])
    error_message = "secrets must be names of secrets and parameters, not ARNs; a single * stands for anything."
  }
}

variable "accept" {
  description = "Whether the default bus of the services' account is opened to the account of the secrets. False where the owners of that bus have done so."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arns" {
  description = "ARNs of the SNS topics, in the account and Region of the secrets, that get a message when an event could not be forwarded. `[]` means nobody."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(var.alarm_topic_arns) <= 5 && alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "alarm_topic_arns must be at most 5 ARNs of standard SNS topics."
  }
}

variable "tags" {
  description = "Tags of everything that can have some."
  type        = map(string)
  default     = {}
  nullable    = false
}
