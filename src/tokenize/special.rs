//! Special and added tokens, and their registration with the tokenizer.
//!
//! They come from up to four files, whose precedence is that of transformers: `added_tokens_decoder` of
//! tokenizer_config.json overrides special_tokens_map.json, added_tokens.json and tokenizer.json's own list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::class::Class;
use super::files::{JsonObject, TokenizerFile};
use super::steps::Steps;
use crate::catch_panic::catch_panic;
use crate::error::Result;

/// Added tokens with their ids, in the file's order.
pub(super) type TokensById = Vec<(u32, Special)>;

/// Roles of special tokens, in the order in which missing ones get their ids.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// An added token; `None` is a flag that the files leave open.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Special {
    pub(super) content: String,
    single_word: bool,
    lstrip: Option<bool>,
    rstrip: bool,
    normalized: Option<bool>,
    special: bool,
}

impl Special {
    fn named(content: &str) -> Self {
        Self {
            content: content.to_owned(),
            single_word: false,
            lstrip: None,
            rstrip: false,
            normalized: None,
            special: true,
        }
    }

    fn read(file: &JsonObject, key: &str, value: &Value) -> Result<Self> {
        match value {
            Value::String(content) => Ok(Self::named(content)),
            Value::Object(map) => Self::from_map(file, key, map),
            other => Err(file.mismatch(key, "a string, or an object with content", other)),
        }
    }

    fn from_map(file: &JsonObject, key: &str, map: &Map<String, Value>) -> Result<Self> {
        let flag = |name: &str| match map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(file.mismatch(format!("{key}.{name}"), "true or false", other)),
        };
        let Some(Value::String(content)) = map.get("content") else {
            return Err(file.error(format!("{key}.content"), "is missing or not a string; must be the token's text"));
        };
        Ok(Self {
            content: content.clone(),
            single_word: flag("single_word")?.unwrap_or(false),
            lstrip: Some(flag("lstrip")?.unwrap_or(false)),
            rstrip: flag("rstrip")?.unwrap_or(false),
            normalized: flag("normalized")?,
            special: flag("special")?.unwrap_or(false),
        })
    }

    /// Reads tokenizer.json's list, whose entries have their ids.
    pub(super) fn list_with_ids(file: &JsonObject, key: &str) -> Result<TokensById> {
        let entries = match file.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(other) => return Err(file.mismatch(key, "a list", other)),
        };
        let read = |(index, entry): (usize, &Value)| {
            let entry_key = format!("{key}[{index}]");
            let Value::Object(map) = entry else { return Err(file.mismatch(entry_key, "an object", entry)) };
            let id = map.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| {
                file.error(format!("{entry_key}.id"), "must be a token's id, an integer of at least 0")
            })?;
            Ok((id, Self::from_map(file, &entry_key, map)?))
        };
        entries.iter().enumerate().map(read).collect()
    }

    pub(super) fn added(&self) -> AddedToken {
        AddedToken::from(self.content.clone(), self.special)
            .single_word(self.single_word)
            .lstrip(self.lstrip.unwrap_or(false))
            .rstrip(self.rstrip)
            .normalized(self.normalized.unwrap_or(!self.special))
    }
}

/// Tokens by key, such as `cls_token`, in order of first appearance; `None` for null.
#[derive(Default)]
struct NamedTokens(Vec<(String, Option<Special>)>);

impl NamedTokens {
    fn find(&mut self, key: &str) -> Option<&mut Option<Special>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, token)| token)
    }

    fn set(&mut self, key: &str, token: Option<Special>) {
        match self.find(key) {
            Some(current) => *current = token,
            None => self.0.push((key.to_owned(), token)),
        }
    }

    fn set_default(&mut self, key: &str, content: &str) {
        if self.find(key).is_none() {
            self.set(key, Some(Special::named(content)));
        }
    }

    /// Iterates over the tokens with a role, then over the others.
    fn tokens(&self) -> impl Iterator<Item = &Special> {
        let usual = ROLES.iter().flat_map(|name| self.0.iter().filter(move |(key, _)| key == name));
        let others = self.0.iter().filter(|(key, _)| !ROLES.contains(&key.as_str()));
        usual.chain(others).filter_map(|(_, token)| token.as_ref())
    }
}

