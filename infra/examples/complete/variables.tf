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
  description = "Path of the deployment package, such as `bootstrap-arm64.zip` of a release. Null with `package_s3`."
  type        = string
  default     = null
}

variable "package_s3" {
  description = "The package as an object in a bucket, in place of a file."
  type        = object({ bucket = string, key = string, version = optional(string) })
  default     = null
}

variable "package_sha256" {
  description = "SHA-256 of the package; required with `package_s3`."
  type        = string
  default     = null
}

variable "architecture" {
  description = "Architecture that the package was built for; when null, what its name says, else arm64."
  type        = string
  default     = null
}
