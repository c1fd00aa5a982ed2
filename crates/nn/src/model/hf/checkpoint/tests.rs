use std::fs;

use half::f16;
use rapport_store as store;
use serde_json::{Value, json};

use super::*;
use crate::model::config::{Activation, Family};
use crate::model::hf::{self, DEFAULT_SHARD_LIMIT, Precision, save, tensors};

/// Distinct values that bf16 and f16 hold exactly.
fn values(slot: &Slot) -> Vec<f32> {
    let salt: usize = slot.name.bytes().map(usize::from).sum();
    (0..slot.len())
        .map(|index| ((salt + index) % 257) as f32 / 8.0 - 16.0)
        .collect()
}

fn config(family: Family) -> DecoderConfig {
    let mut config = DecoderConfig::new(family, 11, 12, 2, 2);
    config.intermediate_size = 10;
    if ![Family::Gpt2, Family::GptNeoX].contains(&family) {
        config.heads = 4;
        config.kv_heads = 2;
        config.head_dim = 4;
    }
    config
}

fn save_example(dir: &Path, config: &DecoderConfig) {
    save(dir, config, Precision::F32, DEFAULT_SHARD_LIMIT, |slot| {
        Ok(values(slot))
    })
    .unwrap();
}

fn message<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

/// Rewrites the stored tensors of a folder.
fn edit(dir: &Path, change: impl FnOnce(&mut tensors::Tensors)) {
    let path = dir.join(SINGLE);
    let mut tensors = tensors::read(&path).unwrap();
    change(&mut tensors);
    tensors::write(&path, &tensors).unwrap();
}

#[test]
fn every_family_comes_back_whole_and_in_shards() {
    for family in Family::ALL {
        for (precision, limit) in [
            (Precision::F32, DEFAULT_SHARD_LIMIT),
            (Precision::Bf16, 800),
            (Precision::F32, 1),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut config = config(family);
            config.tied = limit == 1;
            save(dir.path(), &config, precision, limit, |slot| {
                Ok(values(slot))
            })
            .unwrap();
            let (read, checkpoint) = hf::open(dir.path()).unwrap();
            assert_eq!(read, config);
            assert_eq!(checkpoint.shards.len() > 1, limit < 1000);
            for slot in slots(&config) {
                assert_eq!(
                    checkpoint.read(&slot).unwrap(),
                    values(&slot),
                    "{}",
                    slot.name
                );
            }
        }
    }
}

#[test]
fn stored_layout_is_that_of_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(Family::Llama);
    save_example(dir.path(), &config);
    let stored = tensors::read(&dir.path().join(SINGLE)).unwrap();
    let slots = slots(&config);
    let qkv = slots
        .iter()
        .find(|slot| slot.name == "blocks.1.qkv.weight")
        .unwrap();
    let ours = values(qkv);
    let (shape, keys) = &stored["model.layers.1.self_attn.k_proj.weight"];
    assert_eq!(shape, &[8, 12]);
    // Row 3, column 5 of the stored k_proj is input 5, output 16 + 3 of ours (of 32 columns).
    assert_eq!(keys[3 * 12 + 5], ours[5 * 32 + 16 + 3]);
    let up = slots
        .iter()
        .find(|slot| slot.name == "blocks.0.up.weight")
        .unwrap();
    let (_, up_proj) = &stored["model.layers.0.mlp.up_proj.weight"];
    assert_eq!(up_proj[9 * 12 + 11], values(up)[11 * 20 + 10 + 9]);
    assert_eq!(stored["model.embed_tokens.weight"].0, [11, 12]);
}

#[test]
fn a_later_save_replaces_the_shards_of_an_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(Family::Gpt2);
    save(dir.path(), &config, Precision::F32, 500, |slot| {
        Ok(values(slot))
    })
    .unwrap();
    save_example(dir.path(), &config);
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "generation_config.json", SINGLE]);
    save(dir.path(), &config, Precision::F32, 500, |_| {
        bail!("no values")
    })
    .unwrap_err();
    hf::open(dir.path()).expect("a failed save leaves the folder as it was");
}

