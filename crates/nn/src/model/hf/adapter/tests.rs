use std::fs;

use serde_json::json;

use super::*;
use crate::model::config::Family;
use crate::model::hf::{self, BaseDtype, DEFAULT_SHARD_LIMIT, Precision, save};

fn lora() -> LoraConfig {
    LoraConfig {
        r: 2,
        lora_alpha: 3.0,
        lora_dropout: 0.1,
        use_rslora: false,
        use_dora: true,
        targets: Targets::AllLinear,
        exclude_modules: Vec::new(),
        rank_pattern: vec![("down_proj".into(), 3)],
        alpha_pattern: Vec::new(),
        layers_to_transform: None,
        modules_to_save: vec!["lm_head".into()],
    }
}

/// Values by a parameter's name.
fn values(name: &str, count: usize) -> Vec<f32> {
    let salt: usize = name.bytes().map(usize::from).sum();
    (0..count)
        .map(|at| ((salt + at) % 97) as f32 / 8.0)
        .collect()
}

/// How many values a part of an adapter has.
fn size(sites: &[Site], name: &str) -> usize {
    let (linear, rest) = name.split_once(".adapters.").unwrap();
    let (index, part) = rest.split_once('.').unwrap();
    let mut own = sites.iter().filter(|site| site.linear == linear);
    let site = own.nth(index.parse().unwrap()).unwrap();
    match part {
        "a" => site.inputs * site.rank,
        "b" => site.rank * site.columns.len(),
        _ => site.columns.len(),
    }
}

#[test]
fn what_is_saved_opens_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (base, dir) = (root.path().join("base"), root.path().join("adapter"));
    let mut config = DecoderConfig::new(Family::Qwen2, 11, 12, 2, 2);
    config.tied = true;
    save(
        &base,
        &config,
        Precision::F32,
        DEFAULT_SHARD_LIMIT,
        |slot| Ok(values(&slot.name, slot.len())),
    )
    .unwrap();
    // What it holds whole is not tied any more.
    config.tied = false;
    let lora = lora();
    let adapter = SavedAdapter {
        lora: &lora,
        base: &base,
        base_dtype: BaseDtype::Nf4,
        precision: Precision::F32,
        generation: &json!({"eos_token_id": 3}),
    };
    let sites = lora.sites(&config).unwrap();
    let size = |name: &str| match name {
        "head" => 11 * 12,
        part => size(&sites, part),
    };
    save_adapter(&dir, &config, &adapter, |name| {
        Some(values(name, size(name)))
    })
    .unwrap();

    let (read, checkpoint) = hf::open(&dir).unwrap();
    assert!(!read.tied);
    let found = checkpoint.adapter.clone().unwrap();
    assert_eq!(found.base_dtype, BaseDtype::Nf4);
    assert_eq!(found.base, base);
    // Its targets are named one by one.
    let targets = Targets::Named(LoraConfig::kinds(&config));
    assert_eq!(
        found.lora,
        LoraConfig {
            targets,
            ..lora.clone()
        }
    );
    assert_eq!(found.lora.sites(&read).unwrap(), sites);
    let (k, down) = (&sites[1], &sites[6]);
    assert_eq!((down.rank, down.linear.as_str()), (3, "blocks.0.down"));
    for (site, index) in [(k, 1), (down, 0)] {
        let read = checkpoint.adapter_values(site).unwrap();
        let name = |part: &str| format!("{}.adapters.{index}.{part}", site.linear);
        let own = |part: &str| values(&name(part), size(&name(part)));
        assert_eq!(read.a, own("a"));
        assert_eq!(read.b, own("b"));
        assert_eq!(read.magnitude, Some(own("magnitude")));
    }
    let slots = layout::slots(&read);
    let of = |name: &str| {
        checkpoint
            .read(slots.iter().find(|slot| slot.name == name).unwrap())
            .unwrap()
    };
    assert_eq!(of("head"), values("head", 132));
    assert_eq!(of("embed"), values("embed", 132));
}

#[test]
fn a_base_is_found_where_the_store_has_been_moved_to() {
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("runs/.artifacts");
    let base = store.join("sft-1234/model");
    fs::create_dir_all(&base).unwrap();
    fs::write(base.join("config.json"), "{}").unwrap();
    let named =
        json!({"base_model_name_or_path": "/elsewhere/runs/.artifacts/sft-1234/model"}).to_string();
    for dir in [
        store.join("dpo-5678/model"),
        root.path().join("runs/dpo/real/model"),
    ] {
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(CONFIG), &named).unwrap();
        assert_eq!(base_of(&dir).unwrap(), base.canonicalize().unwrap());
    }
    fs::write(base.join(CONFIG), "{}").unwrap();
    let message = format!("{:#}", base_of(&store.join("dpo-5678/model")).unwrap_err());
    assert!(message.contains("is an adapter itself"), "{message}");
}

#[test]
fn whole_weights_beside_an_adapter_are_its_base() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("both");
    let config = DecoderConfig::new(Family::Llama, 11, 12, 2, 2);
    let write = |slot: &Slot| Ok(values(&slot.name, slot.len()));
    save(&dir, &config, Precision::F32, DEFAULT_SHARD_LIMIT, write).unwrap();
    let lora = LoraConfig {
        r: 2,
        use_dora: false,
        modules_to_save: Vec::new(),
        rank_pattern: Vec::new(),
        ..lora()
    };
    let elsewhere = root.path().join("elsewhere");
    let adapter = SavedAdapter {
        lora: &lora,
        base: &elsewhere,
        base_dtype: BaseDtype::F32,
        precision: Precision::F32,
        generation: &json!({}),
    };
    let sites = lora.sites(&config).unwrap();
    let trained = |name: &str| Some(values(name, size(&sites, name)));
    save_adapter(&dir, &config, &adapter, trained).unwrap();

    // The base that it names is not asked for.
    assert_eq!(base_of(&dir).unwrap(), dir.canonicalize().unwrap());
    let (read, checkpoint) = hf::open(&dir).unwrap();
    assert_eq!(checkpoint.adapter.as_ref().unwrap().lora.r, 2);
    let slots = layout::slots(&read);
    let slot = &slots[0];
    assert_eq!(
        checkpoint.read(slot).unwrap(),
        values(&slot.name, slot.len())
    );
    assert!(
        checkpoint
            .notes
            .iter()
            .any(|note| note.contains("taken without the adapter")),
        "{:?}",
        checkpoint.notes
    );
    // Another adapter may have the same weights as its base.
    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    let named = json!({"base_model_name_or_path": dir}).to_string();
    fs::write(other.join(CONFIG), named).unwrap();
    assert_eq!(base_of(&other).unwrap(), dir);
}

#[test]
fn what_is_no_lora_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(CONFIG), "{}").unwrap();
    let message = format!("{:#}", hf::open(dir.path()).err().unwrap());
    assert!(message.contains("peft_type: expected LORA"), "{message}");
}
