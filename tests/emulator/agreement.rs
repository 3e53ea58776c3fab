//! The simulated AWS compared with the emulators: the same calls, the same answers, for all operations that they share.
//!
//! Where an emulator is known to differ from AWS, the difference stands here, so that it is noticed when it goes.

use aws_config::SdkConfig;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::{ServiceField, Tag};
use aws_sdk_resourcegroupstagging::types::TagFilter;

use crate::container;
use crate::emulator::{Emulator, Program};
use crate::simulation::account::FakeAws;
use crate::simulation::wire::Wire;

/// Where an emulator differs: what AWS, and so the simulated AWS, says, and what it says.
const MINISTACK_DIFFERS: &[(&str, &str)] = &[(
    "services of no cluster: ClusterNotFoundException",
    "services of no cluster: no error",
)];
const MOTO_DIFFERS: &[(&str, &str)] = &[];

/// What is asked of an account in which `prod/db` was changed once, and the service `api` follows it.
async fn answers(config: &SdkConfig) -> Vec<String> {
    let ecs = aws_sdk_ecs::Client::new(config);
    let secrets = aws_sdk_secretsmanager::Client::new(config);
    let tagging = aws_sdk_resourcegroupstagging::Client::new(config);
    let last = |arn: &str| arn.rsplit([':', '/']).next().unwrap().to_owned();
    let mut said = Vec::new();

    let clusters = ecs.list_clusters().max_results(100).send().await.unwrap();
    said.push(format!(
        "clusters: {:?}",
        clusters
            .cluster_arns()
            .iter()
            .map(|arn| last(arn))
            .collect::<Vec<_>>()
    ));
    let listed = ecs
        .list_services()
        .cluster("prod")
        .max_results(100)
        .send()
        .await
        .unwrap();
    said.push(format!(
        "services: {:?}",
        listed
            .service_arns()
            .iter()
            .map(|arn| last(arn))
            .collect::<Vec<_>>()
    ));
    said.push(format!(
        "services of no cluster: {}",
        code(ecs.list_services().cluster("nowhere").send().await)
    ));

    let describe = async || {
        let call = ecs
            .describe_services()
            .cluster("prod")
            .services("api")
            .services("gone");
        call.include(ServiceField::Tags).send().await.unwrap()
    };
    let described = describe().await;
    let service = &described.services()[0];
    said.push(format!(
        "service: {:?} {:?}",
        service.service_name(),
        service.status()
    ));
    said.push(format!(
        "desired: {}, controller: {:?}",
        service.desired_count(),
        service.deployment_controller().map(|c| c.r#type().clone())
    ));
    said.push(format!(
        "tags: {:?}",
        service
            .tags()
            .iter()
            .map(|tag| (tag.key(), tag.value()))
            .collect::<Vec<_>>()
    ));
    said.push(format!("cluster: {:?}", service.cluster_arn().map(last)));
    said.push(format!(
        "failures: {:?}",
        described
            .failures()
            .iter()
            .map(|f| (f.arn().map(last), f.reason()))
            .collect::<Vec<_>>()
    ));
    let primary = |service: &aws_sdk_ecs::types::Service| {
        let primary: Vec<_> = service
            .deployments()
            .iter()
            .filter(|d| d.status() == Some("PRIMARY"))
            .collect();
        assert_eq!(primary.len(), 1);
        (
            primary[0].id().unwrap().to_owned(),
            *primary[0].created_at().unwrap(),
        )
    };
    let before = primary(service);

    let definition = service.deployments()[0].task_definition().unwrap();
    let definition = ecs
        .describe_task_definition()
        .task_definition(definition)
        .send()
        .await
        .unwrap();
    let containers = definition
        .task_definition()
        .unwrap()
        .container_definitions();
    let named = containers[0].secrets()[0].value_from();
    said.push(format!(
        "valueFrom: {:?}",
        named
            .split(':')
            .skip(6)
            .map(|id| id.split('-').next())
            .collect::<Vec<_>>()
    ));
    let nothing = ecs
        .describe_task_definition()
        .task_definition("nothing:1")
        .send()
        .await;
    said.push(format!("no task definition: {}", code(nothing)));

    // Whole seconds are all that the emulators' times have.
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let call = ecs
        .update_service()
        .cluster("prod")
        .service(service.service_arn().unwrap())
        .force_new_deployment(true);
    let named = primary(&call.send().await.unwrap().service.unwrap());
    let after = primary(&describe().await.services()[0]);
    said.push(format!(
        "a new deployment: {}, named by the answer: {}",
        before.0 != after.0,
        named.0 == after.0
    ));
    said.push(format!(
        "it is newer: {}",
        after.1.as_secs_f64() > before.1.as_secs_f64()
    ));
    let gone = ecs
        .update_service()
        .cluster("prod")
        .service("gone")
        .force_new_deployment(true)
        .send()
        .await;
    said.push(format!("update of no service: {}", code(gone)));

    for id in [
        "prod/db",
        &arn(&secrets).await,
        arn(&secrets).await.rsplit_once('-').unwrap().0,
    ] {
        let secret = secrets
            .describe_secret()
            .secret_id(id)
            .send()
            .await
            .unwrap();
        let labels = secret.version_ids_to_stages().unwrap().values().flatten();
        let mut labels: Vec<_> = labels
            .map(String::as_str)
            .filter(|label| label.starts_with("AWS"))
            .collect();
        labels.sort_unstable();
        said.push(format!(
            "secret: {:?} {labels:?} changed: {}",
            secret.name(),
            secret.last_changed_date().is_some()
        ));
    }
    said.push(format!(
        "no secret: {}",
        code(secrets.describe_secret().secret_id("gone").send().await)
    ));
    let versions = secrets
        .list_secret_version_ids()
        .secret_id("prod/db")
        .send()
        .await
        .unwrap();
    let dated = versions
        .versions()
        .iter()
        .filter(|version| version.created_date().is_some());
    said.push(format!("versions with dates: {}", dated.count()));

    let filter = TagFilter::builder().key("redeploy-on-rotation").build();
    let found = tagging
        .get_resources()
        .resource_type_filters("ecs:service")
        .tag_filters(filter)
        .send()
        .await
        .unwrap();
    let found = found.resource_tag_mapping_list().iter();
    said.push(format!(
        "tagged: {:?}",
        found
            .map(|resource| resource.resource_arn().map(last))
            .collect::<Vec<_>>()
    ));
    said
}

/// The error's code, or that there is none.
fn code<T, E: ProvideErrorMetadata, R>(answer: Result<T, SdkError<E, R>>) -> String {
    answer.map_or_else(
        |error| error.code().unwrap_or("?").to_owned(),
        |_| "no error".to_owned(),
    )
}

async fn arn(secrets: &aws_sdk_secretsmanager::Client) -> String {
    secrets
        .describe_secret()
        .secret_id("prod/db")
        .send()
        .await
        .unwrap()
        .arn
        .unwrap()
}

async fn answers_of(program: Program) -> Vec<String> {
    let emulator = Emulator::start(program).await;
    let account = emulator.account().await;
    let db = account.make_secret("prod/db").await;
    account.put_value("prod/db").await;
    account.make_cluster("prod").await;
    let tag = Tag::builder()
        .key("redeploy-on-rotation")
        .value("prod/db")
        .build();
    account
        .make_service("api", container(&db), 2, tag.value())
        .await;
    answers(&account.config).await
}

#[tokio::test]
async fn the_simulated_aws_answers_as_the_emulators_do() {
    let mut world = FakeAws::new();
    world.quotas.unlimited = true;
    let db = world.make_secret("prod/db");
    world.put_value("prod/db");
    let api = world.make_service("api", &db);
    world.tag(&api, "prod/db");
    let simulated = answers(&Wire::new(world).sdk_config()).await;
    for (program, known) in [
        (Program::Ministack, MINISTACK_DIFFERS),
        (Program::Moto, MOTO_DIFFERS),
    ] {
        let emulated = answers_of(program).await;
        assert_eq!(simulated.len(), emulated.len());
        let differ = simulated
            .iter()
            .zip(&emulated)
            .filter(|(simulated, emulated)| simulated != emulated);
        let differ: Vec<_> = differ
            .map(|(simulated, emulated)| (simulated.as_str(), emulated.as_str()))
            .collect();
        assert_eq!(differ, known, "{program:?}");
    }
}
