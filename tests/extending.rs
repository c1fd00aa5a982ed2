//! The worked examples of docs/extending.md apply to the code as it is, and touch the places that the page names.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const EXAMPLES: [(&str, &str); 5] = [
    ("objective", "An objective"),
    ("kind", "A stage kind"),
    ("family", "A family of models"),
    ("world", "A world"),
    ("format", "A data format"),
];

/// The files that a patch touches.
fn touched(patch: &str) -> BTreeSet<String> {
    let files = patch.lines().filter_map(|line| line.strip_prefix("+++ b/"));
    files.map(str::to_owned).collect()
}

/// The section of the page under a heading, with what the heading counts.
fn section<'a>(page: &'a str, heading: &str) -> (usize, &'a str) {
    let start = page.find(&format!("\n## {heading}: ")).unwrap();
    let (title, body) = page[start + 1..].split_once('\n').unwrap();
    let count = title.rsplit(": ").next().unwrap();
    let count = count.split(' ').next().unwrap().parse().unwrap();
    (count, body.split("\n## ").next().unwrap())
}

#[test]
fn worked_examples_apply_and_touch_what_the_page_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/extending.md")).unwrap();
    for (name, heading) in EXAMPLES {
        let file = format!("docs/extending/{name}.diff");
        let output = Command::new("git")
            .args(["apply", "--check", &file])
            .current_dir(root)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}:\n{said}");

        let patch = std::fs::read_to_string(root.join(&file)).unwrap();
        let (count, section) = section(&page, heading);
        let touched = touched(&patch);
        assert_eq!(touched.len(), count, "{heading}: {touched:?}");
        for place in touched {
            assert!(
                section.contains(&format!("`{place}`")),
                "{heading}: {place}"
            );
        }
    }
}

#[test]
fn a_patch_names_the_files_that_it_touches() {
    let patch = "--- a/x\n+++ b/src/a.rs\n@@ -1 +1 @@\n-a\n+b\n--- /dev/null\n+++ b/src/b.rs\n";
    assert_eq!(
        touched(patch),
        ["src/a.rs", "src/b.rs"].map(str::to_owned).into()
    );
    let page = "x\n## A thing: 3 files\nbody\n\n## Next: 1 file\n";
    assert_eq!(section(page, "A thing").0, 3);
    assert_eq!(section(page, "A thing").1.trim(), "body");
}
