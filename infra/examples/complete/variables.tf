variable "region" {
  description = "Region to make everything in."
  type        = string
  default     = "eu-west-1"
  nullable    = false
}

variable "name" {
  description = "First part of every name."
  type        = string
  default     = "rotation-example"
  nullable    = false
}

variable "package" {
  description = "Path of the deployment package; where `make package` leaves it, when null."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Architecture that the package was built for."
  type        = string
  default     = "arm64"
  nullable    = false
}
