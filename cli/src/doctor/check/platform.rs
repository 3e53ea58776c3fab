//! Where the tasks run: the platform version, and the way to AWS.

use redeploy_core::reference::{Named, Reference};

use super::{cannot_tell, count, finding, ok};
use crate::doctor::reason::{Cause, translate};
use crate::doctor::{Check, Facts, Finding, Network, Platform, TaskDefinition, Verdict};

/// A task definition revision that was deregistered, which no new deployment can start from
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deregister-task-definition-v2.html>).
pub(super) fn inactive(facts: &Facts, definition: &TaskDefinition) -> Option<Finding> {
    if !definition.inactive {
        return None;
    }
    let region = &facts.home.region;
    let mut path = facts.service.rsplit('/');
    let service = path.next().unwrap_or_default();
    let cluster = path.next().unwrap_or_default();
    let name = definition.arn.rsplit('/').next().unwrap_or_default();
    let family = name.split(':').next().unwrap_or_default();
    Some(finding(
        Check::TaskDefinition,
        Verdict::Fault,
        &definition.arn,
        "it is INACTIVE: somebody deregistered it, and ECS refuses a new deployment of it"
            .to_owned(),
    )
    .fix(format!(
        "Deploy an ACTIVE revision of {family}; where there is none, register what this one says again."
    ))
    .run(vec![
        format!(
            "aws ecs list-task-definitions --region {region} --family-prefix {family} --status ACTIVE"
        ),
        format!(
            "aws ecs update-service --region {region} --cluster {cluster} --service {service} --task-definition \
             {family}"
        ),
    ]))
}

/// Which references a platform version does not know
/// (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html>).
pub(super) fn platform_version(facts: &Facts, definition: &TaskDefinition) -> Option<Finding> {
    let (mut named, mut in_part) = (false, false);
    for reference in definition
        .mentions
        .iter()
        .filter_map(|mention| mention.reference().ok())
    {
        if let (
            Reference::Secret(_),
            Named::Secret {
                key,
                stage,
                version,
                ..
            },
        ) = (&reference, reference.named())
        {
            named = true;
            in_part |= !(key.is_empty() && stage.is_empty() && version.is_empty());
        }
    }
    let what = if in_part {
        "a JSON key, label or version"
    } else {
        "a secret"
    };
    let check = Check::PlatformVersion;
    let cluster = facts.service.rsplit('/').nth(1).unwrap_or_default();
    match &facts.platform {
        _ if !named => None,
        Platform::Fargate {
            version,
            windows: false,
        } => {
            let needed = if in_part { [1, 4, 0] } else { [1, 3, 0] };
            let numbers: Vec<u32> = version
                .split('.')
                .filter_map(|number| number.parse().ok())
                .collect();
            Some(match numbers[..] {
                _ if version.is_empty() || version == "LATEST" => ok(
                    check,
                    &facts.service,
                    &format!("Fargate LATEST reads {what}"),
                ),
                [..] if numbers.len() != 3 => cannot_tell(
                    check,
                    &facts.service,
                    &format!("the platform version {version:?} is not known here"),
                ),
                _ if numbers[..] >= needed[..] => ok(
                    check,
                    &facts.service,
                    &format!("Fargate {version} reads {what}"),
                ),
                _ => finding(
                    check,
                    Verdict::Fault,
                    &facts.service,
                    format!(
                        "Fargate {version} cannot read {what}; that needs {}",
                        needed.map(|n| n.to_string()).join(".")
                    ),
                )
                .fix("Update the service to the platform version LATEST.")
                .run(vec![format!(
                    "aws ecs update-service --region {} --cluster {cluster} --service {} --platform-version LATEST",
                    facts.home.region,
                    facts.service.rsplit('/').next().unwrap_or_default()
                )]),
            })
        }
        Platform::Fargate {
            version,
            windows: true,
        } => Some(ok(
            check,
            &facts.service,
            &format!("Fargate for Windows {version} reads {what}"),
        )),
        Platform::Instances => Some(Finding {
            commands: vec![format!(
                "aws ecs describe-container-instances --region {0} --cluster {cluster} --container-instances $(aws ecs \
                 list-container-instances --region {0} --cluster {cluster} --query 'containerInstanceArns[]' --output \
                 text) --query 'containerInstances[].versionInfo.agentVersion'",
                facts.home.region
            )],
            ..cannot_tell(
                check,
                &facts.service,
                &format!(
                    "the agent of its instances reads {what} from {}",
                    if in_part { "1.37.0" } else { "1.22.0" }
                ),
            )
        }),
    }
}

