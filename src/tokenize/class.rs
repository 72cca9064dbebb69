//! Which tokenizer class a folder asks for, and what that class makes of tokenizer.json.
//!
//! transformers has two kinds. A generic class takes tokenizer.json as it is. A class with a name of its own takes the
//! vocabulary (and a SentencePiece charsmap) and sets up all the rest by itself, from its own defaults and the switches
//! in tokenizer_config.json: so a cased tokenizer.json is lowercased by a BertTokenizer that is not told otherwise.

use std::path::Path;

use super::files::{Alone, Settings, TokenizerFile};
use super::layout::Layouts;
use super::rebuild;
use super::special::SpecialTokens;
use super::steps::Steps;
use crate::error::{Error, Result};

/// How a class goes about it. A new class is a new entry in [`CLASSES`].
pub(super) struct Class {
    name: &'static str,
    /// Names of the same thing.
    aliases: &'static [&'static str],
    /// Whether the model gets `token_type_ids`, unless tokenizer_config.json's `model_input_names` says.
    pub(super) token_type_ids: bool,
    /// The special tokens where the files name none.
    pub(super) special_tokens: &'static [(&'static str, &'static str)],
    /// The extra special tokens where the files list none.
    pub(super) extra_tokens: Extra,
    /// Whether a mask token that is given as a mere text takes the white space before it.
    pub(super) mask_takes_space_before: bool,
    /// Whether the special tokens are added once more at the end, as plain ones: whatever else the files say of them.
    pub(super) plain_special_tokens: bool,
    /// Whether padding goes before the tokens, unless the files say.
    pub(super) pad_left: bool,
    /// What tokens have at the end of a word, where the decoder leaves it in.
    pub(super) word_end: Option<&'static str>,
    /// What it can do with where there is no tokenizer.json.
    pub(super) alone: Alone,
    build: fn(rebuild::Source<'_>) -> Result<Steps>,
    join: Join,
}

/// Special tokens that have no part of their own to play.
pub(super) enum Extra {
    Listed(&'static [&'static str]),
    /// T5's, which stand for what is left out of a text: as many as `extra_ids` says.
    Sentinels,
}

/// T5's models have 100.
const MOST_SENTINELS: u32 = 1 << 16;

impl Extra {
    pub(super) fn contents(&self, config: &Settings) -> Result<Vec<String>> {
        match self {
            Self::Listed(tokens) => Ok(tokens.iter().map(|&token| token.to_owned()).collect()),
            Self::Sentinels => {
                let count = config.count("extra_ids", 100)?;
                if count > MOST_SENTINELS {
                    return Err(config.error("extra_ids", format!("must be at most {MOST_SENTINELS}, got {count}")));
                }
                Ok((0..count).map(|index| format!("<extra_id_{index}>")).collect())
            }
        }
    }
}

/// How the special tokens go around one text and between two.
enum Join {
    /// As tokenizer.json's post_processor says.
    AsFiled,
    /// The same; where it has none, as BERT's.
    AsFiledOrBert(&'static str, &'static str),
    /// `A last`, `A last B last`: all of type 0.
    Last(&'static str),
    /// `first A last`, `first A last B last`: B and what follows it are of type 1.
    Bert(&'static str, &'static str),
    /// `first A last`, `first A last last B last`: all of type 0.
    Roberta(&'static str, &'static str),
}

const BERT_TOKENS: &[(&str, &str)] = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ROBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
const DEBERTA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const ALBERT_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "<unk>"),
    ("sep_token", "[SEP]"),
    ("pad_token", "<pad>"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
const T5_TOKENS: &[(&str, &str)] = &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")];
const QWEN_TOKENS: &[(&str, &str)] =
    &[("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")];
const CLIP_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<|startoftext|>"),
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "<|endoftext|>"),
    ("pad_token", "<|endoftext|>"),
];
const GEMMA_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];
const MPNET_TOKENS: &[(&str, &str)] = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "[UNK]"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];

const GENERIC: Class = Class {
    name: "TokenizersBackend",
    aliases: &["PreTrainedTokenizer", "PythonBackend", "BloomTokenizer"],
    token_type_ids: false,
    special_tokens: &[],
    extra_tokens: Extra::Listed(&[]),
    mask_takes_space_before: false,
    plain_special_tokens: false,
    pad_left: false,
    word_end: None,
    alone: Alone::None,
    build: rebuild::as_filed,
    join: Join::AsFiled,
};
const UNALIASED: Class = Class { aliases: &[], ..GENERIC };
const BERT: Class = Class {
    name: "BertTokenizer",
    aliases: &["ElectraTokenizer", "LxmertTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer"],
    token_type_ids: true,
    special_tokens: BERT_TOKENS,
    alone: Alone::Vocabulary,
    build: rebuild::word_piece,
    join: Join::Bert("cls_token", "sep_token"),
    ..GENERIC
};
const ROBERTA: Class = Class {
    name: "RobertaTokenizer",
    aliases: &["BartTokenizer", "LEDTokenizer", "LongformerTokenizer", "MvpTokenizer"],
    special_tokens: ROBERTA_TOKENS,
    alone: Alone::VocabularyAndMerges,
    build: rebuild::byte_level_bpe,
    join: Join::Roberta("cls_token", "sep_token"),
    ..GENERIC
};
const XLM_ROBERTA: Class = Class {
    name: "XLMRobertaTokenizer",
    aliases: &[],
    special_tokens: ROBERTA_TOKENS,
    build: rebuild::xlm_roberta,
    join: Join::Roberta("bos_token", "eos_token"),
    ..GENERIC
};

