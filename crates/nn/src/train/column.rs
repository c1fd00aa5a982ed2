//! Columns of numbers, in memory or in a file that is mapped into it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use memmap2::Mmap;

/// A number that lies in a file as it does in memory.
pub(super) trait Number: Copy {
    /// Appends its bytes.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! number {
    ($($name:ty),*) => {$(
        impl Number for $name {
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_ne_bytes());
            }
        }
    )*};
}
number!(u32, u64);

impl Number for [u32; 2] {
    fn put(self, out: &mut Vec<u8>) {
        self.into_iter().for_each(|number| number.put(out));
    }
}

/// Numbers that are read like a slice, wherever they lie.
#[derive(Debug)]
pub(super) enum Column<T> {
    Memory(Vec<T>),
    /// Whole numbers, in this machine's byte order.
    File(Mmap),
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl<T: Number> Deref for Column<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Memory(values) => values,
            Self::File(map) => {
                // SAFETY: `Number` is implemented only for types of which any bytes are a value. A map
                // begins at a page, so that nothing is left out at its front.
                let (before, values, _) = unsafe { map.align_to::<T>() };
                debug_assert!(before.is_empty());
                values
            }
        }
    }
}

/// A column under way.
pub(super) enum Writer<T> {
    Memory(Vec<T>),
    File {
        out: BufWriter<File>,
        bytes: Vec<u8>,
        /// The folder of the file, for messages: it has no name of its own.
        dir: PathBuf,
    },
}

/// What a full disk keeps from being done.
fn cannot_write(dir: &Path) -> String {
    format!("cannot write tokens to a file in {}", dir.display())
}

impl<T: Number> Writer<T> {
    /// Writes to a file in `dir` that has no name: it is gone when nobody reads it any more, however
    /// that comes about.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn file(dir: &Path) -> Result<Self> {
        let file = std::fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir));
        let file = file.with_context(|| format!("cannot make a file in {}", dir.display()))?;
        Ok(Self::File {
            out: BufWriter::with_capacity(1 << 16, file),
            bytes: Vec::new(),
            dir: dir.to_owned(),
        })
    }

    /// Appends values.
    ///
    /// # Errors
    /// When they cannot be written, as to a full disk.
    pub fn extend(&mut self, values: &[T]) -> Result<()> {
        match self {
            Self::Memory(all) => all.extend_from_slice(values),
            Self::File { out, bytes, dir } => {
                bytes.clear();
                values.iter().for_each(|value| value.put(bytes));
                out.write_all(bytes).with_context(|| cannot_write(dir))?;
            }
        }
        Ok(())
    }

    /// The whole column.
    ///
    /// # Errors
    /// When the last of it cannot be written, or the file not be mapped.
    pub fn finish(self) -> Result<Column<T>> {
        match self {
            Self::Memory(values) => Ok(Column::Memory(values)),
            Self::File { out, dir, .. } => {
                let file = out
                    .into_inner()
                    .map_err(|error| error.into_error())
                    .with_context(|| cannot_write(&dir))?;
                if file.metadata()?.len() == 0 {
                    return Ok(Column::default());
                }
                // SAFETY: the file has no name, so that nobody else can change it.
                let map = unsafe { Mmap::map(&file) }.context("cannot map tokens")?;
                Ok(Column::File(map))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_like_memory_and_leaves_nothing_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let write = |mut writer: Writer<u64>| {
            for i in 0..40_000u64 {
                writer.extend(&[i << 33, i]).unwrap();
            }
            writer.finish().unwrap()
        };
        let file = write(Writer::file(&dir).unwrap());
        assert!(matches!(file, Column::File(_)));
        assert_eq!(*file, *write(Writer::Memory(Vec::new())));
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        let empty = Writer::<u32>::file(&dir).unwrap().finish().unwrap();
        assert!(empty.is_empty());
    }
}
