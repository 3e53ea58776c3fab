output "bus_arn" {
  description = "ARN of the event bus that gets the events."
  value       = local.bus_arn
}

output "dead_letter_queue_url" {
  description = "URL of the queue that keeps the events that could not be forwarded."
  value       = aws_sqs_queue.this.url
}

output "role_arn" {
  description = "ARN of the role that puts the events on the bus."
  value       = aws_iam_role.this.arn
}

output "rule_arns" {
  description = "ARNs of the EventBridge rules, by trigger."
  value       = { for name, rule in aws_cloudwatch_event_rule.this : name => rule.arn }
}
