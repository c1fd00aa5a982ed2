//! Which model a stage's numbers are of, so that a reader sees how large ours is beside the paper's.

use serde_json::Value;

use super::found::ByStage;
use crate::recipe::{Plan, PlannedStage};

/// The model that a stage trains or measures, with its size: "SmolLM2-135M-Instruct (135M)". Empty for a stage of
/// several models, and where nothing of it is known.
pub fn model_of(plan: &Plan, stage: &str, measures: &ByStage) -> String {
    let (mut name, mut size) = (String::new(), None);
    let mut next = find(plan, stage);
    // A plan's stages refer to none but earlier ones, so that this ends.
    while let Some(stage) = next {
        let runs = measures.get(&stage.name);
        let first = runs.and_then(|runs| runs.iter().find_map(|run| run.numbers.get("parameters")));
        size = size.or(first.copied());
        name = origin(stage).unwrap_or(name);
        let model = stage.refs.iter().find(|link| link.key == ["model"]);
        next = model.and_then(|link| find(plan, &link.to.name));
    }
    match size {
        Some(size) if name.is_empty() => short(size),
        Some(size) => format!("{name} ({})", short(size)),
        None => name,
    }
}

fn find<'a>(plan: &'a Plan, name: &str) -> Option<&'a PlannedStage> {
    plan.stages.iter().find(|stage| stage.name == name)
}

/// What a model begins as.
fn origin(stage: &PlannedStage) -> Option<String> {
    let setting = |key: &str| stage.settings.get(key).and_then(Value::as_str);
    if let Some(family) = setting("model_type") {
        return Some(format!("{family} from random weights"));
    }
    let path = setting("path").filter(|_| stage.kind.starts_with("pretrained"))?;
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    Some(name.split('@').next().unwrap_or(name).to_owned())
}

/// A number of parameters as models are named by it: 0.54M, 135M, 1.5B.
fn short(parameters: f64) -> String {
    let (value, unit) = match parameters >= 1e9 {
        true => (parameters / 1e9, "B"),
        false => (parameters / 1e6, "M"),
    };
    let decimals = match value {
        small if small < 1.0 => 2,
        middle if middle < 10.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_models_are_named() {
        for (parameters, text) in [
            (541_824.0, "0.54M"),
            (2_104_914.0, "2.1M"),
            (134_515_008.0, "135M"),
            (1_543_714_304.0, "1.5B"),
        ] {
            assert_eq!(short(parameters), text);
        }
    }
}
