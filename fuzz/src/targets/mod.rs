//! The targets, one a file. A new target is a file, and a line here.

/// Declares the targets' modules, each with a function `check`, and their table.
macro_rules! targets {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        $($(#[$attribute])* mod $name;)*

        /// All targets.
        pub const TARGETS: &[Target] = &[$($(#[$attribute])* Target { name: stringify!($name), check: $name::check },)*];
    };
}

/// A target by its name.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Panics when the bytes make rushlight break a promise.
    pub check: fn(&[u8]),
}

targets! {
    chat_templates,
    configs,
    images,
    late_interaction,
    pickles,
    #[cfg(feature = "server")]
    requests,
    safetensors,
    #[cfg(feature = "fuzz")]
    sentence_piece,
    sparse_embeddings,
    static_models,
    #[cfg(feature = "fuzz")]
    templates,
    texts,
    tokenizers,
    #[cfg(feature = "fuzz")]
    torch_tensors,
}
