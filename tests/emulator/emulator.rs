//! An emulator as a process on loopback, and an empty account of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ecs::config::Credentials;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// The root of the repository, whichever of its packages is tested.
fn root() -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file())
        .unwrap()
        .to_owned()
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    Ministack,
    Moto,
}

/// Ends with its value.
pub(crate) struct Emulator {
    pub(crate) endpoint: String,
    process: Child,
}

/// The parts of an account that the tests change.
pub(crate) struct Account {
    pub(crate) ecs: aws_sdk_ecs::Client,
    secrets: aws_sdk_secretsmanager::Client,
    pub(crate) config: SdkConfig,
}

pub(crate) async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

impl Emulator {
    pub(crate) async fn start(program: Program) -> Self {
        let port = free_port().await;
        let bin = root().join(".venv/bin");
        let mut command = match program {
            Program::Ministack => {
                let mut command = Command::new(bin.join("ministack"));
                command
                    .env("GATEWAY_PORT", port.to_string())
                    .env("BIND_HOST", "127.0.0.1")
                    // Or it serves MQTT and SFTP on every address.
                    .env("IOT_MTLS_ENABLED", "0")
                    .env("SFTP_ENABLED", "0");
                command
            }
            Program::Moto => {
                let mut command = Command::new(bin.join("moto_server"));
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                command
            }
        };
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let process = command
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: run `make .venv` first"));
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Self {
                    endpoint: format!("http://127.0.0.1:{port}"),
                    process,
                };
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{program:?} does not listen on {port}");
    }

    /// The addresses on which the process listens, as `/proc/net/tcp` writes them.
    pub(crate) fn listens_on(&self) -> Vec<String> {
        let process = PathBuf::from(format!("/proc/{}", self.process.id().unwrap()));
        let open = std::fs::read_dir(process.join("fd")).unwrap();
        let open: Vec<_> = open
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let is_its = |inode: &str| {
            open.iter()
                .any(|target| target.as_os_str() == format!("socket:[{inode}]").as_str())
        };
        let read = |table| std::fs::read_to_string(process.join(table)).unwrap();
        let tables = [read("net/tcp"), read("net/tcp6")].concat();
        let rows = tables
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        // The second column is the own address, the fourth the state, 0A for listening.
        rows.filter(|row| row[3] == "0A" && is_its(row[9]))
            .map(|row| row[1].to_owned())
            .collect()
    }

    pub(crate) async fn account(&self) -> Account {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&self.endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .load()
            .await;
        let ecs = aws_sdk_ecs::Client::new(&config);
        Account {
            ecs,
            secrets: aws_sdk_secretsmanager::Client::new(&config),
            config,
        }
    }
}

impl Account {
    pub(crate) async fn make_cluster(&self, name: &str) {
        self.ecs
            .create_cluster()
            .cluster_name(name)
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn make_secret(&self, name: &str) -> String {
        let made = self
            .secrets
            .create_secret()
            .name(name)
            .secret_string("{\"password\":\"old\"}")
            .send()
            .await
            .unwrap();
        made.arn.unwrap()
    }

    pub(crate) async fn put_value(&self, name: &str) {
        self.secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string("new")
            .send()
            .await
            .unwrap();
    }

    /// Stores a version as the first step of a rotation does, and gives its id.
    pub(crate) async fn put_pending(&self, name: &str) -> String {
        let put = self
            .secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string("next");
        put.version_stages("AWSPENDING")
            .send()
            .await
            .unwrap()
            .version_id
            .unwrap()
    }

    /// The same, under an id that the caller chose.
    pub(crate) async fn put_pending_as(&self, name: &str, version: &str) {
        let put = self
            .secrets
            .put_secret_value()
            .secret_id(name)
            .secret_string("next")
            .client_request_token(version);
        put.version_stages("AWSPENDING").send().await.unwrap();
    }

    /// The version that carries a label.
    pub(crate) async fn version(&self, name: &str, label: &str) -> String {
        let secret = self
            .secrets
            .describe_secret()
            .secret_id(name)
            .send()
            .await
            .unwrap();
        let mut versions = secret.version_ids_to_stages.unwrap().into_iter();
        versions
            .find(|(_, labels)| labels.iter().any(|on| on == label))
            .unwrap()
            .0
    }

    /// Makes a version AWSCURRENT, and gives the one that was.
    pub(crate) async fn promote(&self, name: &str, version: &str) -> String {
        let current = self.version(name, "AWSCURRENT").await;
        let call = self
            .secrets
            .update_secret_version_stage()
            .secret_id(name)
            .version_stage("AWSCURRENT");
        call.move_to_version_id(version)
            .remove_from_version_id(&current)
            .send()
            .await
            .unwrap();
        current
    }

    pub(crate) async fn describe_secret_anew(&self, name: &str) {
        self.secrets
            .update_secret()
            .secret_id(name)
            .description("new")
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn scale_to_zero(&self, cluster: &str, service: &str) {
        self.ecs
            .update_service()
            .cluster(cluster)
            .service(service)
            .desired_count(0)
            .send()
            .await
            .unwrap();
    }

    pub(crate) async fn deploy(&self, cluster: &str, service: &str) {
        self.ecs
            .update_service()
            .cluster(cluster)
            .service(service)
            .force_new_deployment(true)
            .send()
            .await
            .unwrap();
    }

    /// The id of a service's PRIMARY deployment.
    pub(crate) async fn primary(&self, cluster: &str, service: &str) -> String {
        let answer = self
            .ecs
            .describe_services()
            .cluster(cluster)
            .services(service)
            .send()
            .await
            .unwrap();
        let deployments = answer.services()[0].deployments();
        deployments
            .iter()
            .find(|d| d.status() == Some("PRIMARY"))
            .unwrap()
            .id()
            .unwrap()
            .to_owned()
    }

    /// The id of each service's PRIMARY deployment.
    pub(crate) async fn deployments(&self) -> BTreeMap<String, String> {
        let listed = self
            .ecs
            .list_services()
            .cluster("prod")
            .max_results(100)
            .send()
            .await
            .unwrap();
        let call = self
            .ecs
            .describe_services()
            .cluster("prod")
            .set_services(listed.service_arns);
        let services = call.send().await.unwrap().services.unwrap();
        let primary = |service: aws_sdk_ecs::types::Service| {
            let deployment = service
                .deployments()
                .iter()
                .find(|d| d.status() == Some("PRIMARY"))
                .unwrap();
            (
                service.service_name().unwrap().to_owned(),
                deployment.id().unwrap().to_owned(),
            )
        };
        services.into_iter().map(primary).collect()
    }
}
