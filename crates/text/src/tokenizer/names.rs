//! What special tokens are called.

/// transformers' own names of special tokens, in the order in which unknown ones are added.
pub(crate) const NAMED: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];
