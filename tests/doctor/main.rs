//! The doctor against the simulated AWS: each fault planted once, by itself, in an account where all else is well.

#![expect(
    clippy::unwrap_used,
    clippy::pedantic,
    reason = "a test may panic, and is brief"
)]

use redeploy_core::config::MappedService;
#[path = "../simulation/mod.rs"]
#[expect(dead_code, reason = "the tests of the library need more of it")]
mod simulation;

use redeploy_on_rotation_cli::doctor::{Check, Finding, Verdict, examine, examine_secret};
use redeploy_on_rotation_cli::operator::Gatherer;
use serde_json::{Value, json};

use crate::simulation::account::{ACCOUNT, FakeAws, Fault, REGION};
use crate::simulation::wire::Wire;

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-Ab12Cd";
const PARTIAL: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db";
const PARAMETER: &str = "arn:aws:ssm:eu-west-1:123456789012:parameter/app/limit";
const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const TASK_DEFINITION: &str = "arn:aws:ecs:eu-west-1:123456789012:task-definition/api:1";
const READ: &str = "secretsmanager:GetSecretValue";

/// A healthy account: a secret, a parameter, a role that may read both, and a service on Fargate that does.
fn healthy() -> FakeAws {
    let mut world = FakeAws::new();
    world.make_secret("prod/db");
    world
        .parameters
        .insert("/app/limit".to_owned(), world.now());
    let role = world
        .identity
        .make_role("exec", &[(READ, SECRET), ("ssm:GetParameters", PARAMETER)]);
    world.make_service_of(
        "api",
        definition(&[SECRET, "/app/limit"], Some(&role), None),
    );
    world.details.insert(
        service_arn(),
        json!({"launchType": "FARGATE", "platformVersion": "1.4.0"}),
    );
    world
}

fn service_arn() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/api")
}

fn definition(value_from: &[&str], execution_role: Option<&str>, task_role: Option<&str>) -> Value {
    let secrets: Vec<_> = value_from
        .iter()
        .enumerate()
        .map(|(n, text)| json!({"name": format!("S{n}"), "valueFrom": text}))
        .collect();
    json!({
        "taskDefinitionArn": TASK_DEFINITION, "executionRoleArn": execution_role, "taskRoleArn": task_role,
        "containerDefinitions": [{"name": "app", "secrets": secrets}],
    })
}

fn use_definition(world: &mut FakeAws, definition: Value) {
    world
        .task_definitions
        .insert(TASK_DEFINITION.to_owned(), definition);
}

fn stop_task(world: &mut FakeAws, reason: &str) {
    let (n, at) = (
        world.stopped.len(),
        world.now().as_millisecond() as f64 / 1000.0,
    );
    let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/prod/{n:032x}");
    let task = json!({"taskArn": arn, "stoppedAt": at, "stopCode": "TaskFailedToStart", "stoppedReason": reason});
    world.stopped.insert(arn, task);
}

async fn examined(world: FakeAws) -> Vec<Finding> {
    let wire = Wire::new(world);
    let aws = wire.clients();
    let service = MappedService {
        cluster: "prod".to_owned(),
        service: "api".to_owned(),
    };
    examine(
        &Gatherer::new(&aws, &wire.sdk_config())
            .service(&service, None)
            .await
            .unwrap(),
    )
}

/// Everything that is not well, as check, verdict and subject.
fn unwell(findings: &[Finding]) -> Vec<(Check, Verdict, &str)> {
    let unwell = findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Ok);
    unwell
        .map(|finding| (finding.check, finding.verdict, finding.subject.as_str()))
        .collect()
}

/// Plants one thing and expects one finding, whose evidence, fix and commands hold these words.
async fn check(
    plant: impl FnOnce(&mut FakeAws),
    check: Check,
    verdict: Verdict,
    subject: &str,
    words: &[&str],
) -> Finding {
    let mut world = healthy();
    plant(&mut world);
    let findings = examined(world).await;
    assert_eq!(
        unwell(&findings),
        [(check, verdict, subject)],
        "{findings:#?}"
    );
    let finding = findings.into_iter().next().unwrap();
    let text = format!(
        "{} {} {}",
        finding.evidence,
        finding.fix.as_deref().unwrap_or_default(),
        finding.commands.join(" ")
    );
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
    finding
}