#[test]
fn half_precision_sources_are_widened() {
    let dir = tempfile::tempdir().unwrap();
    let exact = [1.0f32, -0.375, 65504.0, 6.1035156e-5];
    let short: Vec<u8> = exact
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect();
    let view = safetensors::tensor::TensorView::new(Dtype::F16, vec![2, 2], &short).unwrap();
    let path = dir.path().join(SINGLE);
    safetensors::serialize_to_file([("head", view)], None, &path).unwrap();
    let part = Part {
        hf_name: "head".into(),
        transpose: true,
        columns: 0..2,
    };
    let slot = Slot {
        name: "x".into(),
        shape: vec![2, 2],
        parts: vec![part],
        by_head: None,
    };
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(
        checkpoint.read(&slot).unwrap(),
        [exact[0], exact[2], exact[1], exact[3]]
    );

    let view = safetensors::tensor::TensorView::new(Dtype::I16, vec![2, 2], &short).unwrap();
    safetensors::serialize_to_file([("head", view)], None, &path).unwrap();
    let text = message(Checkpoint::open(dir.path()).unwrap().read(&slot));
    assert!(
        text.contains("head: stored as I16; expected F32, BF16 or F16"),
        "{text}"
    );
}

#[test]
fn bf16_rounds_to_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(Family::Qwen2);
    let near = |_: &Slot, value: f32| value + 1e-4;
    save(
        dir.path(),
        &config,
        Precision::Bf16,
        DEFAULT_SHARD_LIMIT,
        |slot| {
            Ok(values(slot)
                .into_iter()
                .map(|value| near(slot, value))
                .collect())
        },
    )
    .unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let slot = &slots(&config)[0];
    for (read, exact) in checkpoint.read(slot).unwrap().into_iter().zip(values(slot)) {
        assert!(
            (read - exact).abs() <= exact.abs() / 256.0 + 1.1e-4,
            "{read} {exact}"
        );
    }
}

#[test]
fn names_may_lack_the_prefix_and_old_buffers_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(Family::Gpt2);
    save_example(dir.path(), &config);
    edit(dir.path(), |tensors| {
        let old = std::mem::take(tensors);
        let bare = |name: &str| name.trim_start_matches("transformer.").to_string();
        tensors.extend(old.into_iter().map(|(name, tensor)| (bare(&name), tensor)));
        tensors.insert("h.0.attn.bias".into(), (vec![1, 1, 2, 2], vec![0.0; 4]));
        tensors.insert("h.0.attn.masked_bias".into(), (vec![], vec![0.0]));
        tensors.insert("lm_head.weight".into(), tensors["wte.weight"].clone());
    });
    let (config, checkpoint) = hf::open(dir.path()).unwrap();
    for slot in slots(&config) {
        assert_eq!(
            checkpoint.read(&slot).unwrap(),
            values(&slot),
            "{}",
            slot.name
        );
    }
    edit(dir.path(), |tensors| {
        let tensor = tensors["wte.weight"].clone();
        tensors.insert("transformer.wte.weight".into(), tensor);
    });
    assert!(message(Checkpoint::open(dir.path())).contains("is also stored as"));
}

#[test]
fn all_misfits_are_reported_together() {
    let dir = tempfile::tempdir().unwrap();
    save_example(dir.path(), &config(Family::Llama));
    edit(dir.path(), |tensors| {
        tensors.remove("model.norm.weight");
        tensors.remove("lm_head.weight");
        tensors.insert("model.layers.7.extra".into(), (vec![2], vec![0.0; 2]));
        tensors.insert(
            "model.layers.0.mlp.down_proj.weight".into(),
            (vec![1, 3], vec![0.0; 3]),
        );
        tensors.insert(
            "model.layers.0.self_attn.rotary_emb.inv_freq".into(),
            (vec![1], vec![0.0]),
        );
    });
    let text = message(hf::open(dir.path()));
    for part in [
        "model.norm.weight: missing, expected shape [12]",
        "lm_head.weight: missing, expected shape [11, 12]; if the head is the embedding",
        "model.layers.7.extra: unexpected, shape [2]",
        "model.layers.0.mlp.down_proj.weight: shape [1, 3], expected [12, 10]",
    ] {
        assert!(text.contains(part), "{part:?} not in:\n{text}");
    }
    assert!(!text.contains("inv_freq"), "{text}");
}

