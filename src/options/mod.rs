//! Options of loading and of calls: structs with defaults, changed by `with_*` methods.

mod calls;
mod load;
mod static_rule;
mod vectors;

pub use calls::{
    ChunkOptions, EncodeOptions, HybridOptions, MultiVectorOptions, PredictOptions, SparseOptions, Truncation,
    TruncationSide,
};
pub use load::{BackboneOptions, HubToken, Kernels, LoadOptions};
pub use static_rule::StaticRule;
pub use vectors::{CallOptions, CommunityOptions, MiningOptions, QuantizeOptions, SearchOptions};

use std::fmt;

use crate::observer::Observer;

/// Defines a struct of options with public fields. A field with `=> with_field(type)` gets a method that sets it.
macro_rules! options {
    (
        $(#[$attribute:meta])*
        $name:ident $(<$lifetime:lifetime>)? {
            $($(#[$doc:meta])* $field:ident: $type:ty $(=> $setter:ident($argument:ty))?,)*
        }
    ) => {
        $(#[$attribute])*
        #[non_exhaustive]
        pub struct $name $(<$lifetime>)? {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $(<$lifetime>)? $name $(<$lifetime>)? {
            $($(
                #[doc = concat!("Sets [`Self::", stringify!($field), "`].")]
                #[must_use]
                pub fn $setter(mut self, $field: $argument) -> Self {
                    self.$field = $field.into();
                    self
                }
            )?)*
        }
    };
}
pub(crate) use options;

impl fmt::Debug for dyn Observer + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl fmt::Debug for dyn Observer + Send + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self as &dyn Observer).fmt(f)
    }
}
