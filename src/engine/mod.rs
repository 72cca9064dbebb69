//! The engine: a loaded model on a device, and the way from inputs to rows.

pub(crate) mod compute;
pub(crate) mod loaded;
pub(crate) mod routes;
pub(crate) mod run;
pub(crate) mod sharing;
pub(crate) mod source_files;
pub(crate) mod whole;
