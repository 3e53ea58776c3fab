terraform {
  # What was tested, and what follows from Terraform's promise of compatibility within 1.x: see README.md.
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
    }
  }
}
