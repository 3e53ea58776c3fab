//! Secrets and parameters, and how their values change.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::account::{ACCOUNT, FakeAws, REGION};
use super::events::Family;

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) arn: String,
    /// Version by label.
    pub(crate) labels: BTreeMap<String, String>,
    /// When each version was created.
    pub(crate) versions: BTreeMap<String, Timestamp>,
    pub(crate) last_changed: Timestamp,
    pub(crate) last_rotated: Option<Timestamp>,
    /// What was true until when.
    pub(crate) past: Vec<(Timestamp, Secret)>,
}

/// The Region of the primaries of secrets that are replicated to this one.
const PRIMARY_REGION: &str = "us-east-1";

/// The name of a secret by that under which the account keeps it, which for a primary has its Region
/// before it.
pub(super) fn name_of(key: &str) -> &str {
    key.split_once(':').map_or(key, |(_, name)| name)
}

/// What stands for the value of a version.
pub(crate) fn value_of(version: &str) -> u64 {
    version.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

impl Secret {
    /// What a reader of this label gets; nothing is 0.
    pub(super) fn value(&self, label: &str) -> u64 {
        self.labels
            .get(label)
            .map_or(0, |version| value_of(version))
    }
}

impl FakeAws {
    /// Makes a secret and gives its ARN.
    pub(crate) fn make_secret(&mut self, name: &str) -> String {
        let version = self.id();
        let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-Ab12Cd");
        let versions = BTreeMap::from([(version.clone(), self.now())]);
        let labels = BTreeMap::from([("AWSCURRENT".to_owned(), version)]);
        let secret = Secret {
            arn: arn.clone(),
            labels,
            versions,
            last_changed: self.now(),
            last_rotated: None,
            past: Vec::new(),
        };
        self.secrets.insert(name.to_owned(), secret);
        arn
    }

    /// Makes a secret in another Region with a replica in this one. The primary is changed under the
    /// key that this gives.
    pub(crate) fn make_replicated_secret(&mut self, name: &str) -> String {
        let replica = self.make_secret(name);
        let key = format!("{PRIMARY_REGION}:{name}");
        let primary = Secret {
            arn: replica.replace(REGION, PRIMARY_REGION),
            ..self.secrets[name].clone()
        };
        self.secrets.insert(key.clone(), primary);
        key
    }

    /// A replica gets what its primary has. No event of this Region tells.
    pub(super) fn replicate(&mut self, name: &str) {
        let primary = self.secrets[&format!("{PRIMARY_REGION}:{name}")].clone();
        let replica = self.touch(name);
        replica.labels = primary.labels;
        replica.versions = primary.versions;
    }

    /// Deletes a secret and makes it again under its name, with another suffix.
    pub(crate) fn create_again(&mut self, name: &str) {
        self.advance();
        let arn = self.make_secret(name).replace("Ab12Cd", "Zz99Zz");
        self.secrets.get_mut(name).unwrap().arn = arn;
        let version = self.version(name, "AWSCURRENT");
        let request = json!({"clientRequestToken": version});
        let answer = json!({"name": name, "versionId": version});
        self.api_event("CreateSecret", name, request, answer);
    }

    pub(crate) fn version(&self, name: &str, label: &str) -> String {
        self.secrets[name].labels[label].clone()
    }

    /// A secret by name, ARN or partial ARN.
    pub(super) fn find_secret(&self, id: &str) -> Option<(&String, &Secret)> {
        if let Some(found) = self.secrets.get_key_value(id) {
            return Some(found);
        }
        let name = id.split(":secret:").nth(1)?;
        if !id.contains(REGION) {
            return self.secrets.iter().find(|(_, secret)| secret.arn == id);
        }
        // An exact ARN wins over the partial ARN of another secret.
        let exact = name
            .len()
            .checked_sub(7)
            .and_then(|end| self.secrets.get_key_value(name.get(..end)?));
        let exact = exact.filter(|(_, secret)| secret.arn == id);
        exact.or_else(|| {
            let partial = self.secrets.get_key_value(name);
            partial.filter(|(_, secret)| secret.arn[..secret.arn.len() - 7] == *id)
        })
    }

    /// The secret as a reader sees it, who may see what was.
    pub(crate) fn secret_as_seen<'a>(&self, secret: &'a Secret) -> &'a Secret {
        if self.secret_lag.is_zero() && self.catching_up.is_none() {
            return secret;
        }
        let seen_at = self.now().saturating_sub(self.secret_lag).unwrap();
        secret
            .past
            .iter()
            .find(|(until, _)| *until > seen_at)
            .map_or(secret, |(_, was)| was)
    }

    /// `RotateSecret`: the request, and the version to be.
    pub(crate) fn request_rotation(&mut self, name: &str) -> String {
        let version = self.id();
        self.touch(name)
            .labels
            .insert("AWSPENDING".to_owned(), version.clone());
        self.api_event(
            "RotateSecret",
            name,
            json!({"clientRequestToken": version}),
            json!({"versionId": version}),
        );
        version
    }

    /// A rotation that Secrets Manager starts by itself sends no `RotateSecret`.
    pub(crate) fn begin_scheduled_rotation(&mut self, name: &str) -> String {
        let version = self.id();
        self.touch(name)
            .labels
            .insert("AWSPENDING".to_owned(), version.clone());
        self.service_event("RotationStarted", name);
        version
    }

    /// The rotation function's `createSecret` step.
    pub(crate) fn store_pending(&mut self, name: &str, version: &str) {
        let now = self.now();
        self.touch(name).versions.insert(version.to_owned(), now);
        let stages = json!(["AWSPENDING"]);
        let request = json!({"clientRequestToken": version, "versionStages": stages});
        self.api_event(
            "PutSecretValue",
            name,
            request,
            json!({"versionId": version, "versionStages": stages}),
        );
    }

    /// The rotation function's `finishSecret` step, and what Secrets Manager says when it is done.
    pub(crate) fn finish_rotation(&mut self, name: &str, version: &str) {
        self.move_label(name, "AWSCURRENT", version);
        self.end_rotation(name);
    }

    /// A rotation succeeds whose label moved before, perhaps in an earlier attempt.
    pub(crate) fn end_rotation(&mut self, name: &str) {
        let now = self.now();
        let secret = self.touch(name);
        secret.labels.remove("AWSPENDING");
        secret.last_rotated = Some(now);
        self.service_event("RotationSucceeded", name);
    }

    /// A rotation that fails leaves its version pending.
    pub(crate) fn fail_rotation(&mut self, name: &str) {
        self.service_event("RotationFailed", name);
    }

    /// `UpdateSecretVersionStage`.
    pub(crate) fn move_label(&mut self, name: &str, label: &str, version: &str) {
        let from = self.secrets[name].labels.get(label).cloned();
        self.promote(name, label, version);
        let request =
            json!({"versionStage": label, "moveToVersionId": version, "removeFromVersionId": from});
        self.api_event("UpdateSecretVersionStage", name, request, json!({}));
    }

    /// `UpdateSecretVersionStage` that takes a label away. A version without labels is deprecated, and
    /// only listed where that is asked for.
    pub(crate) fn remove_label(&mut self, name: &str, label: &str) {
        let from = self.touch(name).labels.remove(label);
        let request = json!({"versionStage": label, "removeFromVersionId": from});
        self.api_event("UpdateSecretVersionStage", name, request, json!({}));
    }

    /// `PutSecretValue` by hand.
    pub(crate) fn put_value(&mut self, name: &str) -> String {
        let version = self.id();
        self.promote(name, "AWSCURRENT", &version);
        let answer = json!({"versionId": version, "versionStages": ["AWSCURRENT"]});
        self.api_event(
            "PutSecretValue",
            name,
            json!({"clientRequestToken": version}),
            answer,
        );
        version
    }

    /// The same, with a value that no task works with.
    pub(crate) fn put_wrong_value(&mut self, name: &str) -> String {
        // No task may start between the two.
        self.advance();
        let version = self.put_value(name);
        self.wrong_values.insert(value_of(&version));
        version
    }

    /// `PutParameter`.
    pub(crate) fn put_parameter(&mut self, name: &str) {
        self.advance();
        let now = self.now();
        let operation = match self.parameters.insert(name.to_owned(), now) {
            Some(_) => "Update",
            None => "Create",
        };
        let slash = if name.starts_with('/') { "" } else { "/" };
        let arn = format!("arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{slash}{name}");
        let detail = json!({"operation": operation, "name": name, "type": "SecureString"});
        let mut event = self.envelope("Parameter Store Change", json!([arn]), detail);
        event["source"] = json!("aws.ssm");
        self.events.push((Family::Native, event));
    }

    /// `UpdateSecret` with a description, and `TagResource`.
    pub(crate) fn describe(&mut self, name: &str) {
        let version = self.id();
        self.touch(name);
        let request = json!({"clientRequestToken": version, "description": "new"});
        self.api_event("UpdateSecret", name, request, json!({}));
    }

    fn promote(&mut self, name: &str, label: &str, version: &str) {
        let now = self.now();
        let secret = self.touch(name);
        secret.versions.entry(version.to_owned()).or_insert(now);
        let from = secret.labels.insert(label.to_owned(), version.to_owned());
        if let ("AWSCURRENT", Some(from)) = (label, from) {
            secret.labels.insert("AWSPREVIOUS".to_owned(), from);
        }
        let arn = secret.arn.clone();
        self.moves.extend((label == "AWSCURRENT").then_some(now));
        let detail = json!({"name": name_of(name), "labelUpdated": label, "versionId": version});
        let mut event = self.envelope("Secret Label Updated", json!([arn]), detail);
        if name_of(name) != name {
            event["region"] = json!(PRIMARY_REGION);
            let due = now.saturating_add(self.replica_lag).unwrap();
            self.replications.push((due, name_of(name).to_owned()));
        }
        self.events.push((Family::Native, event));
    }

    fn touch(&mut self, name: &str) -> &mut Secret {
        self.advance();
        let now = self.now();
        let secret = self.secrets.get_mut(name).unwrap();
        let before = Secret {
            past: Vec::new(),
            ..secret.clone()
        };
        secret.past.push((now, before));
        secret.last_changed = now;
        secret
    }
}
