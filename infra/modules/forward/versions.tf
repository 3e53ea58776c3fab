terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 6.0"
      # Account and Region of the secrets is the default provider, of the services the other.
      configuration_aliases = [aws.services]
    }
  }
}
