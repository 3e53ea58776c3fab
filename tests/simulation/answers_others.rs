//! What the other services answer: Secrets Manager, Parameter Store, tagging, CloudTrail.

use serde_json::{Value, json};

use super::account::{FakeAws, Recorded};
use super::secrets::{Secret, name_of};
use super::wire::{Answer, seconds};

impl FakeAws {
    fn secret(&self, body: &Value) -> Result<(&String, &Secret), (u16, &'static str, String)> {
        let missing = "Secrets Manager can't find the specified secret.";
        let found = self.find_secret(body["SecretId"].as_str().unwrap());
        found.ok_or_else(|| (400, "ResourceNotFoundException", missing.to_owned()))
    }

    pub(super) fn describe_secret(&self, body: &Value) -> Answer {
        let (name, secret) = self.secret(body)?;
        let secret = self.secret_as_seen(secret);
        let mut versions = serde_json::Map::new();
        for (label, version) in &secret.labels {
            let labels = versions.entry(version.clone()).or_insert_with(|| json!([]));
            labels.as_array_mut().unwrap().push(json!(label));
        }
        let mut answer = json!({
            "ARN": secret.arn, "Name": name_of(name), "VersionIdsToStages": versions,
            "LastChangedDate": seconds(secret.last_changed),
            "LastRotatedDate": secret.last_rotated.map(seconds),
        });
        self.add_details(&secret.arn, &mut answer);
        Ok(answer)
    }

    pub(super) fn list_secret_version_ids(&self, body: &Value) -> Answer {
        let (_, secret) = self.secret(body)?;
        let all = body["IncludeDeprecated"] == true;
        let labels = |version: &String| {
            let labels = secret.labels.iter().filter(|(_, on)| *on == version);
            labels.map(|(label, _)| label).collect::<Vec<_>>()
        };
        let listed = secret
            .versions
            .iter()
            .filter(|(version, _)| all || !labels(version).is_empty());
        let versions: Vec<_> = listed
            .map(|(version, created)| {
                json!({"VersionId": version, "VersionStages": labels(version), "CreatedDate": seconds(*created)})
            })
            .collect();
        Ok(self.page_of(body, 100, ["NextToken", "Versions"], &versions))
    }

    pub(super) fn get_resources(&self, body: &Value) -> Value {
        assert_eq!(body["ResourceTypeFilters"], json!(["ecs:service"]));
        let key = body["TagFilters"][0]["Key"].as_str().unwrap();
        let tagged = self
            .services
            .iter()
            .filter(|(_, service)| service.tags.contains_key(key));
        let tagged: Vec<_> = tagged
            .map(|(arn, service)| json!({"ResourceARN": arn, "Tags": [{"Key": key, "Value": service.tags[key]}]}))
            .collect();
        let size = body["ResourcesPerPage"].as_u64().unwrap_or(100) as usize;
        let mut answer = self.page_of(
            body,
            size,
            ["PaginationToken", "ResourceTagMappingList"],
            &tagged,
        );
        // The last page's token is empty.
        answer
            .as_object_mut()
            .unwrap()
            .entry("PaginationToken")
            .or_insert(json!(""));
        answer
    }

    /// `LookupEvents`, which takes one attribute.
    pub(super) fn lookup_events(&self, body: &Value) -> Value {
        let attributes = body["LookupAttributes"].as_array().unwrap();
        assert_eq!(attributes.len(), 1);
        let (key, wanted) = (
            &attributes[0]["AttributeKey"],
            attributes[0]["AttributeValue"].as_str().unwrap(),
        );
        let is_asked = |event: &Recorded| match key.as_str().unwrap() {
            "EventName" => event.name == wanted,
            "ResourceName" => event.resources.iter().any(|resource| resource == wanted),
            other => panic!("{other} is not among the attributes that are of use"),
        };
        let (from, to) = (
            body["StartTime"].as_f64().unwrap_or(0.0),
            body["EndTime"].as_f64().unwrap_or(f64::MAX),
        );
        let visible = self.now().saturating_sub(self.trail_lag).unwrap();
        let within =
            |event: &Recorded| event.at <= visible && (from..=to).contains(&seconds(event.at));
        // The newest first.
        let found = self
            .trail
            .iter()
            .rev()
            .filter(|event| within(event) && is_asked(event));
        let events: Vec<_> = found
            .map(|event| {
                let at = event.at.as_second();
                let read_only = (event.name == "GetSecretValue").to_string();
                json!({
                    "EventTime": at, "ReadOnly": read_only, "CloudTrailEvent": event.detail.to_string(),
                })
            })
            .collect();
        self.page_of(body, 50, ["NextToken", "Events"], &events)
    }

    pub(super) fn describe_parameters(&self, body: &Value) -> Value {
        let filter = &body["ParameterFilters"][0];
        let names = filter["Values"].as_array();
        let is_asked = |name: &str| match names {
            Some(names) if filter["Option"] == "BeginsWith" => {
                name.starts_with(names[0].as_str().unwrap())
            }
            Some(names) => names.iter().any(|asked| asked == name),
            None => true,
        };
        let found = self.parameters.iter().filter(|(name, _)| is_asked(name));
        let parameters: Vec<_> = found
            .map(|(name, at)| {
                let mut parameter = json!({"Name": name, "LastModifiedDate": seconds(*at)});
                self.add_details(name, &mut parameter);
                parameter
            })
            .collect();
        self.page_of(body, 50, ["NextToken", "Parameters"], &parameters)
    }
}
