//! The places of the API's model in which a secret or a parameter can be named, by the SDK's source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redeploy_core::arn::Arn;
use redeploy_core::facts::Followed;
use redeploy_core::workload::Use;
use serde_json::{Value, json};

use crate::scene::{config, invoke, said};
use crate::simulation::account::FakeAws;
use crate::simulation::wire::Wire;

/// A structure of the model: its fields with their types and what is said of them.
type Structure = Vec<Field>;

struct Field {
    name: String,
    of: String,
    text: String,
}

/// What is on the way from a structure to a place: structures, and the field of each.
type Way<'a> = Vec<(&'a str, &'a Field)>;

/// The structures of the model of Amazon ECS, by name.
fn model() -> BTreeMap<String, Structure> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let sdk = packages
        .iter()
        .find(|package| package["name"] == "aws-sdk-ecs")
        .unwrap();
    let types = Path::new(sdk["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap()
        .join("src/types");
    let files = fs::read_dir(types).unwrap();
    files
        .filter_map(|file| structure(&fs::read_to_string(file.unwrap().path()).ok()?))
        .collect()
}

fn structure(source: &str) -> Option<(String, Structure)> {
    let (_, rest) = source.split_once("pub struct ")?;
    let (name, rest) = rest.split_once(" {\n")?;
    let (body, _) = rest.split_once("\n}")?;
    let (mut fields, mut text) = (Vec::new(), String::new());
    for line in body.lines().map(str::trim) {
        if let Some(line) = line.strip_prefix("///") {
            text.push_str(line);
        } else if let Some(field) = line.strip_prefix("pub ") {
            let (name, of) = field.split_once(": ")?;
            fields.push(Field {
                name: name.to_owned(),
                of: of.to_owned(),
                text: std::mem::take(&mut text),
            });
        }
    }
    Some((name.to_owned(), fields))
}

impl Field {
    /// What makes it a place, given what is named there: its shape, its name, or the words about it.
    fn value(&self, arn: &str) -> Option<Value> {
        if self.of.contains("types::Secret>") {
            return Some(json!([{"name": "S", "valueFrom": arn}]));
        }
        if self.name == "credentials_parameter" {
            return Some(json!(arn));
        }
        let words = ["secrets manager", "parameter store", "credentialspec:"];
        let text = self.text.to_lowercase();
        let is_named = words.iter().any(|word| text.contains(word));
        let is_text = !self.of.contains("types::");
        (is_named && is_text).then(|| json!([format!("credentialspec:{arn}")]))
    }

    fn structure(&self) -> Option<&str> {
        let (_, of) = self.of.split_once("crate::types::")?;
        of.split(['>', ',']).next()
    }
}

/// The way to every place within a structure.
fn ways<'a>(
    model: &'a BTreeMap<String, Structure>,
    of: &'a str,
    way: &Way<'a>,
    found: &mut Vec<Way<'a>>,
) {
    // What contains itself is followed no further.
    for field in model
        .get(of)
        .into_iter()
        .flatten()
        .filter(|_| way.len() < 8)
    {
        let here = [way.clone(), vec![(of, field)]].concat();
        if field.value("").is_some() {
            found.push(here);
        } else if let Some(inner) = field.structure() {
            ways(model, inner, &here, found);
        }
    }
}

/// A name as the wire has it.
fn on_the_wire(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(1);
        name + &initial.to_uppercase() + rest
    })
}

/// What stands at the end of a way, in all that is on the way, with what must be there as well.
fn at(model: &BTreeMap<String, Structure>, way: &Way<'_>, value: Value) -> Value {
    way.iter().rev().fold(value, |inner, (of, field)| {
        let is_list = field.of.contains("vec::Vec<");
        // The place itself is a list already where it is one.
        let inner = if is_list && !inner.is_array() {
            json!([inner])
        } else {
            inner
        };
        let is_needed = |field: &&Field| {
            let is_text = field.of.ends_with("String") || field.structure().is_some();
            is_text && !field.of.contains("Option<")
        };
        let needed = model[*of].iter().filter(is_needed);
        let needed = needed.map(|field| (on_the_wire(&field.name), json!("text")));
        let mut outer: Value = needed.collect::<serde_json::Map<_, _>>().into();
        outer[on_the_wire(&field.name)] = inner;
        outer
    })
}

