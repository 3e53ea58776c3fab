//! `plan`: what a change would touch.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use redeploy_core::config::Config;
use redeploy_core::event::{self, Intent, SqsRecord, Target, Trigger, TriggerKind};
use redeploy_core::policy::Policy;
use redeploy_core::report::Outcome;
use serde_json::Value;

use crate::args::{Format, Plan};
use crate::connection::open;
use crate::operator::Session;
use crate::output::{Error, Exit, print, print_json};
use crate::preview::{Preview, of_the_function, preview};
use crate::{code_deploy, offline, secrets};

pub(crate) async fn run(plan: &Plan) -> Result<Exit, Error> {
    let format = plan.output.format;
    format.write_global();
    let event = plan.event.as_deref().map(read).transpose()?;
    if let (Some(event), true) = (&event, plan.offline) {
        return offline::run(event, format);
    }
    let (session, config) = open(&plan.scope).await?;
    let preview = match (&event, &plan.secret) {
        (Some(event), _) => {
            let event = only_of_batch(event)?;
            let trigger = event::parse(&event)
                .map_err(|invalid| Error::new(format!("the event cannot be handled: {invalid}")))?;
            let policy = of_the_function(&config, &trigger);
            preview(&session, &config, trigger, policy).await?
        }
        (None, secret) => {
            let secret = secret.as_deref().unwrap_or_default();
            let secret = secrets::resolve(&session, secret).await?;
            of_secret(&session, &config, secret.id).await?
        }
    };
    match format {
        Format::Json => print_json(&preview.document())?,
        _ if preview.examined.is_empty() => {
            print(&format!("ignored: {}", preview.report.reason))?;
        }
        _ => {
            preview.print()?;
            code_deploy::print_commands(&session, &preview).await?;
        }
    }
    if !preview.examined.is_empty() {
        preview.say_errors();
    }
    Ok(exit(&preview, plan.exit_code))
}

/// The event, or the one in an SQS batch.
fn only_of_batch(payload: &Value) -> Result<Cow<'_, Value>, Error> {
    match records(payload)?.as_deref() {
        None => Ok(Cow::Borrowed(payload)),
        Some([record]) => serde_json::from_str(record.body.unwrap_or_default())
            .map(Cow::Owned)
            .map_err(|error| {
                Error::new(format!("the body of the SQS message is not JSON: {error}"))
            }),
        Some(records) => Err(Error::new(format!(
            "the SQS batch holds {} events, and a plan is of one",
            records.len()
        ))
        .hint("--offline takes a whole batch; for a plan, give the body of one record")),
    }
}

/// The records, when the payload is an SQS batch.
pub(crate) fn records(payload: &Value) -> Result<Option<Vec<SqsRecord<'_>>>, Error> {
    event::sqs_batch(payload)
        .map_err(|invalid| Error::new(format!("the SQS batch cannot be answered: {invalid}")))
}

/// What the function does about a change that happens now.
pub(crate) async fn of_secret(
    session: &Session,
    config: &Config,
    secret: String,
) -> Result<Preview, Error> {
    let trigger = request(Target::Secret(secret));
    preview(session, config, trigger, Policy::new(config, false)).await
}

/// The trigger of a request that changes nothing.
pub(crate) fn request(target: Target) -> Trigger {
    let intent = Intent::Request {
        target,
        dry_run: true,
        // The calendars are left out of the configuration where that is wanted.
        ignore_freeze: false,
    };
    Trigger {
        kind: TriggerKind::Request,
        intent,
    }
}

/// How to end after a plan; with 2 where something would be redeployed, if that is asked for.
pub(crate) fn exit(preview: &Preview, asks: bool) -> Exit {
    match preview.report.outcome {
        Outcome::Failed | Outcome::StillFailing => Exit::Error,
        Outcome::DryRun | Outcome::Redeployed if asks => Exit::ActionNeeded,
        _ => Exit::Ok,
    }
}

/// Reads an event.
pub(crate) fn read(path: &Path) -> Result<Value, Error> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| ())
    } else {
        std::fs::read_to_string(path).map(|read| text = read)
    };
    read.map_err(|error| Error::new(format!("{} cannot be read: {error}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::new(format!("{} is not JSON: {error}", path.display())))
}
