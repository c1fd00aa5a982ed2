use super::super::{hash_bytes, write_atomic, write_json};
use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

fn manifest(kind: &str, hash: &Hash) -> Manifest {
    Manifest {
        kind: kind.into(),
        name: "x".into(),
        hash: hash.clone(),
        inputs: BTreeMap::new(),
        settings: Value::Null,
        backend: "flex".into(),
        seconds: 0.5,
        created: Manifest::now(),
    }
}

fn work(store: &Store, hash: &Hash) -> Work {
    match store.begin("sft", hash, &Stop::new()).unwrap() {
        Begun::Work(work) => work,
        Begun::Finished(path) => panic!("{} is finished", path.display()),
    }
}

#[test]
fn killed_work_is_gone_on_with_and_found_only_when_finished() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path().join("a")).unwrap();
    let hash = hash_bytes(b"1");
    let first = work(&store, &hash);
    write_atomic(&first.dir().join("step-10/model"), b"weights").unwrap();
    write_atomic(&first.dir().join("step-10/.note"), b"done").unwrap();
    // As after kill -9: no finish, a half-written file, and even a manifest before the rename.
    fs::write(first.dir().join("step-10/.model.Ab12.tmp"), b"wei").unwrap();
    write_json(&first.dir().join(MANIFEST), &manifest("sft", &hash)).unwrap();
    drop(first);
    assert_eq!(store.find("sft", &hash), None);

    let second = work(&store, &hash);
    assert_eq!(
        fs::read(second.dir().join("step-10/model")).unwrap(),
        b"weights"
    );
    assert!(!second.dir().join("step-10/.model.Ab12.tmp").exists());
    assert!(second.dir().join("step-10/.note").exists());
    let path = second.finish(&manifest("sft", &hash)).unwrap();
    assert!(!path.join("step-10/.note").exists());
    assert_eq!(store.find("sft", &hash), Some(path.clone()));
    assert_eq!(Manifest::read(&path).unwrap().hash, hash);
    assert_eq!(store.find("dpo", &hash), None);
    assert!(
        !root
            .path()
            .join("a")
            .join(format!("sft-{hash}.partial"))
            .exists()
    );
    assert!(matches!(
        store.begin("sft", &hash, &Stop::new()).unwrap(),
        Begun::Finished(_)
    ));
}

#[test]
fn a_folder_without_a_valid_manifest_is_made_anew_and_set_aside() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let hash = hash_bytes(b"1");
    let path = store.path("sft", &hash);
    for bad in ["{", "{\"kind\": \"sft\"}"] {
        write_atomic(&path.join(MANIFEST), bad.as_bytes()).unwrap();
        assert_eq!(store.find("sft", &hash), None);
    }
    let other = hash_bytes(b"2");
    assert!(
        work(&store, &hash)
            .finish(&manifest("sft", &other))
            .is_err()
    );
    work(&store, &hash).finish(&manifest("sft", &hash)).unwrap();
    assert!(store.find("sft", &hash).is_some());
    assert!(path.with_extension("invalid").exists());
}

#[test]
fn a_damaged_artifact_is_found_by_another_process_set_aside_and_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let hash = hash_bytes(b"1");
    let make = |store: &Store| {
        let work = work(store, &hash);
        write_atomic(&work.dir().join("model/weights"), b"weights").unwrap();
        work.finish(&manifest("sft", &hash)).unwrap()
    };
    let path = make(&Store::open(root.path()).unwrap());
    let file = path.join("model/weights");
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(&file, b"weighty").unwrap(),
        &|| fs::write(&file, b"weight").unwrap(),
        &|| fs::remove_file(&file).unwrap(),
        &|| fs::write(path.join("measures.json"), "{}").unwrap(),
        // As a version before seals wrote it.
        &|| write_json(&path.join(MANIFEST), &manifest("sft", &hash)).unwrap(),
    ];
    for damage in damages {
        damage();
        let store = Store::open(root.path()).unwrap();
        let found = store.look("sft", &hash);
        assert!(matches!(found, Found::Damaged(_)), "{found:?}");
        make(&store);
        assert!(path.with_extension(ASIDE).exists());
        let found = Store::open(root.path()).unwrap().look("sft", &hash);
        assert_eq!(found, Found::Whole(path.clone()));
    }
}

#[test]
fn of_many_that_contend_one_makes_the_artifact_and_the_rest_find_it() {
    let root = tempfile::tempdir().unwrap();
    let hash = hash_bytes(b"1");
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let store = Store::open(root.path()).unwrap();
                match store.begin("sft", &hash, &Stop::new()).unwrap() {
                    Begun::Finished(path) => assert!(path.ends_with(format!("sft-{hash}"))),
                    Begun::Work(work) => {
                        made.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(150));
                        work.finish(&manifest("sft", &hash)).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn waiting_for_another_process_ends_when_a_stop_is_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path()).unwrap();
    let hash = hash_bytes(b"1");
    let _held = work(&store, &hash);
    let stop = Stop::new();
    stop.request();
    let error = store.begin("sft", &hash, &stop).unwrap_err();
    assert!(error.is::<super::super::Stopped>(), "{error:#}");
}
