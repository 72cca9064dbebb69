//! Prompts of a model, and the choice of one for a call, by the rules of sentence-transformers.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{Kind, ModelSettings, Role};
use crate::error::{Error, Result};
use crate::options::LoadOptions;

/// Prompts of a model by name, and the name of the default.
#[derive(Clone, Debug, Default)]
pub struct Prompts {
    pub(crate) by_name: BTreeMap<String, String>,
    pub(crate) default_name: Option<String>,
}

impl Prompts {
    /// Makes prompts of their names and texts, and the name of the default prompt, if any.
    pub fn new(by_name: BTreeMap<String, String>, default_name: Option<String>) -> Self {
        Self { by_name, default_name }
    }

    /// Takes the prompts of a folder's settings, which `file` holds. The caller's prompts override them.
    pub(crate) fn of(kind: Kind, settings: &ModelSettings, file: &Path, options: &LoadOptions) -> Result<Self> {
        let always = if kind == Kind::Reranker { &[][..] } else { &["query", "document"] };
        let mut by_name: BTreeMap<_, _> = always.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let configured = settings.prompts.iter().flatten();
        by_name.extend(configured.map(|(name, prompt)| (name.clone(), prompt.clone().unwrap_or_default())));
        by_name.extend(options.prompts.clone());
        let mut prompts = Self { by_name, default_name: None };
        match &options.default_prompt_name {
            Some(name) => prompts.set_default(Some(name.clone()))?,
            None => prompts.set_default(settings.default_prompt_name.clone()).map_err(|error| match error {
                Error::InvalidArgument { argument, problem } => Error::config(file, argument, problem),
                other => other,
            })?,
        }
        Ok(prompts)
    }

    /// # Errors
    /// [`Error::InvalidArgument`] if no prompt has that name.
    pub(crate) fn set_default(&mut self, name: Option<String>) -> Result<()> {
        if let Some(name) = name.as_deref().filter(|name| !self.by_name.contains_key(*name)) {
            return Err(self.unknown("default_prompt_name", name));
        }
        self.default_name = name;
        Ok(())
    }

    /// Chooses a call's prompt: the given text, else the named prompt, else the role's, else the default; empty if
    /// none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if no prompt has that name.
    pub fn choose<'a>(
        &'a self,
        prompt: Option<&'a str>,
        prompt_name: Option<&str>,
        role: Option<Role>,
    ) -> Result<&'a str> {
        if let Some(prompt) = prompt {
            return Ok(prompt);
        }
        if let Some(name) = prompt_name {
            return self.get(name).ok_or_else(|| self.unknown("prompt_name", name));
        }
        let name = role.map_or(self.default_name.as_deref(), |role| self.name_of(role));
        Ok(name.and_then(|name| self.get(name)).unwrap_or(""))
    }

    /// Returns the name of a role's prompt: the first whose prompt isn't empty, else the first that exists.
    pub fn name_of(&self, role: Role) -> Option<&'static str> {
        let mut names = role.prompt_names().iter().copied().filter(|name| self.by_name.contains_key(*name));
        let filled = names.clone().find(|name| self.get(name) != Some(""));
        filled.or_else(|| names.next())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    fn unknown(&self, argument: &'static str, name: &str) -> Error {
        let known: Vec<_> = self.by_name.keys().map(|name| format!("{name:?}")).collect();
        let known = match &known[..] {
            [] => "the model has none".to_owned(),
            known => format!("there are {}", known.join(", ")),
        };
        Error::argument(argument, format!("no prompt {name:?}; {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(named: &[(&str, &str)], default_name: Option<&str>) -> Prompts {
        let by_name = named.iter().map(|(name, prompt)| ((*name).to_owned(), (*prompt).to_owned())).collect();
        Prompts { by_name, default_name: default_name.map(str::to_owned) }
    }

    #[test]
    fn the_most_specific_choice_wins() {
        let named = [("query", "q: "), ("document", ""), ("passage", "p: "), ("corpus", "c: ")];
        let prompts = prompts(&named, Some("corpus"));
        let choose = |prompt, name, role| prompts.choose(prompt, name, role).unwrap();
        assert_eq!(choose(Some(""), Some("query"), Some(Role::Query)), "");
        assert_eq!(choose(None, Some("corpus"), Some(Role::Query)), "c: ");
        assert_eq!(choose(None, None, Some(Role::Query)), "q: ");
        assert_eq!(choose(None, None, Some(Role::Document)), "p: ");
        assert_eq!(choose(None, None, None), "c: ");
    }

    #[test]
    fn a_role_without_a_prompt_doesnt_get_the_default() {
        let prompts = prompts(&[("query", ""), ("other", "o: ")], Some("other"));
        assert_eq!(prompts.choose(None, None, Some(Role::Query)).unwrap(), "");
        assert_eq!(prompts.choose(None, None, Some(Role::Document)).unwrap(), "");
        assert_eq!([Role::Query, Role::Document].map(|role| prompts.name_of(role)), [Some("query"), None]);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = prompts(&[("query", "")], None).choose(None, Some("quary"), None).unwrap_err();
        assert!(error.to_string().contains(r#"prompt_name: no prompt "quary"; there are "query""#), "{error}");
        let error = prompts(&[], None).choose(None, Some("query"), None).unwrap_err();
        assert!(error.to_string().ends_with(r#"no prompt "query"; the model has none"#), "{error}");
    }
}
