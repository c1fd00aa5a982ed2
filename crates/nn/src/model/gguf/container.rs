//! The file: what is said of the model, the tensors' heads, and their values, version 3 of the format.

use std::io::Write;

use anyhow::{Result, ensure};

/// Where tensors begin: at multiples of this.
const ALIGNMENT: u64 = 32;

/// Numbers of one block of [`Kind::Q8_0`], which have one scale.
pub(super) const BLOCK: usize = 32;

/// A value of the file's table.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    U32(u32),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// Values by key, in the order of the file.
pub type Pairs = Vec<(String, Value)>;

/// How one tensor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    F16,
    Q8_0,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
        }
    }

    /// Bytes of `values` numbers.
    fn size(self, values: u64) -> u64 {
        match self {
            Self::F32 => 4 * values,
            Self::F16 => 2 * values,
            Self::Q8_0 => values / BLOCK as u64 * (BLOCK as u64 + 2),
        }
    }
}

/// A tensor's name, its shape with the last dimension last, and how it is stored.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) kind: Kind,
}

impl Head {
    fn size(&self) -> u64 {
        self.kind
            .size(self.shape.iter().map(|it| *it as u64).product())
    }
}

/// A file that is being written, up to the values of its tensors.
pub(super) struct Writer<'a> {
    file: &'a mut dyn Write,
    /// Bytes that each tensor has.
    sizes: std::vec::IntoIter<u64>,
}

impl<'a> Writer<'a> {
    /// Writes everything before the values.
    pub(super) fn begin(file: &'a mut dyn Write, pairs: &Pairs, heads: &[Head]) -> Result<Self> {
        let mut front = b"GGUF".to_vec();
        front.extend(3_u32.to_le_bytes());
        front.extend((heads.len() as u64).to_le_bytes());
        front.extend((pairs.len() as u64).to_le_bytes());
        for (key, value) in pairs {
            text(&mut front, key);
            self::value(&mut front, value);
        }
        let mut offset = 0_u64;
        for head in heads {
            text(&mut front, &head.name);
            front.extend((head.shape.len() as u32).to_le_bytes());
            for size in head.shape.iter().rev() {
                front.extend((*size as u64).to_le_bytes());
            }
            front.extend(head.kind.number().to_le_bytes());
            front.extend(offset.to_le_bytes());
            offset += head.size().next_multiple_of(ALIGNMENT);
        }
        front.resize(front.len().next_multiple_of(ALIGNMENT as usize), 0);
        file.write_all(&front)?;
        let sizes: Vec<u64> = heads.iter().map(Head::size).collect();
        Ok(Self {
            file,
            sizes: sizes.into_iter(),
        })
    }

    /// Writes the values of the next tensor.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let size = self.sizes.next();
        let found = bytes.len() as u64;
        ensure!(
            size == Some(found),
            "{found} bytes, where {size:?} were told"
        );
        self.file.write_all(bytes)?;
        let padding = found.next_multiple_of(ALIGNMENT) - found;
        Ok(self
            .file
            .write_all(&[0; ALIGNMENT as usize][..padding as usize])?)
    }

    /// That every tensor is there.
    pub(super) fn end(mut self) -> Result<()> {
        ensure!(self.sizes.next().is_none(), "tensors are missing");
        Ok(())
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, value: &Value) {
    const ARRAY: u32 = 9;
    let number = |value: &Value| -> u32 {
        match value {
            Value::U32(_) => 4,
            Value::I32s(_) => 5,
            Value::F32(_) | Value::F32s(_) => 6,
            Value::Bool(_) => 7,
            Value::Text(_) | Value::Texts(_) => 8,
        }
    };
    let length = match value {
        Value::Texts(it) => Some(it.len()),
        Value::I32s(it) => Some(it.len()),
        Value::F32s(it) => Some(it.len()),
        _ => None,
    };
    if let Some(length) = length {
        out.extend(ARRAY.to_le_bytes());
        out.extend(number(value).to_le_bytes());
        out.extend((length as u64).to_le_bytes());
    } else {
        out.extend(number(value).to_le_bytes());
    }
    match value {
        Value::U32(it) => out.extend(it.to_le_bytes()),
        Value::F32(it) => out.extend(it.to_le_bytes()),
        Value::Bool(it) => out.push(u8::from(*it)),
        Value::Text(it) => text(out, it),
        Value::Texts(it) => it.iter().for_each(|it| text(out, it)),
        Value::I32s(it) => out.extend(it.iter().flat_map(|it| it.to_le_bytes())),
        Value::F32s(it) => out.extend(it.iter().flat_map(|it| it.to_le_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_bytes_of_its_description() {
        let pairs = vec![
            ("a".to_owned(), Value::U32(7)),
            ("b".to_owned(), Value::Texts(vec!["x".into(), "yz".into()])),
        ];
        let heads = [
            Head {
                name: "t".into(),
                shape: vec![2, 3],
                kind: Kind::F16,
            },
            Head {
                name: "u".into(),
                shape: vec![32],
                kind: Kind::Q8_0,
            },
        ];
        let mut file = Vec::new();
        let mut writer = Writer::begin(&mut file, &pairs, &heads).unwrap();
        writer.put(&[1; 12]).unwrap();
        assert!(writer.put(&[2; 33]).is_err(), "a byte too few");
        let mut file = Vec::new();
        let mut writer = Writer::begin(&mut file, &pairs, &heads).unwrap();
        writer.put(&[1; 12]).unwrap();
        writer.put(&[2; 34]).unwrap();
        writer.end().unwrap();
        let mut expected = b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0".to_vec();
        expected.extend(b"\x01\0\0\0\0\0\0\0a\x04\0\0\0\x07\0\0\0");
        expected.extend(b"\x01\0\0\0\0\0\0\0b\x09\0\0\0\x08\0\0\0\x02\0\0\0\0\0\0\0");
        expected.extend(b"\x01\0\0\0\0\0\0\0x\x02\0\0\0\0\0\0\0yz");
        expected.extend(b"\x01\0\0\0\0\0\0\0t\x02\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        expected.extend(b"\x01\0\0\0\0\0\0\0\0\0\0\0");
        expected
            .extend(b"\x01\0\0\0\0\0\0\0u\x01\0\0\0\x20\0\0\0\0\0\0\0\x08\0\0\0\x20\0\0\0\0\0\0\0");
        expected.resize(expected.len().next_multiple_of(32), 0);
        expected.extend([1; 12]);
        expected.resize(expected.len() + 20, 0);
        expected.extend([2; 34]);
        expected.resize(expected.len() + 30, 0);
        assert_eq!(file, expected);
    }
}
