//! Special tokens of each tokenizer class where a folder's files name none.

/// Tokens by role.
type Tokens = &'static [(&'static str, &'static str)];

pub(super) const BERT_TOKENS: Tokens = &[
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
pub(super) const ROBERTA_TOKENS: Tokens = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
pub(super) const DEBERTA_TOKENS: Tokens = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
pub(super) const ALBERT_TOKENS: Tokens = &[
    ("bos_token", "[CLS]"),
    ("eos_token", "[SEP]"),
    ("unk_token", "<unk>"),
    ("sep_token", "[SEP]"),
    ("pad_token", "<pad>"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];
pub(super) const T5_TOKENS: Tokens = &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")];
pub(super) const QWEN_TOKENS: Tokens =
    &[("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")];
pub(super) const CLIP_TOKENS: Tokens = &[
    ("bos_token", "<|startoftext|>"),
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "<|endoftext|>"),
    ("pad_token", "<|endoftext|>"),
];
pub(super) const GEMMA_TOKENS: Tokens = &[
    ("bos_token", "<bos>"),
    ("eos_token", "<eos>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
];
pub(super) const LLAMA_TOKENS: Tokens = &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")];
pub(super) const GPT2_TOKENS: Tokens =
    &[("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("unk_token", "<|endoftext|>")];
pub(super) const GPT_NEOX_TOKENS: Tokens = &[
    ("bos_token", "<|endoftext|>"),
    ("eos_token", "<|endoftext|>"),
    ("unk_token", "<|endoftext|>"),
    ("pad_token", "<|padding|>"),
];
pub(super) const HERBERT_TOKENS: Tokens = &[
    ("unk_token", "<unk>"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
pub(super) const MPNET_TOKENS: Tokens = &[
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "[UNK]"),
    ("sep_token", "</s>"),
    ("pad_token", "<pad>"),
    ("cls_token", "<s>"),
    ("mask_token", "<mask>"),
];
pub(super) const SIGLIP_TOKENS: Tokens = &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "</s>")];
