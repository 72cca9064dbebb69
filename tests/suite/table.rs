//! Tests of the lists of families in the documentation and README: they name every family in the code, and the table
//! bounds the measured errors.
//!
//! `make families` rewrites the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Case, data, json, native, portable, tiny, tiny_cases};
use rushlight::{EncodeOptions, Error, LoadOptions, Model, Reranker, SparseModel};
use serde::Deserialize;
use serde_json::{Value, json};

const BEGIN: &str = "<!-- the table of families: `make families` writes it -->\n";
const END: &str = "<!-- its end -->\n";
const HEADER: &str = "| `model_type` | example models | modules | heads | architecture | largest error |\n\
                      |---|---|---|---|---|---|\n";

/// Description of a family, which the code lacks.
#[derive(Deserialize)]
struct Family {
    family: String,
    name: String,
    models: String,
    modules: String,
    architecture: String,
}

impl Family {
    fn row(&self, heads: &str, error: &str) -> String {
        let Self { family, models, modules, architecture, .. } = self;
        let models = models.replace('*', r"\*"); // else Markdown reads two of them as emphasis
        format!("| `{family}` | {models} | {modules} | {heads} | {architecture} | {error} |\n")
    }
}

/// Returns the largest difference to float64, relative to the largest number, of every family that has a case.
fn errors() -> BTreeMap<String, f64> {
    let mut errors: BTreeMap<String, f64> = BTreeMap::new();
    let families = families();
    for case in tiny_cases() {
        let Some(family) = family(&case, &families) else { continue };
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

/// Returns the name of a case's family: its `model_type`, and its code where that tells it apart. `None` where it has none.
fn family(case: &Case, families: &[Family]) -> Option<String> {
    let mut folders =
        [case.model.clone(), case.model.join("0_Transformer"), case.model.join("0_CLIPModel")].into_iter();
    let file = folders.find_map(|folder| Some(folder.join("config.json")).filter(|file| file.exists()))?;
    let config: Value = json(&file);
    let model_type = config["model_type"].as_str().filter(|name| *name != "model2vec")?;
    let class = config["auto_map"]["AutoModel"].as_str().unwrap_or_default();
    let has_code = |family: &&Family| {
        family.family.split_once(" with ").is_some_and(|(name, code)| name == model_type && class.ends_with(code))
    };
    let with_code = families.iter().find(has_code).map(|family| family.family.clone());
    Some(with_code.unwrap_or_else(|| model_type.to_owned()))
}

/// Returns a bound for all machines: more than twice the error, rounded up to the digits 1, 2 or 5.
fn bound(error: f64) -> String {
    let steps = (-9..0).flat_map(|power| [1, 2, 5].map(|digit| format!("{digit}e{power}")));
    let enough = |text: &String| text.parse::<f64>().unwrap() >= 2.0 * error;
    steps.into_iter().find(enough).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn page() -> PathBuf {
    root().join("docs/pages/supported.md")
}

fn families() -> Vec<Family> {
    json(&data().join("families.json"))
}

/// Returns the supported values of a key, from the error for a tiny model with an unsupported one.
fn instead_of<T>(
    case: &str,
    (file, key, value): (&str, &str, Value),
    load: impl Fn(&Path) -> Result<T, Error>,
) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    crate::common::copy(&tiny(case).model, folder.path());
    fs::remove_file(folder.path().join("modules.json")).unwrap();
    let file = folder.path().join(file);
    let mut config: Value = json(&file);
    config[key] = value;
    fs::write(&file, config.to_string()).unwrap();
    match load(folder.path()).err().unwrap() {
        Error::Unsupported { supported, .. } => supported.split(", ").map(str::to_owned).collect(),
        other => panic!("{other}"),
    }
}

/// Returns the heads of each family, from the errors for EuroBERT, which has no head.
fn heads() -> impl Fn(&str) -> String {
    const CASE: &str = "eurobert-mean";
    let architecture = |name| ("config.json", "architectures", json!([name]));
    let classifiers = instead_of(CASE, architecture("XForSequenceClassification"), |folder| Reranker::from_dir(folder));
    let masked = instead_of(CASE, architecture("XForMaskedLM"), |folder| SparseModel::from_dir(folder));
    move |family| {
        let lists = [("reranker", &classifiers), ("sparse", &masked)];
        let has = lists.into_iter().filter(|(_, families)| families.iter().any(|name| name == family));
        let names: Vec<_> = has.map(|(name, _)| name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

#[test]
fn the_table_names_every_family_and_bounds_its_error() {
    let (text, errors, heads) = (fs::read_to_string(page()).unwrap(), errors(), heads());
    let names: Vec<_> = families().into_iter().map(|family| family.family).collect();
    let known = instead_of("bert-mean-normalize", ("config.json", "model_type", "none".into()), |f| Model::from_dir(f));
    assert_eq!(names, known, "tests/data/families.json");
    let row = |family: &Family, error: &str| family.row(&heads(&family.family), error);
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    if std::env::var_os("RUSHLIGHT_WRITE_FAMILIES").is_some() {
        let rows: String = families().iter().map(|family| row(family, &bound(errors[&family.family]))).collect();
        fs::write(page(), [before, BEGIN, HEADER, &rows, END, after].concat()).unwrap();
        return;
    }
    let rows = table.strip_prefix(HEADER).unwrap().lines().collect::<Vec<_>>();
    assert_eq!(rows.len(), names.len());
    for (filed, family) in rows.into_iter().zip(families()) {
        let stated = filed.trim_end_matches(" |").rsplit("| ").next().unwrap();
        assert_eq!(format!("{filed}\n"), row(&family, stated), "`make families` writes the table anew");
        let error = errors[&family.family];
        println!("{}: {error:.1e}, stated {stated}", family.family);
        assert!(error <= stated.parse::<f64>().unwrap(), "{}: {error:e} > {stated}", family.family);
    }
}

#[test]
fn readme_names_every_family() {
    let text = fs::read_to_string(root().join("README.md")).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let names: Vec<_> = families().into_iter().map(|family| family.name).collect();
    let list = format!("families: {}; and StaticEmbedding", names.join(", "));
    assert!(text.contains(&list), "README.md must list the names in tests/data/families.json: {list}");
}

#[test]
fn the_page_names_every_tokenizer_class() {
    let missing = ("tokenizer_config.json", "tokenizer_class", "DebertaTokenizer".into());
    let classes = instead_of("bert-mean-normalize", missing, |folder| Model::from_dir(folder));
    let text = fs::read_to_string(page()).unwrap();
    let row = text.lines().find(|line| line.starts_with("| Tokenizers |")).unwrap();
    let named: BTreeSet<_> = row.split('`').filter(|name| name.ends_with("Tokenizer")).collect();
    // Folders never declare the generic class.
    let known = classes.iter().map(String::as_str).filter(|class| *class != "TokenizersBackend").collect();
    assert_eq!(named, known, "{}", page().display());
}
