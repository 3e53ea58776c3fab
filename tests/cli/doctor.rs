//! `doctor` against ministack, which simulates policies by itself.

use aws_config::SdkConfig;
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, ContainerDefinition, LaunchType, NetworkConfiguration, Secret,
};
use serde_json::json;

use crate::emulator::{Emulator, Program};
use crate::process::run;

/// What differs from run to run; what stands for it is as wide.
const FILTERS: [(&str, &str); 2] = [
    (r"secret:prod/db-[0-9a-zA-Z]{6}\b", "secret:prod/db-Ab12Cd"),
    (
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "[version]",
    ),
];

/// A secret, an execution role that may not read it, a task role that may, and a service of them.
async fn unwell(sdk: &SdkConfig) -> String {
    let iam = aws_sdk_iam::Client::new(sdk);
    let ecs = aws_sdk_ecs::Client::new(sdk);
    let secrets = aws_sdk_secretsmanager::Client::new(sdk);
    let made = secrets
        .create_secret()
        .name("prod/db")
        .secret_string(r#"{"password":"hunter2"}"#)
        .send()
        .await
        .unwrap();
    let arn = made.arn.unwrap();
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}},
    ]});
    for role in ["exec", "app"] {
        iam.create_role()
            .role_name(role)
            .assume_role_policy_document(trust.to_string())
            .send()
            .await
            .unwrap();
    }
    let may = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn},
    ]});
    let put = iam
        .put_role_policy()
        .role_name("app")
        .policy_name("read")
        .policy_document(may.to_string());
    put.send().await.unwrap();
    ecs.create_cluster()
        .cluster_name("prod")
        .send()
        .await
        .unwrap();
    let secret = Secret::builder()
        .name("DB_PASSWORD")
        .value_from(format!("{arn}:password::"))
        .build()
        .unwrap();
    let container = ContainerDefinition::builder()
        .name("app")
        .image("busybox")
        .memory(64)
        .secrets(secret)
        .build();
    let definition = ecs
        .register_task_definition()
        .family("api")
        .container_definitions(container);
    let definition = definition.execution_role_arn("arn:aws:iam::000000000000:role/exec");
    definition
        .task_role_arn("arn:aws:iam::000000000000:role/app")
        .send()
        .await
        .unwrap();
    let vpc = AwsVpcConfiguration::builder()
        .subnets("subnet-1")
        .security_groups("sg-1")
        .build()
        .unwrap();
    let network = NetworkConfiguration::builder()
        .awsvpc_configuration(vpc)
        .build();
    let service = ecs
        .create_service()
        .cluster("prod")
        .service_name("api")
        .task_definition("api")
        .desired_count(1);
    service
        .launch_type(LaunchType::Fargate)
        .network_configuration(network)
        .send()
        .await
        .unwrap();
    arn
}

#[tokio::test]
async fn a_missing_permission_is_found_and_the_printed_command_gives_it() {
    let emulator = Emulator::start(Program::Ministack).await;
    let sdk = emulator.account().await.config;
    let arn = unwell(&sdk).await;
    let doctor = |args: &[&str]| run(&emulator.endpoint, &[&["doctor"], args].concat());
    let found = doctor(&["prod/api"]);
    assert_eq!(
        (found.code, found.err.as_str()),
        (Some(2), ""),
        "{}",
        found.out
    );
    assert!(!found.out.contains("hunter2"));
    insta::with_settings!({filters => FILTERS}, { insta::assert_snapshot!("doctor", found.text()) });

    let found = doctor(&["prod/api", "--output", "json"]);
    let diagnosis = found.json();
    assert_eq!(
        (found.code, &diagnosis["faults"]),
        (Some(2), &json!(1)),
        "{diagnosis:#}"
    );
    let fault = &diagnosis["examined"][0]["findings"][0];
    let is = (&fault["check"], &fault["verdict"], &fault["subject"]);
    assert_eq!(is, (&json!("permission"), &json!("fault"), &json!(arn)));
    assert!(
        fault["evidence"]
            .as_str()
            .unwrap()
            .contains("the two were mistaken"),
        "{fault}"
    );

    // The command, done by hand.
    let command = fault["commands"][0].as_str().unwrap();
    let (head, document) = command.split_once(" --policy-document ").unwrap();
    assert!(
        head.starts_with("aws iam put-role-policy --role-name exec --policy-name "),
        "{command}"
    );
    let iam = aws_sdk_iam::Client::new(&sdk);
    let put = iam.put_role_policy().role_name("exec").policy_name("read");
    put.policy_document(document.trim_matches('\''))
        .send()
        .await
        .unwrap();
    let found = doctor(&["--secret", "prod/db"]);
    assert_eq!(found.code, Some(0), "{}", found.text());
    assert!(
        found
            .out
            .contains("CANNOT TELL json-key of app: DB_PASSWORD"),
        "{}",
        found.out
    );

    aws_sdk_secretsmanager::Client::new(&sdk)
        .delete_secret()
        .secret_id("prod/db")
        .send()
        .await
        .unwrap();
    let ecs = aws_sdk_ecs::Client::new(&sdk);
    let tasks = ecs.list_tasks().cluster("prod").send().await.unwrap();
    let reason = "ResourceInitializationError: unable to pull secrets or registry auth: InvalidRequestException: You can't \
                  perform this operation on the secret because it was marked for deletion.";
    ecs.stop_task()
        .cluster("prod")
        .task(&tasks.task_arns()[0])
        .reason(reason)
        .send()
        .await
        .unwrap();
    let found = doctor(&["--secret", &arn]);
    assert_eq!(found.code, Some(2), "{}", found.text());
    for part in [
        "FAULT stopped-tasks",
        "FAULT secret of",
        "aws secretsmanager restore-secret --region eu-west-1 --secret-id",
    ] {
        assert!(found.out.contains(part), "{part}: {}", found.text());
    }
}

#[tokio::test]
async fn what_does_not_exist_is_said_in_one_sentence() {
    let emulator = Emulator::start(Program::Ministack).await;
    emulator.account().await.make_cluster("prod").await;
    let doctor = |args: &[&str]| run(&emulator.endpoint, &[&["doctor"], args].concat());
    for (args, code, said) in [
        (
            &["prod/none"] as &[&str],
            1,
            "there is no service none in the cluster prod",
        ),
        (&["none"], 1, "use <cluster>/<service>, or its ARN"),
        (&[], 1, "required"),
        (
            &["prod/api", "--secret", "prod/db"],
            1,
            "cannot be used with",
        ),
        (
            &["--secret", "prod/none"],
            2,
            "no service in scope names prod/none",
        ),
        (
            &["--secret", "prod/none"],
            2,
            "there is no such secret in eu-west-1",
        ),
    ] {
        let done = doctor(args);
        assert_eq!(done.code, Some(code), "{}", done.text());
        assert!(done.text().contains(said), "{said}: {}", done.text());
    }
}
