//! Keys that only one choice of several opens. What another choice would read is learned from its reader, tried
//! against an empty table, so that no list of it is kept: those keys are documented, and refused with what they go with.

use std::mem::take;

use indexmap::IndexMap;

use super::{KeyDoc, Keys, Reading};

/// A variant's name, and what reads its keys.
pub type Variant<T> = (&'static str, fn(&mut Keys<'_>) -> T);

impl Keys<'_> {
    /// One of several variants, by the name that `key` gives it, read by its own function. A key that only others read
    /// is a problem which says what it goes with. There must be at least one variant.
    pub fn variant<T>(
        &mut self,
        key: &str,
        default: impl Into<Option<&'static str>>,
        variants: &[Variant<T>],
    ) -> T {
        let places: Vec<(&str, usize)> = (0..)
            .zip(variants)
            .map(|(at, (name, _))| (*name, at))
            .collect();
        let chosen = self.one_of(key, default, &places);
        let value = variants[chosen].1(self);
        let mut readers: IndexMap<String, Vec<String>> = IndexMap::new();
        for (_, (name, read)) in (0..).zip(variants).filter(|(at, _)| *at != chosen) {
            let name = format!("{name:?}");
            let (asked, docs) = self.asked(read);
            for other in asked {
                let names = readers.entry(other).or_default();
                if !names.contains(&name) {
                    names.push(name.clone());
                }
            }
            self.document(docs, key, &name);
        }
        for (other, names) in readers {
            self.close(other, goes_with(key, &names.join(" or ")));
        }
        value
    }

    /// What `read` makes of its keys where `key` is true; nothing where it is false, and then those keys are problems.
    pub fn variant_if<T>(
        &mut self,
        key: &str,
        default: bool,
        read: fn(&mut Keys<'_>) -> T,
    ) -> Option<T> {
        if self.bool(key, default) {
            return Some(read(self));
        }
        self.only_with(key, "true", read);
        None
    }

    /// What `with` makes of `key` and whatever goes with it where that is given, else what `without` makes of its own
    /// keys; those of the other are problems.
    pub fn variant_by_presence<T>(
        &mut self,
        key: &str,
        with: fn(&mut Keys<'_>) -> T,
        without: fn(&mut Keys<'_>) -> T,
    ) -> T {
        if self.has(key) {
            let value = with(self);
            let why = format!("goes without {key} alone; remove one of the two");
            self.refuse(&why, without);
            return value;
        }
        let value = without(self);
        let (asked, mut docs) = self.asked(with);
        for doc in docs.iter_mut().filter(|doc| doc.key == key) {
            doc.required = false;
        }
        self.found.docs.append(&mut docs);
        let why = format!("goes with {key} alone; set that or remove the key");
        for other in asked.into_iter().filter(|other| other != key) {
            self.close(other, why.clone());
        }
        value
    }

    /// Documents the keys that `read` asks for, which is not read since `key` has none of the values `values`, and makes
    /// problems of them.
    pub fn only_with<T>(&mut self, key: &str, values: &str, read: impl FnOnce(&mut Keys<'_>) -> T) {
        let (asked, docs) = self.asked(read);
        self.document(docs, key, values);
        for other in asked {
            self.close(other, goes_with(key, values));
        }
    }

    /// Makes problems of the keys that `read` asks for, with the message `why`.
    pub fn refuse<T>(&mut self, why: &str, read: impl FnOnce(&mut Keys<'_>) -> T) {
        for other in self.asked(read).0 {
            self.close(other, why.to_owned());
        }
    }

    /// Takes a key for a problem, if it is given and nothing else reads it.
    fn close(&mut self, key: String, why: String) {
        self.closed.entry(key).or_insert(why);
    }

    /// The keys of this table that `read` asks for, whatever it chooses, and what it says of them.
    fn asked<T>(&self, read: impl FnOnce(&mut Keys<'_>) -> T) -> (Vec<String>, Vec<KeyDoc>) {
        let mut found = Reading::default();
        let mut keys = Keys {
            scope: self.scope,
            table: None,
            origin: self.origin.clone(),
            path: self.path.clone(),
            root: self.root,
            found: &mut found,
            known: Vec::new(),
            closed: IndexMap::new(),
            doc: "",
            ends: None,
            open: true,
        };
        read(&mut keys);
        let mut asked = take(&mut keys.known);
        asked.extend(take(&mut keys.closed).into_keys());
        drop(keys);
        (asked, found.docs)
    }

    /// Documents keys that `key` opens with `value`; one that is alike for several values once.
    fn document(&mut self, docs: Vec<KeyDoc>, key: &str, value: &str) {
        for mut doc in docs {
            let alike = |it: &&mut KeyDoc| {
                it.key == doc.key && it.expected == doc.expected && it.default == doc.default
            };
            let mut known = self.found.docs.iter_mut();
            match known.find(alike).map(|it| &mut it.goes_with) {
                Some(Some(with)) if with.starts_with(&format!("{key} = ")) => {
                    with.push_str(&format!(" or {value}"));
                }
                Some(_) => {}
                None => {
                    let inner = doc.goes_with.take();
                    let inner = inner.map_or(String::new(), |inner| format!(", {inner}"));
                    doc.goes_with = Some(format!("{key} = {value}{inner}"));
                    self.found.docs.push(doc);
                }
            }
        }
    }
}

fn goes_with(key: &str, values: &str) -> String {
    format!("goes with {key} = {values} alone; set that or remove the key")
}
