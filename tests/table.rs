//! The documentation's table of families: it names every family, and bounds the errors that are measured.
//!
//! `make families` writes it anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::allow_attributes, clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Case, data, json, native, portable, tiny, tiny_cases};
use rushlight::{EncodeOptions, Error, LoadOptions, Model};
use serde::Deserialize;

const BEGIN: &str = "<!-- the table of families: `make families` writes it -->\n";
const END: &str = "<!-- its end -->\n";
const HEAD: &str =
    "| `model_type` | example models | modules | architecture | largest error |\n|---|---|---|---|---|\n";

#[derive(Deserialize)]
struct Family {
    family: String,
    models: String,
    modules: String,
    differs: String,
}

impl Family {
    fn row(&self, error: &str) -> String {
        let Self { family, models, modules, differs } = self;
        let models = models.replace('*', r"\*"); // else Markdown reads two of them as emphasis
        format!("| `{family}` | {models} | {modules} | {differs} | {error} |\n")
    }
}

/// The largest difference to float64, in parts of the largest number, of every family that has a case.
fn errors() -> BTreeMap<String, f64> {
    let mut errors: BTreeMap<String, f64> = BTreeMap::new();
    for case in tiny_cases() {
        let Some(family) = family(&case) else { continue };
        let largest = case.expected.iter().fold(0.0, |largest: f64, x| x.abs().max(largest));
        let of_family = errors.entry(family).or_default();
        for way in [native(), portable()] {
            *of_family = of_family.max(case.largest_difference(&embed(&case, &way)) / largest);
        }
    }
    errors
}

fn embed(case: &Case, way: &LoadOptions) -> Vec<f32> {
    let model = Model::from_dir_with(&case.model, way).unwrap();
    model.encode(&case.texts, &EncodeOptions::default()).unwrap().into_vec()
}

/// The `model_type` of a case's transformer; `None` where it has none.
fn family(case: &Case) -> Option<String> {
    let mut folders = [case.model.clone(), case.model.join("0_Transformer")].into_iter();
    let file = folders.find_map(|folder| Some(folder.join("config.json")).filter(|file| file.exists()))?;
    let kind = json::<serde_json::Value>(&file)["model_type"].as_str()?.to_owned();
    Some(kind).filter(|kind| kind != "model2vec")
}

/// A bound that holds on other machines, too: more than twice the error, of the digits 1, 2, 5.
fn bound(error: f64) -> String {
    let steps = (-9..0).flat_map(|power| [1, 2, 5].map(|digit| format!("{digit}e{power}")));
    let enough = |text: &String| text.parse::<f64>().unwrap() >= 2.0 * error;
    steps.into_iter().find(enough).unwrap()
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pages/supported.md")
}

fn families() -> Vec<Family> {
    json(&data().join("families.json"))
}

/// All that rushlight knows, by what it says of one that it doesn't.
fn supported() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    common::copy(&tiny("bert-mean-normalize").model, folder.path());
    let file = folder.path().join("config.json");
    let mut config: serde_json::Value = json(&file);
    config["model_type"] = "none".into();
    fs::write(&file, config.to_string()).unwrap();
    match Model::from_dir(folder.path()).unwrap_err() {
        Error::Unsupported { supported, .. } => supported.split(", ").map(str::to_owned).collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn the_table_names_every_family_and_bounds_its_error() {
    let (text, errors) = (fs::read_to_string(page()).unwrap(), errors());
    let names: Vec<_> = families().into_iter().map(|family| family.family).collect();
    assert_eq!(names, supported(), "tests/data/families.json");
    if std::env::var_os("RUSHLIGHT_WRITE_FAMILIES").is_some() {
        let rows: String = families().iter().map(|family| family.row(&bound(errors[&family.family]))).collect();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        fs::write(page(), [before, BEGIN, HEAD, &rows, END, after].concat()).unwrap();
        return;
    }
    let (_, rest) = text.split_once(BEGIN).unwrap();
    let (table, _) = rest.split_once(END).unwrap();
    let rows = table.strip_prefix(HEAD).unwrap().lines().collect::<Vec<_>>();
    assert_eq!(rows.len(), names.len());
    for (row, family) in rows.into_iter().zip(families()) {
        let stated = row.trim_end_matches(" |").rsplit("| ").next().unwrap();
        assert_eq!(format!("{row}\n"), family.row(stated), "`make families` writes the table anew");
        let error = errors[&family.family];
        println!("{}: {error:.1e}, stated {stated}", family.family);
        assert!(error <= stated.parse::<f64>().unwrap(), "{}: {error:e} > {stated}", family.family);
    }
}