#[test]
fn folders_that_cannot_be_opened_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let open = || message(Checkpoint::open(dir.path()));
    assert!(open().contains("holds neither model.safetensors"));
    fs::write(dir.path().join("pytorch_model.bin"), "").unwrap();
    assert!(open().contains("save_pretrained"), "the remedy is named");
    assert!(message(Checkpoint::open(&dir.path().join("none"))).contains("no such folder"));
    let index = |file: &str| {
        let index = json!({"weight_map": {"a": file}});
        fs::write(dir.path().join(INDEX), index.to_string()).unwrap();
        open()
    };
    for outside in [
        "../a.safetensors",
        "/etc/a.safetensors",
        "a/b.safetensors",
        "..",
        "",
    ] {
        let text = index(outside);
        assert!(
            text.contains("weight_map.a: expected the name of a file"),
            "{outside}: {text}"
        );
    }
    assert!(index("gone.safetensors").contains("gone.safetensors: cannot be read"));
    let other = BTreeMap::from([("b".to_string(), (vec![1], vec![0.0]))]);
    tensors::write(&dir.path().join("there.safetensors"), &other).unwrap();
    assert!(index("there.safetensors").contains("the shards do not hold a"));
    fs::write(dir.path().join(INDEX), "{}").unwrap();
    assert!(open().contains("weight_map: expected a table"));
    fs::write(dir.path().join(SINGLE), b"version https://git-lfs").unwrap();
    assert!(open().contains("not a valid safetensors file"));
}

#[test]
fn what_cannot_be_saved_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = config(Family::Gpt2);
    wrong.activation = Activation::SwiGlu;
    let text = message(save(
        dir.path(),
        &wrong,
        Precision::F32,
        DEFAULT_SHARD_LIMIT,
        |s| Ok(values(s)),
    ));
    assert!(text.contains("activation must be GeluTanh"), "{text}");
    let short = |slot: &Slot| Ok(vec![0.0; slot.len() - 1]);
    let text = message(save(
        dir.path(),
        &config(Family::Gpt2),
        Precision::F32,
        DEFAULT_SHARD_LIMIT,
        short,
    ));
    assert!(
        text.contains("embed: 131 values for shape [11, 12]"),
        "{text}"
    );
}

#[test]
fn transposing_twice_gives_the_same_for_shapes_off_the_tile() {
    for (rows, columns) in [(1, 1), (33, 65), (64, 32), (70, 3), (0, 5)] {
        let values: Vec<f32> = (0..rows * columns).map(|index| index as f32).collect();
        let once = transpose(&values, rows, columns);
        if rows * columns > 40 {
            assert_eq!(
                once[2 * rows + 40.min(rows - 1)],
                values[40.min(rows - 1) * columns + 2]
            );
        }
        assert_eq!(transpose(&once, columns, rows), values);
    }
}