/// All special and added tokens of a folder.
pub(super) struct SpecialTokens {
    named: NamedTokens,
    extra: Vec<Special>,
    added: BTreeMap<u32, Special>,
    /// True if special tokens ignore the flags that the files give them.
    plain: bool,
}

impl SpecialTokens {
    /// Makes an empty set: only tokenizer.json itself adds tokens.
    pub(super) fn none() -> Self {
        Self { named: NamedTokens::default(), extra: Vec::new(), added: BTreeMap::new(), plain: false }
    }

    pub(super) fn collect(folder: &Path, config: &JsonObject, file: &TokenizerFile, class: &Class) -> Result<Self> {
        let mut named = NamedTokens::default();
        read_named(config, &mut named)?;
        let mut extra = read_extra(config, &mut named)?;
        let added = match config.get("added_tokens_decoder") {
            Some(Value::Object(decoder)) => read_decoder(config, decoder)?,
            Some(other) => return Err(config.mismatch("added_tokens_decoder", "an object", other)),
            None => read_old_files(folder, file, &mut named, &mut extra)?,
        };
        let flags: HashMap<&str, &Special> = added.iter().map(|(_, token)| (token.content.as_str(), token)).collect();
        for (_, token) in named.0.iter_mut().filter(|(key, _)| ROLES.contains(&key.as_str())) {
            if let Some(listed) = token.as_ref().and_then(|token| flags.get(token.content.as_str())) {
                *token = Some((*listed).clone());
            }
        }
        for (key, content) in class.special_tokens {
            named.set_default(key, content);
        }
        if let Some(padding) = &file.padding {
            named.set_default("pad_token", &padding.pad_token);
        }
        if let Some(Some(mask)) = named.find("mask_token").filter(|_| class.mask_takes_space_before) {
            mask.lstrip.get_or_insert(true);
        }
        let extra = match extra {
            Some(extra) => extra,
            None => class.extra_tokens.contents(config)?.iter().map(|token| Special::named(token)).collect(),
        };
        Ok(Self { named, extra, added: added.into_iter().collect(), plain: class.plain_special_tokens })
    }

    /// Returns the tokens that have a role, with its name.
    pub(super) fn by_role(&self) -> Vec<(&'static str, String)> {
        ROLES.iter().filter_map(|name| Some((*name, self.get(name)?.to_owned()))).collect()
    }

    /// Returns the token of a role such as `cls_token`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, token) = self.named.0.iter().find(|(name, _)| name == key)?;
        token.as_ref().map(|token| token.content.as_str())
    }

    /// Iterates over all special tokens, in the order in which missing ones get their ids.
    fn all(&self) -> impl Iterator<Item = &Special> {
        self.named.tokens().chain(&self.extra)
    }

    /// Adds the tokens in transformers' order: it decides the ids of new ones, and of two with the same content the
    /// later one's flags count.
    pub(super) fn register(&self, tokenizer: &mut Steps) -> std::result::Result<(), String> {
        let existing: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let known = existing.iter().map(|token| &token.content).chain(self.added.values().map(|token| &token.content));
        let known: HashSet<&String> = known.collect();
        let names: HashSet<&String> = self.named.tokens().map(|token| &token.content).collect();
        let missing = self.all().filter(|token| !known.contains(&token.content));
        let added = self.added.values().chain(missing).map(|token| {
            let special = token.special || names.contains(&token.content);
            Special { special, ..token.clone() }.added()
        });
        let again = self.all().filter(|_| self.plain).map(|token| Special::named(&token.content).added());
        catch_panic(|| tokenizer.add_tokens(added.chain(again))).map(drop)
    }

    /// Returns the ids of all special tokens.
    pub(super) fn ids(&self, tokenizer: &Steps) -> HashSet<u32> {
        self.all().filter_map(|token| tokenizer.token_to_id(&token.content)).collect()
    }
}