static CLASSES: [Class; 13] = [
    GENERIC,
    BERT,
    Class { name: "DistilBertTokenizer", aliases: &[], token_type_ids: false, ..BERT },
    Class {
        name: "MPNetTokenizer",
        special_tokens: MPNET_TOKENS,
        mask_takes_space_before: true,
        alone: Alone::Vocabulary,
        build: rebuild::word_piece,
        aliases: &[],
        join: Join::Roberta("cls_token", "sep_token"),
        ..GENERIC
    },
    ROBERTA,
    XLM_ROBERTA,
    Class {
        name: "CamembertTokenizer",
        extra_tokens: Extra::Listed(&["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]),
        mask_takes_space_before: true,
        build: rebuild::camembert,
        ..XLM_ROBERTA
    },
    Class {
        name: "AlbertTokenizer",
        special_tokens: ALBERT_TOKENS,
        build: rebuild::albert,
        join: Join::AsFiledOrBert("cls_token", "sep_token"),
        ..UNALIASED
    },
    Class {
        name: "DebertaV2Tokenizer",
        token_type_ids: true,
        special_tokens: DEBERTA_TOKENS,
        build: rebuild::deberta_v2,
        join: Join::Bert("cls_token", "sep_token"),
        ..UNALIASED
    },
    Class {
        name: "T5Tokenizer",
        special_tokens: T5_TOKENS,
        extra_tokens: Extra::Sentinels,
        build: rebuild::t5,
        join: Join::Last("eos_token"),
        ..UNALIASED
    },
    Class {
        name: "Qwen2Tokenizer",
        special_tokens: QWEN_TOKENS,
        plain_special_tokens: true,
        alone: Alone::VocabularyAndMerges,
        build: rebuild::qwen2,
        ..UNALIASED
    },
    Class { name: "GemmaTokenizer", special_tokens: GEMMA_TOKENS, pad_left: true, build: rebuild::gemma, ..UNALIASED },
    Class {
        name: "CLIPTokenizer",
        special_tokens: CLIP_TOKENS,
        alone: Alone::VocabularyAndMerges,
        build: rebuild::clip,
        join: Join::Roberta("bos_token", "eos_token"),
        word_end: Some(rebuild::WORD_END),
        ..UNALIASED
    },
];

/// Classes that transformers has and we don't. Names that are in neither list are generic there, and so here.
#[rustfmt::skip]
const MISSING: &[&str] = &[
    "Barthez", "Bartpho", "BertGeneration", "BertJapanese", "Bertweet", "BigBird", "BioGpt",
    "Blenderbot", "BlenderbotSmall", "ByT5", "CTRL", "Canine", "Clvp", "CodeGen", "CodeLlama", "Cohere",
    "ConvBert", "Cpm", "CpmAnt", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "Deberta", "Dia",
    "Esm", "Esmc", "FNet", "FSMT", "FastSpeech2Conformer", "Flaubert", "Funnel", "GPT2", "GPTNeoX", "GPTNeoXJapanese",
    "GPTSw3", "Herbert", "Lasr", "LayoutLMv2", "LayoutLMv3", "LayoutXLM", "Llama", "Luke", "M2M100", "MBart",
    "MBart50", "MLuke", "Marian", "MarkupLM", "Mgpstr", "MyT5", "Nllb", "Nougat", "OpenAIGPT", "PLBart", "Parakeet",
    "Pegasus", "Perceiver", "Phobert", "Pop2Piano", "ProphetNet", "Qwen3_5", "Rag", "Reformer", "RemBert",
    "RoCBert", "RoFormer", "SeamlessM4T", "Siglip", "Siglip2", "Speech2Text", "SpeechT5", "Splinter", "Tapas",
    "Tipsv2", "Udop", "VideoPrism", "Vits", "Wav2Vec2CTC", "Wav2Vec2PhonemeCTC", "Whisper", "XGLM", "XLM", "XLNet",
];

/// The class that transformers registers for a `model_type`; `None` where it has none or we don't know it.
#[rustfmt::skip]
fn registered(model_type: &str) -> Option<&'static str> {
    Some(match model_type {
        "bert" | "distilbert" | "electra" | "ernie" | "layoutlm" | "megatron-bert" | "nezha" | "nomic_bert"
        | "convbert" | "squeezebert" => "BertTokenizer",
        "mobilebert" => "MobileBertTokenizer",
        "mpnet" => "MPNetTokenizer",
        "bart" | "data2vec-text" | "ibert" | "lilt" | "longformer" | "mega" | "mra" | "roberta"
        | "roberta-prelayernorm" => "RobertaTokenizer",
        "gte" | "jina_embeddings_v3" | "xlm-roberta" | "xmod" => "XLMRobertaTokenizer",
        "camembert" => "CamembertTokenizer",
        "albert" | "yoso" => "AlbertTokenizer",
        "deberta" => "DebertaTokenizer",
        "deberta-v2" => "DebertaV2Tokenizer",
        "gemma" | "gemma2" | "gemma3" | "gemma3_text" | "t5gemma" => "GemmaTokenizer",
        "qwen2" | "qwen2_moe" | "qwen3" | "qwen3_moe" => "Qwen2Tokenizer",
        "mt5" | "t5" => "T5Tokenizer",
        "modernbert" | "modernbert-decoder" | "nystromformer" | "umt5" | "xlm-roberta-xl" => GENERIC.name,
        _ => return None,
    })
}

/// Whether transformers is known to register no class for a `model_type`, and so takes its general one; empty is none.
fn has_no_class(model_type: &str) -> bool {
    matches!(model_type, "" | "eurobert")
}

/// Whether transformers distrusts what folders of this `model_type` declare.
fn declares_wrongly(model_type: &str) -> bool {
    matches!(model_type, "modernbert" | "modernbert-decoder" | "qwen2")
}

impl Class {
    /// The class of a folder: what tokenizer_config.json declares, else what config.json does, else what goes with the
    /// `model_type`; and that one may overrule the others.
    pub(super) fn of(folder: &Path, config: &Settings, model_type: &str) -> Result<&'static Self> {
        let model_config = Settings::read(&folder.join("config.json"))?;
        let declared = match config.text("tokenizer_class")? {
            Some(class) => Some(class),
            None => model_config.text("tokenizer_class")?,
        };
        let declared = declared.map(|class| class.strip_suffix("Fast").unwrap_or(class));
        let by_file = config.get("auto_map").is_some_and(|map| map.is_array() || map.get("AutoTokenizer").is_some());
        let name = match (declared, registered(model_type)) {
            (Some(declared), Some(registered)) if declared != registered && !by_file => {
                if registered == GENERIC.name || declares_wrongly(model_type) { registered } else { declared }
            }
            (Some(declared), _) => declared,
            (None, Some(registered)) => registered,
            (None, None) if has_no_class(model_type) => GENERIC.name,
            (None, None) => return Err(no_class(folder, model_type)),
        };
        Self::named(folder, name)
    }

    fn named(folder: &Path, name: &str) -> Result<&'static Self> {
        let found = CLASSES.iter().find(|class| class.name == name || class.aliases.contains(&name));
        match (found, name.strip_suffix("Tokenizer")) {
            (Some(class), _) => Ok(class),
            (None, Some(stem)) if MISSING.contains(&stem) => Err(unsupported(folder, name)),
            (None, _) => Ok(&CLASSES[0]),
        }
    }

    pub(super) fn build(&self, file: TokenizerFile, config: &Settings, special: &SpecialTokens) -> Result<Steps> {
        (self.build)(rebuild::Source { file, config, special })
    }

    /// Where the special tokens go; they must be registered by now. `file` is tokenizer.json's path.
    pub(super) fn layouts(
        &self,
        tokenizer: &Steps,
        file: &Path,
        config: &Settings,
        special: &SpecialTokens,
    ) -> Result<Layouts> {
        let id = |key: &str| {
            let id = special.get(key).and_then(|token| tokenizer.token_to_id(token));
            id.ok_or_else(|| config.error(key, format!("must be a token: {} puts it around every text", self.name)))
        };
        match self.join {
            Join::AsFiledOrBert(first, last) if tokenizer.get_post_processor().is_none() => {
                Ok(Layouts::bert(id(first)?, id(last)?))
            }
            Join::AsFiled | Join::AsFiledOrBert(..) => {
                Layouts::of(tokenizer).map_err(|problem| Error::config(file, "post_processor", problem))
            }
            Join::Last(last) => Ok(Layouts::ended(id(last)?)),
            Join::Bert(first, last) => Ok(Layouts::bert(id(first)?, id(last)?)),
            Join::Roberta(first, last) => Ok(Layouts::roberta(id(first)?, id(last)?)),
        }
    }
}

fn unsupported(folder: &Path, name: &str) -> Error {
    let what = format!("the tokenizer class of {}", folder.join("tokenizer_config.json").display());
    let supported = CLASSES.iter().map(|class| class.name).collect::<Vec<_>>().join(", ");
    Error::unsupported(what, name, supported)
}

fn no_class(folder: &Path, model_type: &str) -> Error {
    let file = folder.join("tokenizer_config.json");
    let problem = format!("must be there: model_type {model_type:?} does not say which class the tokenizer has");
    Error::config(file, "tokenizer_class", problem)
}
