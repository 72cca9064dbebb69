//! Choice of a prompt from prompts that Python holds.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use rushlight::{Prompts, Role};

use crate::errors::IntoPython;

/// Chooses a call's prompt: the given text, else the named prompt, else the role's, else the default.
#[pyfunction]
#[pyo3(signature = (prompts, default_prompt_name, prompt, prompt_name, role=None))]
pub(crate) fn choose_prompt(
    py: Python<'_>,
    prompts: BTreeMap<String, String>,
    default_prompt_name: Option<String>,
    prompt: Option<&str>,
    prompt_name: Option<&str>,
    role: Option<&str>,
) -> PyResult<String> {
    let role = role.map(str::parse).transpose().into_python(py)?;
    Prompts::new(prompts, default_prompt_name).choose(prompt, prompt_name, role).map(str::to_owned).into_python(py)
}

/// Returns the name of a role's prompt, if there is one.
#[pyfunction]
pub(crate) fn prompt_name_of(
    py: Python<'_>,
    prompts: BTreeMap<String, String>,
    role: &str,
) -> PyResult<Option<&'static str>> {
    let role: Role = role.parse().into_python(py)?;
    Ok(Prompts::new(prompts, None).name_of(role))
}

/// Returns the names of a role's prompts, the first choice first.
#[pyfunction]
pub(crate) fn prompt_names(py: Python<'_>, role: &str) -> PyResult<&'static [&'static str]> {
    let role: Role = role.parse().into_python(py)?;
    Ok(role.prompt_names())
}