#[tokio::test(start_paused = true)]
async fn nothing_is_wrong_with_a_healthy_service() {
    let findings = examined(healthy()).await;
    assert_eq!(unwell(&findings), []);
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    for expected in [
        Check::StoppedTasks,
        Check::Reference,
        Check::Secret,
        Check::Version,
        Check::Parameter,
        Check::ExecutionRole,
        Check::Trust,
        Check::Permission,
        Check::PlatformVersion,
        Check::Network,
    ] {
        assert!(checks.contains(&expected), "{expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_ecs_cannot_read_is_a_fault() {
    let text = format!("{SECRET}:password");
    let plant = |world: &mut FakeAws| {
        use_definition(
            world,
            definition(&[SECRET, &text], Some(&role("exec")), None),
        )
    };
    check(
        plant,
        Check::Reference,
        Verdict::Fault,
        "app: S1",
        &["all three colons", ":password"],
    )
    .await;
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/service/{name}")
}

#[tokio::test(start_paused = true)]
async fn a_doubled_slash_in_a_parameter_is_a_doubt() {
    let text = PARAMETER.replace("parameter/", "parameter//");
    let plant = |world: &mut FakeAws| {
        let may = [
            ("ssm:GetParameters", text.as_str()),
            ("ssm:GetParameters", PARAMETER),
        ];
        world.identity.make_role("exec", &may);
        use_definition(world, definition(&[&text], Some(&role("exec")), None));
    };
    let words = ["two slashes", PARAMETER];
    check(plant, Check::Reference, Verdict::Warning, "app: S0", &words).await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_was_deregistered_is_a_fault() {
    let plant = |world: &mut FakeAws| world.inactive.extend([TASK_DEFINITION.to_owned()]);
    let words = [
        "INACTIVE",
        "--family-prefix api",
        "--service api --task-definition api",
    ];
    let check_definition = Check::TaskDefinition;
    check(
        plant,
        check_definition,
        Verdict::Fault,
        TASK_DEFINITION,
        &words,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_parameter_of_a_credential_specification_is_examined_like_any_other() {
    let gone = "arn:aws:ssm:eu-west-1:123456789012:parameter/gmsa/spec";
    let plant = |world: &mut FakeAws| {
        world
            .identity
            .make_role("exec", &[("ssm:GetParameters", gone)]);
        let mut definition = definition(&[], Some(&role("exec")), None);
        definition["containerDefinitions"][0]["credentialSpecs"] =
            json!([format!("credentialspecdomainless:{gone}")]);
        use_definition(world, definition);
    };
    let words = ["no such parameter"];
    check(
        plant,
        Check::Parameter,
        Verdict::Fault,
        "/gmsa/spec",
        &words,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_does_not_exist_is_a_fault() {
    let gone = SECRET.replace("prod/db-Ab12Cd", "prod/gone-Ab12Cd");
    let findings = {
        let mut world = healthy();
        use_definition(&mut world, definition(&[&gone], Some(&role("exec")), None));
        examined(world).await
    };
    assert!(
        unwell(&findings).contains(&(Check::Secret, Verdict::Fault, gone.as_str())),
        "{findings:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_made_again_is_named_with_its_new_arn() {
    let old = SECRET.replace("Ab12Cd", "Zz99Zz");
    let mut world = healthy();
    let may = world.identity.make_role("exec", &[(READ, &old)]);
    use_definition(&mut world, definition(&[&old], Some(&may), None));
    let findings = examined(world).await;
    assert_eq!(
        unwell(&findings),
        [(Check::Secret, Verdict::Fault, old.as_str())],
        "{findings:#?}"
    );
    assert!(
        findings[0].evidence.contains("made again")
            && findings[0].fix.as_ref().unwrap().contains(SECRET)
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_scheduled_for_deletion_is_a_fault() {
    let plant = |world: &mut FakeAws| {
        drop(
            world
                .details
                .insert(SECRET.to_owned(), json!({"DeletedDate": 1_790_000_000})),
        )
    };
    check(
        plant,
        Check::Secret,
        Verdict::Fault,
        SECRET,
        &["scheduled for deletion", "restore-secret", SECRET],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_label_that_no_version_has_is_a_fault() {
    let text = format!("{SECRET}::BLUE:");
    let plant = |world: &mut FakeAws| {
        use_definition(world, definition(&[&text], Some(&role("exec")), None))
    };
    check(
        plant,
        Check::Version,
        Verdict::Fault,
        "app: S0",
        &["BLUE", "AWSCURRENT"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_exist_is_a_fault_and_one_without_a_label_a_warning() {
    let missing = "4d383ea9-084a-49c9-8722-cbfb0f25c456";
    let text = format!("{SECRET}:::{missing}");
    let plant = |world: &mut FakeAws| {
        use_definition(world, definition(&[&text], Some(&role("exec")), None))
    };
    check(
        plant,
        Check::Version,
        Verdict::Fault,
        "app: S0",
        &["there is no version", missing],
    )
    .await;

    let plant = |world: &mut FakeAws| {
        let old = world.version("prod/db", "AWSCURRENT");
        world.put_value("prod/db");
        world.put_value("prod/db");
        use_definition(
            world,
            definition(&[&format!("{SECRET}:::{old}")], Some(&role("exec")), None),
        );
    };
    check(
        plant,
        Check::Version,
        Verdict::Warning,
        "app: S0",
        &["no label"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_json_key_cannot_be_told_until_a_task_stops_for_want_of_it() {
    let text = format!("{SECRET}:password::");
    let plant = |world: &mut FakeAws| {
        use_definition(world, definition(&[&text], Some(&role("exec")), None))
    };
    check(
        plant,
        Check::JsonKey,
        Verdict::CannotTell,
        "app: S0",
        &["password", "jq keys"],
    )
    .await;

    let mut world = healthy();
    use_definition(&mut world, definition(&[&text], Some(&role("exec")), None));
    stop_task(
        &mut world,
        "retrieved secret from Secrets Manager did not contain json key password",
    );
    let findings = examined(world).await;
    let faults: Vec<_> = unwell(&findings)
        .into_iter()
        .map(|(check, verdict, _)| (check, verdict))
        .collect();
    assert_eq!(
        faults,
        [
            (Check::StoppedTasks, Verdict::Fault),
            (Check::JsonKey, Verdict::Fault)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_partial_arn_is_well_until_it_looks_like_a_full_one() {
    let mut world = healthy();
    let may = world.identity.make_role("exec", &[(READ, PARTIAL)]);
    use_definition(&mut world, definition(&[PARTIAL], Some(&may), None));
    let findings = examined(world).await;
    assert_eq!(unwell(&findings), []);
    assert!(
        findings
            .iter()
            .any(|finding| finding.check == Check::PartialArn && finding.evidence.contains(SECRET))
    );

    let partial = PARTIAL.replace("prod/db", "prod/db-backup");
    let plant = |world: &mut FakeAws| {
        world.make_secret("prod/db-backup");
        let may = world.identity.make_role("exec", &[(READ, &partial)]);
        use_definition(world, definition(&[&partial], Some(&may), None));
    };
    check(
        plant,
        Check::PartialArn,
        Verdict::Warning,
        &partial,
        &["six characters", "prod/db-backup-Ab12Cd"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_for_the_full_arn_does_not_allow_the_partial_one() {
    let plant = |world: &mut FakeAws| {
        use_definition(world, definition(&[PARTIAL], Some(&role("exec")), None))
    };
    let words = ["allowed on the full ARN", SECRET, "put-role-policy"];
    check(plant, Check::Permission, Verdict::Fault, PARTIAL, &words).await;
}

#[tokio::test(start_paused = true)]
async fn a_parameter_that_does_not_exist_is_a_fault_and_may_be_a_secret_by_mistake() {
    for (name, words) in [
        ("/app/none", vec!["no such parameter"]),
        ("prod/db", vec!["bare name", SECRET]),
    ] {
        let mut world = healthy();
        let arn = format!(
            "arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{}",
            name.trim_start_matches('/')
        );
        let may = world
            .identity
            .make_role("exec", &[("ssm:GetParameters", &arn)]);
        use_definition(&mut world, definition(&[name], Some(&may), None));
        let findings = examined(world).await;
        let subject = format!("/{}", name.trim_start_matches('/'));
        assert_eq!(
            unwell(&findings),
            [(Check::Parameter, Verdict::Fault, subject.as_str())],
            "{findings:#?}"
        );
        let text = format!("{} {:?}", findings[0].evidence, findings[0].fix);
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_definition_without_an_execution_role_is_a_fault() {
    let task_role = role("app");
    let plant =
        |world: &mut FakeAws| use_definition(world, definition(&[SECRET], None, Some(&task_role)));
    check(
        plant,
        Check::ExecutionRole,
        Verdict::Fault,
        TASK_DEFINITION,
        &["executionRoleArn", &task_role],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_execution_role_that_does_not_exist_is_a_fault() {
    let gone = role("gone");
    let plant =
        |world: &mut FakeAws| use_definition(world, definition(&[SECRET], Some(&gone), None));
    check(
        plant,
        Check::ExecutionRole,
        Verdict::Fault,
        &gone,
        &["no such role"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_role_that_ecs_may_not_take_on_is_a_fault() {
    let exec = role("exec");
    let plant = |world: &mut FakeAws| {
        let role = world.identity.0.get_mut(&role("exec")).unwrap();
        role.trust["Statement"][0]["Principal"]["Service"] = json!(["ecs.amazonaws.com"]);
    };
    check(
        plant,
        Check::Trust,
        Verdict::Fault,
        &exec,
        &["ecs-tasks.amazonaws.com", "update-assume-role-policy"],
    )
    .await;

    let plant = |world: &mut FakeAws| {
        let role = world.identity.0.get_mut(&role("exec")).unwrap();
        role.trust["Statement"][0]["Condition"] =
            json!({"StringEquals": {"aws:SourceAccount": ACCOUNT}});
    };
    check(
        plant,
        Check::Trust,
        Verdict::CannotTell,
        &exec,
        &["aws:SourceAccount"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_a_fault_with_the_command_that_gives_it() {
    let plant = |world: &mut FakeAws| {
        drop(
            world
                .identity
                .make_role("exec", &[("ssm:GetParameters", PARAMETER)]),
        )
    };
    let words = [
        READ,
        "app: S0",
        "aws iam put-role-policy --role-name exec",
        SECRET,
    ];
    check(plant, Check::Permission, Verdict::Fault, SECRET, &words).await;

    let plant = |world: &mut FakeAws| drop(world.identity.make_role("exec", &[(READ, SECRET)]));
    check(
        plant,
        Check::Permission,
        Verdict::Fault,
        PARAMETER,
        &["ssm:GetParameters", "app: S1"],
    )
    .await;

    let plant = |world: &mut FakeAws| {
        let role = world.identity.0.get_mut(&role("exec")).unwrap();
        role.denied.insert((READ.to_owned(), SECRET.to_owned()));
    };
    let finding = check(
        plant,
        Check::Permission,
        Verdict::Fault,
        SECRET,
        &["a policy denies", "permissions boundary"],
    )
    .await;
    assert_eq!(
        finding.commands, [""; 0],
        "allowing it once more changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn the_task_role_taken_for_the_execution_role_is_said() {
    let app = role("app");
    let plant = |world: &mut FakeAws| {
        world.identity.make_role("exec", &[]);
        world.identity.make_role("app", &[(READ, SECRET)]);
        use_definition(
            world,
            definition(&[SECRET], Some(&role("exec")), Some(&app)),
        );
    };
    check(
        plant,
        Check::Permission,
        Verdict::Fault,
        SECRET,
        &["the task role", &app, "mistaken"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_key_of_ones_own_needs_a_permission_of_its_own() {
    let key = |key: &str| json!({"KmsKeyId": key});
    for name in [KEY, KEY.rsplit('/').next().unwrap()] {
        let plant = |world: &mut FakeAws| drop(world.details.insert(SECRET.to_owned(), key(name)));
        check(
            plant,
            Check::Decrypt,
            Verdict::Fault,
            KEY,
            &["kms:Decrypt", "the key's own policy"],
        )
        .await;
    }
    let plant =
        |world: &mut FakeAws| drop(world.details.insert(SECRET.to_owned(), key("alias/mine")));
    check(
        plant,
        Check::Decrypt,
        Verdict::CannotTell,
        "alias/mine",
        &["aws kms describe-key --key-id alias/mine"],
    )
    .await;
    let mut world = healthy();
    world
        .details
        .insert(SECRET.to_owned(), key("alias/aws/secretsmanager"));
    world.details.insert(
        "/app/limit".to_owned(),
        json!({"Type": "SecureString", "KeyId": "alias/aws/ssm"}),
    );
    assert_eq!(unwell(&examined(world).await), []);
    let parameter = json!({"Type": "SecureString", "KeyId": KEY});
    let plant =
        |world: &mut FakeAws| drop(world.details.insert("/app/limit".to_owned(), parameter));
    check(plant, Check::Decrypt, Verdict::Fault, KEY, &["app: S1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_through_parameter_store_needs_both_permissions() {
    let through = "/aws/reference/secretsmanager/prod/db";
    let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{through}");
    let plant = |world: &mut FakeAws| {
        world.identity.make_role("exec", &[(READ, SECRET)]);
        use_definition(world, definition(&[through], Some(&role("exec")), None));
    };
    check(
        plant,
        Check::Permission,
        Verdict::Fault,
        &arn,
        &["ssm:GetParameters"],
    )
    .await;
    let plant = |world: &mut FakeAws| {
        world
            .identity
            .make_role("exec", &[("ssm:GetParameters", &arn)]);
        use_definition(world, definition(&[through], Some(&role("exec")), None));
    };
    check(plant, Check::Permission, Verdict::Fault, SECRET, &[READ]).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_platform_version_is_a_fault() {
    let version = |version: &str| json!({"launchType": "FARGATE", "platformVersion": version});
    let text = format!("{SECRET}:::");
    let on = |at: &str| {
        let at = version(at);
        move |world: &mut FakeAws| drop(world.details.insert(service_arn(), at))
    };
    check(
        on("1.2.0"),
        Check::PlatformVersion,
        Verdict::Fault,
        &service_arn(),
        &["1.3.0", "--platform-version LATEST"],
    )
    .await;
    let mut world = healthy();
    on("1.3.0")(&mut world);
    assert_eq!(unwell(&examined(world).await), []);
    let mut world = healthy();
    on("1.3.0")(&mut world);
    use_definition(&mut world, definition(&[&text], Some(&role("exec")), None));
    assert_eq!(
        unwell(&examined(world).await),
        [],
        "three empty fields ask for nothing"
    );
    let text = format!("{SECRET}::AWSCURRENT:");
    let plant = |world: &mut FakeAws| {
        on("1.3.0")(world);
        use_definition(world, definition(&[&text], Some(&role("exec")), None));
    };
    check(
        plant,
        Check::PlatformVersion,
        Verdict::Fault,
        &service_arn(),
        &["1.4.0"],
    )
    .await;
    let plant = |world: &mut FakeAws| {
        drop(
            world
                .details
                .insert(service_arn(), json!({"launchType": "EC2"})),
        )
    };
    check(
        plant,
        Check::PlatformVersion,
        Verdict::CannotTell,
        &service_arn(),
        &["1.22.0", "describe-container-instances"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_network_is_open_until_a_task_runs_or_fails_for_want_of_it() {
    let network = |running: i32| {
        let vpc = json!({"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"});
        let deployment = json!({
            "id": "ecs-svc/1", "status": "PRIMARY", "createdAt": 1_795_392_000, "taskDefinition": TASK_DEFINITION,
            "runningCount": running,
        });
        json!({
            "launchType": "FARGATE", "platformVersion": "LATEST", "deployments": [deployment],
            "networkConfiguration": {"awsvpcConfiguration": vpc},
        })
    };
    let commands = [
        "without a public IP",
        "nat-",
        "describe-route-tables --filters Name=association.subnet-id,Values=subnet-1,subnet-2",
        "com.amazonaws.eu-west-1.secretsmanager,com.amazonaws.eu-west-1.ssm",
        "describe-security-groups --group-ids sg-1",
    ];
    let plant = |world: &mut FakeAws| drop(world.details.insert(service_arn(), network(0)));
    check(
        plant,
        Check::Network,
        Verdict::CannotTell,
        &service_arn(),
        &commands,
    )
    .await;
    let mut world = healthy();
    world.details.insert(service_arn(), network(2));
    assert_eq!(unwell(&examined(world).await), []);

    let mut world = healthy();
    world.details.insert(service_arn(), network(0));
    stop_task(
        &mut world,
        "ResourceInitializationError: unable to pull secrets or registry auth: dial tcp 52.1.1.1:443: i/o timeout",
    );
    let findings = examined(world).await;
    let faults: Vec<_> = unwell(&findings)
        .into_iter()
        .map(|(check, verdict, _)| (check, verdict))
        .collect();
    assert_eq!(
        faults,
        [
            (Check::StoppedTasks, Verdict::Fault),
            (Check::Network, Verdict::Fault)
        ]
    );

    let mut world = healthy();
    world.details.insert(service_arn(), network(0));
    stop_task(
        &mut world,
        "AccessDeniedException: Access to KMS is not allowed",
    );
    let findings = examined(world).await;
    let well = findings
        .iter()
        .find(|finding| finding.check == Check::Network)
        .unwrap();
    assert_eq!(well.verdict, Verdict::Ok, "who was refused has reached it");
}

#[tokio::test(start_paused = true)]
async fn stopped_tasks_are_told_once_for_each_cause() {
    let mut world = healthy();
    for request in ["a", "b", "c"] {
        stop_task(
            &mut world,
            &format!("AccessDeniedException: Access to KMS is not allowed, request {request}"),
        );
    }
    stop_task(&mut world, "CannotPullContainerError: pull access denied");
    stop_task(&mut world, "Something new");
    let findings = examined(world).await;
    let told: Vec<_> = findings
        .iter()
        .filter(|finding| finding.check == Check::StoppedTasks)
        .collect();
    assert_eq!(
        told.iter()
            .map(|finding| finding.verdict)
            .collect::<Vec<_>>(),
        [Verdict::Fault, Verdict::Fault, Verdict::Warning]
    );
    assert!(told[1].evidence.contains("3 tasks stopped"), "{told:#?}");
    assert!(told[2].evidence.contains("Something new"));
}

#[tokio::test(start_paused = true)]
async fn what_stopped_before_the_present_deployment_is_a_warning() {
    let mut world = healthy();
    stop_task(&mut world, "ThrottlingException: Rate exceeded");
    world.stopped.values_mut().next().unwrap()["stoppedAt"] = json!(1_700_000_000);
    let findings = examined(world).await;
    assert_eq!(
        unwell(&findings)
            .iter()
            .map(|(_, verdict, _)| *verdict)
            .collect::<Vec<_>>(),
        [Verdict::Warning]
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_service_tells_what_no_task_shows_any_more() {
    let plant = |world: &mut FakeAws| {
        let at = world.now().as_millisecond() as f64 / 1000.0 + 1.0;
        let reason = "(service api) was unable to place a task. Reason: ResourceInitializationError: unable to pull secrets \
                      or registry auth: ... Secrets Manager can't find the specified secret.";
        world.details.get_mut(&service_arn()).unwrap()["events"] = json!([{"id": "1", "createdAt": at, "message": reason}, {"id": "0", "createdAt": 1_700_000_000, "message": reason}]);
    };
    check(
        plant,
        Check::StoppedTasks,
        Verdict::Fault,
        &service_arn(),
        &["service said at", "no such secret"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_looked_at_is_left_open_and_names_its_action() {
    for (operation, action, checks) in [
        (
            "DescribeSecret",
            "secretsmanager:DescribeSecret",
            vec![Check::Secret],
        ),
        (
            "DescribeParameters",
            "ssm:DescribeParameters",
            vec![Check::Parameter],
        ),
        ("GetRole", "iam:GetRole", vec![Check::ExecutionRole]),
        (
            "SimulatePrincipalPolicy",
            "iam:SimulatePrincipalPolicy",
            vec![Check::Permission, Check::Permission],
        ),
        ("ListTasks", "ecs:ListTasks", vec![Check::StoppedTasks]),
        (
            "DescribeTaskDefinition",
            "ecs:DescribeTaskDefinition",
            vec![Check::TaskDefinition],
        ),
    ] {
        let mut world = healthy();
        world.fail_next(operation, &[Fault::Refused("AccessDeniedException"); 4]);
        let findings = examined(world).await;
        let open: Vec<_> = findings
            .iter()
            .filter(|finding| finding.verdict != Verdict::Ok)
            .collect();
        assert!(
            open.iter()
                .all(|finding| finding.verdict == Verdict::CannotTell
                    && finding.evidence.contains(action)),
            "{open:#?}"
        );
        assert_eq!(
            open.iter().map(|finding| finding.check).collect::<Vec<_>>(),
            checks,
            "{operation}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_only_the_call_itself_meets_is_left_open() {
    let mut world = healthy();
    let role = world.identity.0.get_mut(&role("exec")).unwrap();
    role.allowed.clear();
    role.condition = Some("aws:ResourceTag/team");
    let findings = examined(world).await;
    let permissions: Vec<_> = findings
        .iter()
        .filter(|finding| finding.check == Check::Permission)
        .collect();
    assert!(!permissions.is_empty());
    for finding in permissions {
        assert_eq!(finding.verdict, Verdict::CannotTell, "{finding:#?}");
        assert!(
            finding.evidence.contains("aws:ResourceTag/team"),
            "{finding:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_of_the_doctor_could_return_a_value() {
    let mut world = healthy();
    stop_task(&mut world, "ThrottlingException: Rate exceeded");
    let wire = Wire::new(world);
    let service = MappedService {
        cluster: "prod".to_owned(),
        service: "api".to_owned(),
    };
    Gatherer::new(&wire.clients(), &wire.sdk_config())
        .service(&service, None)
        .await
        .unwrap();
    let world = wire.account();
    let mut called: Vec<_> = world
        .calls
        .iter()
        .map(|(operation, _)| operation.as_str())
        .collect();
    called.sort_unstable();
    called.dedup();
    let expected = [
        "DescribeParameters",
        "DescribeSecret",
        "DescribeServices",
        "DescribeTaskDefinition",
        "DescribeTasks",
        "GetRole",
        "ListTasks",
        "SimulatePrincipalPolicy",
    ];
    assert_eq!(called, expected);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_exist_is_an_error() {
    let wire = Wire::new(healthy());
    let service = MappedService {
        cluster: "prod".to_owned(),
        service: "none".to_owned(),
    };
    let error = Gatherer::new(&wire.clients(), &wire.sdk_config())
        .service(&service, None)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no service none in the cluster prod"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_examined_through_the_services_that_name_it_or_else_by_itself() {
    let mut world = healthy();
    world.make_service("other", "/app/limit");
    world.make_secret("lonely");
    world.details.insert(
        SECRET.replace("prod/db", "lonely"),
        json!({"DeletedDate": 1_790_000_000}),
    );
    let wire = Wire::new(world);
    let aws = wire.clients();
    let gatherer = Gatherer::new(&aws, &wire.sdk_config());
    let config = redeploy_core::config::Config::from_vars([]).unwrap();
    let now = jiff::Timestamp::now();
    let look = aws.look(&config, now, false, || now).await.unwrap();
    for secret in [
        "prod/db",
        PARTIAL,
        SECRET,
        &SECRET.replace("Ab12Cd", "Zz99Zz"),
    ] {
        let services = Gatherer::services_of(&look, secret);
        assert_eq!(
            services,
            [MappedService {
                cluster: "prod".to_owned(),
                service: "api".to_owned()
            }],
            "{secret}"
        );
        let facts = gatherer.service(&services[0], Some(secret)).await.unwrap();
        let findings = examine(&facts);
        assert!(
            findings
                .iter()
                .all(|finding| finding.check != Check::Parameter),
            "the parameter is another matter"
        );
        assert!(
            findings
                .iter()
                .any(|finding| finding.check == Check::Secret)
        );
    }
    assert_eq!(Gatherer::services_of(&look, "prod"), []);
    assert_eq!(Gatherer::services_of(&look, "lonely"), []);
    for (secret, evidence) in [
        ("lonely", "scheduled for deletion"),
        ("none", "there is no such secret in eu-west-1"),
    ] {
        let (place, secrets) = gatherer.secret(secret).await;
        let findings = examine_secret(&place, &secrets);
        assert_eq!(findings[0].verdict, Verdict::Fault);
        assert!(findings[0].evidence.contains(evidence), "{findings:#?}");
    }
}
