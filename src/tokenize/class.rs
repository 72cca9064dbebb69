//! Tokenizer classes of transformers: how to choose one, and how each builds its tokenizer.
//!
//! transformers has two kinds. A generic class takes tokenizer.json as it is. A specific class takes only the vocabulary
//! (and a SentencePiece charsmap). It builds all other steps from its own defaults and the switches in
//! tokenizer_config.json. A BertTokenizer therefore lowercases, even if tokenizer.json is cased.

use std::path::Path;

use serde_json::Value;

use super::default_tokens::{
    ALBERT_TOKENS, BERT_TOKENS, CLIP_TOKENS, DEBERTA_TOKENS, GEMMA_TOKENS, GPT_NEOX_TOKENS, GPT2_TOKENS,
    HERBERT_TOKENS, LLAMA_TOKENS, MPNET_TOKENS, QWEN_TOKENS, ROBERTA_TOKENS, SIGLIP_TOKENS, T5_TOKENS,
};
use super::files::{JsonObject, TokenizerFile, VocabularyFiles};
use super::layout::Layouts;
use super::rebuild;
use super::special::SpecialTokens;
use super::steps::Steps;
use crate::error::{Error, Result};

/// A tokenizer class. A new class is a new entry in [`CLASSES`].
pub(crate) struct Class {
    name: &'static str,
    /// Other names of the class.
    aliases: &'static [&'static str],
    /// True if the model gets `token_type_ids`; `model_input_names` in tokenizer_config.json overrides it.
    pub(super) token_type_ids: bool,
    /// Special tokens by default.
    pub(super) special_tokens: &'static [(&'static str, &'static str)],
    /// Extra special tokens by default.
    pub(super) extra_tokens: Extra,
    /// True if a mask token given as a plain string absorbs the white space before it.
    pub(super) mask_takes_space_before: bool,
    /// True if special tokens are added again at the end without the flags that the files give them.
    pub(super) plain_special_tokens: bool,
    /// True if padding goes before the tokens by default.
    pub(super) pad_left: bool,
    /// Suffix of tokens that end a word, if the decoder leaves it in.
    pub(super) word_end: Option<&'static str>,
    /// Files that can replace tokenizer.json.
    pub(super) vocabulary_files: VocabularyFiles,
    build: fn(rebuild::Source<'_>) -> Result<Steps>,
    template: Template,
}

/// Special tokens without a role such as `cls_token`.
pub(super) enum Extra {
    Listed(&'static [&'static str]),
    /// T5's sentinel tokens, `extra_ids` of them.
    Sentinels,
}

/// Upper bound of sentinel tokens; T5's models have 100.
const MAX_SENTINELS: u32 = 1 << 16;

impl Extra {
    pub(super) fn contents(&self, config: &JsonObject) -> Result<Vec<String>> {
        match self {
            Self::Listed(tokens) => Ok(tokens.iter().map(|&token| token.to_owned()).collect()),
            Self::Sentinels => {
                let count = config.count("extra_ids", 100)?;
                if count > MAX_SENTINELS {
                    return Err(config.error("extra_ids", format!("must be at most {MAX_SENTINELS}, got {count}")));
                }
                Ok((0..count).map(|index| format!("<extra_id_{index}>")).collect())
            }
        }
    }
}

