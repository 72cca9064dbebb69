//! Special and added tokens: which there are, and how they get into the tokenizer.
//!
//! They come from up to four files, and which of them counts is a rule of transformers: `added_tokens_decoder` of
//! tokenizer_config.json silences special_tokens_map.json, added_tokens.json and tokenizer.json's own list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::class::Class;
use super::files::{Settings, TokenizerFile};
use super::guard::caught;
use super::steps::Steps;
use crate::error::Result;

/// Added tokens with the ids that a file gives them, in the file's order.
pub(super) type Numbered = Vec<(u32, Special)>;

/// The keys under which a special token has a part to play, in the order in which missing ones get their ids.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// An added token as the files say it: `None` is what they leave open.
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

    fn read(file: &Settings, key: &str, value: &Value) -> Result<Self> {
        match value {
            Value::String(content) => Ok(Self::named(content)),
            Value::Object(map) => Self::from_map(file, key, map),
            other => Err(file.mismatch(key, "a text, or an object with content", other)),
        }
    }

    fn from_map(file: &Settings, key: &str, map: &Map<String, Value>) -> Result<Self> {
        let flag = |name: &str| match map.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(file.mismatch(format!("{key}.{name}"), "true or false", other)),
        };
        let Some(Value::String(content)) = map.get("content") else {
            return Err(file.error(format!("{key}.content"), "must be there, and a text"));
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

    /// tokenizer.json's list, whose entries carry their ids.
    pub(super) fn list_with_ids(file: &Settings, key: &str) -> Result<Numbered> {
        let entries = match file.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(other) => return Err(file.mismatch(key, "a list", other)),
        };
        let read = |(index, entry): (usize, &Value)| {
            let place = format!("{key}[{index}]");
            let Value::Object(map) = entry else { return Err(file.mismatch(place, "an object", entry)) };
            let id = map.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
            let id = id.ok_or_else(|| file.error(format!("{place}.id"), "must be a token's id"))?;
            Ok((id, Self::from_map(file, &place, map)?))
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

/// Tokens by key, such as `cls_token`, in the order in which the keys turned up; `None` where a file says null.
#[derive(Default)]
struct Named(Vec<(String, Option<Special>)>);

impl Named {
    fn find(&mut self, key: &str) -> Option<&mut Option<Special>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, token)| token)
    }

    fn set(&mut self, key: &str, token: Option<Special>) {
        match self.find(key) {
            Some(place) => *place = token,
            None => self.0.push((key.to_owned(), token)),
        }
    }

    fn set_default(&mut self, key: &str, content: &str) {
        if self.find(key).is_none() {
            self.set(key, Some(Special::named(content)));
        }
    }

    /// The tokens under the usual keys, then the others.
    fn tokens(&self) -> impl Iterator<Item = &Special> {
        let usual = NAMES.iter().flat_map(|name| self.0.iter().filter(move |(key, _)| key == name));
        let others = self.0.iter().filter(|(key, _)| !NAMES.contains(&key.as_str()));
        usual.chain(others).filter_map(|(_, token)| token.as_ref())
    }
}

/// Every special and added token of a folder.
pub(super) struct SpecialTokens {
    named: Named,
    extra: Vec<Special>,
    added: BTreeMap<u32, Special>,
    /// Whether the special ones are plain whatever the files say.
    plain: bool,
}

impl SpecialTokens {
    /// None but those that tokenizer.json itself adds.
    pub(super) fn none() -> Self {
        Self { named: Named::default(), extra: Vec::new(), added: BTreeMap::new(), plain: false }
    }

