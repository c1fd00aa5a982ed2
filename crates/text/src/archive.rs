//! The members of a gzipped tar archive, or of a folder it was unpacked to, one after the other.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use flate2::read::MultiGzDecoder;
use rapport_store::{BadInput, OrBadInput, regular};

/// A data set that is given as its archive or as the folder which that unpacks to.
pub struct Form {
    pub name: &'static str,
    /// Its folders, and files beside them; a member's name begins with one of them, whatever lies above it.
    pub folders: &'static [&'static str],
}

/// Longest member that is read; those of dialogues are below 100 kB.
const LONGEST: u64 = 16 << 20;
/// Most that is unpacked of an archive; the data sets have some 100 MB. A few megabytes can pack any number of zeros.
const WHOLE: u64 = 1 << 30;
/// Members of an archive or a folder; STAR has seven thousand.
const MOST: usize = 200_000;
const REMEDY: &str = "the archive is damaged: fetch it again";

/// Calls `each` with name and content of every JSON member under `folder`, which is one of the form's, or of that one
/// file; one member is held at a time. An archive is read to its end, so that its checksum is checked.
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
        let bytes = content()
            .with_context(|| format!("{}: {name}", path.display()))
            .or_bad_input()?;
        each(&name, &bytes).with_context(|| format!("{}: {name}", path.display()))
    };
    if path.is_dir() {
        for file in files(path).or_bad_input()? {
            let name = file.strip_prefix(path).unwrap_or(&file);
            wanted(name, &mut || read(&mut File::open(&file)?))?;
        }
    } else {
        entries(path, form, &mut wanted)?;
    }
    if found == 0 {
        let wanted = match folder.ends_with(".json") {
            true => folder.to_owned(),
            false => format!("{folder}/**.json"),
        };
        let message = format!(
            "{}: no member {wanted}; expected {}'s archive, or the folder that holds its {}",
            path.display(),
            form.name,
            form.folders.join(", ")
        );
        return Err(BadInput(message).into());
    }
    Ok(())
}

/// Is given a member's path and how to read it.
type Wanted<'a> = &'a mut dyn FnMut(&Path, &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<()>;

fn entries(path: &Path, form: &Form, wanted: Wanted<'_>) -> Result<()> {
    let name = || path.display();
    regular(path)?;
    let unread = || format!("cannot read {}", name());
    let mut file = File::open(path).with_context(unread).or_bad_input()?;
    let mut magic = [0; 2];
    let read_magic = file.read_exact(&mut magic);
    if read_magic.is_err() || magic != [0x1f, 0x8b] {
        let message = format!(
            "{}: not a gzipped tar archive; give {}'s archive (.tar.gz) or the folder it unpacks to",
            name(),
            form.name
        );
        return Err(BadInput(message).into());
    }
    let file = File::open(path).with_context(unread).or_bad_input()?;
    let unpacked = Bounded {
        inner: MultiGzDecoder::new(io::BufReader::new(file)),
        left: WHOLE,
    };
    let mut archive = tar::Archive::new(unpacked);
    let mut last = "its beginning".to_owned();
    for (count, entry) in archive.entries()?.enumerate() {
        let damage = || format!("{}: after {last}: {REMEDY}", name());
        if count >= MOST {
            let message = format!(
                "{}: more than {MOST} members, which no {} has",
                name(),
                form.name
            );
            return Err(BadInput(message).into());
        }
        let mut entry = entry.with_context(damage).or_bad_input()?;
        let member = entry.path().with_context(damage).or_bad_input()?;
        let member = member.into_owned();
        if entry.header().entry_type().is_file() {
            wanted(&member, &mut || read(&mut entry).context(REMEDY))?;
        }
        last = member.display().to_string();
    }
    // What follows the last member says whether the whole arrived.
    io::copy(&mut archive.into_inner(), &mut io::sink())
        .with_context(|| format!("{}: after {last}: {REMEDY}", name()))
        .or_bad_input()?;
    Ok(())
}

/// Fails where more comes than is left to read.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!(
                "unpacks to more than {WHOLE} bytes, which no such data set does"
            ))
        })?;
        Ok(count)
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
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        name: "Tea",
        folders: &["dialogues"],
    };

    #[test]
    fn a_bomb_is_left_where_no_data_set_goes_on() {
        let mut zeros = Bounded {
            inner: io::repeat(0),
            left: 1 << 20,
        };
        let error = io::copy(&mut zeros, &mut io::sink()).unwrap_err();
        assert!(
            error.to_string().contains("unpacks to more than"),
            "{error}"
        );
        let mut whole = Bounded {
            inner: io::repeat(0).take(1 << 20),
            left: 1 << 20,
        };
        assert_eq!(io::copy(&mut whole, &mut io::sink()).unwrap(), 1 << 20);
    }

    #[test]
    fn what_is_no_data_set_is_bad_input_and_what_its_reader_meets_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tea.tar.gz");
        let bad = |each: fn(&str, &[u8]) -> Result<()>| {
            let error = visit(&path, &FORM, "dialogues", each).unwrap_err();
            error.is::<BadInput>()
        };
        assert!(bad(|_, _| Ok(())), "it is not there");
        fs::write(&path, "text").unwrap();
        assert!(bad(|_, _| Ok(())));
        fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
        assert!(bad(|_, _| Ok(())));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(bad(|_, _| Ok(())), "an empty folder");
        fs::create_dir(path.join("dialogues")).unwrap();
        fs::write(path.join("dialogues/1.json"), "{}").unwrap();
        let full = |_: &str, _: &[u8]| Err(io::Error::other("no space left").into());
        assert!(!bad(full));
    }
}