/// Positions of special tokens around one text and between two.
enum Template {
    /// The post_processor of tokenizer.json.
    AsFiled,
    /// The post_processor of tokenizer.json, else BERT's template.
    AsFiledOrBert(&'static str, &'static str),
    /// `A last`, `A last B last`: all of type 0.
    Last(&'static str),
    /// The same, unless a text ends with `last` already.
    LastOnce(&'static str),
    /// No special tokens, whatever the files have.
    Bare,
    /// `A last` if `add_eos_token` is on, else no special tokens.
    LastIfOn(&'static str),
    /// `first A last`, `first A last B last`: B and what follows it are of type 1.
    Bert(&'static str, &'static str),
    /// `first A last`, `first A last last B last`: all of type 0.
    Roberta(&'static str, &'static str),
}

pub(crate) const GENERIC: Class = Class {
    name: "TokenizersBackend",
    aliases: &["PreTrainedTokenizer", "PythonBackend", "BloomTokenizer"],
    token_type_ids: false,
    special_tokens: &[],
    extra_tokens: Extra::Listed(&[]),
    mask_takes_space_before: false,
    plain_special_tokens: false,
    pad_left: false,
    word_end: None,
    vocabulary_files: VocabularyFiles::None,
    build: rebuild::as_filed,
    template: Template::AsFiled,
};
const UNALIASED: Class = Class { aliases: &[], ..GENERIC };
pub(crate) const BERT: Class = Class {
    name: "BertTokenizer",
    aliases: &["ElectraTokenizer", "LxmertTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer"],
    token_type_ids: true,
    special_tokens: BERT_TOKENS,
    vocabulary_files: VocabularyFiles::Vocabulary,
    build: rebuild::word_piece,
    template: Template::Bert("cls_token", "sep_token"),
    ..GENERIC
};
pub(crate) const ROBERTA: Class = Class {
    name: "RobertaTokenizer",
    aliases: &["BartTokenizer", "LEDTokenizer", "LongformerTokenizer", "MvpTokenizer"],
    special_tokens: ROBERTA_TOKENS,
    vocabulary_files: VocabularyFiles::VocabularyAndMerges,
    build: rebuild::byte_level_bpe,
    template: Template::Roberta("cls_token", "sep_token"),
    ..GENERIC
};
pub(crate) const XLM_ROBERTA: Class = Class {
    name: "XLMRobertaTokenizer",
    aliases: &[],
    special_tokens: ROBERTA_TOKENS,
    build: rebuild::xlm_roberta,
    template: Template::Roberta("bos_token", "eos_token"),
    ..GENERIC
};

const DISTILBERT: Class = Class { name: "DistilBertTokenizer", aliases: &[], token_type_ids: false, ..BERT };
pub(crate) const MPNET: Class = Class {
    name: "MPNetTokenizer",
    special_tokens: MPNET_TOKENS,
    mask_takes_space_before: true,
    vocabulary_files: VocabularyFiles::Vocabulary,
    build: rebuild::word_piece,
    aliases: &[],
    template: Template::Roberta("cls_token", "sep_token"),
    ..GENERIC
};
pub(crate) const CAMEMBERT: Class = Class {
    name: "CamembertTokenizer",
    extra_tokens: Extra::Listed(&["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]),
    mask_takes_space_before: true,
    build: rebuild::camembert,
    ..XLM_ROBERTA
};
pub(crate) const ALBERT: Class = Class {
    name: "AlbertTokenizer",
    special_tokens: ALBERT_TOKENS,
    build: rebuild::albert,
    template: Template::AsFiledOrBert("cls_token", "sep_token"),
    ..UNALIASED
};
pub(crate) const DEBERTA_V2: Class = Class {
    name: "DebertaV2Tokenizer",
    token_type_ids: true,
    special_tokens: DEBERTA_TOKENS,
    build: rebuild::deberta_v2,
    template: Template::Bert("cls_token", "sep_token"),
    ..UNALIASED
};
pub(crate) const T5: Class = Class {
    name: "T5Tokenizer",
    special_tokens: T5_TOKENS,
    extra_tokens: Extra::Sentinels,
    build: rebuild::t5,
    template: Template::Last("eos_token"),
    ..UNALIASED
};
pub(crate) const QWEN2: Class = Class {
    name: "Qwen2Tokenizer",
    special_tokens: QWEN_TOKENS,
    plain_special_tokens: true,
    vocabulary_files: VocabularyFiles::VocabularyAndMerges,
    build: rebuild::qwen2,
    ..UNALIASED
};
/// Code of gte-Qwen2-1.5B-instruct and its sisters.
const GTE_QWEN2: Class = Class {
    name: "tokenization_qwen.Qwen2Tokenizer",
    special_tokens: QWEN_TOKENS,
    template: Template::LastIfOn("eos_token"),
    ..UNALIASED
};
pub(crate) const GEMMA: Class =
    Class { name: "GemmaTokenizer", special_tokens: GEMMA_TOKENS, pad_left: true, build: rebuild::gemma, ..UNALIASED };
const LLAMA: Class =
    Class { name: "LlamaTokenizer", special_tokens: LLAMA_TOKENS, pad_left: true, build: rebuild::llama, ..UNALIASED };
const GPT2: Class =
    Class { name: "GPT2Tokenizer", special_tokens: GPT2_TOKENS, build: rebuild::byte_level_bpe, ..UNALIASED };
const GPT_NEOX: Class = Class {
    name: "GPTNeoXTokenizer",
    special_tokens: GPT_NEOX_TOKENS,
    build: rebuild::gpt_neox,
    template: Template::Bare,
    ..UNALIASED
};
const HERBERT: Class = Class {
    name: "HerbertTokenizer",
    special_tokens: HERBERT_TOKENS,
    build: rebuild::herbert,
    template: Template::Bert("cls_token", "sep_token"),
    ..UNALIASED
};
pub(crate) const CLIP: Class = Class {
    name: "CLIPTokenizer",
    special_tokens: CLIP_TOKENS,
    vocabulary_files: VocabularyFiles::VocabularyAndMerges,
    build: rebuild::clip,
    template: Template::Roberta("bos_token", "eos_token"),
    word_end: Some(rebuild::WORD_END),
    ..UNALIASED
};

pub(crate) const SIGLIP: Class = Class {
    name: "SiglipTokenizer",
    special_tokens: SIGLIP_TOKENS,
    vocabulary_files: VocabularyFiles::SentencePiece,
    build: rebuild::siglip,
    template: Template::LastOnce("eos_token"),
    ..UNALIASED
};

static CLASSES: [Class; 19] = [
    GENERIC,
    BERT,
    DISTILBERT,
    MPNET,
    ROBERTA,
    XLM_ROBERTA,
    CAMEMBERT,
    ALBERT,
    DEBERTA_V2,
    T5,
    QWEN2,
    GTE_QWEN2,
    GEMMA,
    CLIP,
    LLAMA,
    GPT2,
    GPT_NEOX,
    HERBERT,
    SIGLIP,
];

/// Classes of transformers that rushlight lacks. Names in neither list are generic in transformers, and here.
#[rustfmt::skip]
const MISSING: &[&str] = &[
    "Barthez", "Bartpho", "BertGeneration", "BertJapanese", "Bertweet", "BigBird", "BioGpt",
    "Blenderbot", "BlenderbotSmall", "ByT5", "CTRL", "Canine", "Clvp", "CodeGen", "CodeLlama", "Cohere",
    "ConvBert", "Cpm", "CpmAnt", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "Deberta", "Dia",
    "Esm", "Esmc", "FNet", "FSMT", "FastSpeech2Conformer", "Flaubert", "Funnel", "GPTNeoXJapanese",
    "GPTSw3", "Lasr", "LayoutLMv2", "LayoutLMv3", "LayoutXLM", "Luke", "M2M100", "MBart",
    "MBart50", "MLuke", "Marian", "MarkupLM", "Mgpstr", "MyT5", "Nllb", "Nougat", "OpenAIGPT", "PLBart", "Parakeet",
    "Pegasus", "Perceiver", "Phobert", "Pop2Piano", "ProphetNet", "Qwen3_5", "Rag", "Reformer", "RemBert",
    "RoCBert", "RoFormer", "SeamlessM4T", "Siglip2", "Speech2Text", "SpeechT5", "Splinter", "Tapas",
    "Tipsv2", "Udop", "VideoPrism", "Vits", "Wav2Vec2CTC", "Wav2Vec2PhonemeCTC", "Whisper", "XGLM", "XLM", "XLNet",
];

/// Class that goes with an architecture.
#[derive(Clone, Copy)]
pub(crate) enum DefaultClass {
    /// Used where the folder declares none.
    Undeclared(&'static Class),
    /// Used whatever the folder declares, unless its class comes with the model. transformers does so for architectures
    /// whose folders declare the wrong class.
    Always(&'static Class),
}

impl Class {
    /// Returns the class of a folder: what tokenizer_config.json declares, else what config.json does, else the default.
    pub(super) fn of(folder: &Path, config: &JsonObject, default: DefaultClass) -> Result<&'static Self> {
        let model_config = JsonObject::read(&folder.join("config.json"))?;
        let declared = match config.text("tokenizer_class")? {
            Some(class) => Some(class),
            None => model_config.text("tokenizer_class")?,
        };
        let code =
            config.get("auto_map").and_then(|map| if map.is_array() { Some(map) } else { map.get("AutoTokenizer") });
        if let Some(class) = code.and_then(Self::of_code) {
            return Ok(class);
        }
        let comes_with_model = code.is_some();
        match (declared, default) {
            (Some(name), DefaultClass::Undeclared(_)) => Self::named(folder, name),
            (Some(name), DefaultClass::Always(_)) if comes_with_model => Self::named(folder, name),
            (_, DefaultClass::Undeclared(class) | DefaultClass::Always(class)) => Ok(class),
        }
    }

    /// Finds the class of published code by what `auto_map` names: a class, or a slow one and a fast one.
    fn of_code(code: &Value) -> Option<&'static Self> {
        let names = code.as_array().map_or(std::slice::from_ref(code), Vec::as_slice);
        let names = names.iter().filter_map(Value::as_str).map(|name| name.strip_suffix("Fast").unwrap_or(name));
        names
            .filter_map(|name| name.rsplit("--").next())
            .find_map(|name| CLASSES.iter().find(|class| class.name == name))
    }

    fn named(folder: &Path, name: &str) -> Result<&'static Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        let found = CLASSES.iter().find(|class| class.name == name || class.aliases.contains(&name));
        match (found, name.strip_suffix("Tokenizer")) {
            (Some(class), _) => Ok(class),
            (None, Some(stem)) if MISSING.contains(&stem) => Err(unsupported(folder, name)),
            (None, _) => Ok(Self::generic()),
        }
    }

    /// Returns the class that takes this file: the generic one in place of Llama's for a vocabulary of bytes, such as
    /// Llama 3's. transformers distrusts the declaration there.
    pub(super) fn of_file(&'static self, file: &TokenizerFile) -> &'static Self {
        if self.name == LLAMA.name && file.has_byte_level() { Self::generic() } else { self }
    }

    /// Returns the class that takes tokenizer.json as it is.
    pub(super) fn generic() -> &'static Self {
        &CLASSES[0]
    }

    /// Returns true if the class builds steps of its own.
    pub(super) fn rebuilds(&self) -> bool {
        self.name != GENERIC.name && self.name != GTE_QWEN2.name
    }

    /// Name in messages.
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the token that is put after a text, unless the text ends with it.
    pub(super) fn ends_once<'a>(&self, special: &'a SpecialTokens) -> Option<&'a str> {
        if let Template::LastOnce(role) = self.template { special.get(role) } else { None }
    }

    pub(super) fn build(&self, file: TokenizerFile, config: &JsonObject, special: &SpecialTokens) -> Result<Steps> {
        (self.build)(rebuild::Source { file, config, special })
    }

    /// Returns the layouts of special tokens, which must be registered already. `file` is tokenizer.json's path.
    pub(super) fn layouts(
        &self,
        tokenizer: &Steps,
        file: &Path,
        config: &JsonObject,
        special: &SpecialTokens,
    ) -> Result<Layouts> {
        let id = |key: &str| {
            let id = special.get(key).and_then(|token| tokenizer.token_to_id(token));
            id.ok_or_else(|| {
                config
                    .error(key, format!("must name a token of the vocabulary: {} puts it around every text", self.name))
            })
        };
        match self.template {
            Template::AsFiledOrBert(first, last) if tokenizer.get_post_processor().is_none() => {
                Ok(Layouts::bert(id(first)?, id(last)?))
            }
            Template::AsFiled | Template::AsFiledOrBert(..) => {
                Layouts::of(tokenizer).map_err(|problem| Error::config(file, "post_processor", problem))
            }
            Template::Bare => Ok(Layouts::bare()),
            Template::LastIfOn(_) if !config.flag("add_eos_token", false)? => Ok(Layouts::bare()),
            Template::Last(last) | Template::LastOnce(last) | Template::LastIfOn(last) => Ok(Layouts::ended(id(last)?)),
            Template::Bert(first, last) => Ok(Layouts::bert(id(first)?, id(last)?)),
            Template::Roberta(first, last) => Ok(Layouts::roberta(id(first)?, id(last)?)),
        }
    }
}

fn unsupported(folder: &Path, name: &str) -> Error {
    let what = format!("the tokenizer class of {}", folder.join("tokenizer_config.json").display());
    let supported = CLASSES.iter().map(|class| class.name).collect::<Vec<_>>().join(", ");
    Error::unsupported(what, name, supported)
}
