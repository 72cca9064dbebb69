//! Public models. Each wraps an engine with the head and the settings of its kind.

mod assembly;
mod encode;
mod hybrid;
mod late_chunks;
mod loading;
mod mining;
mod multi_vector;
mod pool;
mod reranker;
pub(crate) mod sentence;
mod sparse;
pub(crate) mod streaming;

/// Defines the settings that models of all kinds have in their engine.
macro_rules! shared_settings {
    ($model:ident) => {
        /// Settings that models of all kinds have.
        impl $model {
            /// Folder that the model was loaded from.
            pub fn folder(&self) -> &std::path::Path {
                self.engine.folder()
            }

            /// `model_type` that the folder was saved with, if the model was converted from another kind
            /// ([`LoadOptions::convert`](crate::LoadOptions::convert)).
            pub fn converted_from(&self) -> Option<&str> {
                self.engine.loaded.folders.conversion.as_ref().map(|conversion| &*conversion.from)
            }

            /// Device that computes.
            pub fn device(&self) -> crate::device::Device {
                self.engine.device()
            }

            /// Type of the numbers that it computes in. Results are float32.
            pub fn dtype(&self) -> crate::device::Dtype {
                self.engine.dtype()
            }

            /// Prompts by name.
            pub fn prompts(&self) -> &std::collections::BTreeMap<String, String> {
                &self.engine.prompts.by_name
            }

            /// Prompts by name, for changes.
            pub fn prompts_mut(&mut self) -> &mut std::collections::BTreeMap<String, String> {
                &mut self.engine.prompts.by_name
            }

            /// Name of the default prompt, for calls that name none.
            pub fn default_prompt_name(&self) -> Option<&str> {
                self.engine.prompts.default_name.as_deref()
            }

            /// Sets the default prompt by name, for calls that name none.
            ///
            /// # Errors
            /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a name without a prompt.
            pub fn set_default_prompt_name(&mut self, name: Option<String>) -> crate::Result<()> {
                self.engine.prompts.set_default(name)
            }
        }
    };
}
use shared_settings;

pub use multi_vector::MultiVectorModel;
pub use pool::DevicePool;
pub use reranker::{Ranked, Reranker, ranked};
pub use sentence::{INSTRUCTORS, Model};
pub use sparse::SparseModel;
pub use streaming::{EncodeIter, TextItem};