/// Models that transformers saved, sharded bf16 among them: opened, saved and the same again.
#[test]
fn folders_of_the_peer_open_and_are_written_back_under_the_same_names() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models");
    let mut seen = 0;
    for entry in fs::read_dir(&fixtures).unwrap() {
        let dir = entry.unwrap().path();
        let (config, theirs) = hf::open(&dir).unwrap();
        let expected: Value = store::read_json(&dir.join("expected.json")).unwrap();
        assert_eq!(
            config.parameters(),
            expected["parameters"].as_u64().unwrap() as usize
        );
        let (precision, limit) = match theirs.shards.len() {
            1 => (Precision::F32, DEFAULT_SHARD_LIMIT),
            _ => (Precision::Bf16, 20_000),
        };
        let copy = tempfile::tempdir().unwrap();
        save(copy.path(), &config, precision, limit, |slot| {
            theirs.read(slot)
        })
        .unwrap();
        let (again, ours) = hf::open(copy.path()).unwrap();
        assert_eq!(again, config, "{}", dir.display());
        let bytes = |checkpoint: &Checkpoint| -> BTreeMap<String, Vec<u8>> {
            let own = |stored: &Stored| {
                checkpoint.shards[stored.shard][stored.start..stored.end].to_vec()
            };
            checkpoint
                .tensors
                .values()
                .map(|stored| (stored.name.clone(), own(stored)))
                .collect()
        };
        assert_eq!(bytes(&ours), bytes(&theirs), "{}", dir.display());
        seen += 1;
    }
    assert!(seen >= 4, "the models of scripts/make_references.py");
}

/// transformers 5.24 uses the stored head, with a warning.
#[test]
fn a_head_stored_beside_a_tied_embedding_is_a_head_of_its_own() {
    for family in [Family::Gpt2, Family::Llama] {
        let mut config = config(family);
        config.tied = true;
        let dir = tempfile::tempdir().unwrap();
        save_example(dir.path(), &config);
        let embedding = layout::embedding(family);
        // The same values, be it with another sign of zero, are still one tensor.
        edit(dir.path(), |tensors| {
            let mut copy = tensors[embedding].clone();
            for value in copy.1.iter_mut().filter(|value| **value == 0.0) {
                *value = -0.0;
            }
            tensors.insert(HEAD.into(), copy);
        });
        let (read, checkpoint) = hf::open(dir.path()).unwrap();
        assert!(read.tied && checkpoint.notes.is_empty());

        edit(dir.path(), |tensors| {
            tensors.get_mut(HEAD).unwrap().1[5] += 1.0;
        });
        let (read, checkpoint) = hf::open(dir.path()).unwrap();
        assert!(!read.tied);
        assert!(
            checkpoint.notes[0].contains("tie_word_embeddings"),
            "{:?}",
            checkpoint.notes
        );
        let head = &slots(&read)[slots(&read).len() - 1];
        let mut expected = values(&slots(&config)[0]);
        expected[5] += 1.0;
        assert_eq!(checkpoint.read(head).unwrap(), expected);

        let copy = tempfile::tempdir().unwrap();
        save(
            copy.path(),
            &read,
            Precision::F32,
            DEFAULT_SHARD_LIMIT,
            |slot| checkpoint.read(slot),
        )
        .unwrap();
        let (again, saved) = hf::open(copy.path()).unwrap();
        assert_eq!(again, read);
        assert_eq!(saved.read(head).unwrap(), expected);
        assert!(saved.notes.is_empty(), "the saved config.json says so");

        edit(dir.path(), |tensors| {
            tensors.insert(HEAD.into(), (vec![1], vec![0.0]));
        });
        let text = message(hf::open(dir.path()));
        assert!(
            text.contains("lm_head.weight: shape [1], expected"),
            "{text}"
        );
    }
}

/// transformers ties whichever of the two is stored.
#[test]
fn a_head_stored_in_place_of_a_tied_embedding_is_both() {
    let mut config = config(Family::Qwen2);
    config.tied = true;
    let dir = tempfile::tempdir().unwrap();
    save_example(dir.path(), &config);
    edit(dir.path(), |tensors| {
        let table = tensors.remove("model.embed_tokens.weight").unwrap();
        tensors.insert(HEAD.into(), table);
    });
    let (read, checkpoint) = hf::open(dir.path()).unwrap();
    assert!(read.tied);
    let embedding = &slots(&read)[0];
    assert_eq!(checkpoint.read(embedding).unwrap(), values(embedding));
}

