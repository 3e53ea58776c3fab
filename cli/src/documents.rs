//! What is committed about the command line, held to what it is: the schemas of its documents, and
//! its page. `UPDATE=1 cargo test -p redeploy-on-rotation-cli --lib documents` writes it again.

use std::path::Path;

use clap::{Command, CommandFactory};
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
    let mut args = Args::command().name("redeploy-on-rotation").term_width(100);
    args.build();
    let is_shown = |command: &&mut Command| !command.is_hide_set() && command.get_name() != "help";
    let sections = args.get_subcommands_mut().filter(is_shown).map(|command| {
        let help = command.render_help().to_string();
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        format!(
            "\n### {}\n\n```text\n{}\n```\n",
            command.get_name(),
            lines.join("\n")
        )
    });
    let sections: String = sections.collect();
    hold("cli.md", &format!("{before}{BEGIN}{sections}{END}{after}"));
}