/// The SDK's structures of what this program does not redeploy. Express services run on ordinary task
/// definitions.
const ELSEWHERE: [&str; 3] = [
    "DaemonContainerDefinition.secrets",
    "ExpressGatewayContainer.secrets",
    "ExpressGatewayRepositoryCredentials.credentials_parameter",
];

#[tokio::test(start_paused = true)]
async fn every_place_of_the_model_is_followed() {
    let model = model();
    let mut account = FakeAws::new();
    let secret = account.make_secret("prod/db");
    let mut services = Vec::new();
    let mut reached = BTreeSet::new();
    for root in ["TaskDefinition", "Service"] {
        let mut found = Vec::new();
        ways(&model, root, &Vec::new(), &mut found);
        assert!(!found.is_empty(), "{root}");
        for way in found {
            let (structure, field) = way.last().unwrap();
            let place = format!("{structure}.{}", field.name);
            let value = at(&model, &way, field.value(&secret).unwrap());
            let name = format!("s{}", services.len());
            let arn = match root {
                "TaskDefinition" => account.make_service_of(&name, value),
                _ => {
                    let arn = account.make_service(&name, "/nothing");
                    let proxy = &value["deployments"][0]["serviceConnectConfiguration"];
                    assert!(proxy.is_object(), "the simulated AWS has no {value}");
                    let service = account.services.get_mut(&arn).unwrap();
                    service.service_connect = Some(proxy.clone());
                    arn
                }
            };
            services.push((arn, place.clone()));
            reached.insert(place);
        }
    }
    let all = model.iter().flat_map(|(name, fields)| {
        let places = fields.iter().filter(|field| field.value("").is_some());
        places.map(move |field| format!("{name}.{}", field.name))
    });
    let elsewhere: Vec<_> = all
        .filter(|place| !reached.contains(place) && place != "Secret.value_from")
        .collect();
    assert_eq!(elsewhere, ELSEWHERE, "a new place, or one that is gone");

    let wire = Wire::new(account);
    tokio::time::sleep(Duration::from_mins(20)).await;
    wire.account().put_value("prod/db");
    let (_, event) = wire.account().events.remove(0);
    let report = invoke(&wire.clients(), &wire, &config(&[]), &event).await;
    for (arn, place) in services {
        let (action, reason) = said(&report, &arn);
        let expected = match place.as_str() {
            "RepositoryCredentials.credentials_parameter" => ("skipped", "image-pull-only"),
            _ => ("redeployed", "stale"),
        };
        assert_eq!((&*action, &*reason), expected, "{place}");
    }
}

/// What each task definition names, as people write them.
#[tokio::test(start_paused = true)]
async fn every_task_definition_is_read_as_its_snapshot_says() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/task-definitions");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    let readme = fs::read_to_string(format!("{directory}/README.md")).unwrap();
    for path in files {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(readme.contains(&format!("`{name}.json`")), "{name}");
        let definition: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let mut account = FakeAws::new();
        account.make_service_of(&name, definition);
        let wire = Wire::new(account);
        let arn = format!("arn:aws:ecs:eu-west-1:123456789012:task-definition/{name}:1");
        let location = Arn::parse(&arn).unwrap().location();
        let (read, failed) = wire.clients().revisions(&[(*arn).into()].into()).await;
        assert!(failed.is_empty(), "{failed:?}");
        let revision = &read[&*arn];
        let uses = revision.uses.iter().map(|used| match used {
            Use::AtImagePull(reference) => format!("{reference}\n  read when the image is pulled"),
            Use::AtStart(reference) => match Followed::of(reference, &location) {
                Some((followed, label)) => {
                    let label = if label.is_empty() {
                        "its value"
                    } else {
                        &label
                    };
                    format!("{reference}\n  follows {label} of {followed}")
                }
                None => format!("{reference}\n  never changes"),
            },
        });
        let warnings = revision
            .warnings
            .iter()
            .map(|warning| format!("! {warning}"));
        let lines: Vec<_> = uses.chain(warnings).collect();
        insta::assert_snapshot!(name, lines.join("\n"));
    }
}
