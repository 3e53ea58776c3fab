output "rotate" {
  description = "Changes the password of the database's secret, as a rotation would."
  value       = <<-SH
    aws secretsmanager put-secret-value --region ${var.region} --secret-id ${aws_secretsmanager_secret.database.name} \
      --secret-string '{"username":"app","password":"another","host":"database.example.com"}'
  SH
}

output "watch" {
  description = "Shows the function's reports as they come, and the deployments of the service."
  value       = <<-SH
    aws logs tail --region ${var.region} --follow ${module.redeploy_on_rotation.log_group_name}
    aws ecs describe-services --region ${var.region} --cluster ${aws_ecs_cluster.this.name} --services ${aws_ecs_service.this.name} \
      --query 'services[].deployments[].[id,status,rolloutState,createdAt]' --output table
  SH
}

output "dashboard_url" {
  description = "Where the dashboard is."
  value       = module.redeploy_on_rotation.dashboard_url
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "secret_arn" {
  description = "ARN of the database's secret."
  value       = aws_secretsmanager_secret.database.arn
}

output "function_name" {
  description = "Name of the function."
  value       = module.redeploy_on_rotation.function_name
}

output "dead_letter_queue_url" {
  description = "URL of the queue that keeps the events that were given up on."
  value       = module.redeploy_on_rotation.dead_letter_queue_url
}