#[test]
fn a_head_that_the_model_does_not_have_is_left_out_and_named() {
    let config = config(Family::Llama);
    let dir = tempfile::tempdir().unwrap();
    save_example(dir.path(), &config);
    let more = |names: &[&str]| {
        edit(dir.path(), |tensors| {
            tensors.retain(|name, _| name.starts_with("model.") || name == HEAD);
            for name in names {
                tensors.insert((*name).into(), (vec![1, 12], vec![0.0; 12]));
            }
        });
        hf::open(dir.path())
    };
    for names in [
        &["v_head.summary.weight", "v_head.summary.bias"][..],
        &["v_head.0.weight"],
        &["value_head.weight"],
        &["score.weight"],
    ] {
        let (read, checkpoint) = more(names).unwrap();
        assert_eq!(read, config);
        assert!(checkpoint.notes[0].contains(names[0]), "{names:?}");
    }
    // What would change the model is no head.
    for name in [
        "lm_head.bias",
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.q_norm.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
    ] {
        let text = message(more(&[name]));
        assert!(text.contains(&format!("{name}: unexpected")), "{text}");
    }
}

#[test]
fn values_are_held_in_fewer_digits_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(Family::Qwen2);
    // A third of them needs more digits than bf16 has.
    let thirds = |slot: &Slot| -> Vec<f32> { values(slot).iter().map(|it| it / 3.0).collect() };
    let write = |slot: &Slot| Ok(thirds(slot));
    save(
        dir.path(),
        &config,
        Precision::F32,
        DEFAULT_SHARD_LIMIT,
        write,
    )
    .unwrap();
    let (_, checkpoint) = hf::open(dir.path()).unwrap();
    for slot in slots(&config) {
        let held = checkpoint.read_as::<half::bf16>(&slot).unwrap();
        let rounded = thirds(&slot).into_iter().map(half::bf16::from_f32);
        assert!(held.into_iter().eq(rounded), "{}", slot.name);
    }
}

#[test]
fn a_weight_that_is_not_finite_is_named_where_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(Family::Gpt2);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        save_example(dir.path(), &config);
        edit(dir.path(), |tensors| {
            tensors.get_mut("transformer.h.1.mlp.c_fc.bias").unwrap().1[3] = bad;
        });
        let (config, checkpoint) = hf::open(dir.path()).unwrap();
        let read: Result<Vec<_>> = slots(&config)
            .iter()
            .map(|slot| checkpoint.read(slot))
            .collect();
        let text = message(read);
        assert!(
            text.contains(&format!(
                "transformer.h.1.mlp.c_fc.bias: not a finite number ({bad} at value 3"
            )),
            "{text}"
        );
    }
}

#[test]
fn the_type_that_weights_are_stored_in_is_known() {
    let dir = tempfile::tempdir().unwrap();
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let config = config(Family::Llama);
        save(
            dir.path(),
            &config,
            precision,
            DEFAULT_SHARD_LIMIT,
            |slot| Ok(values(slot)),
        )
        .unwrap();
        let (_, checkpoint) = hf::open(dir.path()).unwrap();
        assert_eq!(checkpoint.precision(), precision);
        let embedding = &slots(&config)[0];
        assert_eq!(checkpoint.read(embedding).unwrap(), values(embedding));
        let said: Value = store::read_json(&dir.path().join("config.json")).unwrap();
        assert_eq!(said["dtype"], precision.name());
    }
    let large = |slot: &Slot| Ok(vec![70000.0; slot.len()]);
    let config = config(Family::Llama);
    let text = message(save(dir.path(), &config, Precision::F16, usize::MAX, large));
    assert!(text.contains("70000 is too large for float16"), "{text}");
}

#[test]
fn a_long_list_of_misfits_is_cut() {
    let mut long = config(Family::Llama);
    long.layers = 500;
    let dir = tempfile::tempdir().unwrap();
    save_example(dir.path(), &config(Family::Llama));
    store::write_json(
        &dir.path().join("config.json"),
        &hf::config_json::to_json(&long, "float32"),
    )
    .unwrap();
    let text = message(hf::open(dir.path()));
    assert!(text.lines().count() < 25 && text.contains("more"), "{text}");
}