    pub(super) fn collect(folder: &Path, config: &Settings, file: &TokenizerFile, class: &Class) -> Result<Self> {
        let mut named = Named::default();
        read_named(config, &mut named)?;
        let mut extra = read_extra(config, &mut named)?;
        let added = match config.get("added_tokens_decoder") {
            Some(Value::Object(decoder)) => read_decoder(config, decoder)?,
            Some(other) => return Err(config.mismatch("added_tokens_decoder", "an object", other)),
            None => read_old_files(folder, file, &mut named, &mut extra)?,
        };
        let flags: HashMap<&str, &Special> = added.iter().map(|(_, token)| (token.content.as_str(), token)).collect();
        for (_, token) in named.0.iter_mut().filter(|(key, _)| NAMES.contains(&key.as_str())) {
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

    /// Those that have a part to play, by its name.
    pub(super) fn by_part(&self) -> Vec<(&'static str, String)> {
        NAMES.iter().filter_map(|name| Some((*name, self.get(name)?.to_owned()))).collect()
    }

    /// The token under a key such as `cls_token`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let (_, token) = self.named.0.iter().find(|(name, _)| name == key)?;
        token.as_ref().map(|token| token.content.as_str())
    }

    /// All special tokens, in the order in which missing ones get their ids.
    fn all(&self) -> impl Iterator<Item = &Special> {
        self.named.tokens().chain(&self.extra)
    }

    /// Adds the tokens in transformers' order: it decides the ids of new ones, and of two with the same content the
    /// later one's flags count.
    pub(super) fn register(&self, tokenizer: &mut Steps) -> std::result::Result<(), String> {
        let there: Vec<AddedToken> = tokenizer.get_added_tokens_decoder().into_values().collect();
        let known = there.iter().map(|token| &token.content).chain(self.added.values().map(|token| &token.content));
        let known: HashSet<&String> = known.collect();
        let names: HashSet<&String> = self.named.tokens().map(|token| &token.content).collect();
        let missing = self.all().filter(|token| !known.contains(&token.content));
        let added = self.added.values().chain(missing).map(|token| {
            let special = token.special || names.contains(&token.content);
            Special { special, ..token.clone() }.added()
        });
        let again = self.all().filter(|_| self.plain).map(|token| Special::named(&token.content).added());
        caught(|| tokenizer.add_tokens(added.chain(again))).map(drop)
    }

    /// The ids of all special tokens.
    pub(super) fn ids(&self, tokenizer: &Steps) -> HashSet<u32> {
        self.all().filter_map(|token| tokenizer.token_to_id(&token.content)).collect()
    }
}

/// The tokens under keys that end in `_token`. Only the usual ones may be null.
fn read_named(file: &Settings, named: &mut Named) -> Result<()> {
    for (key, value) in file.iter().filter(|(key, _)| key.ends_with("_token")) {
        let usual = NAMES.contains(&key.as_str());
        match value {
            Value::Null if usual => named.set(key, None),
            Value::String(_) | Value::Object(_) => named.set(key, Some(Special::read(file, key, value)?)),
            other if usual => return Err(file.mismatch(key, "a text, or an object with content", other)),
            _ => continue, // add_bos_token and the like are switches
        };
    }
    Ok(())
}

/// The tokens without a part of their own, under the new or the old key; `None` where neither is there. A mapping gives
/// its tokens names, and then the old key still counts.
fn read_extra(file: &Settings, named: &mut Named) -> Result<Option<Vec<Special>>> {
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

fn read_list(file: &Settings, key: &str) -> Result<Option<Vec<Special>>> {
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

fn read_decoder(file: &Settings, decoder: &Map<String, Value>) -> Result<Numbered> {
    let read = |(id, token): (&String, &Value)| {
        let place = format!("added_tokens_decoder.{id}");
        let id = id.parse().map_err(|_| file.error(&place, "the key must be a token's id"))?;
        let Value::Object(map) = token else { return Err(file.mismatch(place, "an object", token)) };
        Ok((id, Special::from_map(file, &place, map)?))
    };
    decoder.iter().map(read).collect()
}

/// Folders without `added_tokens_decoder`: special_tokens_map.json overrules, tokenizer.json lists.
fn read_old_files(
    folder: &Path,
    file: &TokenizerFile,
    named: &mut Named,
    extra: &mut Option<Vec<Special>>,
) -> Result<Numbered> {
    let map = Settings::read(&folder.join("special_tokens_map.json"))?;
    read_named(&map, named)?;
    let listed = read_extra(&map, named)?;
    if extra.is_none() {
        *extra = listed;
    }
    let mut added = Numbered::new();
    let old = Settings::read(&folder.join("added_tokens.json"))?;
    for (content, id) in old.iter() {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| old.error(content, "must be a token's id"))?;
        let is_special = |token: &Special| token.content == *content;
        let special = named.tokens().chain(extra.iter().flatten()).any(is_special);
        added.push((id, Special { special, normalized: Some(!special), ..Special::named(content) }));
    }
    added.extend(file.added_tokens.iter().cloned());
    Ok(added)
}
