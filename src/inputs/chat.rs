//! Chat templates: an input becomes messages, which a template of the model's folder renders to the text that is
//! tokenized.

mod environment;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};

use crate::config::{ChatSettings, Kind, MessageFormat, TemplateSource, TransformerSettings};
use crate::error::{Error, Result};
use crate::options::TruncationSide;
use crate::tokenize::{Input, Tokenizer, Tokens};

/// Name of the template in its environment.
const NAME: &str = "chat_template";

/// Texts in a template that show that it takes content as a list of parts.
const STRUCTURED: [&str; 6] = ["content[0]", ".type", "'type'", "\"type\"", "item.type", "message.content["];

/// Chat template of a model, with the variables that every render gets.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    variables: Value,
    format: MessageFormat,
    settings: ChatSettings,
    /// The problem with pairs of texts, if the template can't carry them.
    pairs: std::result::Result<(), String>,
    file: PathBuf,
    key: &'static str,
}

/// Prompt of a call, and the end of the texts that are rendered with it.
#[derive(Default)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    /// Tokens at the end of every text and of every pair, found when first needed.
    suffixes: [OnceLock<Vec<u32>>; 2],
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }
}

/// Maximum size of a template.
const MAX_BYTES: usize = 1 << 16;

impl ChatTemplate {
    /// Loads the template of a model whose settings send inputs through one. `folder` is the tokenizer's. A reranker needs a
    /// template that carries pairs.
    pub(crate) fn load(
        kind: Kind,
        settings: &TransformerSettings,
        folder: &Path,
        tokenizer: &Tokenizer,
    ) -> Result<Option<Self>> {
        let Some(chat) = settings.chat.clone() else { return Ok(None) };
        let Some(source) = TemplateSource::read(folder)? else {
            if chat.format.is_none() {
                return Ok(None);
            }
            let needed = "sentence_bert_config.json: modality_config has messages; tokenizer_config.json may hold it as chat_template";
            return Err(Error::FileNotFound { path: folder.join(TemplateSource::FILE), needed: needed.to_owned() });
        };
        let template = Self::new(source, chat, tokenizer)?;
        match kind {
            Kind::Reranker => template.takes_pairs()?,
            // sentence-transformers passes the name of the role to a template that reads it.
            _ if template.reads("task") => {
                return Err(template.error("must not read the variable `task`, which is not supported"));
            }
            _ => {}
        }
        Ok(Some(template))
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a template with a syntax error.
    fn new(source: TemplateSource, settings: ChatSettings, tokenizer: &Tokenizer) -> Result<Self> {
        let TemplateSource { text, file, key } = source;
        let suggested = match STRUCTURED.iter().any(|part| text.contains(part)) {
            true => MessageFormat::Structured,
            false => MessageFormat::Flat,
        };
        let mut template = Self {
            environment: environment::new(),
            variables: variables(&settings, tokenizer),
            format: settings.format.unwrap_or(suggested),
            settings,
            pairs: Ok(()),
            file,
            key,
        };
        if text.len() > MAX_BYTES {
            return Err(template.error(&format!("must have at most {MAX_BYTES} bytes, got {}", text.len())));
        }
        let compile = || template.environment.add_template_owned(NAME, environment::without_generation(&text));
        let added = environment::on_deep_stack(compile).map_err(|error| template.error(&error.to_string()))?;
        added.map_err(|error| template.error(&environment::message(&error)))?;
        template.pairs = template.check_pairs();
        Ok(template)
    }

    /// Refuses a template that can't carry a query and a document.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] with the problem.
    fn takes_pairs(&self) -> Result<()> {
        self.pairs.as_ref().map(|_| ()).map_err(|problem| self.error(problem))
    }

    /// Returns true if the template's text depends on a variable.
    fn reads(&self, variable: &str) -> bool {
        let reads = || {
            let template = self.environment.get_template(NAME);
            template.is_ok_and(|template| template.undeclared_variables(false).contains(variable))
        };
        // Without a thread nothing is known, and what isn't known to be supported is refused.
        environment::on_deep_stack(reads).unwrap_or(true)
    }

    /// Makes an error about the template.
    fn error(&self, problem: &str) -> Error {
        Error::config(&self.file, self.key, problem)
    }

    /// Returns the settings, with the format that is in use.
    pub(crate) fn settings(&self) -> ChatSettings {
        ChatSettings { format: Some(self.format), ..self.settings.clone() }
    }

    /// Renders an input, tokenizes it without special tokens, and truncates it to `max_length` tokens. A truncated input
    /// keeps the end that the template gives every text. Token ids are taken as they are.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the template or the tokenizer fails on the input.
    pub(crate) fn encode(
        &self,
        tokenizer: &Tokenizer,
        input: Input<'_>,
        prompt: &Prompt,
        max_length: usize,
        cut: Option<TruncationSide>,
    ) -> Result<Tokens> {
        if let Input::Ids(_) | Input::Image(_) = input {
            return tokenizer.encode_cut(input, "", max_length, cut);
        }
        let text = self.render(input, &prompt.text).map_err(Error::Tokenizer)?;
        let mut tokens = tokenizer.encode_bare(&text, max_length, cut)?;
        if tokens.full_length >= max_length && self.settings.restore_suffix {
            let suffix = self.suffix(tokenizer, input, prompt);
            let kept = suffix.len().min(tokens.ids.len());
            let end = tokens.ids.len() - kept;
            tokens.ids[end..].copy_from_slice(&suffix[suffix.len() - kept..]);
        }
        Ok(tokens)
    }

    /// Returns the tokens at the end of all inputs with this prompt: those that two renders of other contents share.
    fn suffix<'a>(&self, tokenizer: &Tokenizer, input: Input<'_>, prompt: &'a Prompt) -> &'a [u32] {
        let (which, fillers) = match input {
            Input::Text(_) | Input::Ids(_) | Input::Image(_) => (0, [Input::Text("0"), Input::Text("1 2 3 4")]),
            Input::Pair(..) => (1, [Input::Pair("0", "0"), Input::Pair("1 2 3 4", "1 2 3 4")]),
        };
        prompt.suffixes[which].get_or_init(|| {
            let ids = |filler| tokenizer.encode_plain(&self.render(filler, &prompt.text).ok()?).ok();
            let [Some(first), Some(second)] = fillers.map(ids) else { return Vec::new() };
            let equal = first.iter().rev().zip(second.iter().rev()).take_while(|(a, b)| a == b).count();
            // Without any content in the text, its end may be content's place.
            if equal < first.len().min(second.len()) { first[first.len() - equal..].to_vec() } else { Vec::new() }
        })
    }

    /// Renders an input with a prompt, or returns the problem with it.
    fn render(&self, input: Input<'_>, prompt: &str) -> std::result::Result<String, String> {
        let system = (!prompt.is_empty()).then(|| self.message("system", prompt));
        let contents = match input {
            Input::Text(text) => vec![self.message("user", text)],
            Input::Ids(_) | Input::Image(_) => Vec::new(),
            Input::Pair(query, document) => {
                self.pairs.clone()?;
                vec![self.message("query", query), self.message("document", document)]
            }
        };
        let messages: Vec<_> = system.into_iter().chain(contents).collect();
        let context = context! { messages => messages, ..self.variables.clone() };
        let render = || self.environment.get_template(NAME).and_then(|template| template.render(context));
        let rendered = environment::on_deep_stack(render).map_err(|error| format!("the chat template: {error}"))?;
        rendered.map_err(|error| format!("the chat template fails: {}", environment::message(&error)))
    }

    fn message(&self, role: &str, text: &str) -> Value {
        match self.format {
            MessageFormat::Flat => context! { role => role, content => text },
            MessageFormat::Structured => {
                context! { role => role, content => [context! { type => "text", text => text }] }
            }
        }
    }

    /// Checks that the rendered text depends on both texts of a pair.
    fn check_pairs(&self) -> std::result::Result<(), String> {
        let problem = |problem: &str| format!("must carry a pair of messages, \"query\" and \"document\": {problem}");
        let render = |query, document| self.render(Input::Pair(query, document), "").map_err(|error| problem(&error));
        let base = render("alpha", "bravo")?;
        for (role, other) in [("query", render("charlie", "bravo")?), ("document", render("alpha", "foxtrot")?)] {
            if other == base {
                return Err(problem(&format!("the text doesn't depend on the {role}")));
            }
        }
        Ok(())
    }
}

/// Renders a message of the user by a template.
///
/// # Errors
/// The problem with the template, or the system's.
#[cfg(feature = "fuzz")]
pub fn render_chat_template(template: &str, content: &str) -> std::result::Result<String, String> {
    let render = || {
        let mut environment = environment::new();
        environment.add_template_owned(NAME, environment::without_generation(template))?;
        let message = context! { role => "user", content => content };
        environment.get_template(NAME)?.render(context! { messages => [message], tools => None::<()> })
    };
    let rendered = environment::on_deep_stack(render).map_err(|error| error.to_string())?;
    rendered.map_err(|error| environment::message(&error))
}

/// Returns the variables of every render. The settings' variables win.
fn variables(settings: &ChatSettings, tokenizer: &Tokenizer) -> Value {
    let mut variables = serde_json::Map::new();
    for name in ["tools", "documents"] {
        variables.insert(name.to_owned(), serde_json::Value::Null);
    }
    variables.insert("add_generation_prompt".to_owned(), false.into());
    let special = tokenizer.named_special_tokens().iter();
    variables.extend(special.map(|(role, token)| ((*role).to_owned(), token.clone().into())));
    variables.extend(settings.variables.clone());
    Serde(variables).into()
}

#[cfg(test)]
mod tests;
