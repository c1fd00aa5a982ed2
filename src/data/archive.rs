//! The members of a gzipped tar archive, or of a folder it was unpacked to, one after the other.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::read::MultiGzDecoder;

use crate::store::regular;

/// A data set that is given as its archive or as the folder which that unpacks to.
pub struct Form {
    pub name: &'static str,
    /// Its folders; a member's name begins with one of them, whatever lies above it.
    pub folders: &'static [&'static str],
}

/// Longest member that is read; those of dialogues are below 100 kB.
const LONGEST: u64 = 16 << 20;
/// All of an archive, unpacked; that of STAR has a tenth of it.
const LARGEST: u64 = 2 << 30;
/// Members of an archive or a folder; STAR has seven thousand.
const MOST: usize = 200_000;
const REMEDY: &str = "the archive is damaged: fetch it again";

/// Calls `each` with name and content of every JSON member under `folder`, which is one of the form's;
/// one member is held at a time. An archive is read to its end, so that its checksum is checked.
/// Members come in the archive's order, those of a folder by name.
///
/// # Errors
/// A file that is no archive or a damaged one, with the member at which that showed; a folder without
/// a single such member; and those of `each`, with the member's name.
pub fn visit(
    path: &Path,
    form: &Form,
    folder: &str,
    mut each: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut found = 0;
    let mut wanted = |name: &Path, content: &mut dyn FnMut() -> Result<Vec<u8>>| {
        let Some(name) = member(name, form).filter(|name| is_in(name, folder)) else {
            return Ok(());
        };
        found += 1;
        let bytes = content().with_context(|| format!("{}: {name}", path.display()))?;
        each(&name, &bytes).with_context(|| format!("{}: {name}", path.display()))
    };
    if path.is_dir() {
        for file in files(path)? {
            let name = file.strip_prefix(path).unwrap_or(&file);
            wanted(name, &mut || read(&mut File::open(&file)?))?;
        }
    } else {
        entries(path, form, &mut wanted)?;
    }
    ensure!(
        found > 0,
        "{}: no member {folder}/**.json; expected {}'s archive, or the folder that holds its {}",
        path.display(),
        form.name,
        form.folders.join(", ")
    );
    Ok(())
}

/// Is given a member's path and how to read it.
type Wanted<'a> = &'a mut dyn FnMut(&Path, &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<()>;

fn entries(path: &Path, form: &Form, wanted: Wanted<'_>) -> Result<()> {
    let name = || path.display();
    regular(path)?;
    let mut file = File::open(path).with_context(|| format!("cannot read {}", name()))?;
    let mut magic = [0; 2];
    let read_magic = file.read_exact(&mut magic);
    if read_magic.is_err() || magic != [0x1f, 0x8b] {
        bail!(
            "{}: not a gzipped tar archive; give {}'s archive (.tar.gz) or the folder it unpacks to",
            name(),
            form.name
        );
    }
    let file = File::open(path).with_context(|| format!("cannot read {}", name()))?;
    let unpacked = Bounded {
        from: MultiGzDecoder::new(io::BufReader::new(file)),
        left: LARGEST,
    };
    let mut archive = tar::Archive::new(unpacked);
    let mut last = "its beginning".to_owned();
    for (count, entry) in archive.entries()?.enumerate() {
        let damage = || format!("{}: after {last}: {REMEDY}", name());
        let mut entry = entry.with_context(damage)?;
        ensure!(
            count < MOST,
            "{}: more than {MOST} members, which no {} has",
            name(),
            form.name
        );
        let member = entry.path().with_context(damage)?.into_owned();
        if entry.header().entry_type().is_file() {
            wanted(&member, &mut || read(&mut entry).context(REMEDY))?;
        }
        last = member.display().to_string();
    }
    // What follows the last member says whether the whole arrived.
    io::copy(&mut archive.into_inner(), &mut io::sink())
        .with_context(|| format!("{}: after {last}: {REMEDY}", name()))?;
    Ok(())
}

/// What a small archive may unpack to has an end.
struct Bounded<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("it unpacks to more than {LARGEST} bytes")))?;
        Ok(read)
    }
}

fn read(from: &mut dyn Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1).read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= LONGEST,
        "longer than {LONGEST} bytes, which no file of dialogues is"
    );
    Ok(bytes)
}

/// The path from the data set's own folder on, with `/` between its parts.
fn member(path: &Path, form: &Form) -> Option<String> {
    let parts: Option<Vec<&str>> = path.iter().map(|part| part.to_str()).collect();
    let parts = parts?;
    let start = parts.iter().position(|part| form.folders.contains(part))?;
    Some(parts[start..].join("/"))
}

fn is_in(name: &str, folder: &str) -> bool {
    name.ends_with(".json")
        && name
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// All files below a folder, by name; hidden ones and links are left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read {}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        let kind = entry.file_type().with_context(context)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            found.extend(files(&entry.path())?);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
