//! Parsed config files of a model's folder. Pure serde: no tensors, and no IO but reading the file.

mod activation;
mod chat;
mod depth;
mod folder;
mod idf;
mod json;
mod keys;
mod kind;
mod late_interaction;
mod lenient;
mod logit_score;
mod lora;
mod model2vec;
mod modules;
mod peft;
mod role;
mod router;
mod score_activation;
mod similarity;
mod sparse_auto_encoder;
mod splade;
mod task_routes;
mod transformer_task;

use std::path::{Component, Path, PathBuf};

pub(crate) use activation::Activation;
pub(crate) use chat::{ChatSettings, MessageFormat, TemplateSource};
pub(crate) use depth::{is_behind, keep_layers};
pub(crate) use folder::{ModelSettings, ModuleEntry, ModuleKind, TransformerSettings, modules, transformer_settings};
pub(crate) use idf::{IDF, idf};
pub(crate) use json::{JsonFile, WHOLE_FILE, object, plain_file_size, read_if_there, stand_in, type_name};
pub(crate) use kind::{COLBERT_LINEAR, Kind, SPARSE_LINEAR};
pub(crate) use late_interaction::{Expansion, LateInteraction, Strategy, with_implied};
pub(crate) use lenient::{as_integer, is_truthy, optional_integer, token_id, truthy};
pub(crate) use logit_score::LogitScoreConfig;
pub(crate) use lora::{Adapter, AdapterSource, Adapters, TaskIndex};
pub(crate) use model2vec::{model2vec_length, model2vec_modules};
pub use modules::PoolingMode;
pub(crate) use modules::{
    DenseConfig, LayerNormConfig, LayerPoolingConfig, ModuleInput, NormalizeConfig, PoolingConfig,
};
pub(crate) use peft::PeftConfig;
pub use role::Role;
pub(crate) use router::{RouterEntries, Routes, router_json};
pub use score_activation::{Elementwise, ScoreActivation};
pub use similarity::Similarity;
pub(crate) use sparse_auto_encoder::SparseAutoEncoderConfig;
pub(crate) use splade::{SpladeConfig, SpladePooling};
pub(crate) use task_routes::TaskRoutes;
pub(crate) use transformer_task::TransformerTask;

use crate::error::{Error, Result};

/// Joins `folder` and a path that a config names under `key`.
///
/// # Errors
/// [`Error::InvalidConfig`] for a path that leaves the folder.
pub(crate) fn inside(folder: &Path, relative: &str, file: &Path, key: &str) -> Result<PathBuf> {
    let stays = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays || relative.contains('\0') {
        let problem = format!("must be a path within the model's folder, got {relative:?}");
        return Err(Error::config(file, key, problem));
    }
    Ok(folder.join(relative))
}