/// Reads the tokens under keys that end in `_token`. Only those with a role may be null.
fn read_named(file: &JsonObject, named: &mut NamedTokens) -> Result<()> {
    for (key, value) in file.iter().filter(|(key, _)| key.ends_with("_token")) {
        let has_role = ROLES.contains(&key.as_str());
        match value {
            Value::Null if has_role => named.set(key, None),
            Value::String(_) | Value::Object(_) => named.set(key, Some(Special::read(file, key, value)?)),
            other if has_role => return Err(file.mismatch(key, "a string, or an object with content", other)),
            _ => continue, // add_bos_token and similar keys are switches
        };
    }
    Ok(())
}

/// Reads the tokens without a role, under the new or the old key; `None` if both are absent. If the new key holds a mapping,
/// its tokens get names, and the old key counts too.
fn read_extra(file: &JsonObject, named: &mut NamedTokens) -> Result<Option<Vec<Special>>> {
    let (new, old) = ("extra_special_tokens", "additional_special_tokens");
    if let Some(Value::Object(map)) = file.get(new) {
        for (name, token) in map {
            named.set(name, Some(Special::read(file, &format!("{new}.{name}"), token)?));
        }
        return read_list(file, old);
    }
    let is_empty = |list: &Value| list.is_null() || list.as_array().is_some_and(Vec::is_empty);
    let key = if file.get(new).is_none_or(is_empty) && file.get(old).is_some() { old } else { new };
    read_list(file, key)
}

fn read_list(file: &JsonObject, key: &str) -> Result<Option<Vec<Special>>> {
    match file.get(key) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(Value::Array(list)) => {
            let read = |(index, token)| Special::read(file, &format!("{key}[{index}]"), token);
            list.iter().enumerate().map(read).collect::<Result<_>>().map(Some)
        }
        Some(other) => Err(file.mismatch(key, "a list of tokens", other)),
    }
}

fn read_decoder(file: &JsonObject, decoder: &Map<String, Value>) -> Result<TokensById> {
    let read = |(id, token): (&String, &Value)| {
        let key = format!("added_tokens_decoder.{id}");
        let id = id.parse().map_err(|_| file.error(&key, "must be a token's id, an integer of at least 0"))?;
        let Value::Object(map) = token else { return Err(file.mismatch(key, "an object", token)) };
        Ok((id, Special::from_map(file, &key, map)?))
    };
    decoder.iter().map(read).collect()
}

/// Reads the added tokens of folders without `added_tokens_decoder`: special_tokens_map.json overrides tokenizer_config.json,
/// and tokenizer.json lists added tokens.
fn read_old_files(
    folder: &Path,
    file: &TokenizerFile,
    named: &mut NamedTokens,
    extra: &mut Option<Vec<Special>>,
) -> Result<TokensById> {
    let map = JsonObject::read(&folder.join("special_tokens_map.json"))?;
    read_named(&map, named)?;
    let listed = read_extra(&map, named)?;
    if extra.is_none() {
        *extra = listed;
    }
    let mut added = TokensById::new();
    let old = JsonObject::read(&folder.join("added_tokens.json"))?;
    for (content, id) in old.iter() {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| old.error(content, "must be a token's id, an integer of at least 0"))?;
        let is_special = |token: &Special| token.content == *content;
        let special = named.tokens().chain(extra.iter().flatten()).any(is_special);
        added.push((id, Special { special, normalized: Some(!special), ..Special::named(content) }));
    }
    added.extend(file.added_tokens.iter().cloned());
    Ok(added)
}
