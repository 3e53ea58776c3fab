output "function_name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "function_arn" {
  description = "ARN of the function."
  value       = aws_lambda_function.this.arn
}

output "role_arn" {
  description = "ARN of the function's execution role."
  value       = local.role_arn
}

output "policy" {
  description = "Policy of the execution role, as JSON, for a role that is made elsewhere."
  value       = local.policy
}

output "log_group_name" {
  description = "Name of the log group that has the reports."
  value       = aws_cloudwatch_log_group.this.name
}

output "dead_letter_queue_url" {
  description = "URL of the queue that keeps the events that were given up on."
  value       = aws_sqs_queue.dead_letters.url
}

output "dead_letter_queue_arn" {
  description = "ARN of the queue that keeps the events that were given up on."
  value       = aws_sqs_queue.dead_letters.arn
}

output "notification_queue_url" {
  description = "URL of the queue that keeps the messages that no topic accepted; null without `notification_topic_arns`."
  value       = one(aws_sqs_queue.notifications[*].url)
}

output "rule_arns" {
  description = "ARNs of the EventBridge rules that invoke the function, by trigger, and by `sweep`."
  value       = { for name, rule in aws_cloudwatch_event_rule.this : name => rule.arn }
}

output "notification_rule_arns" {
  description = "ARNs of the EventBridge rules that publish to `notification_topic_arns`, for the topics' policies."
  value       = values(aws_cloudwatch_event_rule.notification)[*].arn
}

output "installed_at" {
  description = "When the module was first applied, in UTC: what changed before is left alone, unless `rollout.since` says otherwise."
  value       = terraform_data.installed.output
}

output "alarm_arns" {
  description = "ARNs of the alarms, by name."
  value       = { for name, alarm in aws_cloudwatch_metric_alarm.this : name => alarm.arn }
}

output "dashboard_url" {
  description = "Where the dashboard is; null without one."
  value       = local.dashboard_url
}
