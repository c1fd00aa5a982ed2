//! The fields of a SentencePiece model that say how a text is tokenised.
//!
//! Reference: `sentencepiece_model.proto` (github.com/google/sentencepiece), in protocol buffers' wire format
//! (protobuf.dev/programming-guides/encoding). Fields that nothing here asks for are passed over.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail, ensure};

/// Characters of one piece; what sentencepiece trains has 512 at most, and far fewer by default.
const LONGEST: usize = 512;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// How pieces are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram,
    Bpe,
}

/// A model, with the defaults of its format.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    pub(super) byte_fallback: bool,
    /// Ids of the unknown token, BOS and EOS, negative where there is none, and their names.
    pub(super) unk: (i32, String),
    pub(super) bos: (i32, String),
    pub(super) eos: (i32, String),
    /// Rules of the normaliser, compiled; empty where it has none.
    pub(super) charsmap: Vec<u8>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
    pub(super) escape_whitespaces: bool,
    whitespace_as_suffix: bool,
}

impl Model {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// A damaged file; a model of words or characters, or with spaces at the end of words, which the tokenizers
    /// library cannot follow.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let mut model = Self {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            unk: (0, "<unk>".to_owned()),
            bos: (1, "<s>".to_owned()),
            eos: (2, "</s>".to_owned()),
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            whitespace_as_suffix: false,
        };
        fields(bytes, |number, value| match number {
            1 => {
                let id = model.pieces.len();
                let piece = piece(value.bytes()?).with_context(|| format!("piece {id}"))?;
                model.pieces.push(piece);
                Ok(())
            }
            2 => model.read_trainer(value.bytes()?).context("trainer_spec"),
            3 => {
                let read = model.read_normalizer(value.bytes()?);
                read.context("normalizer_spec")
            }
            _ => Ok(()),
        })?;
        model.check()?;
        Ok(model)
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Result<()> {
        fields(bytes, |number, value| {
            match number {
                3 => {
                    self.algorithm = match value.number()? {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => bail!(
                            "model_type is WORD; only Unigram and BPE models are read: train one of these"
                        ),
                        4 => bail!(
                            "model_type is CHAR; only Unigram and BPE models are read: train one of these"
                        ),
                        other => bail!("model_type is {other}, which is none"),
                    }
                }
                24 => self.whitespace_as_suffix = value.number()? != 0,
                35 => self.byte_fallback = value.number()? != 0,
                40 => self.unk.0 = value.number()? as i32,
                41 => self.bos.0 = value.number()? as i32,
                42 => self.eos.0 = value.number()? as i32,
                45 => self.unk.1 = value.text()?,
                46 => self.bos.1 = value.text()?,
                47 => self.eos.1 = value.text()?,
                _ => {}
            }
            Ok(())
        })
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Result<()> {
        fields(bytes, |number, value| {
            match number {
                2 => self.charsmap = value.bytes()?.to_vec(),
                3 => self.add_dummy_prefix = value.number()? != 0,
                4 => self.remove_extra_whitespaces = value.number()? != 0,
                5 => self.escape_whitespaces = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })
    }

    fn check(&self) -> Result<()> {
        ensure!(!self.pieces.is_empty(), "it has no pieces");
        ensure!(
            !self.whitespace_as_suffix,
            "trainer_spec: treat_whitespace_as_suffix is on, which transformers leaves out of account: texts would \
             have other tokens than in training; train the model without it"
        );
        let mut seen = HashSet::new();
        for (id, piece) in self.pieces.iter().enumerate() {
            let text = &piece.text;
            ensure!(!text.is_empty(), "piece {id} is empty");
            ensure!(
                text.chars().count() <= LONGEST,
                "piece {id} is longer than {LONGEST} characters"
            );
            ensure!(
                piece.score.is_finite(),
                "piece {id}, {text:?}: its score is {}",
                piece.score
            );
            ensure!(
                seen.insert(text),
                "piece {id}, {text:?}, stands there twice"
            );
        }
        if let Some(head) = self.charsmap.first_chunk() {
            // Where the rules begin; the library makes room for as much as the file says.
            ensure!(
                u32::from_le_bytes(*head) as usize <= self.charsmap.len() - head.len(),
                "normalizer_spec: precompiled_charsmap is cut off"
            );
        }
        Ok(())
    }
}

fn piece(bytes: &[u8]) -> Result<Piece> {
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: Kind::Normal,
    };
    fields(bytes, |number, value| {
        match number {
            1 => piece.text = value.text()?,
            2 => piece.score = value.float()?,
            3 => {
                piece.kind = match value.number()? {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    other => bail!("type is {other}, which is none"),
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(piece)
}

/// A field's value in the wire format.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
    Fixed64,
}

impl<'a> Value<'a> {
    fn number(&self) -> Result<u64> {
        match self {
            Self::Number(number) => Ok(*number),
            _ => bail!("a field that should be a number is none"),
        }
    }

    fn bytes(&self) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => bail!("a field that should have a length has none"),
        }
    }

    fn text(&self) -> Result<String> {
        let text = std::str::from_utf8(self.bytes()?).context("a text is not UTF-8")?;
        Ok(text.to_owned())
    }

    fn float(&self) -> Result<f32> {
        match self {
            Self::Fixed32(bytes) => Ok(f32::from_le_bytes(*bytes)),
            _ => bail!("a score is not a number of four bytes"),
        }
    }
}

/// Calls `each` with the number and the value of every field of a message, in the order of the file.
fn fields(mut rest: &[u8], mut each: impl FnMut(u64, Value) -> Result<()>) -> Result<()> {
    const CUT: &str = "it ends within a field";
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => {
                let (_, after) = rest.split_first_chunk::<8>().context(CUT)?;
                rest = after;
                Value::Fixed64
            }
            2 => {
                let length = usize::try_from(varint(&mut rest)?).context(CUT)?;
                let (bytes, after) = rest.split_at_checked(length).context(CUT)?;
                rest = after;
                Value::Bytes(bytes)
            }
            5 => {
                let (bytes, after) = rest.split_first_chunk().context(CUT)?;
                rest = after;
                Value::Fixed32(*bytes)
            }
            other => bail!("a field of wire type {other}: it is no SentencePiece model"),
        };
        each(key >> 3, value)?;
    }
    Ok(())
}

/// A number in groups of seven bits, the lowest first.
fn varint(rest: &mut &[u8]) -> Result<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().context("it ends within a number")?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    bail!("a number has more than ten bytes")
}
