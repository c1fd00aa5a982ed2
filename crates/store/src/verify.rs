//! Reading a whole store through.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use serde::Serialize;
use serde_json::Value;

use super::artifact::{ASIDE, MANIFEST, PARTIAL, entries};
use super::seal::{read_sealed, read_sealed_dir};
use super::{BadInput, Manifest, Store};

/// The name of a store's folder, in that of the runs.
pub const FOLDER: &str = ".artifacts";

/// What a folder of a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    Finished,
    /// Under way, or killed on the way.
    Begun,
    /// It was found damaged and made anew.
    SetAside,
}

/// One folder of a store.
#[derive(Clone, Debug)]
pub struct Checked {
    /// `KIND-HASH`, with the ending of what is no finished artifact.
    pub name: String,
    pub condition: Condition,
    /// Which file is damaged, and how; never of what was set aside.
    pub damage: Option<String>,
}

impl Store {
    /// Reads every artifact under `root`, and the saved step of every one that is under way, in order of name.
    ///
    /// # Errors
    /// [`BadInput`] where there is no such folder, and what keeps it from being listed.
    pub fn verify(root: &Path) -> Result<Vec<Checked>> {
        if !root.is_dir() {
            let runs = root.parent().unwrap_or(root).display();
            return Err(BadInput(format!(
                "{runs} holds no finished stages; name the folder of the runs with --runs"
            ))
            .into());
        }
        let mut folders = entries(root)?;
        folders.sort();
        let mut all = Vec::new();
        for (path, is_dir) in folders {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            let ending = path.extension().unwrap_or_default();
            let (condition, damage) = if ending == ASIDE {
                (Condition::SetAside, None)
            } else if !is_dir {
                (Condition::Finished, Some("it is no folder".to_owned()))
            } else if ending == PARTIAL {
                (Condition::Begun, saved_steps(&path)?.err())
            } else {
                let found = finished(&path, &name).err();
                (Condition::Finished, found.map(|why| format!("{why:#}")))
            };
            all.push(Checked {
                name: name.into_owned(),
                condition,
                damage,
            });
        }
        Ok(all)
    }
}

fn finished(path: &Path, name: &str) -> Result<()> {
    let manifest: Manifest = read_sealed_dir(&path.join(MANIFEST))?;
    if format!("{}-{}", manifest.kind, manifest.hash) != name {
        bail!("{MANIFEST} is of another artifact");
    }
    Ok(())
}

/// The damage of a saved step, in the folder itself or in one of several models.
fn saved_steps(path: &Path) -> Result<std::result::Result<(), String>> {
    for (inner, is_dir) in entries(path)? {
        if !is_dir {
            continue;
        }
        if inner.ends_with("checkpoint") {
            if let Err(why) = read_sealed::<Value>(&inner.join("state.json")) {
                return Ok(Err(format!("checkpoint: {why:#}")));
            }
        } else if let Err(why) = saved_steps(&inner)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

/// That the artifact which `path` is, or lies in, is whole; nothing where it is of no store.
///
/// # Errors
/// Which file is damaged, and the remedy.
pub fn check_artifact(path: &Path) -> Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let in_store = |dir: &&Path| dir.parent().is_some_and(|store| store.ends_with(FOLDER));
    let Some(artifact) = path.ancestors().find(in_store) else {
        return Ok(());
    };
    let whole = read_sealed_dir::<Manifest>(&artifact.join(MANIFEST));
    whole.map(drop).map_err(|why| {
        anyhow!(
            "{}: {why:#}; run its recipe again to have it made anew",
            artifact.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Begun, Stop, hash_bytes, write_atomic};
    use super::*;
    use std::fs;

    #[test]
    fn every_damaged_stage_is_named_whatever_became_of_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Store::verify(&dir.path().join("none")).is_err(),
            "there is none"
        );
        let root = dir.path().join(FOLDER);
        let store = Store::open(&root).unwrap();
        let path = |kind: &str| store.path(kind, &hash_bytes(kind.as_bytes()));
        for kind in ["sft", "dpo", "rank", "empty"] {
            let hash = hash_bytes(kind.as_bytes());
            let Begun::Work(work) = store.begin(kind, &hash, &Stop::new()).unwrap() else {
                panic!("finished")
            };
            write_atomic(&work.dir().join("model/w"), b"w").unwrap();
            let manifest = Manifest {
                kind: kind.into(),
                name: kind.into(),
                hash,
                inputs: Default::default(),
                settings: Value::Null,
                backend: "flex".into(),
                seconds: 0.0,
                created: 0,
            };
            work.finish(&manifest).unwrap();
        }
        assert!(
            Store::verify(&root)
                .unwrap()
                .iter()
                .all(|one| one.damage.is_none())
        );
        check_artifact(&path("sft").join("model")).unwrap();
        fs::write(path("sft").join("model/w"), b"v").unwrap();
        fs::remove_file(path("rank").join("artifact.json")).unwrap();
        fs::remove_dir_all(path("empty")).unwrap();
        fs::create_dir(path("empty")).unwrap();
        fs::rename(path("dpo"), path("ppo")).unwrap();
        fs::create_dir(root.join("kto-1.invalid")).unwrap();
        let begun = root.join("kto-2.partial/a b/checkpoint");
        fs::create_dir_all(&begun).unwrap();
        let found = Store::verify(&root).unwrap();
        let damaged = found
            .iter()
            .filter_map(|one| Some((&*one.name, one.damage.as_deref()?)));
        let damaged: Vec<_> = damaged
            .map(|(name, why)| (name.split('-').next(), why))
            .collect();
        assert_eq!(
            damaged,
            [
                (Some("empty"), "artifact.json is damaged: it is missing"),
                (
                    Some("kto"),
                    "checkpoint: state.json is damaged: it is missing"
                ),
                (Some("ppo"), "artifact.json is of another artifact"),
                (Some("rank"), "artifact.json is damaged: it is missing"),
                (
                    Some("sft"),
                    "model/w is damaged: its content is not what was written"
                ),
            ]
        );
        let error = check_artifact(&path("sft").join("model")).unwrap_err();
        assert!(error.to_string().contains("model/w"), "{error:#}");
    }
}
