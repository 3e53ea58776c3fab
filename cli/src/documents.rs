//! What is committed about the command line, held to what it is: the schemas of its documents, and
//! its page. `UPDATE=1 cargo test -p redeploy-on-rotation-cli --lib documents` writes it again.

use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use redeploy_core::report::Report;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::args::Args;
use crate::{audit, doctor, graph, history, offline, preview, rollout};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// Holds a file to what it should be, or writes it.
fn hold(path: &str, text: &str) {
    let path = Path::new(DOCS).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let is = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(is == text, "{} is not up to date", path.display());
}

#[test]
fn the_schemas_are_those_of_the_documents() {
    let schemas = [
        ("report", schema_of::<Report>()),
        ("plan", schema_of::<preview::Document<'static>>()),
        ("event", schema_of::<OneOrMore>()),
        ("audit", schema_of::<audit::Document<'static>>()),
        ("redeploy", schema_of::<rollout::Document<'static>>()),
        ("wait", schema_of::<rollout::Document<'static>>()),
        ("history", schema_of::<history::Document>()),
        ("graph", schema_of::<graph::Picture>()),
        ("doctor", schema_of::<doctor::command::Diagnosis>()),
    ];
    for (name, schema) in schemas {
        hold(&format!("schemas/{name}.json"), &schema);
    }
}

/// The schema of what is printed.
fn schema_of<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<T>();
    serde_json::to_string_pretty(&schema).unwrap() + "\n"
}

/// What an event means, or each event of a batch.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "its schema is what counts")]
enum OneOrMore {
    One(offline::Document),
    More(Vec<offline::Document>),
}

/// What stands around that part of the page which is made from the arguments.
const BEGIN: &str = "<!-- made from the arguments -->\n";
const END: &str = "\n<!-- end -->\n";

#[test]
fn the_page_has_the_arguments() {
    let page = std::fs::read_to_string(Path::new(DOCS).join("cli.md")).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut args = Args::command();
    args.build();
    let is_shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    let commands: Vec<_> = args.get_subcommands().filter(is_shown).collect();
    let sections = commands.iter().map(|command| {
        let about = command.get_about().map(ToString::to_string);
        let args = command
            .get_arguments()
            .filter(|arg| arg.get_help_heading().is_none());
        section(command.get_name(), &about.unwrap_or_default(), args)
    });
    let sections: String = sections.collect();
    let shared = commands
        .iter()
        .max_by_key(|command| command.get_arguments().count());
    let shared = shared.unwrap().get_arguments();
    let shared = shared.filter(|arg| arg.get_help_heading().is_some());
    let about = "Every command that asks AWS has these (`history` has no `--cluster`)";
    let shared = section("where to look", about, shared);
    hold(
        "cli.md",
        &format!("{before}{BEGIN}{sections}{shared}{END}{after}"),
    );
}

/// Arguments as a table.
fn section<'a>(name: &str, about: &str, args: impl Iterator<Item = &'a Arg>) -> String {
    let args = args.filter(|arg| !["help", "version", "color"].contains(&arg.get_id().as_str()));
    let rows: String = args.map(row).collect();
    format!("\n### {name}\n\n{about}.\n\n| argument | is |\n| --- | --- |\n{rows}")
}

fn row(arg: &Arg) -> String {
    let value = arg
        .get_value_names()
        .filter(|_| arg.get_action().takes_values());
    let value = value.map(|names| names[0].to_string());
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names = arg.get_short().map(|short| format!("-{short}"));
    let names: Vec<_> = names.into_iter().chain(long).collect();
    let name = match (names.join(", "), value) {
        (names, None) => names,
        (names, Some(value)) => format!("{names} <{value}>").trim_start().to_owned(),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let values = arg.get_possible_values();
    let values = values.iter().map(|value| format!("`{}`", value.get_name()));
    let values: Vec<_> = values.collect();
    let values = match values.as_slice() {
        _ if !arg.get_action().takes_values() => String::new(),
        [] => String::new(),
        values => format!(": {}", values.join(", ")),
    };
    let default = arg.get_default_values().first();
    let default = default.filter(|_| arg.get_action().takes_values());
    let default = default.map(|default| format!("; else `{}`", default.display()));
    format!(
        "| `{}` | {help}{values}{} |\n",
        name.replace('|', "\\|"),
        default.unwrap_or_default()
    )
}