/// The way from the task to the service that keeps its values.
pub(super) fn network(facts: &Facts, definition: &TaskDefinition) -> Finding {
    let check = Check::Network;
    let reasons = facts
        .stopped
        .iter()
        .flatten()
        .map(|task| task.reason.as_str());
    let reasons = reasons.chain(facts.messages.iter().map(|(_, message)| message.as_str()));
    let causes: Vec<_> = reasons
        .filter_map(|text| Some(translate(text)?.cause))
        .collect();
    let failed = causes
        .iter()
        .filter(|cause| **cause == Cause::Network)
        .count();
    if failed == 0 && causes.iter().any(|cause| cause.is_an_answer()) {
        return ok(
            check,
            &facts.service,
            "a task was answered that it cannot have what it asked for, so there is a way",
        );
    }
    let running = facts.primary.map_or(0, |primary| primary.running);
    let (secrets, parameters) = Facts::places(&definition.mentions, &facts.home);
    let Some(network) = &facts.network else {
        let evidence = "its tasks use the network of their container instance";
        return match (failed, running) {
            (0, 1..) => ok(
                check,
                &facts.service,
                &format!("{evidence}; of this deployment {running} run, so there is a way"),
            ),
            (0, _) => cannot_tell(check, &facts.service, evidence),
            _ => finding(
                check,
                Verdict::Fault,
                &facts.service,
                format!("{evidence}, and tasks stopped for want of a way to AWS"),
            ),
        };
    };
    let ip = if network.public_ip { "with" } else { "without" };
    let setting = format!(
        "its tasks start {ip} a public IP in {} with {}",
        list(&network.subnets, "no subnet"),
        list(
            &network.security_groups,
            "the default security group of the VPC"
        )
    );
    let fix = if network.public_ip {
        "The default route of the subnets must lead to an internet gateway (igw-…), and the security group must let \
         port 443 out. A subnet without a route table of its own has that of its VPC."
    } else {
        "The default route of the subnets must lead to a NAT gateway (nat-…), or the VPC must have the interface endpoints \
         with private DNS, whose security group lets port 443 in from the task's. A subnet without a route table of its \
         own has that of its VPC."
    };
    let commands = network_commands(facts, network, !secrets.is_empty(), !parameters.is_empty());
    let evidence = match (failed, running) {
        (0, 1..) => {
            return ok(
                check,
                &facts.service,
                &format!("{setting}; of this deployment {running} run, so there is a way"),
            );
        }
        (0, _) => format!("{setting}; whether a way to AWS leads from there, EC2 knows"),
        (failed, _) => format!(
            "{setting}, and {} for want of a way to AWS",
            count_failed(failed)
        ),
    };
    let verdict = if failed == 0 {
        Verdict::CannotTell
    } else {
        Verdict::Fault
    };
    finding(check, verdict, &facts.service, evidence)
        .fix(fix)
        .run(commands)
}

/// The questions to EC2 that settle whether there is a way.
fn network_commands(
    facts: &Facts,
    network: &Network,
    secrets: bool,
    parameters: bool,
) -> Vec<String> {
    let region = &facts.home.region;
    let ask = |what: &str| format!("aws ec2 describe-{what} --region {region} --output yaml");
    let mut commands = Vec::new();
    if !network.subnets.is_empty() {
        commands.push(ask(&format!(
            "route-tables --filters Name=association.subnet-id,Values={} --query \
             'RouteTables[].Routes[].[DestinationCidrBlock,GatewayId,NatGatewayId,TransitGatewayId]'",
            network.subnets.join(",")
        )));
        commands.push(ask(&format!(
            "subnets --subnet-ids {} --query 'Subnets[].[SubnetId,VpcId,AvailabilityZone]'",
            network.subnets.join(" ")
        )));
    }
    let services = [
        (secrets, "secretsmanager"),
        (parameters, "ssm"),
        (true, "kms"),
    ];
    let services = services.iter().filter(|(wanted, _)| *wanted);
    let services: Vec<_> = services
        .map(|(_, name)| format!("com.amazonaws.{region}.{name}"))
        .collect();
    commands.push(ask(&format!(
        "vpc-endpoints --filters Name=service-name,Values={} --query \
         'VpcEndpoints[].[VpcId,ServiceName,State,PrivateDnsEnabled,SubnetIds,Groups[].GroupId]'",
        services.join(",")
    )));
    if !network.security_groups.is_empty() {
        commands.push(ask(&format!(
            "security-groups --group-ids {} --query 'SecurityGroups[].[GroupId,IpPermissionsEgress]'",
            network.security_groups.join(" ")
        )));
    }
    commands
}

fn count_failed(n: usize) -> String {
    format!("{} failed", count(n, "start"))
}

fn list(ids: &[String], none: &str) -> String {
    if ids.is_empty() {
        none.to_owned()
    } else {
        ids.join(", ")
    }
}
