//! IAM, as far as the doctor asks it: roles with their trust policies, and what they are allowed.
//!
//! It speaks the query protocol: a form in, XML out
//! (<https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::wire::Answer;

/// A role, by its ARN in [`Identity`].
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) trust: Value,
    /// Action and ARN.
    pub(crate) allowed: BTreeSet<(String, String)>,
    pub(crate) denied: BTreeSet<(String, String)>,
    /// A key of a condition in its policies, which the simulation is not given.
    pub(crate) condition: Option<&'static str>,
}

/// The roles of the account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity(pub(crate) BTreeMap<String, Role>);

impl Identity {
    /// Makes a role that ECS may take on and that may do this.
    pub(crate) fn make_role(&mut self, name: &str, allowed: &[(&str, &str)]) -> String {
        let arn = format!("arn:aws:iam::123456789012:role/service/{name}");
        let statement = json!({
            "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        });
        let allowed = allowed
            .iter()
            .map(|(action, on)| ((*action).to_owned(), (*on).to_owned()))
            .collect();
        let trust = json!({"Version": "2012-10-17", "Statement": [statement]});
        self.0.insert(
            arn.clone(),
            Role {
                trust,
                allowed,
                denied: BTreeSet::new(),
                condition: None,
            },
        );
        arn
    }

    /// Whether an operation is one of IAM's.
    pub(crate) fn is_asked(operation: &str) -> bool {
        ["GetRole", "SimulatePrincipalPolicy"].contains(&operation)
    }

    /// The operation and parameters of a form.
    pub(crate) fn request(body: &[u8]) -> Option<(String, Value)> {
        let form = std::str::from_utf8(body).ok()?;
        let pairs = form
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let parameters: BTreeMap<_, _> = pairs
            .map(|(name, value)| (name.to_owned(), decoded(value)))
            .collect();
        Some((parameters.get("Action")?.clone(), json!(parameters)))
    }

    /// The answer, as a string of XML.
    pub(crate) fn answer(&self, operation: &str, parameters: &Value) -> Answer {
        match operation {
            "GetRole" => {
                let name = parameters["RoleName"].as_str().unwrap();
                let Some((arn, role)) = self
                    .0
                    .iter()
                    .find(|(arn, _)| arn.rsplit('/').next() == Some(name))
                else {
                    return Err((
                        404,
                        "NoSuchEntity",
                        format!("The role with name {name} cannot be found."),
                    ));
                };
                let fields = format!(
                    "<Role><Path>/service/</Path><RoleName>{name}</RoleName><RoleId>AROAEXAMPLE</RoleId><Arn>{arn}</Arn>\
                     <CreateDate>2026-01-01T00:00:00Z</CreateDate><AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument>\
                     </Role>",
                    encoded(&role.trust.to_string())
                );
                Ok(json!(result("GetRole", &fields)))
            }
            "SimulatePrincipalPolicy" => {
                let text = |name: &str| parameters[name].as_str().unwrap_or_default().to_owned();
                let asked = (text("ActionNames.member.1"), text("ResourceArns.member.1"));
                let Some(role) = self.0.get(&text("PolicySourceArn")) else {
                    return Err((404, "NoSuchEntity", "The role cannot be found.".to_owned()));
                };
                let decision = match (role.denied.contains(&asked), role.allowed.contains(&asked)) {
                    (true, _) => "explicitDeny",
                    (false, true) => "allowed",
                    (false, false) => "implicitDeny",
                };
                let (action, resource) = asked;
                let missing = role.condition.map(|key| format!("<member>{key}</member>"));
                let missing = missing.unwrap_or_default();
                let fields = format!(
                    "<IsTruncated>false</IsTruncated><EvaluationResults><member><EvalActionName>{action}</EvalActionName>\
                     <EvalResourceName>{resource}</EvalResourceName><EvalDecision>{decision}</EvalDecision>\
                     <ResourceSpecificResults><member><EvalResourceName>{resource}</EvalResourceName>\
                     <EvalResourceDecision>{decision}</EvalResourceDecision><MissingContextValues>{missing}\
                     </MissingContextValues></member></ResourceSpecificResults></member></EvaluationResults>"
                );
                Ok(json!(result("SimulatePrincipalPolicy", &fields)))
            }
            other => panic!("{other} is not among the operations that may be called"),
        }
    }
}

pub(crate) fn error(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>0</RequestId></ErrorResponse>"
    )
}

fn result(operation: &str, fields: &str) -> String {
    format!(
        "<{operation}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{operation}Result>{fields}\
         </{operation}Result></{operation}Response>"
    )
}

/// As IAM sends a policy.
fn encoded(text: &str) -> String {
    let byte = |b: u8| {
        if b.is_ascii_alphanumeric() {
            char::from(b).to_string()
        } else {
            format!("%{b:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

/// As a form sends a value.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        decoded.push(char::from(u8::from_str_radix(&part[..2], 16).unwrap()));
        decoded.push_str(&part[2..]);
    }
    decoded
}
